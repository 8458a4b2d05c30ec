"""Small functions that run beside the student's code: they build, call, differentiate and train, and return plain data.

Each takes the student's module first. They return values, gradients and counts, never a verdict: what is right is
decided elsewhere. Agents are asked through their methods alone, so that any network inside of them will do.
"""

import torch

from autograder.testing.remote import environments, updates

STATS = ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction")


# ----------------------------------------------------------------------------------------------------------- the losses


def surrogate_and_gradients(student, logp, old_logp, adv, eps):
    """The clipped surrogate, and its gradients with respect to all three inputs, all of which ask for one."""
    logp, old_logp, adv = _leaves(logp, old_logp, adv)
    loss = student.clipped_surrogate(logp, old_logp, adv, eps)
    loss.backward()
    return {"loss": loss.detach(), "logp": _grad(logp), "old_logp": _grad(old_logp), "adv": _grad(adv)}


def value_loss_and_gradients(student, values, old_values, targets, eps):
    """The clipped value loss, and its gradients with respect to all three inputs, all of which ask for one."""
    values, old_values, targets = _leaves(values, old_values, targets)
    loss = student.clipped_value_loss(values, old_values, targets, eps)
    loss.backward()
    return {
        "loss": loss.detach(),
        "values": _grad(values),
        "old_values": _grad(old_values),
        "targets": _grad(targets),
    }


def entropy_and_gradient(student, logits):
    """The entropy, and its gradient with respect to the logits."""
    (logits,) = _leaves(logits)
    entropy = student.entropy_bonus(logits)
    entropy.backward()
    return {"entropy": entropy.detach(), "logits": _grad(logits)}


def kl_and_whether_it_trains(student, logp, old_logp):
    """The estimate of inputs that ask for a gradient, and whether the estimate has one."""
    logp, old_logp = _leaves(logp, old_logp)
    kl = student.approx_kl(logp, old_logp)
    return {"kl": kl.detach(), "trains": kl.requires_grad}


# ---------------------------------------------------------------------------------------------------------- minibatches


def batches(student, n, size, seed, epochs=1):
    """The batches of several epochs, all drawn from one generator."""
    generator = torch.Generator().manual_seed(seed)
    return [student.minibatches(n, size, generator) for _ in range(epochs)]


def batches_from_global(student, n, size, seed):
    """The batches of one epoch that is given no generator, after torch's global one was seeded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return student.minibatches(n, size)


def batches_beside_global(student, n, size, seed, noise):
    """The batches of one epoch with a generator, after torch's global one was seeded with something else."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(noise)
        return batches(student, n, size, seed)[0]


def first_places(student, n, size, seed, epochs):
    """How often each of the n samples came first, over many epochs."""
    firsts = [epoch[0][0] for epoch in batches(student, n, size, seed, epochs)]
    return torch.bincount(torch.stack(firsts), minlength=n)


# ------------------------------------------------------------------------------------------------------------- PPOAgent


