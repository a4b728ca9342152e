"""One loop for every training: resumable to the same numbers, seen, and safe to interrupt.

Each step seeds the random generators from (seed, step), so all that a resumed run
needs to know is which step comes next.
"""

import signal
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from updown_lab.config import TrainingConfig
from updown_lab.errors import ConfigError, UpdownError
from updown_lab.files import atomic_path
from updown_lab.progress import progress

OPTIMISERS = {
    "sgd": lambda p, c: torch.optim.SGD(p, c.learning_rate, momentum=c.momentum, weight_decay=c.weight_decay),
    "adam": lambda p, c: torch.optim.Adam(p, c.learning_rate, weight_decay=c.weight_decay),
    "adamw": lambda p, c: torch.optim.AdamW(p, c.learning_rate, weight_decay=c.weight_decay),
    "adamax": lambda p, c: torch.optim.Adamax(p, c.learning_rate, weight_decay=c.weight_decay),
    "adadelta": lambda p, c: torch.optim.Adadelta(p, c.learning_rate, weight_decay=c.weight_decay),
}


class Batches:
    """Which items come in which step: a new shuffle each epoch, the same for the same seed.

    >>> batches = Batches(5, 2, seed=0)
    >>> sorted(batches.rows(0) + batches.rows(1)) == sorted(set(batches.rows(0) + batches.rows(1)))
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

    def rows(self, step: int) -> list[int]:
        """Positions of the items of one step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(self.seed * 100_003 + epoch)
            self._epoch, self._order = epoch, torch.randperm(self.count, generator=generator).tolist()
        return self._order[place * self.size : (place + 1) * self.size]


def learning_rate(cfg: TrainingConfig, step: int) -> float:
    """The learning rate of a step under the configured schedule.

    >>> cfg = TrainingConfig(steps=100, learning_rate=1.0, schedule="linear", warmup=0.0)
    >>> learning_rate(cfg, 0), learning_rate(cfg, 50)
    (1.0, 0.5)
    """
    done = step / max(1, cfg.steps)
    if done < cfg.warmup:
        return cfg.learning_rate * (0.04 + 0.96 * done / cfg.warmup)
    left = 1 - (done - cfg.warmup) / max(1e-9, 1 - cfg.warmup)
    shapes = {
        "constant": 1.0,
        "linear": left,
        "cosine": 0.5 - 0.5 * torch.cos(torch.tensor(torch.pi * left)).item(),
        "step": 1.0 if done < 0.92 else 0.1,
    }
    if cfg.schedule not in shapes:
        raise ConfigError(f"no schedule {cfg.schedule!r}; known: {', '.join(shapes)}")
    return cfg.learning_rate * shapes[cfg.schedule]


def autocast(device: torch.device):
    """Mixed precision where the machine has it: bfloat16 from compute capability 8.0, float16 before."""
    if device.type != "cuda":
        return torch.autocast(device.type, enabled=False)
    modern = torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.autocast("cuda", dtype=torch.bfloat16 if modern else torch.float16)


class Trainer:
    """State of one training: model, optimiser, history, and the file that holds them."""

    def __init__(self, model: nn.Module, cfg: TrainingConfig, folder: Path, seed: int):
        if cfg.optimiser not in OPTIMISERS:
            raise ConfigError(f"no optimiser {cfg.optimiser!r}; known: {', '.join(OPTIMISERS)}")
        self.model, self.cfg, self.seed = model, cfg, seed
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.device = self.parameters[0].device
        self.optimiser = OPTIMISERS[cfg.optimiser](self.parameters, cfg)
        half = self.device.type == "cuda" and torch.cuda.get_device_capability(self.device) < (8, 0)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=half)
        self.file = Path(folder) / "checkpoint.pt"
        self.step, self.history, self.running = 0, [], {}
        self.best: dict | None = None
        self._load()

    def _load(self) -> None:
        if not self.file.exists():
            return
        saved = torch.load(self.file, map_location=self.device, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.scaler.load_state_dict(saved["scaler"])
        self.step, self.history, self.best = saved["step"], saved["history"], saved["best"]
        self.running = saved["running"]

    def save(self) -> None:
        """Write everything a resumed run needs, in one atomic move."""
        state = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(), "step": self.step,
                 "scaler": self.scaler.state_dict(), "history": self.history, "best": self.best,
                 "running": self.running}  # fmt: skip
        with atomic_path(self.file) as draft:
            torch.save(state, draft)

    def update(self, losses: dict[str, Tensor]) -> None:
        """One optimisation step on the sum of the losses; a loss that is not finite stops with its name."""
        total = sum(losses.values())
        if not torch.isfinite(total):
            parts = {name: float(value.detach()) for name, value in losses.items()}
            raise UpdownError(f"the loss is not finite at step {self.step}: {parts}; try a lower learning rate")
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.cfg, self.step)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(total).backward()
        if self.cfg.clip_norm:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self.parameters, self.cfg.clip_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        for name, value in losses.items():
            self.running[name] = self.running.get(name, 0.0) + float(value.detach())
        self.running["steps"] = self.running.get("steps", 0) + 1

    def record(self, scores: dict[str, float]) -> None:
        """Close a stretch of steps: mean losses since the last record, and validation scores."""
        steps = self.running.pop("steps", 1)
        row = {"step": self.step, **{name: value / steps for name, value in self.running.items()}, **scores}
        self.history.append(row)
        self.running = {}
        score = scores.get("score")
        if score is not None and (self.best is None or score > self.best["score"]):
            weights = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
            self.best = {"score": score, "step": self.step, "model": weights if self.cfg.keep == "best" else {}}


