"""Wrong ways to find the best."""

from autograder.testing import mistake


@mistake("best", seen="Yours is the worst.", named="This equals the smallest.", caught_by="test_many_numbers")
def worst(xs):
    return min(range(len(xs)), key=lambda i: xs[i])
