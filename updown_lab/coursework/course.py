"""A course folder, worked on by nbgrader: student versions out, submissions in, points and feedback out.

COURSE/source/A1/A1.ipynb                with solutions and hidden tests
COURSE/release/A1/A1.ipynb               for students
COURSE/submitted/STUDENT/A1/A1.ipynb     what came back: you put it there
COURSE/autograded/…, feedback/…          what nbgrader makes of it
COURSE/gradebook.db, grades.csv          the points
"""

import contextlib
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from updown_lab.coursework.sources import INSTALL, find_source, leaks, read_source, source_notebook
from updown_lab.errors import ConfigError, DataInvalid, DataMissing, UpdownError
from updown_lab.files import atomic_path

SECONDS_A_CELL = 120
STUB = "# YOUR CODE HERE\nraise NotImplementedError()"


def build(course: Path | str, source: Path | str, assignment: str) -> Path:
    """Make the student version of an assignment.

    Args:
        course:     the course folder; made if there is none.
        source:     folder of the sources, ``coursework/source``.
        assignment: for instance "A1".

    Returns:
        The student version, ``COURSE/release/A1/A1.ipynb``.

    Raises:
        DataMissing: no such assignment, or nbgrader or jupytext is not installed.
        DataInvalid: the source is not well formed, or something of a solution or of a hidden test would go out.
        UpdownError: nbgrader refused; its own words are in the message.
    """
    _nbgrader()
    import nbformat

    parts = read_source(find_source(source, assignment))
    with atomic_path(Path(course) / "source" / assignment / f"{assignment}.ipynb") as draft:
        nbformat.write(source_notebook(parts, assignment), draft)
    _run("GenerateAssignment", course, assignment)
    released = Path(course) / "release" / assignment / f"{assignment}.ipynb"
    found = leaks(parts, released.read_text(encoding="utf-8"))
    if found:
        released.unlink()
        raise DataInvalid(f"the student version of {assignment} shows {found[0]!r} from a solution or hidden test; "
                          "it was taken away again; keep that line between BEGIN and END")  # fmt: skip
    return released


def grade(course: Path | str, assignment: str, student: str = "*") -> pd.DataFrame:
    """Run what students handed in, with all tests, and count points. **This runs their code.**

    Args:
        course:     the course folder.
        assignment: built there before.
        student:    one of them; "*" for all who handed in.

    Returns:
        As ``points``; also written to ``COURSE/grades.csv``.

    Raises:
        DataMissing: not built, nothing handed in, or nbgrader is not installed.
        UpdownError: nbgrader refused.
    """
    _nbgrader()
    _built(course, assignment)
    place = Path(course) / "submitted"
    if not list(place.glob(f"{student}/{assignment}/{assignment}.ipynb")):
        raise DataMissing(f"nothing to grade: no {place}/{'STUDENT' if student == '*' else student}/{assignment}/"
                          f"{assignment}.ipynb; put the notebook that came back there, under that name")  # fmt: skip
    try:
        _run("Autograde", course, assignment, student)
    finally:  # one student's notebook may end its process; the others have their points
        table = _written(course, assignment)
    return table


def give(course: Path | str, assignment: str, student: str, cell: str, score: float) -> pd.DataFrame:
    """Write down the points that a person gives, for an answer in words or against the tests. Runs nothing.

    Args:
        course, assignment, student: graded before.
        cell:  its name in the gradebook, for instance "verdict".
        score: points, from 0 to the cell's.

    Returns:
        As ``points``.

    Raises:
        DataMissing: this student's work was not graded yet.
        ConfigError: no such cell, or more points than it has.
    """
    table = points(course, assignment)
    mine = table[table["student"] == student].set_index("cell")
    if mine.empty:
        raise DataMissing(f"{student} has no graded {assignment}; first: updown-lab coursework grade {assignment}")
    if cell not in mine.index:
        raise ConfigError(f"no cell {cell!r} in {assignment}; with points: {', '.join(mine.index)}")
    most = mine.loc[cell, "of"]
    if not 0 <= score <= most:
        raise ConfigError(f"{cell} has {most:g} points, got {score:g}")
    with _gradebook(course) as book:
        entry = book.find_grade(cell, assignment, assignment, student)
        entry.manual_score, entry.needs_manual_grade = float(score), False
        book.db.commit()
    return _written(course, assignment)


def feedback(course: Path | str, assignment: str, student: str = "*") -> list[Path]:
    """Pages that show each student the points and the hints of every cell. They show hidden tests too.

    Returns:
        The pages, one a student.

    Raises:
        DataMissing: nothing was graded yet, or nbgrader is not installed.
        UpdownError: nbgrader refused.
    """
    _nbgrader()
    if not list((Path(course) / "autograded").glob(f"{student}/{assignment}/*.ipynb")):
        raise DataMissing(f"nothing graded in {course}; first: updown-lab coursework grade {assignment}")
    _run("GenerateFeedback", course, assignment, student)
    return sorted((Path(course) / "feedback").glob(f"{student}/{assignment}/*.html"))


