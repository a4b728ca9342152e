"""Running a chain of stages: side by side, cached by their settings, safe to kill at any time.

A stage is a function that fills one folder. It runs in a process of its own with a fixed
number of threads, so its numbers do not depend on what else the machine does. A stage is
done when its ``stage.json`` carries the right fingerprint; everything else is resumed.
"""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name

from updown_lab.config import fingerprint, from_dict, save_config, to_dict
from updown_lab.errors import ConfigError, UpdownError
from updown_lab.files import locked, read_json, write_json

FORMAT = 1  # raise when a stage's code changes what it writes, so that old folders are made again


@dataclass(frozen=True)
class Stage:
    """One piece of work.

    Attributes:
        name:     name of its folder.
        function: "module:function"; called with a ``Work``.
        needs:    names of the stages that must be done before.
        settings: everything that changes the result, as JSON types or dataclasses.
        argument: what the function is told besides, for instance the kind of features.
        threads:  threads of its process.
    """

    name: str
    function: str
    needs: tuple[str, ...] = ()
    settings: tuple = ()
    argument: str = ""
    threads: int = 1


@dataclass(frozen=True)
class Plan:
    """The stages of one run and where they live."""

    folder: Path
    stages: tuple[Stage, ...]
    config: object = field(repr=False)
    _fingerprints: dict[str, str] = field(default_factory=dict, repr=False, compare=False)  # a plan never changes

    def find(self, name: str) -> Stage:
        """The stage of that name."""
        return next(stage for stage in self.stages if stage.name == name)

    def upto(self, *names: str) -> "Plan":
        """The stages of these names and all that they need; "vqa" means all whose name begins with "vqa-".

        Raises:
            UpdownError: there is no such stage; the message lists them.
        """
        known, wanted, open_ones = [stage.name for stage in self.stages], set(), []
        for name in names:
            family = [name] if name in known else [other for other in known if other.startswith(f"{name}-")]
            if not family:
                raise UpdownError(f"no stage {name!r}; this run has: {', '.join(known)}")
            open_ones += family
        while open_ones:
            wanted.add(name := open_ones.pop())
            open_ones += self.find(name).needs
        return Plan(self.folder, tuple(stage for stage in self.stages if stage.name in wanted), self.config)

    def fingerprint(self, stage: Stage) -> str:
        """Changes with the stage's settings and with those of all it needs."""
        if stage.name not in self._fingerprints:
            needs = [self.fingerprint(self.find(name)) for name in stage.needs]
            known = fingerprint(FORMAT, stage.function, stage.argument, needs, *stage.settings)
            self._fingerprints[stage.name] = known
        return self._fingerprints[stage.name]

    def path(self, name: str) -> Path:
        """The folder of a stage."""
        return self.folder / "stages" / name

    def is_done(self, stage: Stage) -> bool:
        """Whether the stage finished with exactly these settings."""
        return self._marker(stage.name).get("fingerprint") == self.fingerprint(stage)

    def order(self, stage: Stage) -> dict:
        """What ``run_stage`` has to know, in JSON types."""
        return {"config": to_dict(self.config), "name": stage.name, "function": stage.function,
                "argument": stage.argument, "run": str(self.folder),
                "fingerprint": self.fingerprint(stage)}  # fmt: skip

    def _marker(self, name: str) -> dict:
        path = self.path(name) / "stage.json"
        return read_json(path) if path.exists() else {}


@dataclass(frozen=True)
class Work:
    """What a stage function is given: where to write, where its needs are, and the numbers."""

    folder: Path
    run: Path
    config: object
    argument: str

    def need(self, name: str) -> Path:
        """Folder of a stage that is done."""
        return self.run / "stages" / name


def by_several(function):
    """Mark a stage's function that several processes may run together: it trains by ``fit``, and the first one writes.

    >>> by_several(lambda work: None).by_several
    True
    """
    function.by_several = True
    return function


def run_plan(plan: Plan, workers: int = 2) -> None:
    """Run all stages that are not done, at most ``workers`` side by side.

    Interrupt it and call it again: finished stages are kept, the others go on from their last checkpoint.
    Started by torchrun, all processes train each stage together, see ``together.py``.

    Args:
        plan:    the stages.
        workers: processes at a time.

    Raises:
        ConfigError: no worker at all.
        UpdownError: a stage failed; the message shows the end of its log and where the whole log is.
        KeyboardInterrupt: after all stages have saved their state.
    """
    if workers < 1:
        raise ConfigError(f"stages need at least 1 worker, got {workers}")
    if int(os.environ.get("WORLD_SIZE") or 1) > 1:
        from updown_lab.pipeline.together import run_together

        run_together(plan, workers)
    else:
        run_alone(plan, workers)


def run_alone(plan: Plan, workers: int) -> None:
    """``run_plan`` for one process that starts the others."""
    with prepared(plan) as lock:
        run_jobs([(plan, stage) for stage in plan.stages], workers, lock)


