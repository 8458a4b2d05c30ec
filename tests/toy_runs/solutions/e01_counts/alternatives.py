"""Other right ways."""

from autograder.testing import alternative


@alternative("best", note="with index")
def by_index(xs):
    if not xs:
        raise ValueError("nothing")
    return list(xs).index(max(xs))
