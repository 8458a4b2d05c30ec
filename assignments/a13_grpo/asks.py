"""Small functions that run beside the student's code: they call, draw and train, and return plain data.

Each takes the student's module first. They return values, never a verdict: what is right is decided elsewhere. The
table model's answers can be worked out by hand: a token's logits depend on its place among the real ones and on itself.
"""

import torch
from common.tiny_lm import TinyLM
from torch import nn

# ------------------------------------------------------------------------------------------------ rewards, advantages


def verdicts(student, cases):
    """The reward of each (completion, answer)."""
    return [student.verify(completion, answer) for completion, answer in cases]


def kinds_of_verdicts(student, cases):
    """The names of the types of these rewards."""
    return [type(student.verify(completion, answer)).__name__ for completion, answer in cases]


def advantages_and_whether_they_train(student, rewards, group_size, options):
    """Advantages of rewards that ask for a gradient, and whether what comes back carries one."""
    found = student.group_advantages(rewards.clone().requires_grad_(), group_size, **options)
    return {"advantages": found.detach(), "trains": bool(found.requires_grad)}


# -------------------------------------------------------------------------------------------------------------- losses


def kl_and_gradients(student, logp, ref_logp):
    """k3 element by element, and the gradients of its sum (zeros where there is none)."""
    logp, ref_logp = _leaf(logp), _leaf(ref_logp)
    kl = student.k3_kl(logp, ref_logp)
    kl.sum().backward()
    return {"kl": kl.detach(), "logp": _grad(logp), "ref_logp": _grad(ref_logp)}


def loss_and_gradients(student, logp, old_logp, ref_logp, adv, mask, options):
    """The loss, and its gradients with respect to the log-probabilities that are given (zeros where there is none)."""
    leaves = {"logp": logp, "old_logp": old_logp, "ref_logp": ref_logp}
    leaves = {name: None if tensor is None else _leaf(tensor) for name, tensor in leaves.items()}
    loss = student.grpo_loss(*leaves.values(), adv, mask, **options)
    loss.backward()
    return {"loss": loss.detach()} | {name: _grad(leaf) for name, leaf in leaves.items() if leaf is not None}


def gradient_of_advantages(student, logp, old_logp, adv, mask):
    """The gradient that reaches the log-probabilities, and the largest that reaches advantages which ask for one."""
    logp, adv = _leaf(logp), _leaf(adv)
    student.grpo_loss(logp, old_logp, None, adv, mask).backward()
    return {"logp": _grad(logp), "leaked": float(_grad(adv).abs().max())}


# ------------------------------------------------------------------------------------------------------------ rollouts


class Table(nn.Module):
    """Logits looked up by a token's place among the real ones and by the token: a table (places, V, V), and dropout."""

    def __init__(self, table, dropout=0.0):
        super().__init__()
        self.table = nn.Parameter(table)
        self.dropout = nn.Dropout(dropout)
        self.gradients = False

    def forward(self, tokens, mask=None):
        self.gradients = self.gradients or torch.is_grad_enabled()
        mask = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask
        if mask.shape != tokens.shape or mask.dtype != torch.bool:
            raise ValueError("the mask should be bool, of the shape of the tokens")
        return self.dropout(self.table[(mask.cumsum(1) - 1).clamp(min=0), tokens])


def table_of(table):
    """The description of a table model: its logits (places, V, V)."""
    return {"table": table}


def tiny_of(config, weights):
    """The description of a TinyLM with these weights."""
    return {"config": config, "weights": weights}


def rollouts(
    student, described, prompts, mask, G, n, eos, pad, temperature, seed, noise=None, training=False, dropout=0.0
):
    """What rollout draws: from a generator with this seed, or from torch's global one if `noise` seeds it instead."""
    model = _model(described, dropout).train(training)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0 if noise is None else noise)
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        found = student.rollout(model, prompts, mask, G, n, eos, pad, temperature, generator)
    trains = any(value.requires_grad for value in found.values())
    return {
        **{key: found[key].detach() for key in ("tokens", "mask", "logp")},
        "trains": trains,
        "mode": model.training,
    }


def _model(described, dropout):
    if "table" in described:
        return Table(described["table"], dropout)
    model = TinyLM(**described["config"])
    model.load_state_dict(described["weights"])
    return model


# ------------------------------------------------------------------------------------------------------------ training


trained = {}
"""The model of this conversation, once it is trained."""


def train(student, config, weights, prompts, reward, iterations, seed, mask=None):
    """Trains from these weights, and keeps the model for the questions that follow. `reward` is the grader's."""
    mask = torch.ones_like(prompts, dtype=torch.bool) if mask is None else mask
    policy = _model(tiny_of(config, weights), 0.0).train()
    trained["model"] = student.train_grpo(policy, prompts, mask, reward, iterations, seed)
    return trained["model"].training


def train_after_noise(student, config, weights, prompts, reward, iterations, seed, noise):
    """The same after torch's global generator was seeded with `noise`; the weights, by name."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(noise)
        train(student, config, weights, prompts, reward, iterations, seed)
    return trained_weights(student)


def trained_weights(student):
    """The trained model's weights, by name."""
    return {name: tensor.detach().clone() for name, tensor in trained["model"].state_dict().items()}


# ------------------------------------------------------------------------------------------------------------- helpers


def _leaf(tensor):
    return tensor.detach().clone().requires_grad_()


def _grad(leaf):
    return torch.zeros_like(leaf.detach()) if leaf.grad is None else leaf.grad
