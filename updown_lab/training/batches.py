"""What comes in which step, and reading it before it is needed."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from updown_lab.errors import ConfigError, UpdownError
from updown_lab.training.distributed import Share, next_share, share

AHEAD = 3  # shares that are read or being read; a few photos each


class Batches:
    """Which items come in which step: a new shuffle each epoch, the same for the same seed.

    Of a step each process takes its share, so together they take what one process would have taken.

    Args:
        count:      how many items there are.
        batch_size: items of a step; fewer if there are not so many.
        seed:       of the shuffles.

    Raises:
        UpdownError: there is no item.

    >>> batches = Batches(5, 2, seed=0)
    >>> sorted(batches.rows(0) + batches.rows(1)) == sorted(set(batches.rows(0) + batches.rows(1)))
    True
    >>> batches.rows(0, Share(0, 2)) + batches.rows(0, Share(1, 2)) == batches.rows(0)
    True
    """

    def __init__(self, count: int, batch_size: int, seed: int):
        if count < 1:
            raise UpdownError("there is nothing to train on: the training split is empty")
        self.count, self.size, self.seed = count, min(batch_size, count), seed
        self._epoch, self._order = -1, []

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in one pass over the data; the rest of a shuffle is left out."""
        return self.count // self.size

    def rows(self, step: int, part: Share | None = None) -> list[int]:
        """Positions of the items of one step.

        Args:
            step: its number, from 0.
            part: which share of it; by default the one that this process is to take now.

        Raises:
            ConfigError: a step has fewer items than shares.
        """
        part = part or share()
        each = self.size // part.of  # what cannot be shared equally is left out, as the rest of a shuffle is
        if not each:
            raise ConfigError(f"{self.size} items a step cannot be shared by {part.of} (processes x accumulate); "
                              f"take fewer, or a larger batch_size")  # fmt: skip
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(self.seed * 100_003 + epoch)
            self._epoch, self._order = epoch, torch.randperm(self.count, generator=generator).tolist()
        start = place * self.size + part.number * each
        return self._order[start : start + each]


class ReadAhead:
    """Read the items of the next steps while this one is computed.

    Reading must be a plain function of the row: what is drawn at random belongs into the step, so that the result
    does not depend on the number of workers. They are threads, because Pillow decodes outside of Python's lock.

    Args:
        read:    row to item.
        batches: which rows come when.
        workers: threads; 0 reads when asked.
        steps:   nothing is read for this step and those behind it.

    >>> batches = Batches(6, 2, seed=0)
    >>> with ReadAhead(lambda row: row * 10, batches, workers=2, steps=3) as reader:
    ...     reader(0) == [row * 10 for row in batches.rows(0)]
    True
    """

    def __init__(self, read: Callable[[int], Any], batches: Batches, workers: int = 0, steps: int = 2**62):
        if workers < 0:
            raise ConfigError(f"workers is 0 or more, got {workers}")
        self.read, self.batches, self.steps = read, batches, steps
        self.pool = ThreadPoolExecutor(workers, "reader") if workers else None
        self._coming: dict[tuple[int, Share], list[Future]] = {}

    def __enter__(self) -> "ReadAhead":
        return self

    def __exit__(self, *error) -> None:
        if self.pool:
            self.pool.shutdown(wait=False, cancel_futures=True)

    def __call__(self, step: int) -> list:
        """The items of this process's share of a step, in the order of ``batches.rows(step)``.

        Raises:
            whatever ``read`` raises for one of them.
        """
        if self.pool is None:
            return [self.read(row) for row in self.batches.rows(step)]
        wanted, place = [], (step, share())
        while len(wanted) < AHEAD and place[0] < max(self.steps, step + 1):
            wanted.append(place)
            place = next_share(*place)
        started = {key: self._coming.get(key) for key in wanted}  # what nobody waits for any more is forgotten
        for key, futures in started.items():
            if futures is None:
                started[key] = [self.pool.submit(self.read, row) for row in self.batches.rows(*key)]
        self._coming = started
        return [future.result() for future in self._coming.pop(wanted[0])]
