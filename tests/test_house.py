"""The rules of the house: imports run one way, files and functions stay small, every door has a sign."""

import ast
import re
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1] / "updown_lab"
MODULES = {
    ".".join(("updown_lab", *file.relative_to(HOUSE).with_suffix("").parts)).removesuffix(".__init__"): file
    for file in sorted(HOUSE.rglob("*.py"))
}
#: Rooms from the ground up. A module may use its own room and the floors below, not the room next door.
FLOORS = (
    ("ground",),
    ("vision",),
    ("store", "datasets"),
    ("models",),
    ("decode", "metrics"),
    ("training",),
    ("analysis",),
    ("pipeline",),  # the report is told with analysis' pictures, so it stands one floor above them
    ("demo",),
    ("widgets", "coursework"),
    ("door",),
)
SHARED = {
    **dict.fromkeys(("", "config", "settings", "choices", "errors", "files", "pickles", "regions"), "ground"),
    **dict.fromkeys(("text", "presets", "checkpoints", "progress"), "ground"),
    "commands": "door", "cli": "door", "__main__": "door",
}  # fmt: skip
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def room_of(module: str) -> str:
    """The room of a module: its package, or for the single files the room they share."""
    first = [*module.split("."), ""][1]
    return SHARED.get(first, first)


def imports_of(tree: ast.Module):
    """(line, name) of everything imported from this library, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names if name.name.split(".")[0] == "updown_lab")
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "." * node.level + (node.module or "")
        elif isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "updown_lab":
            for name in node.names:  # "from updown_lab import decode" means the module, not the package
                whole = f"{node.module}.{name.name}"
                yield node.lineno, whole if whole in MODULES else node.module


def wrong_imports(module: str, source: str) -> list[str]:
    """Imports that go up, or next door."""
    mine, wrong = room_of(module), []
    for line, name in imports_of(ast.parse(source)):
        theirs = room_of(name)
        if name.startswith("."):
            wrong.append(f"{module}, line {line}: relative import {name}; write updown_lab. in full")
        elif theirs != mine and FLOOR_OF[theirs] >= FLOOR_OF[mine]:
            wrong.append(f"{module}, line {line}: {mine} may not import {name}")
    return wrong


def definitions(tree: ast.AST, owner: str = "", public: bool = True):
    """(qualified name, node, is public) of every function and class, those inside functions as private."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name, seen = f"{owner}{node.name}", public and not node.name.startswith("_")
            yield name, node, seen
            yield from definitions(node, f"{name}.", seen and isinstance(node, ast.ClassDef))
        else:
            yield from definitions(node, owner, public)


def code_lines(node, source: list[str]) -> int:
    """Lines of a function without its docstring, empty lines and comments."""
    first, last = node.lineno, node.end_lineno
    skipped = set()
    if ast.get_docstring(node) is not None:
        skipped = set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = (source[number - 1].strip() for number in range(first, last + 1) if number not in skipped)
    return sum(bool(line) and not line.startswith("#") for line in lines)


def test_every_module_has_a_floor():
    assert {room_of(module) for module in MODULES} == set(FLOOR_OF)


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module):
    assert wrong_imports(module, MODULES[module].read_text()) == []


@pytest.mark.parametrize(
    ("module", "source", "faults"),
    [
        ("updown_lab.text", "from updown_lab.files import read_json", 0),
        ("updown_lab.text", "def f():\n    import updown_lab.vision.images", 1),
        ("updown_lab.vision.images", "from updown_lab import config, decode", 1),
        ("updown_lab.store.tsv", "from updown_lab.datasets.coco import read_karpathy", 1),
        ("updown_lab.models.vqa", "from updown_lab.models.attention import a\nfrom updown_lab.vision import b", 0),
        ("updown_lab.decode", "from updown_lab.metrics import java", 1),
        ("updown_lab.analysis.plots", "from updown_lab.pipeline.stages import Work", 1),
        ("updown_lab.cli", "from updown_lab import __version__\nfrom updown_lab.pipeline import plans", 0),
        ("updown_lab.training.loop", "from .losses import vqa_loss", 1),
    ],
)
def test_the_rule_of_imports_sees_what_is_wrong(module, source, faults):
    assert len(wrong_imports(module, source)) == faults


def silent(tree: ast.Module) -> list[str]:
    """Public functions and classes without a docstring.

    A method may be explained elsewhere in its file: by the base class, by the protocol that it fulfils, or, if it is
    the ``forward`` of a class that does nothing else, by the class.
    """
    found = list(definitions(tree))
    told = {name for name, node, _ in found if ast.get_docstring(node)}
    classes = {name: node for name, node, _ in found if isinstance(node, ast.ClassDef)}
    bases = {name: [base.id for base in node.bases if isinstance(base, ast.Name)] for name, node in classes.items()}
    protocols = [name for name in classes if "Protocol" in bases[name]]

    def explained(name: str) -> bool:
        owner, _, method = name.rpartition(".")
        if name in told or owner not in classes:
            return name in told
        doors = [door for door, _, public in found if public and door.rpartition(".")[0] == owner]
        if method == "forward" and doors == [name]:
            return True
        return any(explained(f"{other}.{method}") for other in {*bases[owner], *protocols} - {owner})

    return [name for name, _, public in found if public and not explained(name)]


@pytest.mark.parametrize("module", MODULES)
def test_everything_public_says_what_it_is_for(module):
    tree = ast.parse(MODULES[module].read_text())

    assert ast.get_docstring(tree) is not None or not tree.body, f"{module} has no docstring"
    assert silent(tree) == []


def test_the_rule_of_docstrings_sees_what_is_silent():
    told, mute = "def run(self):\n        'Run.'", "def run(self): pass"
    source = f"""class Base:
    'One.'
    {told}
class Child(Base):
    'Two.'
    {mute}
class Stranger:
    'Three.'
    {mute}
    def _hidden(self): pass
class Shape(Protocol):
    'Four.'
    def area(self): 'Size.'
class Circle:
    'Five.'
    def area(self): pass
    def forward(self): pass
class Layer:
    'Six.'
    def forward(self): pass
def walk():
    def inner(): pass
"""
    assert silent(ast.parse(source)) == ["Stranger.run", "Circle.forward", "walk"]


@pytest.mark.parametrize("module", MODULES)
def test_files_and_functions_can_be_read_in_one_go(module):
    source = MODULES[module].read_text().splitlines()
    functions = [(name, code_lines(node, source)) for name, node, _ in definitions(ast.parse("\n".join(source)))
                 if not isinstance(node, ast.ClassDef)]  # fmt: skip

    assert len(source) <= 350
    assert [(name, lines) for name, lines in functions if lines > 45] == []


def test_code_lines_leave_out_docstring_comments_and_gaps():
    source = ["def f():", '    """One', "", '    two."""', "", "    # why", "    return 1"]

    [(name, node, _)] = definitions(ast.parse("\n".join(source)))

    assert (name, code_lines(node, source)) == ("f", 2)


@pytest.mark.parametrize("module", MODULES)
def test_nothing_asks_for_one_kind_of_device(module):
    assert not re.search(r"\.cuda\(", MODULES[module].read_text()), "use .to(device) or the device of a tensor"
