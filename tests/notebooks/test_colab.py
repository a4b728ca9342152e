"""Installing the library in Colab must not replace what Colab brings along: a new torch means a restarted runtime."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

HOUSE = Path(__file__).parents[2]
PINS = {
    name: Version(version)
    for name, version in (
        line.split("==") for line in (HOUSE / "ci" / "colab-constraints.txt").read_text().split() if "==" in line
    )
}
ASKED = [Requirement(line) for line in tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]["dependencies"]]


KEPT = ("torch", "torchvision", "numpy", "pandas", "ipywidgets")


def replaced(asked: list[Requirement]) -> list[str]:
    """Requirements that a pinned package does not fulfil, so that pip would install another."""
    return [str(one) for one in asked if one.name in PINS and PINS[one.name] not in one.specifier]


def test_what_colab_has_fulfils_every_requirement():
    assert replaced(ASKED) == []


@pytest.mark.parametrize("name", KEPT)
def test_what_must_not_be_replaced_is_pinned_and_asked_for(name):
    assert name in PINS and name in {one.name for one in ASKED}


def test_the_rule_sees_a_requirement_that_is_too_new():
    assert replaced([Requirement("torch>=2.7"), Requirement("numpy>=2.0"), Requirement("scipy>=99")]) == ["torch>=2.7"]


def test_colabs_python_is_new_enough():
    python = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]["requires-python"]

    assert Requirement(f"python{python}").specifier.contains("3.11.13")


def test_the_pins_say_when_they_were_read():
    assert "2026-11-24" in (HOUSE / "ci" / "colab-constraints.txt").read_text().splitlines()[1]


@pytest.fixture(scope="module")
def pip(tmp_path_factory):
    """The newest pip: since 23.3 it resolves from metadata alone, older ones fetch gigabytes of wheels first."""
    folder = tmp_path_factory.mktemp("pip")
    own = [sys.executable, "-m", "pip"]
    done = subprocess.run([*own, "install", "-q", "--target", folder, "pip>=23.3"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs an index of packages that can be reached: {done.stderr.strip()[-200:]}")

    def resolve(*arguments: str) -> subprocess.CompletedProcess:
        command = [*own, "install", "--dry-run", "--ignore-installed", "--quiet", *arguments]
        env = {**os.environ, "PYTHONPATH": str(folder)}
        return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True)

    return resolve


def resolved(pip, asked: list[Requirement], folder: Path) -> dict[str, Version]:
    """What pip would install with Colab's pins as constraints, by name.

    Raises:
        AssertionError: pip says that it cannot be done.
    """
    pins, wanted, report = (folder / name for name in ("pins.txt", "wanted.txt", "report.json"))
    pins.write_text("\n".join(f"{name}=={pin.public}" for name, pin in PINS.items()))  # +cu124 is not on PyPI
    wanted.write_text("\n".join(map(str, asked)))
    served = pip("--no-deps", "--report", str(report), "-r", str(pins))
    if served.returncode:
        gone = re.findall(r"No matching distribution found for (\S+)", served.stderr) or [served.stderr.strip()[-300:]]
        pytest.skip(
            f"the index serves no {gone[0]} for this Python; renew ci/colab-constraints.txt from Colab's pip freeze"
        )
    done = pip("--constraint", str(pins), "--report", str(report), "-r", str(wanted))
    assert done.returncode == 0, done.stderr[-2000:]
    found = (one["metadata"] for one in json.loads(report.read_text())["install"])
    return {one["name"].lower(): Version(one["version"]) for one in found}


@pytest.mark.slow
def test_pip_replaces_nothing_that_colab_has(pip, tmp_path):
    found = resolved(pip, ASKED, tmp_path)

    assert {name: str(found[name]) for name in KEPT} == {name: PINS[name].public for name in KEPT}


@pytest.mark.slow
def test_pip_says_so_if_something_would_be_replaced(pip, tmp_path):
    with pytest.raises(AssertionError, match="torch"):
        resolved(pip, [Requirement("torch>=2.7")], tmp_path)
