"""Other right implementations, as different as students are. Every test must let them pass."""

import math

import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from reference import PPOAgent, approx_kl, clipped_surrogate, gae, minibatches, value_targets
from torch import nn
from torch.distributions import Categorical

from autograder.testing import alternative


def _same_shape(*tensors):
    for tensor in tensors:
        assert tensor.shape == tensors[0].shape, "shapes differ"


# ---------------------------------------------------------------------------------------------------- clipped_surrogate


@alternative("clipped_surrogate", note="CleanRL's form: the larger of two losses")
def larger_loss(logp, old_logp, adv, eps):
    _same_shape(logp, old_logp, adv)
    ratio, adv = torch.exp(logp - old_logp.detach()), adv.detach()
    return torch.max(-adv * ratio, -adv * torch.clamp(ratio, 1 - eps, 1 + eps)).mean()


@alternative("clipped_surrogate", note="Spinning Up's form: one bound a sample, by the sign of its advantage")
def bound_by_sign(logp, old_logp, adv, eps):
    _same_shape(logp, old_logp, adv)
    adv = adv.detach()
    bound = torch.where(adv >= 0, (1 + eps) * adv, (1 - eps) * adv)
    return -torch.minimum((logp - old_logp.detach()).exp() * adv, bound).mean()


@alternative("clipped_surrogate", note="one sample at a time")
def sample_by_sample(logp, old_logp, adv, eps):
    _same_shape(logp, old_logp, adv)
    terms = []
    for new, old, a in zip(logp.flatten(), old_logp.flatten().tolist(), adv.flatten().tolist(), strict=True):
        ratio = torch.exp(new - old)
        released = (a > 0 and ratio.item() > 1 + eps) or (a < 0 and ratio.item() < 1 - eps)
        terms.append(a * ratio if not released else 0 * ratio + a * (1 + eps if a > 0 else 1 - eps))
    return -torch.stack(terms).mean()


# --------------------------------------------------------------------------------------------------- clipped_value_loss


@alternative("clipped_value_loss", note="the fenced value by its two ends")
def fence_by_its_ends(values, old_values, targets, eps):
    _same_shape(values, old_values, targets)
    old_values, targets = old_values.detach(), targets.detach()
    fenced = torch.max(torch.min(values, old_values + eps), old_values - eps)
    losses = torch.stack([(values - targets) ** 2, (fenced - targets) ** 2])
    return losses.amax(0).mean() / 2


@alternative("clipped_value_loss", note="the larger error in size, then squared")
def larger_error(values, old_values, targets, eps):
    _same_shape(values, old_values, targets)
    with torch.no_grad():
        old, want = old_values.clone(), targets.clone()
    plain = values - want
    fenced = old + torch.clamp(values - old, min=-eps, max=eps) - want
    return 0.5 * torch.where(fenced.abs() > plain.abs(), fenced, plain).pow(2).mean()


# -------------------------------------------------------------------------------------------------------- entropy_bonus


@alternative("entropy_bonus", note="log of the partition sum minus the expected logit")
def from_partition_sum(logits):
    p = logits.softmax(-1)
    shifted = logits - logits.amax(-1, keepdim=True).detach()
    return (shifted.logsumexp(-1) - (p * torch.where(p > 0, shifted, 0.0)).sum(-1)).mean()


@alternative("entropy_bonus", note="torch.special.entr of the probabilities")
def by_entr(logits):
    return torch.special.entr(torch.softmax(logits, dim=-1)).sum(dim=-1).mean()


# ------------------------------------------------------------------------------------------------------------ approx_kl


@alternative("approx_kl", note="expm1, under no_grad")
def by_expm1(logp, old_logp):
    _same_shape(logp, old_logp)
    with torch.no_grad():
        difference = logp - old_logp
        return torch.mean(torch.expm1(difference) - difference)