def run_jobs(
    jobs: Sequence[tuple[Plan, Stage]], workers: int, lock: int, told: Callable[[], str] | None = None
) -> None:
    """Run the stages that are not done, of one plan or of several, under a ``locked`` folder; ``told`` is printed."""
    running: dict[int, _Running] = {}
    with _stopped_together(running):
        while True:
            waiting = [n for n, (plan, stage) in enumerate(jobs) if n not in running and not plan.is_done(stage)]
            ready = [n for n in waiting if all(jobs[n][0].is_done(jobs[n][0].find(name)) for name in jobs[n][1].needs)]
            for number in ready[: workers - len(running)]:
                slot = min(set(range(workers)) - {item.slot for item in running.values()})
                running[number] = _Running(*jobs[number], slot, lock)
            if not running:
                break
            time.sleep(0.2)
            for number in [number for number, item in running.items() if item.ended()]:
                running.pop(number)
                if told:
                    print(told(), flush=True)


@contextmanager
def _stopped_together(running: dict[int, "_Running"]):
    """If the block fails, interrupt the stages at work and wait until they have saved their state."""
    deaf = signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread()
    if deaf:  # a job in a shell's background ignores the interrupt, so would its stages
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except BaseException:
        for item in running.values():
            item.process.send_signal(signal.SIGINT)
        for item in running.values():
            item.process.wait()
        raise
    finally:
        if deaf:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def prepared(plan: Plan):
    """Hold the run's folder, write its numbers, empty what was made of other ones; gives the lock."""
    with locked(plan.folder) as lock:
        save_config(plan.config, plan.folder / "config.json")
        for stage in plan.stages:
            _prepare(plan, stage)
        yield lock


def _prepare(plan: Plan, stage: Stage) -> None:
    """Empty the folder of a stage whose settings have changed; keep what can be resumed."""
    folder, wanted = plan.path(stage.name), plan.fingerprint(stage)
    started = folder / "started.json"
    if folder.exists() and (not started.exists() or read_json(started) != wanted):
        folder.unlink() if folder.is_symlink() else shutil.rmtree(folder)  # a link: what is shared stays
    if not folder.exists():
        folder.mkdir(parents=True)
        write_json(started, wanted)


class _Running:
    """A stage at work in its process."""

    def __init__(self, plan: Plan, stage: Stage, slot: int, lock: int):
        self.plan, self.stage, self.slot, self.began = plan, stage, slot, time.monotonic()
        self.log = plan.path(stage.name) / "log.txt"
        order = plan.order(stage)
        threads = str(stage.threads)
        environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "UPDOWN_BAR": str(slot),
                                    "WORLD_SIZE": "1"}  # fmt: skip
        watched = sys.stderr.isatty()
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "updown_lab.pipeline.stages", json.dumps(order)],
                env=environment, stdout=log, stderr=None if watched else log, pass_fds=(lock,),
                start_new_session=True,  # Ctrl-C reaches the run alone, which passes it on once
            )  # fmt: skip

    def ended(self) -> bool:
        """Whether the process is over; raises if it failed."""
        code = self.process.poll()
        if code is None:
            return False
        if code in (130, -signal.SIGINT):
            raise KeyboardInterrupt
        if code != 0:
            _end_group(self.process.pid)  # it may have left helpers behind
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-12:])
            raise UpdownError(f"stage {self.stage.name!r} failed (exit {code}):\n{tail}\nwhole log: {self.log}")
        marker = self.plan._marker(self.stage.name)
        print(f"  {self.stage.name:<28} {marker['seconds']:6.0f} s  {marker['peak_memory_mb']:5.0f} MB", flush=True)
        return True


def _watch_parent() -> None:
    """End this process and its helpers when the one that started it is gone (killed, say), so that nobody writes
    behind our back."""
    parent = os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        if os.getpgrp() == os.getpid():
            _end_group(os.getpid())
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _end_group(leader: int) -> None:
    """Kill a stage's process and all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def run_stage(order: dict) -> None:
    """Do one stage in this process and write its marker: seconds, CPU seconds, peak memory.

    Of several processes that do it together the first one writes.
    """
    import torch

    from updown_lab.config import Config
    from updown_lab.training.distributed import is_first

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    run = Path(order["run"])
    folder = run / "stages" / order["name"]
    work = Work(folder, run, from_dict(order["config"], Config), order["argument"])
    began = time.monotonic()
    resolve_name(order["function"])(work)
    if not is_first():
        return
    children, own = (resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF))
    write_json(
        folder / "stage.json",
        {
            "fingerprint": order["fingerprint"],
            "seconds": round(time.monotonic() - began, 2),
            "cpu_seconds": round(sum(use.ru_utime + use.ru_stime for use in (own, children)), 2),
            "peak_memory_mb": round(
                max(own.ru_maxrss, children.ru_maxrss) / (1024 if sys.platform != "darwin" else 2**20)
            ),
        },
        indent=1,
    )


def main(arguments: Sequence[str]) -> int:
    """Entry point of a stage's process."""
    _watch_parent()
    try:
        run_stage(json.loads(arguments[0]))
    except KeyboardInterrupt:
        return 130
    except UpdownError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
