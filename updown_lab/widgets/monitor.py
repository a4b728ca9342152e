"""Watch a training while it runs: its curves, what it says now, and a button that stops it."""

import copy
import math
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch
import traitlets

from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.widgets.base import Shown, script

MOST_POINTS = 400  # of a line; a long history is thinned


class TrainingMonitor(Shown):
    """Live curves of ``history.csv``, which every training of this library writes as it goes.

    The training runs beside the notebook: another process (give it, and the button stops it: it finishes its step,
    saves, and goes on from there next time), another terminal or another machine that shares the folder. A training
    inside this notebook is stopped by the notebook's own stop button.

    Args:
        folders: of the stages, for instance ``runs/quickstart/stages/captions-regions-scst``; several are drawn
                 together. They need not exist yet.
        process: the ``subprocess.Popen`` that trains, or None.
        samples: called with the folder whenever it has a new ``checkpoint.pt``; gives sentences to show. See
                 ``say_with``.
        every:   seconds between two looks.

    Raises:
        ValueError: no folder, or a rhythm of no time.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp(), "detector"); folder.mkdir()
    >>> _ = (folder / "history.csv").write_text("step,loss\\n10,0.5\\n20,0.25\\n")
    >>> monitor = TrainingMonitor(folder); monitor.close()
    >>> monitor.runs[0]["rows"][-1]
    {'step': 20, 'loss': 0.25}
    """

    scripts = ("shared", "drawing", "monitor")
    _esm = script(*scripts)

    runs = traitlets.List().tag(sync=True)
    samples = traitlets.List(traitlets.Unicode()).tag(sync=True)
    state = traitlets.Unicode("").tag(sync=True)
    stoppable = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        folders: Path | str | Sequence[Path | str],
        process: subprocess.Popen | None = None,
        samples: Callable[[Path], Sequence[str]] | None = None,
        every: float = 1.0,
    ):
        self._folders = [Path(one) for one in ([folders] if isinstance(folders, Path | str) else folders)]
        if not self._folders or every <= 0:
            raise ValueError(f"the monitor needs a folder to watch, and a time above 0; got {self._folders}, {every} s")
        self._process, self._say, self._every = process, samples, every
        self._seen: dict[Path, float] = {}
        self._mute = ""  # why there are no samples
        self._over = threading.Event()
        super().__init__()
        self.on_msg(self._hear)
        self.look()
        self._watcher = threading.Thread(target=self._watch, daemon=True, name="training monitor")
        self._watcher.start()

    def look(self) -> None:
        """Read what there is now. What cannot be read is told in ``note`` and read again the next time."""
        wrong, runs = [], []
        for place, folder in enumerate(self._folders):
            try:
                runs.append(_run(folder))
            except Exception as error:  # nobody would hear it in the watching thread, which has to go on
                runs.append(self.runs[place] if self.runs else {"name": folder.name, "columns": [], "rows": []})
                wrong.append(f"{folder.name} cannot be read: {_line(error)}")
        if runs != self.runs:
            self.runs = runs
        running = self._process is not None and self._process.poll() is None
        self.stoppable = running
        steps = max((run["rows"][-1]["step"] for run in runs if run["rows"]), default=0)
        ended = "" if self._process is None else "running" if running else _ending(self._process.returncode)
        self.state = "  ·  ".join(filter(None, [f"step {steps}" if steps else "waiting for the first scores", ended]))
        self._speak()
        self.note = "  ·  ".join(filter(None, [*wrong, self._mute]))

    def _speak(self) -> None:
        """Let a new checkpoint say something."""
        file = self._folders[0] / "checkpoint.pt"
        if self._say is None or not file.exists() or self._seen.get(file) == file.stat().st_mtime:
            return
        self._seen[file] = file.stat().st_mtime
        try:
            self.samples, self._mute = [str(line) for line in self._say(self._folders[0])], ""
        except Exception as error:  # the reader's own function
            self._mute = f"no samples: {_line(error)}"

    def _watch(self) -> None:
        while not self._over.wait(self._every):
            self.look()

    def _hear(self, widget, message: dict, buffers) -> None:
        if message.get("kind") == "stop":
            self.stop()

    def stop(self) -> None:
        """Ask the training process to stop, as Ctrl-C does: it ends its step and saves."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def close(self) -> None:
        """Look no more. The training goes on."""
        self._over.set()
        super().close()


def _run(folder: Path) -> dict:
    """A history as JSON; a file that is not there yet is an empty one."""
    try:
        table = pd.read_csv(folder / "history.csv")
    except (FileNotFoundError, pd.errors.EmptyDataError):
        table = pd.DataFrame({"step": []})
    if "step" not in table:
        raise DataInvalid(f"{folder / 'history.csv'} has no column step; it has {list(table.columns)}")
    thin = max(1, math.ceil(len(table) / MOST_POINTS))
    table = pd.concat([table.iloc[:-1:thin], table.iloc[-1:]])
    table = table.apply(pd.to_numeric, errors="coerce").dropna(subset="step")
    rows = [{name: value for name, value in row.items() if math.isfinite(value)} for row in table.to_dict("records")]
    rows = [{**row, "step": int(row["step"])} for row in rows]
    return {"name": folder.name, "columns": [name for name in table.columns if name != "step"], "rows": rows}


def _line(error: Exception) -> str:
    """The first line of an error, which is all that there is room for."""
    return f"{str(error).strip() or type(error).__name__}".splitlines()[0][:160]


def _ending(code: int) -> str:
    return "finished" if code == 0 else "stopped" if code in (-signal.SIGINT, 130) else f"ended with code {code}"


def say_with(speaker, pictures: Mapping[str, object]) -> Callable[[Path], list[str]]:
    """For ``TrainingMonitor(samples=...)``: what the captioner says of some pictures with the weights of the moment.

    Args:
        speaker:  a ``Speaker`` of the same size and vocabulary as the captioner in training, for instance the
                  cross-entropy one whose SCST is watched. It is not changed.
        pictures: {name: Regions}.

    Returns:
        From a stage's folder to one line a picture.
    """
    double = copy.copy(speaker)
    double.model = copy.deepcopy(speaker.model)

    def say(folder: Path) -> list[str]:
        file = Path(folder) / "checkpoint.pt"
        if not file.exists():
            raise DataMissing(f"no {file} yet; a training writes it every twenty seconds")
        saved = torch.load(file, map_location="cpu", weights_only=True)
        double.model.load_state_dict(saved["model"])
        return [f"step {saved['step']}, {name}: {' '.join(double.describe(regions).words)}"
                for name, regions in pictures.items()]  # fmt: skip

    return say
