"""Workers that exchange tensors: the given functions of common/ranks.py, as threads and as processes."""

import importlib
import sys

import pytest


@pytest.fixture(scope="module")
def ranks(course):
    sys.path.insert(0, str(course.root / "solutions"))
    try:
        yield importlib.import_module("common.ranks")
    finally:
        sys.path.pop(0)


def exchange(ranks):
    """What each rank gets of a line that is its own number plus one, times (1, 2, 3, 4)."""
    import torch

    def work():
        mine = ranks.reduce_scatter((ranks.rank() + 1) * torch.tensor([1.0, 2.0, 3.0, 4.0]))
        return mine.tolist(), ranks.all_gather(mine + 100 * ranks.rank()).tolist(), ranks.world_size()

    return work


def test_a_rank_gets_the_sum_of_its_slice_and_all_get_all_slices(ranks):
    everything = [3.0, 6.0, 109.0, 112.0]
    assert ranks.run_ranks(exchange(ranks)) == [([3.0, 6.0], everything, 2), ([9.0, 12.0], everything, 2)]


def test_alone_nothing_is_exchanged(ranks):
    import torch

    line = torch.tensor([1.0, 2.0, 3.0])
    assert (ranks.rank(), ranks.world_size()) == (0, 1)
    assert torch.equal(ranks.reduce_scatter(line), line)
    assert torch.equal(ranks.all_gather(line), line)


def test_a_line_that_cannot_be_divided_is_refused(ranks):
    import torch

    with pytest.raises(ValueError, match="divided among 2"):
        ranks.run_ranks(lambda: ranks.reduce_scatter(torch.ones(3)))
    with pytest.raises(ValueError, match="one dimension"):
        ranks.reduce_scatter(torch.ones(2, 2))


def test_a_rank_that_fails_does_not_leave_the_others_waiting(ranks):
    import torch

    def work():
        if ranks.rank() == 1:
            raise RuntimeError("rank 1 is gone")
        return ranks.all_gather(torch.ones(2))

    with pytest.raises(RuntimeError, match="rank 1 is gone"):
        ranks.run_ranks(work)
    assert ranks.world_size() == 1


def test_two_real_processes_say_the_same_as_two_threads(ranks):
    try:
        by_processes = ranks.run_two_processes(exchange(ranks))
    except PermissionError as error:
        pytest.skip(f"processes may not speak with each other here: {error}")
    assert by_processes == ranks.run_ranks(exchange(ranks))
