"""Small functions that run beside the student's code: they build, call and train, and return plain data.

Each takes the student's module first. They return values, never a verdict: what is right is decided elsewhere.
"""

import contextlib

import torch
from common.tiny_lm import TinyLM
from torch import nn

# -------------------------------------------------------------------------------------------------- values and losses


def answer_and_gradients(student, logits, tokens, mask, average):
    """The log-probabilities of the answers, and the gradient of their sum with respect to the logits."""
    logits = logits.clone().requires_grad_()
    answer = student.sequence_log_prob(logits, tokens, mask, average=average)
    answer.sum().backward()
    return {"answer": answer.detach(), "logits": logits.grad}


def rows_one_by_one(student, logits, tokens, mask, average):
    """The answers' log-probabilities, each row asked on its own."""
    asked = [[x[i : i + 1] for x in (logits, tokens, mask)] for i in range(len(tokens))]
    return torch.cat([student.sequence_log_prob(*row, average=average) for row in asked])


def dpo_and_gradients(student, *asked):
    """The DPO loss of four log-probabilities a pair, beta and smoothing; and its gradients."""
    return _loss_and_gradients(student.dpo_loss, asked[:4], asked[4:])


def ipo_and_gradients(student, *asked):
    """The IPO loss of four log-probabilities a pair and beta; and its gradients."""
    return _loss_and_gradients(student.ipo_loss, asked[:4], asked[4:])


def _loss_and_gradients(loss_of, numbers, options):
    """All four ask for a gradient. Where none arrives it is given as zeros."""
    numbers = [x.clone().requires_grad_() for x in numbers]
    loss = loss_of(*numbers, *options)
    loss.backward()
    grads = [torch.zeros_like(x) if x.grad is None else x.grad for x in numbers]
    return {"loss": loss.detach(), "chosen": grads[0], "rejected": grads[1], "reference": grads[2:]}


def rewards_and_whether_they_train(student, policy_logp, ref_logp, beta):
    """Implicit rewards of log-probabilities that ask for a gradient, and whether what comes back carries one."""
    found = student.implicit_rewards(policy_logp.clone().requires_grad_(), ref_logp, beta)
    return {"rewards": found.detach(), "trains": bool(found.requires_grad)}


# ----------------------------------------------------------------------------------------------------------- training

PAIR_OF = ("prompts", "prompts_mask", "chosen", "chosen_mask", "rejected", "rejected_mask")

trained = {}
"""The model of this conversation, once it is trained."""


def train(student, config, weights, pairs, steps, beta, seed):
    """Trains from these weights and keeps the model; returns how many texts were read with gradients on."""
    with _reading() as read:
        trained["model"] = student.train_dpo(_lm(config, weights), *(pairs[key] for key in PAIR_OF), steps, beta, seed)
    return len(read)


def trained_weights(student):
    """The trained model's weights, by name."""
    return _weights(trained["model"])


def train_twice(student, config, pairs, steps, seeds):
    """For each seed: what a training makes of the first weights when torch's global state was seeded otherwise."""
    torch.manual_seed(4)
    weights = _weights(TinyLM(**config))
    ends, training = [], []
    for number, seed in enumerate(seeds):
        torch.manual_seed(100 + number)
        model = student.train_dpo(_lm(config, weights), *(pairs[key] for key in PAIR_OF), steps, 0.3, seed)
        training.append(model.training)
        ends.append(torch.cat([tensor.flatten() for tensor in _weights(model).values()]))
    return {"weights": ends, "training": training}


def reading(student, pairs, steps, seed):
    """What a training reads with gradients on, and which columns of it are pulled.

    read: how many texts. others: how many of them are no whole text of the data. dropping: how many were read with
    dropout. missed: how many tokens of answers are never pulled. beyond: how many columns are pulled that predict padding.
    moved, speaks: whether the policy that comes back has other weights than before, and prefers some words to others.
    """
    torch.manual_seed(4)
    lm = TinyLM(25, d_model=16, n_layers=1, n_heads=2, dropout=0.1)
    starts = {}  # a whole text -> how many of its tokens are the prompt
    for side in ("chosen", "rejected"):
        for i in range(len(pairs["prompts"])):
            prompt = pairs["prompts"][i][pairs["prompts_mask"][i]].tolist()
            starts[tuple(prompt + pairs[side][i][pairs[f"{side}_mask"][i]].tolist())] = len(prompt)
    before = _weights(lm)
    with _reading() as read:
        policy = student.train_dpo(lm, *(pairs[key] for key in PAIR_OF), steps, 0.3, seed)
    after = _weights(policy)
    with torch.no_grad():
        words = policy(pairs["prompts"], pairs["prompts_mask"])[:, -1]
    found = {
        "read": len(read),
        "others": 0,
        "dropping": 0,
        "missed": 0,
        "beyond": 0,
        "moved": any(not torch.equal(after[name], before[name]) for name in before),
        "speaks": bool((words.max(dim=1).values > words.min(dim=1).values).all()),
    }
    for text in read:
        found["dropping"] += text["dropping"]
        if text["ids"] not in starts:
            found["others"] += 1
            continue
        pulled, places = text["pulled"], text["places"]
        predict = places[starts[text["ids"]] - 1 : -1]  # the columns that predict tokens of the answer
        found["missed"] += sum(not pulled[place] for place in predict)
        found["beyond"] += sum(pulled) - sum(pulled[place] for place in places[:-1])
    return found


def _lm(config, weights):
    lm = TinyLM(**config)
    lm.load_state_dict(weights)
    return lm


def _weights(model):
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


@contextlib.contextmanager
def _reading():
    """Lists, while it lasts, the texts that TinyLMs read with gradients on, and later which columns were pulled."""
    read, hidden = [], TinyLM.hidden

    def listed(self, tokens, mask=None):
        known = hidden(self, tokens, mask)
        if known.requires_grad:
            real = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask
            dropping = any(part.training and part.p > 0 for part in self.modules() if isinstance(part, nn.Dropout))
            rows = [
                {"ids": tuple(row[m].tolist()), "places": m.nonzero()[:, 0].tolist(), "dropping": dropping,
                 "pulled": [False] * len(row)}
                for row, m in zip(tokens, real, strict=True)
            ]  # fmt: skip
            read.extend(rows)

            def pull(gradient):
                for row, pulled in zip(rows, gradient.ne(0).any(dim=-1).tolist(), strict=True):
                    row["pulled"] = [a or b for a, b in zip(row["pulled"], pulled, strict=True)]

            known.register_hook(pull)
        return known

    TinyLM.hidden = listed
    try:
        yield read
    finally:
        TinyLM.hidden = hidden
