"""Small functions that run beside the student's code: they build, call and train, and return plain data.

Each takes the student's module first. They return values, never a verdict: what is right is decided elsewhere.
"""

import torch
from common.tiny_lm import TinyLM

# ------------------------------------------------------------------------------------------- log-probabilities, rewards


def log_probs_and_gradient(student, logits, tokens, temperature):
    """The log-probabilities, and the gradient of their sum with respect to the logits."""
    logits = _leaf(logits)
    found = student.token_log_probs(logits, tokens, temperature)
    found.sum().backward()
    return {"logp": found.detach(), "slope": _grad(logits)}


def rewards_and_whether_they_train(student, score, logp, ref_logp, mask, beta):
    """Rewards of inputs that all ask for a gradient, and whether what comes back carries one."""
    found = student.kl_penalised_rewards(_leaf(score), _leaf(logp), _leaf(ref_logp), mask, beta)
    return {"rewards": found.detach(), "trains": bool(found.requires_grad)}


# ---------------------------------------------------------------------------------------------------------- estimators


def estimates_and_gradients(student, logp, ref_logp):
    """The three, the gradient of each one's sum in logp, and the largest gradient that reaches ref_logp."""
    estimates, slopes, leaked = [], [], 0.0
    for place in range(3):
        logp, ref_logp = _leaf(logp), _leaf(ref_logp)
        found = student.kl_estimators(logp, ref_logp)
        estimates.append(found[place].detach())
        found[place].sum().backward()
        slopes.append(_grad(logp))
        leaked = max(leaked, float(_grad(ref_logp).abs().max()))
    return {"estimates": estimates, "slopes": slopes, "leaked": leaked}


def mean_gradients(student, logits, ref_logits):
    """For each estimator: its gradient in the logits (V,), averaged over all tokens as often as the policy draws them."""
    ref_logp, gradients = ref_logits.log_softmax(-1), []
    for place in range(3):
        leaf = _leaf(logits)
        logp = leaf.log_softmax(-1)
        (logp.detach().exp() * student.kl_estimators(logp, ref_logp)[place]).sum().backward()
        gradients.append(_grad(leaf))
    return gradients


def betas(student, made_of, updates):
    """What each update returns, and what .beta says before the first and after each."""
    controller = student.AdaptiveKLController(*made_of)
    kept, returned = [float(controller.beta)], []
    for kl, n in updates:
        returned.append(float(controller.update(kl, n)))
        kept.append(float(controller.beta))
    return {"returned": returned, "kept": kept}


def two_controllers(student, first, second, updates):
    """The betas of two controllers that are updated in turns."""
    controllers = [student.AdaptiveKLController(*first), student.AdaptiveKLController(*second)]
    return [[float(controller.update(kl, n)) for controller in controllers] for kl, n in updates]


def default_horizon(student, init_beta, target, kl, n):
    """One update of a controller that was not told its horizon."""
    return float(student.AdaptiveKLController(init_beta, target).update(kl, n))


# ------------------------------------------------------------------------------------------------------------ training


trained = {}
"""The model of this conversation, once it is trained."""


def train(student, config, weights, reward, prompts, mask, iterations, seed):
    """Trains from these weights, and keeps the model for the questions that follow. `reward` is the grader's."""
    policy = TinyLM(**config)
    policy.load_state_dict(weights)
    trained["model"] = student.train_ppo_lm(policy.train(), reward, prompts, mask, iterations, seed)
    return trained["model"].training


def train_after_noise(student, config, weights, reward, prompts, mask, iterations, seed, noise):
    """The same after torch's global generator was seeded with `noise`; the weights, by name."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(noise)
        train(student, config, weights, reward, prompts, mask, iterations, seed)
    return trained_weights(student)


def trained_weights(student):
    """The trained model's weights, by name."""
    return {name: tensor.detach().clone() for name, tensor in trained["model"].state_dict().items()}


def trained_logits(student, tokens, mask):
    """What the trained model itself says of these tokens."""
    with torch.no_grad():
        return trained["model"](tokens, mask)


# ------------------------------------------------------------------------------------------------------------- helpers


def _leaf(tensor):
    return tensor.detach().clone().requires_grad_()


def _grad(leaf):
    return torch.zeros_like(leaf.detach()) if leaf.grad is None else leaf.grad
