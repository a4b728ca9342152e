"""Tests of the tests: each planted fault must turn its test red."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FAULTS = tomllib.loads((ROOT / "tests" / "planted_faults.toml").read_text())["fault"]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault["replace"][:40])
def test_each_fault_can_still_be_planted(fault):
    assert (ROOT / fault["file"]).read_text().count(fault["find"]) == 1
    assert (ROOT / fault["test"]).exists()


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault["replace"][:40])
def test_a_planted_fault_turns_its_test_red(fault, tmp_path):
    for part in ("updown_lab", "tests", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / part)
    broken = tmp_path / fault["file"]
    broken.write_text(broken.read_text().replace(fault["find"], fault["replace"]))

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not java", fault["test"]],
        cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path), "PATH": ""},
    )  # fmt: skip

    assert run.returncode == 1, f"still green with {fault['replace']!r}:\n{run.stdout[-800:]}"