def fit(
    model: nn.Module,
    losses_at: Callable[[int], dict[str, Tensor]],
    cfg: TrainingConfig,
    folder: Path | str,
    seed: int = 1,
    evaluate: Callable[[], dict[str, float]] | None = None,
    title: str = "training",
    checkpoint_seconds: float = 20.0,
) -> pd.DataFrame:
    """Train a model; interrupt and call again to go on where it stopped.

    Args:
        model:     trained in place; ends with the last weights, or the best on validation if ``cfg.keep`` says so.
        losses_at: step number to named scalar losses; the sum is minimised. Must take its
                   batch from the step number alone.
        cfg:       how to optimise.
        folder:    holds ``checkpoint.pt`` and ``history.csv``.
        seed:      random numbers of each step follow from (seed, step).
        evaluate:  gives validation scores; the one called "score" chooses the best.
        title:     text before the progress bar.
        checkpoint_seconds: how much work a kill may cost; Ctrl-C costs none, it waits until the step is whole.

    Returns:
        History: a row for each stretch of ``cfg.evaluate_every`` steps.

    Raises:
        UpdownError: the loss stopped being finite.
        ConfigError: unknown optimiser or schedule.
    """
    folder = Path(folder)
    trainer = Trainer(model, cfg, folder, seed)
    saved = time.monotonic()
    bar = progress(None, title, total=cfg.steps, unit="step", initial=trainer.step)
    with bar, _interrupts_wait() as interrupts:
        while trainer.step < cfg.steps:
            model.train()
            torch.manual_seed(seed * 1_000_003 + trainer.step)
            with autocast(trainer.device):
                losses = losses_at(trainer.step)
            trainer.update(losses)
            trainer.step += 1
            bar.update()
            if trainer.step % cfg.evaluate_every == 0 or trainer.step == cfg.steps:
                trainer.record(_evaluated(model, evaluate))
                bar.set_postfix({k: f"{v:.3f}" for k, v in trainer.history[-1].items() if k != "step"})
                _write_history(trainer, folder)
            if interrupts or time.monotonic() - saved > checkpoint_seconds:
                trainer.save()
                saved = time.monotonic()
            if interrupts:
                raise KeyboardInterrupt
    trainer.save()
    if cfg.keep == "best" and trainer.best:
        model.load_state_dict(trainer.best["model"])
    model.eval()
    return pd.DataFrame(trainer.history)


@contextmanager
def _interrupts_wait():
    """Within the block Ctrl-C only adds to the list that is given; a second one ends the block at once.

    Half a step must never be saved: the weights may be new and the running means, the history or the count old.
    """
    interrupts: list[int] = []

    def note(number, frame):
        interrupts.append(number)
        if len(interrupts) > 1:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # the others hear no signals
        yield interrupts
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)


def _evaluated(model, evaluate) -> dict[str, float]:
    if evaluate is None:
        return {}
    model.eval()
    with torch.inference_mode():
        return evaluate()


def _write_history(trainer: Trainer, folder: Path) -> None:
    with atomic_path(folder / "history.csv") as draft:
        pd.DataFrame(trainer.history).to_csv(draft, index=False)
