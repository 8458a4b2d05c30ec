"""Small functions that run beside the student's code: they differentiate, count and train, and return plain data.

Each takes the student's module first. They return values, gradients and counts, never a verdict: what is right is
decided elsewhere. Policies are asked through `act` and `log_probs` alone, so that anything inside of them will do.
"""

import gymnasium
import torch

from autograder.testing.remote import environments, updates

# -------------------------------------------------------------------------------------------------------- the estimator


def log_probs_and_gradient(student, logits, actions, cotangent):
    """The log-probabilities, and the gradient of sum(cotangent * answer) with respect to the logits."""
    logits = logits.detach().clone().requires_grad_()
    logp = student.categorical_log_prob(logits, actions)
    logp.backward(cotangent)
    return {"logp": logp.detach(), "logits": logits.grad}


def loss_and_gradients(student, logp, returns, baseline=None):
    """The loss, and its gradients with respect to all tensors that went in, each of which asks for one."""
    logp, returns = logp.detach().clone().requires_grad_(), returns.detach().clone().requires_grad_()
    if isinstance(baseline, torch.Tensor):
        baseline = baseline.detach().clone().requires_grad_()
    loss = student.reinforce_loss(logp, returns, baseline)
    loss.backward()
    gradient = _gradient(baseline) if isinstance(baseline, torch.Tensor) else None
    return {"loss": loss.detach(), "logp": _gradient(logp), "returns": _gradient(returns), "baseline": gradient}


def gradient_for_each_arm(student, logits, rewards, baseline=None):
    """(A, A): row a is the gradient of the loss in the logits of a bandit, when arm a was pulled once."""
    rows = []
    for arm in range(len(logits)):
        z = logits.detach().clone().requires_grad_()
        logp = z.log_softmax(-1)[arm : arm + 1]  # (1,)
        student.reinforce_loss(logp, rewards[arm : arm + 1], baseline).backward()
        rows.append(_gradient(z))
    return torch.stack(rows)


def _gradient(tensor):
    """A gradient that nobody sent is zero."""
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


# ------------------------------------------------------------------------------------------------------------- training


class Metered(gymnasium.Wrapper):
    """Counts steps into a shared list, and refuses those beyond a budget."""

    def __init__(self, env, meter, budget):
        super().__init__(env)
        self.meter, self.budget = meter, budget

    def step(self, action):
        """One step, if the budget has one left."""
        if self.meter[0] >= self.budget:
            raise RuntimeError(f"the budget of {self.budget} environment steps is spent")
        self.meter[0] += 1
        return self.env.step(action)


def short_training(student, steps, seed, observations):
    """Trains on CartPole for a moment: steps used, actions (asked twice) and log-probabilities on the observations."""
    meter = [0]
    policy = student.train_reinforce(lambda: Metered(gymnasium.make("CartPole-v1"), meter, steps), steps, seed)
    first, second = policy.act(observations), policy.act(observations)
    log_probs = policy.log_probs(observations).detach()
    return {"used": meter[0], "act": first, "again": second, "log_probs": log_probs}


trained = {}


def train(student, world, steps, seed):
    """Trains in a world of the grader's, and keeps the policy for `act`."""
    on_update = updates(world, _actions)
    trained["policy"] = student.train_reinforce(environments(world), steps, seed, on_update)
    return "trained"


def act(student, observations):
    """Actions of the policy that was trained, for observations (N, obs_dim) in float32."""
    return torch.as_tensor(_actions(trained["policy"], observations)).numpy()


def _actions(policy, observations):
    return policy.act(torch.from_numpy(observations.copy()))
