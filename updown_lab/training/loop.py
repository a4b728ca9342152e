"""One loop for every training: resumable to the same numbers, seen, safe to interrupt, on one processor or many.

Each step seeds the random generators from (seed, step, share of the step), so all that a resumed run
needs to know is which step comes next.
"""

import math
import signal
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from updown_lab.config import TrainingConfig
from updown_lab.errors import ConfigError, DataInvalid, UpdownError
from updown_lab.files import atomic_path
from updown_lab.progress import progress
from updown_lab.training import distributed
from updown_lab.training.batches import Batches as Batches  # one door for callers
from updown_lab.training.optimising import OPTIMISERS, learning_rate, mixed_precision, parameter_groups


class _Lesson(nn.Module):
    """The model with what it is to learn from: the whole that DistributedDataParallel wraps, so that a step may use
    the model as it likes, twice or through other methods."""

    def __init__(self, model: nn.Module, losses_at: Callable[[int], dict[str, Tensor]]):
        super().__init__()
        self.model, self.losses_at = model, losses_at
        # torch looks for weights that a step does not need, and warns if there is none: now there always is one.
        self.unneeded = nn.Parameter(next(model.parameters()).new_zeros(()))

    def forward(self, step: int) -> dict[str, Tensor]:
        return self.losses_at(step)


class Trainer:
    """State of one training: model, optimiser, history, and the file that holds them."""

    def __init__(self, model: nn.Module, losses_at: Callable, cfg: TrainingConfig, folder: Path, seed: int):
        _check(cfg)
        self.model, self.cfg, self.seed = model, cfg, seed
        groups = parameter_groups(model, cfg)
        self.parameters = [value for group in groups for value in group["params"]]
        self.device = self.parameters[0].device
        self.optimiser = OPTIMISERS[cfg.optimiser](groups, cfg)
        self.short = mixed_precision(self.device, cfg.precision)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.short == torch.float16)
        self.file = Path(folder) / "checkpoint.pt"
        self.step, self.history, self.running = 0, [], {}
        self.best: dict | None = None
        self._load()
        if cfg.compile:
            model.compile()
        self.lesson = _shared(_Lesson(model, losses_at), self.device) if distributed.processes() > 1 else losses_at

    def _load(self) -> None:
        if self.file.exists():
            saved = torch.load(self.file, map_location=self.device, weights_only=True)
            try:
                self.model.load_state_dict(saved["model"])
                self.optimiser.load_state_dict(saved["optimiser"])
                self.scaler.load_state_dict(saved["scaler"])
            except (RuntimeError, ValueError, KeyError) as error:
                raise DataInvalid(f"{self.file} is of another model or other settings; remove it, or train in another "
                                  f"folder ({str(error).splitlines()[0]:.160})") from None  # fmt: skip
            self.step, self.history, self.best = saved["step"], saved["history"], saved["best"]
            self.running = saved["running"]
        steps = distributed.gathered([self.step])
        if len(set(steps)) > 1:
            raise DataInvalid(f"the processes found different checkpoints, of steps {steps}, in {self.file.parent}; "
                              "give a folder that all machines share")  # fmt: skip

    def save(self) -> None:
        """Write everything a resumed run needs, in one atomic move; with several processes the first one writes."""
        state = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(), "step": self.step,
                 "scaler": self.scaler.state_dict(), "history": self.history, "best": self.best,
                 "running": self.running}  # fmt: skip
        if distributed.is_first():
            with atomic_path(self.file) as draft:
                torch.save(state, draft)
        distributed.average([0.0])  # nobody goes on, and perhaps reads the file, before it is whole

    @property
    def tired(self) -> bool:
        """Whether the last ``cfg.patience`` evaluations brought nothing better."""
        scored = [row for row in self.history if "score" in row]
        since = [row for row in scored if self.best and row["step"] > self.best["step"]]
        return bool(self.cfg.patience) and len(since) >= self.cfg.patience

    def take_step(self, wishes: Callable[[], tuple[bool, bool]]) -> list[bool]:
        """One optimisation step on the sum of the losses; a loss that is not finite stops with its name.

        Args:
            wishes: asked in the middle of the step: does this process want to stop, or to save?

        Returns:
            The wishes of any of the processes, so that all do the same after the same step.
        """
        self.optimiser.zero_grad(set_to_none=True)
        parts, said = self.cfg.accumulate, {}
        for part in range(parts):
            last = part == parts - 1
            with distributed.part_of_step(part, parts), self._gradients_wait(not last):
                losses = self._look()
                for name, value in losses.items():
                    said[name] = said.get(name, 0.0) + float(value.detach()) / parts
                if last:
                    said, wanted = _agree(said, wishes())
                    self._check_finite(said)
                self.scaler.scale(sum(losses.values()) / parts).backward()
        self._update()
        for name, value in said.items():
            self.running[name] = self.running.get(name, 0.0) + value
        self.running["steps"] = self.running.get("steps", 0) + 1
        self.step += 1
        return wanted

    def _look(self) -> dict[str, Tensor]:
        """The losses of this process's share, with random numbers that belong to the share."""
        torch.manual_seed(distributed.step_seed(self.seed, self.step, distributed.share()))
        with torch.autocast(self.device.type, dtype=self.short, enabled=self.short is not None):
            return self.lesson(self.step)

    def _gradients_wait(self, wait: bool):
        """Processes need not exchange gradients before the last part of a step."""
        return self.lesson.no_sync() if wait and isinstance(self.lesson, DistributedDataParallel) else nullcontext()

    def _check_finite(self, said: dict[str, float]) -> None:
        if not math.isfinite(sum(said.values())):
            raise UpdownError(f"the loss is not finite at step {self.step}: {said}; try a lower learning rate")

    def _update(self) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.cfg, self.step) * group.get("factor", 1.0)
        if self.cfg.clip_value or self.cfg.clip_norm:
            self.scaler.unscale_(self.optimiser)
        if self.cfg.clip_value:
            nn.utils.clip_grad_value_(self.parameters, self.cfg.clip_value)
        if self.cfg.clip_norm:
            nn.utils.clip_grad_norm_(self.parameters, self.cfg.clip_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()

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


def _check(cfg: TrainingConfig) -> None:
    """Settings that would fail later, or quietly do something else."""
    shares = cfg.accumulate * distributed.processes()
    if cfg.batch_size % shares:
        raise ConfigError(f"batch_size {cfg.batch_size} is not a multiple of {shares} (processes x accumulate); take "
                          f"{cfg.batch_size // shares * shares or shares}")  # fmt: skip


def _shared(lesson: _Lesson, device: torch.device) -> DistributedDataParallel:
    """The lesson that averages its gradients over all processes. Not every loss needs every weight each time."""
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"several processes train on CPUs or CUDA cards, not on {device.type!r}; start one process")
    return DistributedDataParallel(lesson, find_unused_parameters=True)


