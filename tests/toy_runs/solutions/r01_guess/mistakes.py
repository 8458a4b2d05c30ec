"""Wrong ways to learn."""

from reference import train_guess

from autograder.testing import mistake


@mistake("average", seen="Yours grows with the list.", named="This equals the sum.", caught_by="test_average")
def total(xs):
    return sum(xs)


@mistake(
    "train_guess",
    seen="Whatever the light shows, one button is pressed.",
    named="This equals a policy that was never trained.",
    caught_by=("test_probe", "test_wins"),
    blocker=True,
)
def untrained(env_fn, steps, seed=0, on_update=None):
    return lambda sign: 0


@mistake(
    "train_guess",
    seen="It learns to lose.",
    named="This equals choosing the worse button.",
    caught_by=("test_probe", "test_wins"),
    blocker=True,
)
def prefers_the_worse(env_fn, steps, seed=0, on_update=None):
    act = train_guess(env_fn, steps, seed, on_update)
    return lambda sign: 1 - act(sign)
