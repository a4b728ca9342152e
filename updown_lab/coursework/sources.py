"""From a small Python file to a notebook for nbgrader: stub, solution and tests of an assignment live together.

A source is a script in jupytext's percent format. What a cell is for is said in its first line:

    # %% [markdown]                              text
    # %% locked="setup"                          code that nobody should change
    # %% solution="iou"                          a stub, with ### BEGIN SOLUTION … ### END SOLUTION
    # %% check="iou-seen" points=3               a test, perhaps with ### BEGIN HIDDEN TESTS … ### END HIDDEN TESTS
    # %% [markdown] written="why" points=6       an answer in words, marked by a person
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from updown_lab.errors import DataInvalid, DataMissing

PURPOSES = ("locked", "solution", "check", "written")
SOLUTION, HIDDEN = "BEGIN SOLUTION", "BEGIN HIDDEN TESTS"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
INSTALL = "pip install 'updown_lab[teach]'"
#: Where the project lives on GitHub: the one place that says so for the coursework. OWNER is to be filled in.
HOME = "OWNER/updown_lab"
BADGE = (
    "[![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/{home}/blob/main/coursework/student/{name}.ipynb)"
)
#: The first code cell of every notebook of this project. Colab has everything but the package.
SETUP = f"""\
# Setup, the same in every notebook. At home it only imports; on Colab it installs the library and leaves torch alone.
import importlib.util

if importlib.util.find_spec("updown_lab") is None:
    %pip install -q "updown_lab @ git+https://github.com/{HOME}"

import updown_lab as ul

print(f"updown_lab {{ul.__version__}}")"""
#: Runs first in every cell with points: the package that checks is read from disk again, so what a student assigned to
#: one of its names is gone. It is a hidden test, so that it stands only where work is graded.
ANEW = """\
### BEGIN HIDDEN TESTS
from sys import modules

[modules.pop(name) for name in [*modules] if name.partition(".")[0] == "updown_lab"]
### END HIDDEN TESTS
"""


@dataclass(frozen=True)
class Part:
    """One cell of an assignment.

    Attributes:
        purpose: "" for plain text and code, or one of locked, solution, check, written.
        name:    of the cell in the gradebook; "" where it has no purpose.
        points:  for check and written.
        kind:    "code" or "markdown".
        text:    all of it, solutions and hidden tests too; a check begins with ``ANEW``.
    """

    purpose: str
    name: str
    points: int
    kind: str
    text: str


def find_source(folder: Path | str, assignment: str) -> Path:
    """The source of an assignment: ``FOLDER/A1/A1.py``.

    Raises:
        DataMissing: it is not there; the message lists what is.
    """
    path = Path(folder) / assignment / f"{assignment}.py"
    if not path.exists():
        known = ", ".join(assignments(folder)) or "none"
        raise DataMissing(f"no assignment {assignment} in {folder} (there: {known}); sources travel with the project, "
                          "not with the installed package: run this from the project's folder, or name it with "
                          "--source")  # fmt: skip
    return path


def assignments(folder: Path | str) -> list[str]:
    """Names of all assignments in a folder of sources.

    >>> assignments("no such folder")
    []
    """
    return sorted(path.stem for path in Path(folder).glob("*/*.py") if path.stem == path.parent.name)


def read_source(path: Path | str) -> list[Part]:
    """The cells of a source, in order.

    Raises:
        DataInvalid: a name twice, points missing or out of place, a region that would not be taken out.
    """
    parts = [_part(cell, Path(path).name) for cell in _jupytext().read(path, fmt="py:percent").cells]
    names = [part.name for part in parts if part.name]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise DataInvalid(f"{path}: two cells are called {sorted(twice)[0]!r}; the gradebook knows cells by name")
    return parts


def source_notebook(parts: list[Part], name: str) -> dict:
    """The notebook that nbgrader makes a student version from, with its metadata; the same parts give the same bytes.

    Args:
        parts: of ``read_source``; the first is the title. Badge and setup are added.
        name:  of the assignment.
    """
    import nbformat

    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": KERNEL, "language_info": {"name": "python"}})
    badge = Part("", "", 0, "markdown", BADGE.format(home=HOME, name=name))
    setup = Part("locked", "setup", 0, "code", SETUP)
    for number, part in enumerate([badge, parts[0], setup, *parts[1:]]):
        make = nbformat.v4.new_code_cell if part.kind == "code" else nbformat.v4.new_markdown_cell
        cell = make(part.text, id=part.name or f"cell-{number}")
        if part.purpose:
            cell.metadata["nbgrader"] = _metadata(part)
        notebook.cells.append(cell)
    return notebook


def leaks(parts: list[Part], released: str) -> list[str]:
    """Lines of solutions and hidden tests that stand anywhere in a student version: cells, outputs or metadata.

    Args:
        parts:    of the source.
        released: the student version, as it lies on disk.

    >>> part = Part("solution", "f", 0, "code", "### BEGIN SOLUTION\\n    return 42\\n    ### END SOLUTION")
    >>> leaks([part], '{"cells": [{"metadata": {"note": "try return 42"}}]}')
    ['return 42']
    """
    secret, shown = set(), set()
    for part in parts:
        inside = False
        for line in map(str.strip, part.text.splitlines()):
            inside = (inside or line.startswith("### BEGIN")) and not line.startswith("### END")
            (secret if inside else shown).add(line)
    said = "\n".join(_strings(json.loads(released)))
    secret = {line for line in secret - shown if len(line) > 5} | {SOLUTION, HIDDEN}
    return sorted(line for line in secret if line in said)


def _strings(value) -> Iterator[str]:
    """Every text in a JSON document, names of entries too; a cell's lines come joined."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield name
            yield from _strings(entry)
    elif isinstance(value, list):
        joined = all(isinstance(entry, str) for entry in value)
        yield from ["".join(value)] if joined else (text for entry in value for text in _strings(entry))


def _part(cell, file: str) -> Part:
    given = cell.metadata
    purposes = [purpose for purpose in PURPOSES if purpose in given]
    if len(purposes) > 1:
        raise DataInvalid(f"{file}: a cell is {' and '.join(purposes)}; it can have one purpose")
    purpose = purposes[0] if purposes else ""
    text = ANEW + cell.source if purpose == "check" else cell.source
    part = Part(purpose, given.get(purpose, ""), int(given.get("points", 0)), cell.cell_type, text)
    if (purpose in ("check", "written")) != (part.points > 0):
        raise DataInvalid(f"{file}, cell {part.name or part.text[:30]!r}: cells that check or are written have points, "
                          f"others have none; got {part.points}")  # fmt: skip
    if (SOLUTION in part.text) != (purpose in ("solution", "written")):
        raise DataInvalid(f"{file}, cell {part.name or part.text[:30]!r}: `{SOLUTION}` stands in solution and written "
                          "cells, and only there")  # fmt: skip
    if HIDDEN in part.text and purpose != "check":
        raise DataInvalid(f"{file}, cell {part.name or part.text[:30]!r}: `{HIDDEN}` stands in check cells only")
    return part


def _metadata(part: Part) -> dict:
    graded = {"points": part.points} if part.points else {}
    return {
        "grade": part.points > 0,
        "grade_id": part.name,
        "locked": part.purpose in ("locked", "check"),
        "schema_version": 3,
        "solution": part.purpose in ("solution", "written"),
        "task": False,
        **graded,
    }


def _jupytext():
    try:
        import jupytext
    except ImportError:
        raise DataMissing(f"coursework needs jupytext to read the sources; get it with: {INSTALL}") from None
    return jupytext
