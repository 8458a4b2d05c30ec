"""Other right implementations, as different as students are. Every test must let them pass."""

import numpy as np
import torch
import torch.nn.functional as F

from autograder.testing import alternative

# --------------------------------------------------------------------------------------------------- discounted_returns


@alternative("discounted_returns", note="a matrix of powers, cut where two steps lie in different episodes")
def as_a_matrix(rewards, dones, gamma):
    assert rewards.shape == dones.shape, "one shape"
    if rewards.numel() == 0:
        return rewards.clone()
    flat, ended = rewards.flatten(1) if rewards.ndim > 1 else rewards[:, None], dones.reshape(len(dones), -1)
    number = ended.long().cumsum(0) - ended.long()  # (T, N)  which episode a step belongs to
    t = torch.arange(len(flat))
    apart = t[None, :] - t[:, None]  # (T, T)
    powers = torch.where(apart >= 0, torch.tensor(float(gamma), dtype=rewards.dtype) ** apart.clamp(min=0), 0.0)
    same = number[:, None] == number[None, :]  # (T, T, N)
    return torch.einsum("tk,tkn,kn->tn", powers, same.to(rewards.dtype), flat).reshape(rewards.shape)


@alternative("discounted_returns", note="in numpy, writing into one array from the end")
def numpy_backwards(rewards, dones, gamma):
    if tuple(rewards.shape) != tuple(dones.shape):
        raise ValueError("shapes")
    G, ended = rewards.detach().numpy().copy(), dones.numpy().astype(bool)
    for t in range(len(G) - 2, -1, -1):
        G[t] += np.where(ended[t], 0, np.asarray(gamma, G.dtype) * G[t + 1])
    return torch.from_numpy(G)


@alternative("discounted_returns", note="each column a list, each episode by itself")
def episode_by_episode(rewards, dones, gamma):
    if rewards.shape != dones.shape:
        raise ValueError("shapes")
    if rewards.ndim == 2:
        columns = [_one_column(rewards[:, n], dones[:, n], gamma) for n in range(rewards.shape[1])]
        return torch.stack(columns, dim=1)
    return _one_column(rewards, dones, gamma)


def _one_column(rewards, dones, gamma):
    answer, episode = [], []
    for t, (r, d) in enumerate(zip(rewards.tolist(), dones.tolist(), strict=True)):
        episode.append(r)
        if d or t == len(rewards) - 1:
            answer += [sum(gamma**k * later for k, later in enumerate(episode[i:])) for i in range(len(episode))]
            episode = []
    return torch.tensor(answer, dtype=rewards.dtype)


# ------------------------------------------------------------------------------------------------- categorical_log_prob


@alternative("categorical_log_prob", note="cross-entropy with another sign")
def through_cross_entropy(logits, actions):
    assert logits.shape[:-1] == actions.shape
    flat = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), actions.reshape(-1), reduction="none", ignore_index=-9)
    return -flat.reshape(actions.shape)


@alternative("categorical_log_prob", note="one-hot, and a logsumexp")
def one_hot(logits, actions):
    if logits.shape[:-1] != actions.shape:
        raise TypeError("shapes")
    chosen = F.one_hot(actions, logits.shape[-1])  # refuses what does not exist
    return (logits * chosen).sum(-1) - logits.logsumexp(-1)


@alternative("categorical_log_prob", note="differences to the chosen logit")
def differences(logits, actions):
    if logits.shape[:-1] != actions.shape or actions.min() < 0 or actions.max() >= logits.shape[-1]:
        raise IndexError("actions")
    own = torch.take_along_dim(logits, actions.unsqueeze(-1), -1)
    return -(logits - own).logsumexp(-1)


# ------------------------------------------------------------------------------------------------------- reinforce_loss


@alternative("reinforce_loss", note="a dot product of flat vectors")
def dot_product(logp, returns, baseline=None):
    assert logp.shape == returns.shape
    with torch.no_grad():
        weights = returns.clone()
        if isinstance(baseline, torch.Tensor):
            assert baseline.ndim == 0 or baseline.shape == logp.shape
            weights -= baseline
        elif baseline is not None:
            weights -= float(baseline)
    return torch.dot(logp.flatten(), weights.flatten()).neg() / logp.numel()


