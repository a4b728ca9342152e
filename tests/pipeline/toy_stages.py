"""Stages that do next to nothing, for tests of the machinery around them.

Run as a script it is a run in a process of its own, which a test may interrupt or kill.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

from updown_lab.config import preset
from updown_lab.errors import UpdownError
from updown_lab.pipeline.stages import Plan, Stage, run_plan

STEPS = 150


def stage(name, function="write", needs=(), settings=(), argument=""):
    return Stage(name, f"toy_stages:{function}", needs, settings, argument)


def plan(folder, *stages):
    return Plan(Path(folder), tuple(stages), preset("tiny"))


def write(work):
    """Write what the needs (named in the argument) wrote, and remember in the run's folder that it was called."""
    with open(work.run / "calls.txt", "a") as calls:
        calls.write(work.folder.name + "\n")
    found = [(work.need(name) / "out.txt").read_text() for name in work.argument.split()]
    (work.folder / "out.txt").write_text(f"{work.folder.name}({','.join(found)})")


def refuse(work):
    """Fail as a stage fails that was given bad data."""
    print("boiling water")
    raise UpdownError("the soup is cold; heat it with: make soup")


def crash(work):
    """Fail as a stage fails that has a bug."""
    raise RuntimeError("a bug in the soup")


def dwell(work):
    """Work until stopped; a machine that is busy or sleeps may need long for that."""
    (work.folder / "started").touch()
    time.sleep(900)


def train(work):
    """A training of some seconds, with dropout; what comes out depends on every step."""
    import torch

    from updown_lab.config import TrainingConfig
    from updown_lab.training.loop import fit

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 1))

    def losses_at(step):
        with open(work.folder / "beats.txt", "a") as beats:
            beats.write(f"{step}\n")
        time.sleep(0.01)
        return {"error": (model(torch.randn(8, 4)) - 1).pow(2).mean()}

    cfg = TrainingConfig(steps=STEPS, learning_rate=0.01, optimiser="adam", evaluate_every=50)
    fit(model, losses_at, cfg, work.folder, checkpoint_seconds=0.2)
    (work.folder / "out.txt").write_text(repr([value.tolist() for value in model.state_dict().values()]))


def helped(work):
    """Let another process do the work, as the drawing of the world does."""
    order = "import sys, time\nwhile True:\n    open(sys.argv[1], 'a').write('x'); time.sleep(0.05)"
    subprocess.run([sys.executable, "-c", order, work.folder / "beats.txt"], check=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started us with interrupts ignored
    chosen = [stage(name, name) for name in sys.argv[2:]]
    try:
        run_plan(plan(sys.argv[1], *chosen))
    except KeyboardInterrupt:
        sys.exit(130)
