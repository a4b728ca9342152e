"""Installing the library in Colab must not replace what Colab brings along: a new torch means a restarted runtime."""

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


def replaced(asked: list[Requirement]) -> list[str]:
    """Requirements that a pinned package does not fulfil, so that pip would install another."""
    return [str(one) for one in asked if one.name in PINS and PINS[one.name] not in one.specifier]


def test_what_colab_has_fulfils_every_requirement():
    assert replaced(ASKED) == []


@pytest.mark.parametrize("name", ["torch", "torchvision", "numpy", "pandas", "ipywidgets"])
def test_what_must_not_be_replaced_is_pinned_and_asked_for(name):
    assert name in PINS and name in {one.name for one in ASKED}


def test_the_rule_sees_a_requirement_that_is_too_new():
    assert replaced([Requirement("torch>=2.7"), Requirement("numpy>=2.0"), Requirement("scipy>=99")]) == ["torch>=2.7"]


def test_colabs_python_is_new_enough():
    python = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]["requires-python"]

    assert Requirement(f"python{python}").specifier.contains("3.11.13")


def test_the_pins_say_when_they_were_read():
    assert "2026-11-24" in (HOUSE / "ci" / "colab-constraints.txt").read_text().splitlines()[1]
