"""What every notebook has in common: badge, setup, one switch of size, predictions, claims, a surprise, exercises."""

import ast
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


def plain_python(cell: str) -> str:
    """A cell's code with its %magic and !shell lines turned into pass."""
    return MAGIC.sub(lambda line: line[0][: len(line[0]) - len(line[0].lstrip())] + "pass", cell)


def switches(book: Path) -> list[int]:
    """Which code cells set PAPER."""
    return [n for n, text in enumerate(texts(book, "code")) if re.search(r"^PAPER\b[^=]*=", text, re.MULTILINE)]


def unused(switch: str, later: str) -> set[str]:
    """Names that the switch gives a value and nobody reads, in its own cell or later."""
    stored, read = set(), set()
    for part in (switch, later):
        for node in ast.walk(ast.parse(plain_python(part))):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
                read.add(node.id)
            elif isinstance(node, ast.Name) and part is switch:
                stored.add(node.id)
    return stored - read


@every
def test_one_cell_switches_the_size(book):
    assert len(switches(book)) == 1
    assert "**The size.**" in "\n".join(texts(book, "markdown"))


@every
def test_whatever_the_switch_sets_is_used(book):
    (place,), code = switches(book), texts(book, "code")

    assert unused(code[place], "\n".join(code[place + 1 :])) == set()


def test_the_rule_of_the_switch_sees_what_nobody_uses():
    assert unused('PAPER, DATA = False, "data"\nrun = open(DATA) if PAPER else None', "print(3)") == {"run"}
    assert unused('PAPER, DATA = False, "data"', "if PAPER:\n    DATA = 3") == {"DATA"}


#: Cells that may be longer, by notebook: (what they begin with, why).
LONG = {}  # type: dict[str, list[tuple[str, str]]]


def long_cells(code: list[str], allowed: list[str]) -> list[str]:
    """First lines of the cells with more than 15 lines that are not blank."""
    long = [text for text in code if sum(bool(line.strip()) for line in text.splitlines()) > 15]
    return [text.splitlines()[0] for text in long if not text.startswith(tuple(allowed))]


@every
def test_a_reader_can_take_in_every_cell(book):
    assert long_cells(texts(book, "code"), [start for start, _ in LONG.get(book.name, [])]) == []


def test_the_rule_of_long_cells_counts_what_is_not_blank():
    assert long_cells(["x = 1\n\n" * 15, "y = 1\n" * 16, "z = 1\n" * 16], ["z"]) == ["y = 1"]


@every
def test_code_is_python(book):
    for text in texts(book, "code"):
        compile(plain_python(text), book.name, "exec")


@pytest.mark.parametrize("action", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff_is_content(action):
    ruff = shutil.which("ruff") or shutil.which("ruff", path=str(Path(sys.executable).parent))
    if ruff is None:
        pytest.skip("needs ruff: pip install ruff")

    done = subprocess.run([ruff, *action, str(FOLDER)], capture_output=True, text=True, cwd=HOUSE)

    assert done.returncode == 0, done.stdout + done.stderr
