"""Other right ways."""

from autograder.testing import alternative


@alternative("average", note="by a loop")
def by_loop(xs):
    total = 0.0
    for x in xs:
        total += x
    return total / max(len(xs), 1)


@alternative("train_guess", note="tries in turn, keeps sums")
def in_turn(env_fn, steps, seed=0, on_update=None):
    env = env_fn()
    paid = {True: [0.0, 0.0], False: [0.0, 0.0]}
    seen, _ = env.reset(seed=seed)
    for step in range(steps):
        sign = bool(seen[0] > 0)
        seen, reward, terminated, truncated, _ = env.step(step % 2)
        paid[sign][step % 2] += reward
        if terminated or truncated:
            seen, _ = env.reset()
    return lambda sign: int(paid[sign][1] > paid[sign][0])
