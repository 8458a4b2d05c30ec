"""Small functions that run beside the student's code: they call it and return plain data.

Each takes the student's module first. An object array does not cross the wire: `final_obs` arrives as a list and is made
into one here. They return values and what the arguments were afterwards, never a verdict.
"""

import numpy as np
import torch


def carries_gradient(student, name, arguments, leaves):
    """Calls a function by its name, with gradients required of the arguments at `leaves`."""
    arguments = list(arguments)
    for i in leaves:
        arguments[i] = arguments[i].detach().clone().requires_grad_()
    result = getattr(student, name)(*arguments)
    return {"result": result.detach().clone(), "carries a gradient": bool(result.requires_grad)}


def next_obs_of_a_step(student, next_obs, infos):
    """What one step truly led to, and next_obs as it was afterwards."""
    answer = student.true_next_obs(next_obs, _as_gymnasium_gives_them(infos))
    return {"answer": answer, "next_obs": next_obs}


def write_into_next_obs(student, next_obs, infos):
    """The same, but the answer is written over before next_obs is looked at."""
    answer = student.true_next_obs(next_obs, _as_gymnasium_gives_them(infos))
    kept = answer.copy()
    answer[...] = 77
    return {"answer": kept, "next_obs": next_obs}


def infos_after_a_step(student, next_obs, infos):
    """What one step truly led to, and both final_obs entries as they were afterwards."""
    infos = _as_gymnasium_gives_them(infos)
    answer = student.true_next_obs(next_obs, infos)
    return {"answer": answer, "final_obs": list(infos["final_obs"]), "_final_obs": infos["_final_obs"]}


def next_obs_of_a_rollout(student, next_obs, infos):
    """What each step of a rollout truly led to: (T, N, ...)."""
    steps = zip(next_obs, infos, strict=True)
    return np.stack([student.true_next_obs(seen, _as_gymnasium_gives_them(said)) for seen, said in steps])


def advantages_of_a_rollout(student, rows, weights, gamma, lam):
    """From recorded steps to advantages, by a linear critic that is given: true_next_obs, then gae.

    Each row is [obs, rewards, terminated, truncated, next_obs, infos].
    """
    obs, rewards, terminated, truncated, next_obs, infos = zip(*rows, strict=True)
    true = next_obs_of_a_rollout(student, next_obs, infos)
    critic = torch.tensor(weights, dtype=torch.float64)
    return student.gae(
        torch.from_numpy(np.stack(rewards)).double(),
        torch.from_numpy(np.stack(obs)).double() @ critic,
        torch.from_numpy(true).double() @ critic,
        torch.from_numpy(np.stack(terminated)),
        torch.from_numpy(np.stack(truncated)),
        gamma,
        lam,
    )


def _as_gymnasium_gives_them(infos):
    """The same infos with `final_obs` as an object array."""
    if "final_obs" not in infos:
        return dict(infos)
    final_obs = np.empty(len(infos["final_obs"]), dtype=object)
    for i, seen in enumerate(infos["final_obs"]):
        final_obs[i] = seen
    return {**infos, "final_obs": final_obs}
