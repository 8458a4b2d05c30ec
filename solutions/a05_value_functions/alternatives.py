"""Other right implementations, as different as students are. Every test must let them pass."""

import numpy as np
import torch
from reference import check_gamma, q_update

from autograder.testing import alternative

# ---------------------------------------------------------------------------------------------------- policy_evaluation


@alternative("policy_evaluation", note="solves the linear equations")
def by_solving(P, R, pi, gamma, tol=1e-10):
    assert 0 <= gamma < 1
    assert torch.allclose(P.sum(-1), torch.ones_like(R), atol=1e-6, rtol=0)
    assert torch.allclose(pi.sum(-1), torch.ones(len(pi), dtype=pi.dtype), atol=1e-6, rtol=0)
    P_pi = (pi[:, :, None] * P).sum(1)
    return torch.linalg.solve(torch.eye(len(R), dtype=R.dtype) - gamma * P_pi, (pi * R).sum(1))


@alternative("policy_evaluation", note="sweeps in place, state by state")
def in_place_evaluation(P, R, pi, gamma, tol=1e-10):
    check_gamma(gamma)
    if (abs(P.sum(2) - 1) > 1e-6).any() or (abs(pi.sum(1) - 1) > 1e-6).any():
        raise ValueError("no probabilities")
    P, R, pi = P.numpy(), R.numpy(), pi.numpy()
    V = np.zeros(len(R))
    while True:
        for s in range(len(V)):
            V[s] = pi[s] @ (R[s] + gamma * P[s] @ V)
        if np.abs((pi * (R + gamma * P @ V)).sum(1) - V).max() <= tol:
            return torch.from_numpy(V)


# ------------------------------------------------------------------------------------------------------ value_iteration


@alternative("value_iteration", note="loops over states and actions, keeps all sweeps")
def by_loops(P, R, gamma, tol=1e-10, sweeps=None):
    check_gamma(gamma)
    S, A = R.shape
    P, R = P.numpy(), R.numpy()

    def backup(V, s):
        return [R[s, a] + gamma * float(np.dot(P[s, a], V)) for a in range(A)]

    history = [np.zeros(S)]
    while len(history) <= sweeps if sweeps is not None else True:
        history.append(np.array([max(backup(history[-1], s)) for s in range(S)]))
        if sweeps is None and np.abs(history[-1] - history[-2]).max() <= tol:
            break
    V = history[-1]
    policy = []
    for s in range(S):
        values = backup(V, s)
        policy.append(next(a for a in range(A) if values[a] >= max(values) - 1e-9))
    return torch.from_numpy(V), torch.tensor(policy)


@alternative("value_iteration", note="policy iteration where no number of sweeps is asked for")
def by_policy_iteration(P, R, gamma, tol=1e-10, sweeps=None):
    check_gamma(gamma)
    S = len(R)
    V = torch.zeros(S, dtype=R.dtype)
    if sweeps is None:
        policy = R.argmax(1)
        for _ in range(1000):
            rows = torch.arange(S)
            V = torch.linalg.solve(torch.eye(S, dtype=R.dtype) - gamma * P[rows, policy], R[rows, policy])
            Q = R + gamma * P @ V
            better = Q.max(1).values > Q[rows, policy] + 1e-12
            if not better.any():
                break
            policy = torch.where(better, Q.argmax(1), policy)
    else:
        for _ in range(sweeps):
            V = torch.amax(R + gamma * torch.einsum("sat,t->sa", P, V), dim=1)
    Q = R + gamma * P @ V
    near = (Q.max(1, keepdim=True).values - Q) <= 1e-9
    return V, torch.where(near, torch.arange(R.shape[1]), R.shape[1]).min(1).values


# ------------------------------------------------------------------------------------------------- td0_update, td_lambda


@alternative("td0_update", note="a weighted mean of the old value and the target")
def weighted_mean(V, s, r, s_next, terminated, alpha, gamma):
    assert 0 <= gamma < 1
    if min(s, s_next) < 0:
        raise IndexError("no such state")
    values = V.tolist()
    target = r + gamma * (1 - int(terminated)) * values[s_next]
    values[s] = (1 - alpha) * values[s] + alpha * target
    return torch.tensor(values, dtype=V.dtype)


@alternative("td_lambda", note="every pair of steps: how much a visit is owed for a later error")
def pair_by_pair(V, states, rewards, terminated, alpha, gamma, lam):
    check_gamma(gamma)
    V, states, rewards = V.clone(), states.tolist(), rewards.tolist()
    T = len(rewards)
    for t in range(T):
        last = bool(terminated) and t + 1 == T
        delta = rewards[t] - float(V[states[t]]) + (0.0 if last else gamma * float(V[states[t + 1]]))
        for k in range(t + 1):
            V[states[k]] += alpha * delta * (gamma * lam) ** (t - k)
    return V


# ------------------------------------------------------------------------------------------------ sarsa_update, q_update


@alternative("sarsa_update", note="a table of zeros with one entry, added")
def one_entry_added(Q, s, a, r, s_next, a_next, terminated, alpha, gamma):
    check_gamma(gamma)
    step = torch.zeros_like(Q)
    step[s, a] = alpha * (r + gamma * (1.0 - float(terminated)) * Q[s_next, a_next] - Q[s, a])
    return Q + step


@alternative("q_update", note="numpy, a weighted mean")
def in_numpy(Q, s, a, r, s_next, terminated, alpha, gamma):
    check_gamma(gamma)
    table = Q.numpy().copy()
    target = r if terminated else r + gamma * np.max(Q.numpy()[s_next])
    table[s, a] = (1 - alpha) * table[s, a] + alpha * target
    return torch.from_numpy(table)


# ----------------------------------------------------------------------------------------------------------- q_learning


@alternative("q_learning", note="plain lists, numpy's dice, a shuffled argmax")
def with_lists(env, steps, alpha, gamma, epsilon, seed=0):
    S, A = int(env.observation_space.n), int(env.action_space.n)
    draw = np.random.default_rng(seed)
    Q = [[0.0] * A for _ in range(S)]
    fresh = True
    for step in range(steps):
        if fresh:
            s, _ = env.reset(seed=seed) if step == 0 else env.reset()
        a = int(draw.integers(A))
        if draw.random() >= epsilon:
            a = max(range(A), key=lambda i: (Q[s][i], draw.random()))
        there, r, terminated, truncated, _ = env.step(a)
        target = r + (0.0 if terminated else gamma * max(Q[there]))
        Q[s][a] += alpha * (target - Q[s][a])
        s, fresh = there, terminated or truncated
    return torch.tensor(Q, dtype=torch.float64)


@alternative("q_learning", note="torch's dice, one draw over epsilon-greedy probabilities, a table changed in place")
def by_probabilities(env, steps, alpha, gamma, epsilon, seed=0):
    A = int(env.action_space.n)
    generator = torch.Generator().manual_seed(seed)
    Q = torch.zeros(int(env.observation_space.n), A, dtype=torch.float64)
    s, _ = env.reset(seed=seed)
    for _ in range(steps):
        best = (Q[s] == Q[s].max()).to(torch.float64)
        chances = epsilon / A + (1 - epsilon) * best / best.sum()
        a = int(torch.multinomial(chances, 1, generator=generator))
        s_next, r, terminated, truncated, _ = env.step(a)
        Q[s, a] = q_update(Q, s, a, r, s_next, terminated, alpha, gamma)[s, a]
        s = env.reset()[0] if terminated or truncated else s_next
    return Q
