"""Trains beside the student's code, and asks what was trained."""

from autograder.testing.remote import environments, updates

trained = {}


def train(module, world, steps, seed):
    """Trains and keeps the result."""

    def act_of(act, observations):
        return [act(bool(row[0] > 0)) for row in observations]

    trained["act"] = module.train_guess(environments(world), steps, seed, updates(world, act_of))
    return steps


def press(module, observations):
    """The buttons that the trained one presses."""
    return [trained["act"](bool(row[0] > 0)) for row in observations]
