"""What every notebook has in common: badge, setup, one switch of size, predictions, claims, a surprise, exercises."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
FOLDER = HOUSE / "notebooks"
BOOKS = sorted(FOLDER.glob("*.ipynb"))
NAMES = [book.name for book in BOOKS]
BADGE = re.compile(
    r"\[!\[Open In Colab\]\(https://colab\.research\.google\.com/assets/colab-badge\.svg\)\]"
    r"\(https://colab\.research\.google\.com/github/(?P<owner>[\w-]+)/updown_lab/blob/main/notebooks/(?P<name>[\w.]+)\)"
)
MAGIC = re.compile(r"^\s*[%!].*$", re.MULTILINE)
every = pytest.mark.parametrize("book", BOOKS, ids=NAMES)


def cells(book: Path) -> list[dict]:
    return json.loads(book.read_text())["cells"]


def texts(book: Path, kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in cells(book) if cell["cell_type"] == kind]


def absolute_paths(text: str) -> list[str]:
    """Paths that exist on one person's machine only; addresses of the web are none."""
    return re.findall(r"""["'(\s=](/(?:home|work|tmp|root|content|Users|mnt|usr)\b[^\s"')]*|[A-Z]:\\[^\s"')]*)""", text)


def test_there_are_ten_in_reading_order():
    assert [name[:2] for name in NAMES] == [f"{number:02d}" for number in range(10)]


@every
def test_the_badge_is_one_line_and_opens_this_notebook(book):
    badge = BADGE.fullmatch(texts(book, "markdown")[0])

    assert cells(book)[0]["cell_type"] == "markdown" and badge
    assert badge["name"] == book.name


@every
def test_the_setup_cell_is_the_same_in_all(book):
    setup = texts(book, "code")[0]

    assert setup == texts(BOOKS[0], "code")[0]
    assert cells(book)[2]["cell_type"] == "code", "badge, title, setup"
    assert BADGE.fullmatch(texts(book, "markdown")[0])["owner"] in setup, "the badge and the setup name one owner"


@every
def test_nothing_that_colab_brings_is_installed(book):
    code = "\n".join(texts(book, "code"))
    installs = [line for line in code.splitlines() if "pip install" in line]

    assert len(installs) == 1 and "updown_lab @ git" in installs[0]
    assert not re.search(
        r"pip install[^\n]*\b(torch|torchvision|numpy|pandas|ipywidgets)\b", "\n".join(texts(book, "markdown"))
    )


@every
def test_it_is_listed(book):
    assert f"({book.name})" in (FOLDER / "README.md").read_text()


@every
def test_outputs_are_stripped_and_only_what_matters_is_kept(book):
    whole = json.loads(book.read_text())

    assert [c for c in cells(book) if c.get("outputs") or c.get("execution_count")] == []
    assert set(whole["metadata"]) <= {"kernelspec", "language_info"}
    assert [c["metadata"] for c in cells(book) if set(c["metadata"]) - {"tags"}] == []
    assert len({cell["id"] for cell in cells(book)}) == len(cells(book))


@every
def test_no_path_is_of_one_machine(book):
    assert absolute_paths("\n".join(texts(book, "code") + texts(book, "markdown"))) == []


def test_the_rule_of_paths_sees_them():
    assert absolute_paths("open('/home/me/a.jpg') and \"C:\\\\x\"") != []
    assert absolute_paths("https://github.com/work/tmp and a/tmp/b and data/prepared") == []


@every
def test_it_asks_predicts_claims_surprises_and_leaves_exercises(book):
    prose, code = "\n".join(texts(book, "markdown")), "\n".join(texts(book, "code"))

    assert texts(book, "markdown")[1].startswith(f"# {book.name[:2]} · ")
    assert "**The question.**" in texts(book, "markdown")[1]
    assert prose.lower().count("predict") >= 2
    assert re.search(r"^\s*(assert |torch\.testing\.assert_close)", code, re.MULTILINE)
    assert "## The surprise" in prose
    assert prose.index("## The surprise") < prose.index("## Exercises")
    assert len(re.findall(r"^\d\. ", prose[prose.index("## Exercises") :], re.MULTILINE)) >= 4


@every
def test_one_cell_switches_the_size(book):
    switches = [text for text in texts(book, "code") if re.search(r"^PAPER\b[^=]*=", text, re.MULTILINE)]

    assert len(switches) == 1
    assert "**The size.**" in "\n".join(texts(book, "markdown"))


@every
def test_a_reader_can_take_in_every_cell(book):
    long = [text for text in texts(book, "code") if len(text.splitlines()) > 30]

    assert long == []


@every
def test_code_is_python(book):
    for text in texts(book, "code"):
        compile(
            MAGIC.sub(lambda line: line[0][: len(line[0]) - len(line[0].lstrip())] + "pass", text), book.name, "exec"
        )


@pytest.mark.parametrize("action", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff_is_content(action):
    ruff = shutil.which("ruff") or shutil.which("ruff", path=str(Path(sys.executable).parent))
    if ruff is None:
        pytest.skip("needs ruff: pip install ruff")

    done = subprocess.run([ruff, *action, str(FOLDER)], capture_output=True, text=True, cwd=HOUSE)

    assert done.returncode == 0, done.stdout + done.stderr