def _agree(said: dict[str, float], wishes: tuple[bool, bool]) -> tuple[dict[str, float], list[bool]]:
    """Losses and wishes of all processes: mean losses, and what any one wants."""
    table = distributed.average([*said.values(), *map(float, wishes)])
    return dict(zip(said, table, strict=False)), [wish > 0 for wish in table[len(said) :]]


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

    Within ``distributed.joined()`` several processes train one model; all call this with the same arguments.

    Args:
        model:     trained in place; ends with the last weights, or the best on validation if ``cfg.keep`` says so.
        losses_at: step number to named scalar losses; the sum is minimised. Must take its
                   batch from the step number alone, by ``Batches.rows(step)``.
        cfg:       how to optimise.
        folder:    holds ``checkpoint.pt`` and ``history.csv``.
        seed:      random numbers of each step follow from (seed, step).
        evaluate:  gives validation scores; the one called "score" chooses the best. Every process calls it.
        title:     text before the progress bar.
        checkpoint_seconds: how much work a kill may cost; Ctrl-C and SIGTERM cost none, they wait until the step is
                   whole.

    Returns:
        History: a row for each stretch of ``cfg.evaluate_every`` steps.

    Raises:
        UpdownError: the loss stopped being finite, or another process is gone.
        ConfigError: a batch that cannot be shared equally.
        DataInvalid: the folder's checkpoint does not fit.
        KeyboardInterrupt: after an interrupt, with everything saved.
    """
    folder = Path(folder)
    with distributed.others_needed("while starting"):
        trainer = Trainer(model, losses_at, cfg, folder, seed)
    saved, alone = time.monotonic(), distributed.processes() == 1
    bar = progress(None, title, cfg.steps, "step", initial=trainer.step, show=distributed.is_first())
    with bar, _interrupts_wait() as interrupts:
        while trainer.step < cfg.steps and not trainer.tired:
            model.train()
            with distributed.others_needed(f"at step {trainer.step}"):
                late = distributed.is_first() and time.monotonic() - saved > checkpoint_seconds
                stop, save = trainer.take_step(lambda late=late: (bool(interrupts), late))
                bar.update()
                if trainer.step % cfg.evaluate_every == 0 or trainer.step == cfg.steps:
                    trainer.record(_evaluated(model, evaluate))
                    bar.set_postfix({k: f"{v:.3f}" for k, v in trainer.history[-1].items() if k != "step"})
                    _write_history(trainer, folder)
                stop = stop or (alone and bool(interrupts))
                if stop or save or trainer.step == cfg.steps or trainer.tired:
                    trainer.save()
                    saved = time.monotonic()
            if stop:
                raise KeyboardInterrupt
    if interrupts:
        raise KeyboardInterrupt
    if cfg.keep == "best" and trainer.best:
        model.load_state_dict(trainer.best["model"])
    model.eval()
    return pd.DataFrame(trainer.history)


@contextmanager
def _interrupts_wait():
    """Within the block Ctrl-C and SIGTERM only add to the list that is given; a second one ends the block at once.

    Half a step must never be saved: the weights may be new and the running means, the history or the count old.
    Of several processes each gets every signal twice, from the terminal and from torchrun, so there a second one
    changes nothing; torchrun kills what has not ended after 30 seconds.
    """
    interrupts: list[int] = []

    def note(number, frame):
        interrupts.append(number)
        if len(interrupts) > 1 and distributed.processes() == 1:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # the others hear no signals
        yield interrupts
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _evaluated(model, evaluate) -> dict[str, float]:
    """The first process's scores; the others evaluate too, so that nobody waits and some may share the work."""
    if evaluate is None:
        return {}
    model.eval()
    with torch.inference_mode():
        return distributed.from_first(evaluate())


def _write_history(trainer: Trainer, folder: Path) -> None:
    if distributed.is_first():
        with atomic_path(folder / "history.csv") as draft:
            pd.DataFrame(trainer.history).to_csv(draft, index=False)