def points(course: Path | str, assignment: str) -> pd.DataFrame:
    """One row a student and cell: student, cell, points, of, waits (for a person to read it)."""
    rows = []
    with _gradebook(course) as book:
        for handed_in in book.assignment_submissions(assignment):
            for notebook in handed_in.notebooks:
                cells = sorted(notebook.grades, key=lambda entry: entry.name)
                rows += [(handed_in.student.id, cell.name, cell.score, cell.max_score, cell.needs_manual_grade)
                         for cell in cells]  # fmt: skip
    return pd.DataFrame(rows, columns=["student", "cell", "points", "of", "waits"]).sort_values(["student", "cell"])


def totals(table: pd.DataFrame) -> pd.DataFrame:
    """What ``points`` sums up to, one row a student.

    >>> rows = [("ada", "iou", 3.0, 3.0, False), ("ada", "why", 0.0, 6.0, True)]
    >>> totals(pd.DataFrame(rows, columns=["student", "cell", "points", "of", "waits"])).loc["ada"].tolist()
    [3.0, 9.0, 1.0]
    """
    return table.groupby("student")[["points", "of", "waits"]].sum()


def _written(course: Path | str, assignment: str) -> pd.DataFrame:
    table = points(course, assignment)
    path = Path(course) / "grades.csv"
    others = pd.read_csv(path, dtype={"student": str}) if path.exists() else pd.DataFrame(columns=["assignment"])
    others = others[others["assignment"] != assignment]
    named = table.assign(assignment=assignment)
    with atomic_path(path) as draft:
        (pd.concat([others, named]) if len(others) else named).sort_values(
            ["assignment", "student", "cell"]
        ).to_csv(draft, index=False)  # fmt: skip
    return table


def _built(course: Path | str, assignment: str) -> None:
    if not (Path(course) / "source" / assignment / f"{assignment}.ipynb").exists():
        raise DataMissing(f"{assignment} was not built in {course}; first: updown-lab coursework build {assignment} "
                          f"--course {course}")  # fmt: skip


def _database(course: Path | str) -> str:
    return f"sqlite:///{(Path(course) / 'gradebook.db').resolve()}"


def _nbgrader():
    try:
        import nbgrader.api
        import nbgrader.converters
        import nbgrader.coursedir
    except ImportError as error:
        raise DataMissing(f"coursework needs nbgrader ({error}); get it with: {INSTALL}") from None
    return nbgrader


def _run(converter: str, course: Path | str, assignment: str, student: str = "*") -> None:
    """Let one of nbgrader's converters do its work, quietly; if it fails, say what it said."""
    from traitlets.config import Config

    nbgrader, settings = _nbgrader(), Config()
    settings.CourseDirectory.root = str(Path(course).resolve())
    settings.CourseDirectory.assignment_id = assignment
    settings.CourseDirectory.student_id = student
    settings.CourseDirectory.db_url = _database(course)
    settings.ClearSolutions.code_stub = {"python": STUB}
    settings.Execute.timeout = SECONDS_A_CELL
    folder = nbgrader.coursedir.CourseDirectory(config=settings)
    worker = getattr(nbgrader.converters, converter)(coursedir=folder, config=settings)
    worker.force = True
    with _listening(worker.log) as said, _own_programs():
        try:
            worker.start()
        except Exception as error:
            log = Path(course) / "nbgrader.log"
            log.write_text(said.getvalue(), encoding="utf-8")
            whose = sorted(set(re.findall(r"for student '([^'.]+)'", said.getvalue())))
            reason = [line for line in said.getvalue().splitlines() if re.match(r"[\w.]*(Error|Exception): ", line)]
            raise UpdownError(f"nbgrader could not finish {converter} for {' '.join([assignment, *whose])}: "
                              f"{(reason or [str(error)])[-1]}\nall that it said: {log}") from error  # fmt: skip


@contextlib.contextmanager
def _gradebook(course: Path | str):
    with _own_programs(), _nbgrader().api.Gradebook(_database(course)) as book:
        yield book


@contextlib.contextmanager
def _own_programs():
    """nbgrader calls `alembic` by name, which is beside this Python even where no environment was activated."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Object of type", module="nbgrader")  # how it fills its own tables
            yield
    finally:
        os.environ["PATH"] = before


@contextlib.contextmanager
def _listening(log: logging.Logger, names: Sequence[str] = ("alembic", "traitlets")):
    """What is logged goes into a string instead of onto the screen."""
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    loggers = [log, *map(logging.getLogger, names)]
    before = [(each, each.handlers[:], each.propagate) for each in loggers]
    for each in loggers:
        each.handlers, each.propagate = [handler], False
    try:
        yield said
    finally:
        for each, handlers, propagate in before:
            each.handlers, each.propagate = handlers, propagate
