"""Small functions that run beside the student's code: they build, call and train, and return plain data.

Each takes the student's module first. They return values, never a verdict: what is right is decided elsewhere.
"""

import contextlib

import torch
from common.tiny_lm import TinyLM

# ------------------------------------------------------------------------------------------------------ loss and head


def loss_and_gradients(student, chosen, rejected, weights, margin):
    """The loss, and its gradients with respect to both scores."""
    chosen, rejected = chosen.clone().requires_grad_(), rejected.clone().requires_grad_()
    loss = student.bradley_terry_loss(chosen, rejected, weights=weights, margin=margin)
    loss.backward()
    return {"loss": loss.detach(), "chosen": chosen.grad, "rejected": rejected.grad}


def gradient_of_weights(student, chosen, rejected, weights):
    """The gradient that reaches the scores, and the size of what reaches the weights (0 if nothing does)."""
    chosen, weights = chosen.clone().requires_grad_(), weights.clone().requires_grad_()
    student.bradley_terry_loss(chosen, rejected, weights=weights).backward()
    leaked = 0.0 if weights.grad is None else float(weights.grad.abs().max())
    return {"chosen": chosen.grad, "leaked": leaked}


def head_scores(student, weight, hidden, mask):
    """What a head with these weights (1, D) says."""
    return _head(student, weight)(hidden, mask).detach()


def head_gradients(student, weight, hidden, mask):
    """The gradients of the summed scores: of the weights and of what was read."""
    head, hidden = _head(student, weight), hidden.clone().requires_grad_()
    head(hidden, mask).sum().backward()
    return {"weight": head.score.weight.grad, "hidden": hidden.grad}


def built_head(student, d_model, seed):
    """A fresh head's weights, by name."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _weights(student.RewardHead(d_model))


def _head(student, weight):
    head = student.RewardHead(weight.shape[1]).to(weight.dtype)
    with torch.no_grad():
        head.score.weight.copy_(weight)
    return head


# ----------------------------------------------------------------------------------------------------------- training


trained = {}
"""The model of this conversation, once it is trained."""


def train(student, config, weights, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed):
    """Trains from these weights and keeps the model; returns how many texts were read with gradients on."""
    lm = _lm(config, weights)
    with _reading() as read:
        trained["model"] = student.train_reward_model(
            lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed
        )
    return len(read)


def trained_weights(student):
    """The trained model's weights, by name."""
    return _weights(trained["model"])


def trained_scores(student, tokens, mask):
    """The trained model's own scores."""
    with torch.no_grad():
        return trained["model"](tokens, mask)


def train_twice(student, config, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seeds):
    """For each seed: the scores of a training that began with torch's global state seeded otherwise, and the mode."""
    torch.manual_seed(4)
    weights = _weights(TinyLM(**config))
    scores, training = [], []
    for number, seed in enumerate(seeds):
        torch.manual_seed(100 + number)
        lm = _lm(config, weights)
        model = student.train_reward_model(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed)
        training.append(model.training)
        with torch.no_grad():
            scores.append(model.eval()(chosen, chosen_mask))
    return {"scores": scores, "training": training}


def reading(student, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed):
    """How many texts a training reads with gradients on; how many are not whole texts of the data, and their lengths.

    And whether the model that comes back tells the chosen texts apart.
    """
    torch.manual_seed(4)
    lm = TinyLM(25, d_model=16, n_layers=1, n_heads=2)
    known = set(_texts(chosen, chosen_mask)) | set(_texts(rejected, rejected_mask))
    with _reading() as read:
        model = student.train_reward_model(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed)
    with torch.no_grad():
        scores = model(chosen, chosen_mask)
    others = [len(text) for text in read if text not in known]
    return {
        "read": len(read),
        "others": len(others),
        "from": min(others, default=0),
        "to": max(others, default=0),
        "apart": scores.shape == (len(chosen),) and bool(scores.max() > scores.min()),
    }


def _lm(config, weights):
    lm = TinyLM(**config)
    lm.load_state_dict(weights)
    return lm


def _weights(model):
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _texts(tokens, mask):
    """The real tokens of each row."""
    return [tuple(row[real].tolist()) for row, real in zip(tokens, mask, strict=True)]


@contextlib.contextmanager
def _reading():
    """Lists, while it lasts, the texts that TinyLMs read with gradients on."""
    read, hidden = [], TinyLM.hidden

    def listed(self, tokens, mask=None):
        if torch.is_grad_enabled():
            read.extend(_texts(tokens, torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask))
        return hidden(self, tokens, mask)

    TinyLM.hidden = listed
    try:
        yield read
    finally:
        TinyLM.hidden = hidden