@alternative("approx_kl", note="k1 plus the ratio's mean minus one")
def k1_with_control(logp, old_logp):
    _same_shape(logp, old_logp)
    logp, old_logp = logp.detach(), old_logp.detach()
    return (old_logp - logp).mean() + (logp - old_logp).exp().mean() - 1


# ---------------------------------------------------------------------------------------------------------- minibatches


@alternative("minibatches", note="sorts random numbers, then slices")
def sorts_noise(n, size, generator=None):
    if size <= 0:
        raise ValueError("size")
    order = torch.rand(n, generator=generator, dtype=torch.float64).argsort()
    return [order[start : start + size] for start in range(0, n, size)]


@alternative("minibatches", note="draws one sample after the other from what is left")
def from_an_urn(n, size, generator=None):
    assert size >= 1, "size"
    urn, out = list(range(n)), []
    while urn:
        batch = [urn.pop(int(torch.randint(len(urn), (), generator=generator))) for _ in range(min(size, len(urn)))]
        out.append(torch.tensor(batch))
    return out


# ------------------------------------------------------------------------------------------------------------- PPOAgent


@alternative("PPOAgent", note="CleanRL's way: Categorical, one layer at a time, other names")
class WithCategorical(nn.Module):
    def __init__(self, obs_dim, n_actions, hidden=64):
        super().__init__()

        def layer(n_in, n_out, gain=2**0.5):
            linear = nn.Linear(n_in, n_out)
            nn.init.orthogonal_(linear.weight, gain)
            nn.init.constant_(linear.bias, 0.0)
            return linear

        self.v = nn.ModuleList([layer(obs_dim, hidden), layer(hidden, hidden), layer(hidden, 1, 1.0)])
        self.pi = nn.ModuleList([layer(obs_dim, hidden), layer(hidden, hidden), layer(hidden, n_actions, 0.01)])

    def _run(self, layers, x):
        return layers[2](torch.tanh(layers[1](torch.tanh(layers[0](x)))))

    def _policy(self, obs):
        return Categorical(logits=self._run(self.pi, obs))

    def log_probs(self, obs):
        return self._policy(obs).logits

    def value(self, obs):
        return self._run(self.v, obs)[..., 0]

    def act(self, obs):
        return self._policy(obs).probs.argmax(-1)

    @torch.no_grad()
    def sample(self, obs, generator=None):
        # the Gumbel trick: noise from the generator, then the largest
        policy = self._policy(obs)
        noise = torch.rand(policy.logits.shape, generator=generator).clamp(1e-12, 1 - 1e-7)
        actions = (policy.logits - (-noise.log()).log()).argmax(-1)
        return actions, policy.log_prob(actions), self.value(obs)

    def loss(self, batch, clip=0.2, vf_coef=0.5, ent_coef=0.0, clip_value=False, normalize=True):
        batch = dict(batch)
        lead = batch["actions"].dim()
        batch = {key: value.flatten(0, lead - 1) for key, value in batch.items()}
        policy = self._policy(batch["obs"])
        logratio = policy.log_prob(batch["actions"]) - batch["old_logp"]
        ratio, adv = logratio.exp(), batch["adv"]
        if normalize and len(adv) > 1:
            adv = (adv - adv.mean()) / (adv.std() + 1e-8)
        policy_loss = torch.max(-adv * ratio, -adv * ratio.clamp(1 - clip, 1 + clip)).mean()
        value = self.value(batch["obs"])
        errors = (value - batch["targets"]) ** 2
        if clip_value:
            old = batch["old_values"]
            errors = torch.max(errors, (old + (value - old).clamp(-clip, clip) - batch["targets"]) ** 2)
        value_loss, entropy = 0.5 * errors.mean(), policy.entropy().mean()
        with torch.no_grad():
            kl, fraction = ((ratio - 1) - logratio).mean(), ((ratio - 1.0).abs() > clip).float().mean()
        stats = {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy, "approx_kl": kl}
        stats = {key: x.item() for key, x in stats.items()} | {
            "clip_fraction": float(fraction),
            "ratio": float(ratio.mean()),
        }
        return policy_loss - ent_coef * entropy + value_loss * vf_coef, stats


