"""Other right implementations, as different as students are. Every test must let them pass."""

import math

import numpy as np
import torch
from reference import gae

from autograder.testing import alternative

# ------------------------------------------------------------------------------------------------------------ td_errors


@alternative("td_errors", note="torch.where, under no_grad, refusing by assertion")
def chooses_the_future(rewards, values, next_values, terminated, gamma):
    shapes = {tuple(x.shape) for x in (rewards, values, next_values, terminated)}
    assert len(shapes) == 1, shapes
    with torch.no_grad():
        future = torch.where(terminated > 0, torch.zeros_like(next_values), next_values)
        return rewards.add(future, alpha=gamma).sub(values)


@alternative("td_errors", note="one minus float flags")
def one_minus_flags(rewards, values, next_values, terminated, gamma):
    for other in (values, next_values, terminated):
        if other.shape != rewards.shape:
            raise ValueError("one shape for all")
    target = rewards + gamma * (1.0 - terminated.to(rewards.dtype)) * next_values
    return (target - values).detach()


@alternative("td_errors", note="step by step, in a loop over rows")
def row_by_row(rewards, values, next_values, terminated, gamma):
    if len({x.shape for x in (rewards, values, next_values, terminated)}) > 1:
        raise RuntimeError("shapes differ")
    out = rewards.detach().clone()
    for t in range(rewards.shape[0]):
        keep = 1 - terminated[t].int()
        out[t] += gamma * next_values[t].detach() * keep - values[t].detach()
    return out


# ------------------------------------------------------------------------------------------------------------------ gae


def _refuse_unequal(*tensors):
    assert len({tuple(x.shape) for x in tensors}) == 1, "shapes differ"


@alternative("gae", note="the double sum of the definition, with a list of lists")
def double_sum(rewards, values, next_values, terminated, truncated, gamma, lam):
    _refuse_unequal(rewards, values, next_values, terminated, truncated)
    with torch.no_grad():
        delta = rewards + gamma * (1 - terminated.to(rewards.dtype)) * next_values - values
        out = torch.zeros_like(delta)
        alive_after = 1 - torch.maximum(terminated.to(delta.dtype), truncated.to(delta.dtype))
        for t in range(len(delta)):
            alive = torch.ones_like(delta[t])
            for k in range(t, len(delta)):
                out[t] = out[t] + (gamma * lam) ** (k - t) * alive * delta[k]
                alive = alive * alive_after[k]
        return out


@alternative("gae", note="one matrix of weights an environment, no loop over time")
def matrix_of_weights(rewards, values, next_values, terminated, truncated, gamma, lam):
    _refuse_unequal(rewards, values, next_values, terminated, truncated)
    T, N = rewards.shape[0], math.prod(rewards.shape[1:])
    wide = [x.detach().reshape(T, N) for x in (rewards, values, next_values, terminated.bool(), truncated.bool())]
    r, v, v_next, fell, stopped = wide
    delta = r + gamma * v_next.masked_fill(fell, 0) - v
    ended = (fell | stopped).long()
    episode = ended.cumsum(0) - ended  # (T, N)  how many episodes ended before this row
    t = torch.arange(T)
    distance = t[None, :] - t[:, None]  # (T, T)  from row to column
    fade = torch.where(distance >= 0, (gamma * lam) ** distance.clamp(min=0).to(r.dtype), 0.0)  # (T, T)
    same = (episode[:, None] == episode[None, :]).to(r.dtype)  # (T, T, N)
    return torch.einsum("tk,tkn,kn->tn", fade, same, delta).reshape(rewards.shape)


@alternative("gae", note="the bootstrap folded into a copy of the rewards, and every ending then a termination")
def folded_into_rewards(rewards, values, next_values, terminated, truncated, gamma, lam):
    _refuse_unequal(rewards, values, next_values, terminated, truncated)
    fell, done = terminated.bool(), terminated.bool() | truncated.bool()
    paid = rewards + gamma * next_values * (done & ~fell)
    return gae(paid, values, next_values, done, torch.zeros_like(done), gamma, lam)


