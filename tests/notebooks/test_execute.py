"""Every notebook runs from top to bottom: Restart and run all is the only order."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

BOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
LONGEST = 180  # seconds a notebook may take on two cores
#: Under about half a minute each: part of the short tests. The others wait for `make test-slow` or `make notebooks`.
QUICK = ("00_start_here.ipynb", "08_explore.ipynb", "09_full_scale.ipynb")


@pytest.mark.skipif(importlib.util.find_spec("nbmake") is None, reason="needs nbmake: pip install nbmake ipykernel")
@pytest.mark.parametrize(
    "book",
    [pytest.param(book, id=book.name, marks=[] if book.name in QUICK else pytest.mark.slow) for book in BOOKS],
)
def test_a_notebook_runs_from_top_to_bottom(book):
    quiet = {"MPLBACKEND": "agg", "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-m", "pytest", "--nbmake", f"--nbmake-timeout={LONGEST}", str(book)]  # a cell's limit

    done = subprocess.run(command, env={**quiet, **os.environ}, capture_output=True, text=True, cwd=book.parents[1])

    assert done.returncode == 0, done.stdout[-3000:]