@alternative("PPOAgent", note="relu networks of another depth, drawn by inverse of the cumulative distribution")
class OtherNetworks(nn.Module):
    def __init__(self, obs_dim, n_actions, hidden=64):
        super().__init__()
        self.policy_net = nn.Sequential(nn.Linear(obs_dim, hidden), nn.ReLU(), nn.Linear(hidden, n_actions))
        self.value_net = nn.Sequential(
            nn.Linear(obs_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )
        with torch.no_grad():
            self.policy_net[-1].weight.mul_(0.01)
            self.policy_net[-1].bias.zero_()

    def log_probs(self, obs):
        logits = self.policy_net(obs)
        return logits - torch.logsumexp(logits, dim=-1, keepdim=True)

    def value(self, obs):
        return self.value_net(obs).reshape(obs.shape[:-1])

    def act(self, obs):
        with torch.no_grad():
            return torch.max(self.log_probs(obs), dim=1).indices

    def sample(self, obs, generator=None):
        with torch.no_grad():
            log_probs = self.log_probs(obs)
            below = log_probs.exp().cumsum(-1)
            u = torch.rand(len(obs), 1, generator=generator) * below[:, -1:]
            actions = (u > below).sum(-1).clamp(max=log_probs.shape[-1] - 1)
            return actions, log_probs[torch.arange(len(obs)), actions], self.value(obs)

    def loss(self, batch, clip=0.2, vf_coef=0.5, ent_coef=0.0, clip_value=False, normalize=True):
        n_actions = self.policy_net[-1].out_features
        obs, taken = batch["obs"].reshape(-1, batch["obs"].shape[-1]), batch["actions"].reshape(-1)
        log_probs, value = self.log_probs(obs), self.value(obs)
        logp = (log_probs * nn.functional.one_hot(taken, n_actions)).sum(-1)
        old_logp, adv, targets = (batch[key].reshape(-1) for key in ("old_logp", "adv", "targets"))
        if normalize and adv.numel() > 1:
            variance, mean = torch.var_mean(adv)
            adv = (adv - mean) / (variance.sqrt() + 1e-8)
        policy_loss = clipped_surrogate(logp, old_logp, adv, clip)
        error = (value - targets).square()
        if clip_value:
            old = batch["old_values"].reshape(-1)
            error = torch.maximum(error, (torch.clamp(value, old - clip, old + clip) - targets).square())
        value_loss = error.mean() / 2
        entropy = -(log_probs.exp() * log_probs).sum() / len(obs)
        ratio = (logp - old_logp).exp()
        outside = torch.logical_or(ratio > 1 + clip, ratio < 1 - clip)
        return policy_loss + vf_coef * value_loss - ent_coef * entropy, {
            "policy_loss": policy_loss.item(),
            "value_loss": value_loss.item(),
            "entropy": entropy.item(),
            "approx_kl": approx_kl(logp, old_logp).item(),
            "clip_fraction": outside.double().mean().item(),
        }


# ------------------------------------------------------------------------------------------------------------ train_ppo


@alternative("train_ppo", note="gymnasium's default NEXT_STEP vectors, with the reset rows dropped")
def drops_reset_rows(env_fn, steps, seed=0, gamma=0.99, on_update=None):
    N, T = 4, 256
    torch.manual_seed(seed)
    envs = SyncVectorEnv([env_fn for _ in range(N)], autoreset_mode=AutoresetMode.NEXT_STEP)
    agent = PPOAgent(math.prod(envs.single_observation_space.shape), int(envs.single_action_space.n))
    adam = torch.optim.Adam(agent.parameters(), lr=2e-3, eps=1e-5)
    obs, _ = envs.reset(seed=seed)
    fresh = torch.zeros(N, dtype=torch.bool)  # whose coming step is only a reset
    used = 0
    while steps - used >= N * 16:
        for group in adam.param_groups:
            group["lr"] = 2e-3 * (1 - used / steps)
        memory = {
            key: [] for key in ("obs", "actions", "old_logp", "values", "rewards", "next_obs", "te", "tr", "real")
        }
        while len(memory["obs"]) < T and steps - used >= N:
            now = torch.from_numpy(obs.copy())
            actions, old_logp, values = agent.sample(now)
            obs, rewards, te, tr, _ = envs.step(actions.numpy())
            used += int((~fresh).sum())  # resets are free
            row = (now, actions, old_logp, values, torch.from_numpy(rewards).float(), torch.from_numpy(obs.copy()))
            row += (torch.from_numpy(te.copy()), torch.from_numpy(tr.copy()), ~fresh)
            for key, item in zip(memory, row, strict=True):
                memory[key].append(item)
            fresh = torch.from_numpy(te | tr)
        data = {key: torch.stack(rows) for key, rows in memory.items()}
        with torch.no_grad():
            next_values = agent.value(data["next_obs"])
        # a reset row follows an ending, and the trace is cut there: its own advantage reaches nobody
        advantages = gae(data["rewards"], data["values"], next_values, data["te"], data["tr"], gamma, 0.95)
        data |= {"adv": advantages, "targets": value_targets(advantages, data["values"])}
        real = data.pop("real")
        data = {key: value[real] for key, value in data.items()}
        for _ in range(8):
            for chosen in minibatches(int(real.sum()), 256):
                loss, _ = agent.loss({key: value[chosen] for key, value in data.items()})
                adam.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                adam.step()
        if on_update:
            on_update(agent)
    return agent


@alternative("train_ppo", note="one list of environments, each stepped by hand, no vector at all")
def without_a_vector(env_fn, steps, seed=0, gamma=0.99, on_update=None):
    N, T = 8, 64
    draw = torch.Generator()
    draw.manual_seed(seed)
    worlds = [env_fn() for _ in range(N)]
    here = [world.reset(seed=1000 * seed + i)[0] for i, world in enumerate(worlds)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        agent = PPOAgent(worlds[0].observation_space.shape[0], int(worlds[0].action_space.n))
    optimizer = torch.optim.AdamW(agent.parameters(), lr=2.5e-3, eps=1e-5, weight_decay=0.0)
    for start in range(0, steps - N * T + 1, N * T):
        optimizer.param_groups[0]["lr"] = 2.5e-3 * (1 - start / steps)
        obs, after = torch.zeros(T, N, len(here[0])), torch.zeros(T, N, len(here[0]))
        actions = torch.zeros(T, N, dtype=torch.int64)
        logp, values, rewards = torch.zeros(3, T, N)
        terminated, truncated = torch.zeros(2, T, N, dtype=torch.bool)
        for t in range(T):
            for n in range(N):
                obs[t, n] = torch.as_tensor(here[n])
            actions[t], logp[t], values[t] = agent.sample(obs[t], draw)
            for n, world in enumerate(worlds):
                here[n], rewards[t, n], terminated[t, n], truncated[t, n], _ = world.step(int(actions[t, n]))
                after[t, n] = torch.as_tensor(here[n])
                if terminated[t, n] or truncated[t, n]:
                    here[n], _ = world.reset()
        with torch.no_grad():
            adv = gae(rewards, values, agent.value(after), terminated, truncated, gamma, 0.95)
        bag = {"obs": obs, "actions": actions, "old_logp": logp, "adv": adv, "targets": value_targets(adv, values)}
        bag = {key: x.reshape(T * N, *x.shape[2:]) for key, x in bag.items()}
        for _ in range(6):
            for some in minibatches(T * N, 128, draw):
                optimizer.zero_grad()
                agent.loss({key: x[some] for key, x in bag.items()}, ent_coef=0.001)[0].backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimizer.step()
        if on_update is not None:
            on_update(agent)
    return agent
