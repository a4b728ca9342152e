"""Several processes, one training: torchrun starts them, here they agree.

A step always takes the same items, ``TrainingConfig.batch_size`` of them. They are cut into equal *shares*: processes
take theirs side by side, ``accumulate`` takes them one after the other. So neither changes what is learned, only time
and memory: two processes equal one process with ``accumulate=2``, dropout and mirrored photos included, because random
numbers follow from (seed, step, share). Both equal one undivided step, if the loss is a mean over items (or divides by
what the whole step has, as the captioner's mean over words does), if nothing is drawn at random, and if BatchNorm
sleeps (awake it sees one share at a time).
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed as dist

from updown_lab.errors import ConfigError, UpdownError

TIMEOUT = 600.0  # seconds that a process waits for the others within a step
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # what torchrun tells its processes
LOST = ("Connection closed by peer", "Connection reset", "Timed out waiting", "timed out", "gloo", "NCCL", "TCPStore")


@dataclass(frozen=True)
class Share:
    """One of the equal parts of a step: number 0..of-1."""

    number: int = 0
    of: int = 1


_patient: list = []  # the group in which processes wait for the first one as long as it takes
_part: ContextVar[tuple[int, int]] = ContextVar("part", default=(0, 1))  # set by the loop while it accumulates


def launched() -> int:
    """How many processes torchrun says there are; 1 without it.

    >>> launched()
    1
    """
    return int(os.environ.get("WORLD_SIZE") or 1)


def processes() -> int:
    """How many processes train together; 1 outside of ``joined``.

    >>> processes()
    1
    """
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if processes() > 1 else 0


def is_first() -> bool:
    """Whether this process is the one that writes and prints."""
    return rank() == 0


def share() -> Share:
    """What this process takes of a step, now.

    >>> with part_of_step(1, 3):
    ...     share()
    Share(number=1, of=3)
    """
    part, parts = _part.get()
    return Share(rank() + processes() * part, processes() * parts)


def next_share(step: int, now: Share) -> tuple[int, Share]:
    """The share that this process takes after ``now``: of the same step, or the first of the next.

    >>> next_share(7, Share(0, 2)), next_share(7, Share(1, 2))
    ((7, Share(number=1, of=2)), (8, Share(number=0, of=2)))
    """
    following = now.number + processes()
    return (step, Share(following, now.of)) if following < now.of else (step + 1, Share(rank(), now.of))


@contextmanager
def part_of_step(part: int, parts: int) -> Iterator[None]:
    """Within the block this process is at part ``part`` of the ``parts`` that it takes one after the other."""
    token = _part.set((part, parts))
    try:
        yield
    finally:
        _part.reset(token)


def step_seed(seed: int, step: int, now: Share) -> int:
    """Where the random numbers of a share start.

    >>> step_seed(1, 5, Share()), step_seed(1, 5, Share(1, 2))
    (1000008, 98000045)
    """
    return seed * 1_000_003 + step + now.number * 97_000_037


@contextmanager
def joined(timeout: float = TIMEOUT) -> Iterator[None]:
    """Join the other processes that torchrun started, for the length of the block; without torchrun do nothing.

    Numbers travel by gloo, gradients on graphics cards by NCCL; each process gets the card of its LOCAL_RANK.

    Args:
        timeout: seconds to wait for a process that no longer answers, before all give up.

    Raises:
        ConfigError: the environment is incomplete, or there are fewer cards than processes.
    """
    if launched() == 1 or processes() > 1:
        yield
        return
    missing = [name for name in VARIABLES if name not in os.environ]
    if missing:
        raise ConfigError(f"WORLD_SIZE={launched()} promises several processes, but {', '.join(missing)} is not set; "
                          f"start them with: torchrun --nproc-per-node {launched()} -m updown_lab ...")  # fmt: skip
    backend = "gloo"
    if torch.cuda.is_available():
        place, cards = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if place >= cards:
            raise ConfigError(f"process {place} of this machine has no graphics card: there are {cards}; "
                              f"start at most so many: torchrun --nproc-per-node {cards} ...")  # fmt: skip
        torch.cuda.set_device(place)
        backend = "cpu:gloo,cuda:nccl"
    with others_needed("before the first step"):
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
        _patient[:] = [dist.new_group(backend="gloo", timeout=timedelta(days=7))]
    try:
        yield
    except Exception:
        raise  # taking leave of processes that may be gone could take for ever; the end of this one tells them
    except BaseException:
        dist.destroy_process_group()
        raise
    else:
        dist.destroy_process_group()
    finally:
        _patient.clear()


@contextmanager
def others_needed(when: str) -> Iterator[None]:
    """Say plainly that another process is gone, instead of how torch noticed it.

    Args:
        when: for instance "at step 12".

    Raises:
        UpdownError: another process died, or did not answer in time.
    """
    try:
        yield
    except RuntimeError as error:
        if launched() == 1 or not (isinstance(error, dist.DistError) or any(mark in str(error) for mark in LOST)):
            raise
        first = str(error).strip().splitlines()[0]
        raise UpdownError(f"process {os.environ.get('RANK', '?')} of {launched()} lost the others {when}: one of them "
                          f"died or hangs; its own message stands above or in its log. The same command goes on from "
                          f"the last checkpoint. ({first:.160})") from None  # fmt: skip


def average(values: Sequence[float]) -> list[float]:
    """The mean of each value over all processes.

    >>> average([1.0, 2.5])
    [1.0, 2.5]
    """
    if processes() == 1:
        return list(values)
    table = torch.tensor(list(values), dtype=torch.float64)
    dist.all_reduce(table)
    return (table / processes()).tolist()


def gathered(items: Sequence) -> list:
    """What each process found for ``everything[rank() :: processes()]``, in the order of ``everything``.

    >>> gathered(["a", "b"])
    ['a', 'b']
    """
    if processes() == 1:
        return list(items)
    parts: list = [None] * processes()
    dist.all_gather_object(parts, list(items))
    found: list = [None] * sum(map(len, parts))
    for place, part in enumerate(parts):
        found[place :: len(parts)] = part
    return found


def from_first(value):
    """The first process's value, for all."""
    if processes() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


def first_alone(work: Callable[[], None]) -> None:
    """The first process works while the others wait, however long it takes; if it fails, they end too."""
    if processes() == 1:
        work()
        return
    if is_first():
        work()
    with others_needed("while the first one worked alone"):
        dist.all_reduce(torch.zeros(1), group=_patient[0] if _patient else None)