@alternative("reinforce_loss", note="two means, one for the returns and one for the baseline")
def two_means(logp, returns, baseline=None):
    if logp.shape != returns.shape:
        raise ValueError("shapes")
    loss = -(logp * returns.detach()).mean()
    if baseline is None:
        return loss
    b = torch.as_tensor(baseline, dtype=logp.dtype).detach()
    if b.ndim and b.shape != logp.shape:
        raise ValueError("baseline")
    return loss + (logp * b).mean()


# ------------------------------------------------------------------------------------------------------------ normalize


@alternative("normalize", note="torch's std, one entry apart")
def with_torch_std(x, eps=1e-8):
    assert x.nelement() > 0
    if x.nelement() == 1:
        return torch.zeros_like(x)
    return (x - x.mean()) / (torch.std(x) + eps)


@alternative("normalize", note="numpy with ddof=1")
def with_numpy(x, eps=1e-8):
    values = x.detach().numpy()
    if values.size == 0:
        raise ValueError("empty")
    spread = values.std(ddof=1) if values.size > 1 else 0.0
    return torch.from_numpy(np.asarray((values - values.mean()) / (spread + eps), dtype=values.dtype))


# ------------------------------------------------------------------------------------------------------ train_reinforce


class _ByHand:
    """One hidden layer in numpy, with its gradient worked out by hand."""

    def __init__(self, draw, obs_dim, n_actions, hidden=32):
        self.weights = [
            draw.normal(size=(obs_dim, hidden)) / obs_dim**0.5,
            np.zeros(hidden),
            0.1 * draw.normal(size=(hidden, n_actions)),
            np.zeros(n_actions),
        ]

    def forward(self, x):
        W, b, U, c = self.weights
        h = np.tanh(x @ W + b)
        z = h @ U + c
        z = z - z.max(-1, keepdims=True)
        return h, z - np.log(np.exp(z).sum(-1, keepdims=True))

    def gradient(self, x, actions, weights):
        """Of the REINFORCE loss in the four arrays."""
        h, logp = self.forward(x)
        dz = (np.exp(logp) - np.eye(logp.shape[1])[actions]) * weights[:, None] / len(x)
        dh = dz @ self.weights[2].T * (1 - h * h)
        return [x.T @ dh, dh.sum(0), h.T @ dz, dz.sum(0)]

    def log_probs(self, obs):
        return torch.from_numpy(self.forward(obs.double().numpy())[1])

    def act(self, obs):
        return self.log_probs(obs).argmax(-1)


@alternative("train_reinforce", note="numpy, one environment, gradients and Adam by hand, no early end")
def without_autograd(env_fn, steps, seed=0, on_update=None):
    draw, env = np.random.default_rng(seed), env_fn()
    policy = _ByHand(draw, env.observation_space.shape[0], int(env.action_space.n))
    m, v = ([np.zeros_like(w) for w in policy.weights] for _ in range(2))
    batch, episode, updates = [], [], 0
    obs, _ = env.reset(seed=seed)
    for used in range(1, steps + 1):
        p = np.exp(policy.forward(obs)[1])
        action = int(draw.choice(len(p), p=p / p.sum()))
        before = obs
        obs, reward, terminated, truncated, _ = env.step(action)
        episode.append((before, action, reward))
        if not (terminated or truncated):
            continue
        obs, _ = env.reset()
        earned = 0.0
        for before, action, reward in reversed(episode):
            earned = reward + 0.99 * earned
            batch.append((before, action, earned))
        episode = []
        if len(batch) < 1500:
            continue
        x, actions, G = (np.array(column, np.float64) for column in zip(*batch, strict=True))
        weights, batch, updates = (G - G.mean()) / (G.std() + 1e-8), [], updates + 1
        for i, g in enumerate(policy.gradient(x, actions.astype(int), weights)):
            m[i], v[i] = 0.9 * m[i] + 0.1 * g, 0.999 * v[i] + 0.001 * g * g
            step = m[i] / (1 - 0.9**updates) / (np.sqrt(v[i] / (1 - 0.999**updates)) + 1e-8)
            policy.weights[i] -= 0.03 * (1 - used / steps) * step
        if on_update:
            on_update(policy)
    return policy