@alternative("gae", note="lambda-returns, with what the two guesses of one state differ by put back")
def from_lambda_returns(rewards, values, next_values, terminated, truncated, gamma, lam):
    _refuse_unequal(rewards, values, next_values, terminated, truncated)
    r, v, v_next = (x.detach() for x in (rewards, values, next_values))
    advantages, later = [], None  # later: the return of the row below, minus its value, plus next_values here
    for t in range(len(r) - 1, -1, -1):
        over = (terminated[t] > 0) | (truncated[t] > 0)
        beyond = v_next[t] if later is None else torch.where(over, v_next[t], v_next[t] + later)
        rest = (1 - lam) * v_next[t] + lam * beyond
        later = r[t] + gamma * rest * (terminated[t] == 0) - v[t]
        advantages.insert(0, later)
    return torch.stack(advantages) if advantages else r.clone()


@alternative("gae", note="in numpy, one environment at a time, episode by episode")
def episode_by_episode(rewards, values, next_values, terminated, truncated, gamma, lam):
    _refuse_unequal(rewards, values, next_values, terminated, truncated)
    T = rewards.shape[0]
    r, v, v_next, fell, stopped = (
        x.detach().numpy().reshape(T, math.prod(x.shape[1:])).T
        for x in (rewards, values, next_values, terminated, truncated)
    )
    out = np.zeros_like(r)
    for n in range(len(r)):
        ends = np.flatnonzero(fell[n].astype(bool) | stopped[n].astype(bool)) + 1
        for rows in np.split(np.arange(T), ends):
            total = 0.0
            for t in rows[::-1]:
                total = r[n, t] + gamma * v_next[n, t] * (not fell[n, t]) - v[n, t] + gamma * lam * total
                out[n, t] = total
    return torch.from_numpy(np.ascontiguousarray(out.T)).reshape(rewards.shape)


# -------------------------------------------------------------------------------------------------------- value_targets


@alternative("value_targets", note="values plus advantages, under no_grad")
def the_other_way_round(advantages, values):
    if tuple(values.size()) != tuple(advantages.size()):
        raise TypeError("one shape")
    with torch.no_grad():
        return values.clone().add_(advantages)


# --------------------------------------------------------------------------------------------------- explained_variance


@alternative("explained_variance", note="numpy's variance, in the dtype of the inputs")
def by_numpy(values, targets):
    assert values.shape == targets.shape
    y_pred, y_true = values.detach().numpy().ravel(), targets.detach().numpy().ravel()
    spread = np.var(y_true)
    return np.nan if spread == 0 else float(1 - np.var(y_true - y_pred) / spread)


@alternative("explained_variance", note="both variances divided by n - 1, which cancels, in float64")
def unbiased_variances(values, targets):
    if values.shape != targets.shape:
        raise ValueError("one shape")
    whole = targets.double().var().item()
    return 1 - (targets.double() - values.double()).var().item() / whole if whole > 0 else float("nan")


@alternative("explained_variance", note="sums of squares, by hand")
def sums_of_squares(values, targets):
    if values.shape != targets.shape:
        raise ValueError("one shape")
    left = targets - values
    whole = ((targets - targets.mean()) ** 2).sum()
    if math.isclose(whole.item(), 0.0, abs_tol=0.0):
        return math.nan
    return 1.0 - (((left - left.mean()) ** 2).sum() / whole).item()


# -------------------------------------------------------------------------------------------------------- true_next_obs


@alternative("true_next_obs", note="stacks the last observations of the ended rows and writes them at once")
def stacked(next_obs, infos):
    true = np.array(next_obs)
    over = infos.get("_final_obs")
    if over is not None and over.any():
        true[over] = np.stack(infos["final_obs"][over])
    return true


@alternative("true_next_obs", note="builds a list of rows, looking for None")
def row_after_row(next_obs, infos):
    last = infos.get("final_obs", [None] * len(next_obs))
    rows = [seen if final is None else final for seen, final in zip(next_obs, last, strict=True)]
    return np.array(rows, dtype=next_obs.dtype)
