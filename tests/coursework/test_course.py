"""Build, grade and feedback with nbgrader itself: what goes out, what comes back, and what is said when it cannot."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from seeded import POINTS, SOURCES, WRONG, blank, changed, full, reference

from updown_lab.cli import main
from updown_lab.coursework import course
from updown_lab.coursework.sources import Part, source_notebook
from updown_lab.errors import DataInvalid, UpdownError

ROOT = Path(__file__).parents[2]
nbformat = pytest.importorskip("nbformat", reason="needs the extra teach: pip install -e .[teach]")
pytest.importorskip("nbgrader", reason="needs the extra teach: pip install -e .[teach]")
pytest.importorskip("jupytext", reason="needs the extra teach: pip install -e .[teach]")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A course folder with all four student versions."""
    folder = tmp_path_factory.mktemp("course")
    for assignment in POINTS:
        course.build(folder, SOURCES, assignment)
    return folder


@pytest.fixture
def own(built, tmp_path, monkeypatch):
    """A copy of it, where kernels import this checkout."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Path(shutil.copytree(built, tmp_path / "course"))


def hand_in(folder: Path, student: str, assignment: str, parts: list[Part]) -> None:
    """Put a student's work where a teacher would."""
    place = folder / "submitted" / student / assignment
    place.mkdir(parents=True)
    nbformat.write(source_notebook(parts, assignment), place / f"{assignment}.ipynb")


