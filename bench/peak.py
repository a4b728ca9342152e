"""How much of what this machine's matrix products could do each step reaches: a share, and no target."""

import time
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.harness import Record
from bench.speaking import scst_steps, xe_steps

SIDE = 2000  # of the square matrices


def records(quick: bool) -> list[Record]:
    """``xe-step-of-peak`` and ``scst-step-of-peak``: FLOP/s of our step over those of large products, side by side."""
    rounds = 1 if quick else 7
    return [_share(name, steps()[1], rounds)
            for name, steps in (("xe-step-of-peak", xe_steps), ("scst-step-of-peak", scst_steps))]  # fmt: skip


def _share(name: str, step, rounds: int) -> Record:
    torch.manual_seed(0)
    with FlopCounterMode(display=False) as counter:
        step()
    work, shares, speeds = counter.get_total_flops(), [], []
    one, other = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    one @ other
    for _ in range(rounds):
        peak, speed = 2 * SIDE**3 / _seconds(lambda: one @ other), work / _seconds(step)
        shares.append(speed / peak)
        speeds.append((peak, speed))
    peak, speed = (median(column) / 1e9 for column in zip(*speeds, strict=True))
    note = f"{work / 1e9:.0f} GFLOP of products a step; {SIDE} x {SIDE} products beside it"
    return Record(name, median(shares), min(shares), max(shares), 0.0, None, peak, speed, "GFLOP/s", rounds, note)


def _seconds(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
