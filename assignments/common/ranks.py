"""Several workers that hold parts of one thing: a rank each, and two ways to exchange tensors.

`run_ranks(fn, size)` runs fn as so many ranks, each a thread of this process: nothing is installed, nothing is sent over
a network, and the answers are the same every time. `run_two_processes(fn)` runs it in two real processes that speak
through torch.distributed (gloo). The functions below do the same in both.
"""

import multiprocessing
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

PATIENCE = 60.0
"""Seconds that a rank waits for the others before it gives up."""


class _Threads:
    """Where the ranks of one run meet: each lays its tensor down, and all look when all are there."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.laid_down: list[Tensor | None] = [None] * size
        self.meeting = threading.Barrier(size, timeout=PATIENCE)

    def exchange(self, rank: int, tensor: Tensor) -> list[Tensor]:
        self.laid_down[rank] = tensor.detach().clone()
        self.meeting.wait()
        everything = [each for each in self.laid_down if each is not None]
        self.meeting.wait()  # nobody lays down the next tensor before all have looked
        return everything


class _Processes:
    """The same between processes, by torch.distributed."""

    def __init__(self, size: int) -> None:
        self.size = size

    def exchange(self, rank: int, tensor: Tensor) -> list[Tensor]:
        everything = [torch.empty_like(tensor) for _ in range(self.size)]
        torch.distributed.all_gather(everything, tensor.detach().contiguous())
        return everything


class _Here(threading.local):
    """Which rank this thread is. Outside of a run: the only one."""

    rank = 0
    world: _Threads | _Processes = _Threads(1)


_here = _Here()


def rank() -> int:
    """The number of this worker, from 0."""
    return _here.rank


def world_size() -> int:
    """How many workers there are; 1 outside of a run."""
    return _here.world.size


def reduce_scatter(flat: Tensor) -> Tensor:
    """The **sum** over all ranks of flat (n,), of which rank r gets slice r: (n / world_size,).

    Every rank has to call it, with as many elements as the others. Raises ValueError where n cannot be divided.
    """
    pieces = _whole(flat).chunk(world_size())  # only the sizes are used
    size = len(pieces[0])
    summed = torch.stack(_here.world.exchange(rank(), flat)).sum(dim=0)  # (n,)
    return summed[rank() * size : (rank() + 1) * size].clone()


def all_gather(piece: Tensor) -> Tensor:
    """The pieces (k,) of all ranks, one after the other: (k * world_size,). Every rank has to call it."""
    return torch.cat(_here.world.exchange(rank(), piece))


def _whole(flat: Tensor) -> Tensor:
    if flat.dim() != 1 or len(flat) % world_size() or not len(flat):
        shape, size = tuple(flat.shape), world_size()
        raise ValueError(f"flat has shape {shape}: one dimension is needed that can be divided among {size} ranks")
    return flat


def run_ranks(fn: Callable[[], Any], size: int = 2) -> list[Any]:
    """What fn() returns on each of `size` ranks, in order. If one fails, its error is raised."""
    world = _Threads(size)
    results: list[Any] = [None] * size
    errors: list[Exception] = []

    def work(number: int) -> None:
        _here.rank, _here.world = number, world
        try:
            results[number] = fn()
        except threading.BrokenBarrierError:
            pass  # another rank failed, and says why
        except Exception as error:
            errors.append(error)
            world.meeting.abort()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    if world.meeting.broken:
        raise RuntimeError("the ranks waited for each other in vain: did each of them call the same functions?")
    return results


def run_two_processes(fn: Callable[[], Any]) -> list[Any]:
    """The same as run_ranks(fn, 2) in two processes that meet in a file and speak through gloo. Needs sockets."""
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        meeting = f"file://{Path(folder) / 'meeting'}"
        processes = [context.Process(target=_process, args=(fn, n, meeting, answers)) for n in range(2)]
        for process in processes:
            process.start()
        found = dict(answers.get(timeout=PATIENCE) for _ in processes)
        for process in processes:
            process.join()
    for answer in found.values():
        if isinstance(answer, Exception):
            raise answer
    return [found[0], found[1]]


def _process(fn: Callable[[], Any], number: int, meeting: str, answers: Any) -> None:
    torch.set_num_threads(1)
    try:
        torch.distributed.init_process_group("gloo", init_method=meeting, rank=number, world_size=2)
        _here.rank, _here.world = number, _Processes(2)
        answers.put((number, fn()))
    except Exception as error:
        answers.put((number, error))
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