def failure(capsys, *arguments) -> str:
    """The one message of a command that must fail."""
    assert main(["coursework", *map(str, arguments)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "Traceback" not in said
    return said


def texts(value):
    """Every text of a JSON document, names too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield from (name, *texts(entry))
    elif isinstance(value, list):
        yield "".join(value) if value and all(isinstance(entry, str) for entry in value) else ""
        yield from (text for entry in value for text in texts(entry))


# ------------------------------------------------------------------------------------------------ what goes out


@pytest.mark.parametrize("assignment", POINTS)
def test_no_line_of_a_solution_or_hidden_test_goes_out(built, assignment):
    released = json.loads((built / "release" / assignment / f"{assignment}.ipynb").read_text())
    said = "\n".join(texts(released))
    source = (SOURCES / assignment / f"{assignment}.py").read_text()
    regions = re.findall(r"### BEGIN (SOLUTION|HIDDEN TESTS)\n(.*?)### END", source, re.DOTALL)
    open_lines = re.sub(r"### BEGIN (SOLUTION|HIDDEN TESTS)\n(.*?)### END", "", source, flags=re.DOTALL)

    secret = {line.strip(" #") for _, region in regions for line in region.splitlines()}
    secret = {line for line in secret if len(line) > 3 and line not in open_lines}
    assert len(secret) > 15
    assert {line for line in secret if line in said} == set()
    assert not re.search(r"SOLUTION|HIDDEN|MARK SCHEME|modules\.pop", said)


@pytest.mark.parametrize("assignment", POINTS)
def test_a_student_version_carries_only_the_metadata_that_grading_needs(built, assignment):
    released = json.loads((built / "release" / assignment / f"{assignment}.ipynb").read_text())

    assert set(released["metadata"]) == {"kernelspec", "language_info"}
    for cell in released["cells"]:
        assert set(cell) <= {"cell_type", "id", "metadata", "source", "outputs", "execution_count"}
        assert not cell.get("outputs") and cell.get("execution_count") is None
        assert set(cell["metadata"]) <= {"nbgrader", "deletable", "editable"}
        assert set(cell["metadata"].get("nbgrader", {})) <= {
            "cell_type", "checksum", "grade", "grade_id", "locked", "points", "schema_version", "solution", "task"
        }  # fmt: skip
    assert [path.name for path in (built / "release" / assignment).iterdir()] == [f"{assignment}.ipynb"]
    graded = [cell["metadata"].get("nbgrader", {}) for cell in released["cells"]]
    assert sum(cell.get("points", 0) for cell in graded) == POINTS[assignment]


@pytest.mark.parametrize("assignment", POINTS)
def test_the_student_versions_in_the_project_are_those_that_build_makes(built, assignment):
    ours = ROOT / "coursework" / "student" / f"{assignment}.ipynb"

    assert ours.read_text() == (built / "release" / assignment / f"{assignment}.ipynb").read_text(), (
        "python -m updown_lab coursework build && cp runs/coursework/release/*/*.ipynb coursework/student/"
    )


def test_a_blank_as_tested_here_is_the_blank_that_goes_out(built):
    for assignment in POINTS:
        released = json.loads((built / "release" / assignment / f"{assignment}.ipynb").read_text())
        stubs = {cell["id"]: "".join(cell["source"]) for cell in released["cells"]}

        for part in blank(reference(assignment)):
            if part.purpose == "solution":
                assert stubs[part.name] == part.text


def test_student_versions_need_nothing_but_the_package():
    names = "nbgrader jupytext nbformat nbconvert IPython"
    program = "import sys, updown_lab.coursework, updown_lab.cli; print(*(set(sys.argv[1:]) & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", program, *names.split()], cwd=ROOT, capture_output=True, text=True)

    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# Further tests of `iou` run here", "# Like sides = torch.minimum(boxes[:, None, 2:], others[:, 2:])"
         " - torch.maximum(boxes[:, None, :2], others[:, :2]): further tests run here"),
        ("# **Predict first:** two squares", "# Not assert table.min() >= 0 and table.max() <= 1 + 1e-6, \"from 0 to "
         "1\" **Predict first:** two squares"),
    ],
)  # fmt: skip
def test_a_source_that_tells_is_not_built(tmp_path, old, new):
    place = tmp_path / "source" / "A1"
    place.mkdir(parents=True)
    text = (SOURCES / "A1" / "A1.py").read_text()
    assert old in text
    (place / "A1.py").write_text(text.replace(old, new))

    with pytest.raises(DataInvalid, match="shows"):
        course.build(tmp_path / "course", tmp_path / "source", "A1")

    assert not list((tmp_path / "course" / "release").glob("*/*.ipynb"))


# ------------------------------------------------------------------------------------------------ what is said


def test_without_nbgrader_the_command_names_the_extra(own, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "nbgrader.api", None)

    for action in (["build", "--source", SOURCES], ["grade", "A1", "--here"], ["feedback", "A1"]):
        assert "pip install 'updown_lab[teach]'" in failure(capsys, *action, "--course", own)


def test_without_jupytext_the_command_names_the_extra(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "jupytext", None)

    assert "pip install 'updown_lab[teach]'" in failure(capsys, "build", "--source", SOURCES, "--course", tmp_path)


def test_mistakes_of_a_teacher_are_answered_with_what_to_do(own, tmp_path, capsys):
    here = ("--course", own)

    assert "container" in failure(capsys, "grade", "A1", *here)
    assert "submitted/STUDENT/A1/A1.ipynb" in failure(capsys, "grade", "A1", "--here", *here)
    assert "build A1" in failure(capsys, "grade", "A1", "--here", "--course", tmp_path / "none")
    assert "(there: A1, A2, A3, A4)" in failure(capsys, "build", "A7", "--source", SOURCES, *here)
    assert "--source" in failure(capsys, "build", "--source", tmp_path / "none", *here)
    assert "grade A1" in failure(capsys, "feedback", "A1", *here)
    assert "--student" in failure(capsys, "grade", "A4", "--give", "verdict=5", *here)
    assert "CELL=POINTS" in failure(capsys, "grade", "A4", "--give", "verdict", "--student", "ada", *here)
    assert "ada has no graded A4" in failure(capsys, "grade", "A4", "--give", "verdict=5", "--student", "ada", *here)


# ------------------------------------------------------------------------------------------------ what comes back


def test_a_class_of_three_is_graded_and_told(own, capsys):
    parts = reference("A1")
    wrong = next(wrong for wrong in WRONG["A1"] if wrong.name == "the dropped drop others")
    hand_in(own, "ada", "A1", parts)
    hand_in(own, "ben", "A1", wrong.applied(parts))
    shutil.copytree(own / "release" / "A1", own / "submitted" / "blank" / "A1")

    assert main(["coursework", "grade", "A1", "--here", "--course", str(own)]) == 0
    said = capsys.readouterr().out
    assert main(["coursework", "feedback", "A1", "--student", "ben", "--course", str(own)]) == 0

    points = {line.split()[0]: line.split()[1:] for line in said.splitlines()}
    assert points == {"ada": ["20", "of", "20"], "ben": ["14", "of", "20"], "blank": ["0", "of", "20"]}
    table = pd.read_csv(own / "grades.csv").set_index(["student", "cell"])["points"]
    assert table["ben"].to_dict() == full(parts) | dict.fromkeys(wrong.loses, 0)
    page = (own / "feedback" / "ben" / "A1" / "A1.html").read_text()
    assert wrong.hint in page and "14.0" in page


@pytest.mark.slow
@pytest.mark.parametrize("assignment", POINTS)
def test_nbgrader_gives_the_points_that_the_short_tests_promise(own, assignment):
    parts = reference(assignment)
    hand_in(own, "reference", assignment, parts)
    shutil.copytree(own / "release" / assignment, own / "submitted" / "blank" / assignment)
    for number, wrong in enumerate(WRONG[assignment]):
        hand_in(own, f"wrong-{number}", assignment, wrong.applied(parts))

    table = course.grade(own, assignment)

    marks = {student: rows.set_index("cell")["points"].to_dict() for student, rows in table.groupby("student")}
    written = {part.name: 0 for part in parts if part.purpose == "written"}
    assert marks.pop("reference") == full(parts) | written
    assert set(marks.pop("blank").values()) == {0}
    for number, wrong in enumerate(WRONG[assignment]):
        lost = {name: full(parts)[name] - wrong.loses[name] if name in wrong.loses else most
                for name, most in full(parts).items()}  # fmt: skip
        assert marks.pop(f"wrong-{number}") == lost | written, wrong.name
    assert marks == {}
    waiting = set(table[table["waits"]]["cell"])
    assert waiting == set(written)
    assert not table[(table["student"] == "blank") & table["waits"]].size


@pytest.mark.slow
def test_a_person_gives_the_points_of_an_answer_in_words(own, capsys):
    hand_in(own, "ada", "A4", reference("A4"))
    here = ("--course", str(own), "--student", "ada")
    assert main(["coursework", "grade", "A4", "--here", *here]) == 0
    assert "14 of 20, 1 answer(s) wait" in capsys.readouterr().out

    assert "has 6 points, got 7" in failure(capsys, "grade", "A4", "--give", "verdict=7", *here)
    assert "with points:" in failure(capsys, "grade", "A4", "--give", "verdikt=6", *here)
    assert main(["coursework", "grade", "A4", "--give", "verdict=6", *here]) == 0

    assert capsys.readouterr().out.split(maxsplit=1)[1].strip() == "20 of 20"
    assert pd.read_csv(own / "grades.csv")["points"].sum() == 20


@pytest.mark.slow
def test_tests_that_a_student_changed_or_removed_are_run_all_the_same(own):
    parts = blank(reference("A1"))
    kinder = [changed(part, "pass") if part.purpose == "check" else part for part in parts]
    hand_in(own, "kinder", "A1", kinder)
    hand_in(own, "fewer", "A1", [part for part in parts if part.purpose != "check"])
    shadow = "import updown_lab.coursework as c\nc.check_iou = c.check_nms = c.check_select = print\n"
    hand_in(own, "shadow", "A1", [changed(part, shadow + part.text) if part.name == "iou" else part for part in parts])

    table = course.grade(own, "A1")

    assert table.groupby("student")["points"].sum().to_dict() == {"kinder": 0, "fewer": 0, "shadow": 0}


@pytest.mark.slow
def test_a_notebook_that_ends_its_process_does_not_cost_the_others_their_points(own):
    parts = reference("A1")
    hand_in(own, "ada", "A1", parts)
    hand_in(
        own, "bob", "A1", [changed(part, "import os\nos._exit(0)") if part.name == "iou" else part for part in parts]
    )
    hand_in(own, "cleo", "A1", parts)

    with pytest.raises(UpdownError, match=r"A1 bob: .*[Kk]ernel"):
        course.grade(own, "A1")

    sums = pd.read_csv(own / "grades.csv").groupby("student")["points"].sum()
    assert (sums["ada"], sums["cleo"], sums.get("bob", 0)) == (20, 20, 0)