def build_agent(student, obs_dim, n_actions, seed, shaken=0.0):
    """A new agent from a seeded global generator. `shaken` adds noise of that size to every weight."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        agent = student.PPOAgent(obs_dim, n_actions)
        with torch.no_grad():
            for parameter in agent.parameters():
                parameter.add_(shaken * torch.randn(parameter.shape))
    return agent


def fresh_answers(student, obs_dim, n_actions, obs, seed, shaken=0.0):
    """What an agent says of these observations: log_probs and value."""
    return _answers(build_agent(student, obs_dim, n_actions, seed, shaken), obs)


def row_by_row(student, obs_dim, n_actions, obs, seed, shaken):
    """What an agent says of each row alone, put together again."""
    agent = build_agent(student, obs_dim, n_actions, seed, shaken)
    rows = [_answers(agent, row) | {"act": agent.act(row[None])[0]} for row in obs]
    return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}


def act_twice(student, obs_dim, n_actions, obs, seed, shaken=0.5):
    """The greedy actions, asked for twice, and what log_probs says."""
    agent = build_agent(student, obs_dim, n_actions, seed, shaken)
    return {"first": agent.act(obs), "second": agent.act(obs), **_answers(agent, obs)}


def sampled_answers(student, obs_dim, n_actions, obs, seed, draw, noise=0, shaken=0.5):
    """What sample returns, with a generator seeded `draw` beside a global one seeded `noise`; and log_probs and value."""
    agent = build_agent(student, obs_dim, n_actions, seed, shaken)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(noise)
        actions, logp, values = agent.sample(obs, torch.Generator().manual_seed(draw))
    trains = bool(logp.requires_grad or values.requires_grad)
    sampled = {"actions": actions, "logp": logp.detach(), "values": values.detach(), "trains": trains}
    return sampled | _answers(agent, obs)


def action_counts(student, obs_dim, n_actions, state, seed, draws, draw, shaken=0.3):
    """How often each action was drawn in one state, and its log-probabilities."""
    agent = build_agent(student, obs_dim, n_actions, seed, shaken)
    actions, _, _ = agent.sample(state.expand(draws, obs_dim), torch.Generator().manual_seed(draw))
    return {"counts": torch.bincount(actions, minlength=n_actions), "log_probs": agent.log_probs(state).detach()}


def loss_of_blank_agent(student, obs_dim, n_actions, minibatches, options):
    """Loss and statistics of an agent whose weights are all zero: it gives each action 1/A, and each state the value 0."""
    agent = build_agent(student, obs_dim, n_actions, 0)
    with torch.no_grad():
        for parameter in agent.parameters():
            parameter.zero_()
    return [_loss(agent, batch, options)[1] for batch in minibatches]


def loss_of_agent(student, obs_dim, n_actions, batch, options, seed, shaken):
    """Loss and statistics of an agent, and what its log_probs and value say of the batch."""
    agent = build_agent(student, obs_dim, n_actions, seed, shaken)
    return _loss(agent, batch, options)[1] | _answers(agent, batch["obs"])


def gradients_of_loss(student, obs_dim, n_actions, batch, options, seed, shaken):
    """The gradient of the loss in each weight, by name (zeros where there is none)."""
    agent = build_agent(student, obs_dim, n_actions, seed, shaken)
    _loss(agent, batch, options)[0].backward()
    return {name: _grad(parameter) for name, parameter in agent.named_parameters()}


def gradients_through_methods(student, obs_dim, n_actions, obs, seed, shaken, wrt_log_probs, wrt_value):
    """The gradient in each weight of sum(wrt_log_probs * log_probs) + sum(wrt_value * value), by name."""
    agent = build_agent(student, obs_dim, n_actions, seed, shaken)
    ((wrt_log_probs * agent.log_probs(obs)).sum() + (wrt_value * agent.value(obs)).sum()).backward()
    return {name: _grad(parameter) for name, parameter in agent.named_parameters()}


def on_policy_loss(student, obs_dim, n_actions, batch, seed, shaken, draw):
    """Loss and statistics where the agent itself took the actions just now, and the size of its gradient."""
    agent = build_agent(student, obs_dim, n_actions, seed, shaken)
    actions, logp, _ = agent.sample(batch["obs"], torch.Generator().manual_seed(draw))
    loss, found = _loss(agent, batch | {"actions": actions, "old_logp": logp}, {"vf_coef": 0.0})
    loss.backward()
    return found | {"gradient": sum(float(_grad(parameter).square().sum()) for parameter in agent.parameters()) ** 0.5}


# ------------------------------------------------------------------------------------------------------------- training


trained = {}
"""The agent of this conversation, once it is trained."""


def train(student, world, steps, seed, gamma):
    """Trains in a world that the grader holds, and keeps the agent for the questions that follow."""

    def act(agent, obs):
        return agent.act(torch.as_tensor(obs)).tolist()

    trained["agent"] = student.train_ppo(
        environments(world), steps, seed=seed, gamma=gamma, on_update=updates(world, act)
    )
    return steps


def act(student, obs):
    """What the trained agent does where it sees obs (N, obs_dim)."""
    return trained["agent"].act(torch.as_tensor(obs))


def judge(student, obs):
    """What the trained agent says of obs (N, obs_dim): log_probs (N, A) and value (N,)."""
    return _answers(trained["agent"], torch.as_tensor(obs))


# -------------------------------------------------------------------------------------------------------------- helpers


def _leaves(*tensors):
    return [tensor.detach().clone().requires_grad_() for tensor in tensors]


def _grad(leaf):
    return torch.zeros_like(leaf.detach()) if leaf.grad is None else leaf.grad


def _answers(agent, obs):
    with torch.no_grad():
        return {"log_probs": agent.log_probs(obs), "value": agent.value(obs)}


def _loss(agent, batch, options):
    """The loss itself, and it with the statistics as plain data."""
    loss, stats = agent.loss(batch, **options)
    return loss, {"loss": loss.detach(), **{name: stats[name] for name in STATS}}
