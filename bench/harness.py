"""Two ways side by side: interleaved rounds, ratios of each round, median and spread."""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Record:
    """One comparison.

    Attributes:
        name:      as in the issue, for instance "store-read-warm".
        ratio:     median over rounds of reference seconds / our seconds (wall).
        low, high: smallest and largest ratio of a round.
        target:    what the ratio should reach; 0 if there is none.
        cpu_ratio: the same in CPU seconds: steadier on a busy machine.
        reference, ours: median seconds of each side (or bytes, if ``unit`` says so).
        unit:      of ``reference`` and ``ours``.
        rounds:    how many.
        note:      what was compared.
    """

    name: str
    ratio: float
    low: float
    high: float
    target: float
    cpu_ratio: float | None = None
    reference: float = 0.0
    ours: float = 0.0
    unit: str = "s"
    rounds: int = 1
    note: str = ""

    def __str__(self) -> str:
        cpu = "" if self.cpu_ratio is None else f", cpu {self.cpu_ratio:.2f}"
        goal = f"target {self.target:g}" if self.target else "no target"
        return (
            f"{self.name:<24} {self.ratio:7.2f}x [{self.low:.2f}, {self.high:.2f}]{cpu}  ({goal}; "
            f"{self.reference:.4g} -> {self.ours:.4g} {self.unit}, {self.rounds} rounds) {self.note}"
        )


def compare(
    name: str,
    reference: Callable[[], object],
    ours: Callable[[], object],
    target: float = 0.0,
    rounds: int = 7,
    warm_up: int = 1,
    note: str = "",
) -> Record:
    """Time two callables in turns in this process.

    The machine's mood changes by the minute, so each round times both, and the ratio is taken within the round.

    Args:
        name:      of the record.
        reference: the straightforward way, once.
        ours:      our way, once, on the same work.
        target:    for the record.
        rounds:    how many pairs are timed; odd numbers have a median that was measured.
        warm_up:   pairs that are run first and not timed.
        note:      for the record.

    >>> slow, fast = (lambda: sum(range(200_000))), (lambda: sum(range(2_000)))
    >>> compare("sum", slow, fast, rounds=3).ratio > 1
    True
    """
    for _ in range(warm_up):
        reference()
        ours()
    pairs = []
    for number in range(rounds):
        order = (reference, ours) if number % 2 == 0 else (ours, reference)
        seconds = {side: _timed(side) for side in order}
        pairs.append((seconds[reference], seconds[ours]))
    return record_of(name, pairs, target, note)


def record_of(name: str, pairs: list, target: float = 0.0, note: str = "", unit: str = "s") -> Record:
    """A record from measured pairs, for what cannot be timed in one process.

    Args:
        name, target, note, unit: for the record.
        pairs: ((reference wall, cpu), (our wall, cpu)) of each round; cpu may be 0 where it means nothing.

    >>> record_of("x", [((4.0, 2.0), (2.0, 1.0)), ((9.0, 2.0), (3.0, 1.0)), ((8.0, 2.0), (2.0, 1.0))]).ratio
    3.0
    """
    ratios = [theirs[0] / mine[0] for theirs, mine in pairs]
    processor = [theirs[1] / mine[1] for theirs, mine in pairs if mine[1] > 0]
    middle = statistics.median
    return Record(
        name, middle(ratios), min(ratios), max(ratios), target, middle(processor) if processor else None,
        middle(theirs[0] for theirs, _ in pairs), middle(mine[0] for _, mine in pairs), unit, len(pairs), note,
    )  # fmt: skip


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """(wall, cpu) seconds of one call, without the garbage of the call before."""
    gc.collect()
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor
