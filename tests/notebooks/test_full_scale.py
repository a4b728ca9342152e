"""The commands of notebook 09 can be typed: the library's own parser reads them, and each finds what it needs."""

import json
import re
import shlex
from pathlib import Path

import pytest

from updown_lab.cli import _parser
from updown_lab.commands.parsing import config_of
from updown_lab.datasets.catalogue import CATALOGUE
from updown_lab.datasets.prepare import PREPARED, prepare
from updown_lab.errors import DataMissing
from updown_lab.pipeline.plans import make_plan

BOOK = Path(__file__).parents[2] / "notebooks" / "09_full_scale.ipynb"
VECTORS = "data/prepared/glove/glove.6B.300d.npz"
#: What each kind of preparing reads, or points to.
NEEDS = {
    "coco": {"karpathy", "coco-annotations", "coco-images"},
    "visual-genome": {"karpathy", "visual-genome", "genome-vocabulary"},
    "vqa2": {"karpathy", "vqa2"},
    "glove": {"glove"},
}


def commands_of(text: str) -> list[list[str]]:
    """The words of each command in the bash blocks of a text; variables are filled in as a shell would."""
    known, found = {}, []
    for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            line = re.sub(r"\$(\w+)", lambda match: known[match[1]], line)
            if set_here := re.fullmatch(r"(\w+)=\"(.*)\"", line):
                known[set_here[1]] = set_here[2]
            elif words := shlex.split(line, comments=True):
                found.append(words)
    return found


CELLS = json.loads(BOOK.read_text())["cells"]
COMMANDS = commands_of("\n".join("".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "markdown"))
LINES = pytest.mark.parametrize("words", COMMANDS, ids=[" ".join(words[1:3]) for words in COMMANDS])


def parsed(words: list[str]):
    """Options of a command, or None if the library does not know it so."""
    try:
        return _parser().parse_args(words[1:])
    except SystemExit:
        return None


def of_kind(name: str) -> list:
    return [options for options in map(parsed, COMMANDS) if options.command == name]


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder where the word vectors lie as a setting wants them."""
    monkeypatch.chdir(tmp_path)
    Path(VECTORS).parent.mkdir(parents=True)
    Path(VECTORS).touch()


@LINES
def test_every_command_is_one_of_the_librarys(words):
    assert words[0] == "updown-lab" and parsed(words) is not None


def test_the_parser_sees_what_cannot_be_typed():
    text = '```bash\nAS="--prest paper"\nupdown-lab train detector $AS  # a typo\n```'

    assert commands_of(text) == [["updown-lab", "train", "detector", "--prest", "paper"]]
    assert parsed(commands_of(text)[0]) is None


def test_nothing_is_prepared_before_it_is_downloaded():
    there = set()
    for options in map(parsed, COMMANDS):
        if options.command == "download":
            assert set(options.names) <= set(CATALOGUE)
            there |= set(options.names)
        if options.command == "prepare":
            assert set().union(*(NEEDS[name] for name in options.names)) <= there
    assert {name for options in of_kind("prepare") for name in options.names} == set(PREPARED) == set(NEEDS)


@pytest.mark.parametrize("name", PREPARED)
def test_what_preparing_asks_for_first_is_among_its_needs(name, tmp_path):
    with pytest.raises(DataMissing) as missing:
        prepare(name, tmp_path / "data", tmp_path / "out")

    assert re.search(r"updown-lab download ([\w-]+)", str(missing.value))[1] in NEEDS[name]


def reads(options) -> list[str]:
    """Paths that a command needs."""
    if options.command == "extract":
        return [options.pictures, *([options.weights] if "/" in options.weights else [])]
    if options.command == "evaluate":
        return [options.results, options.captions]
    settings = dict(change.split("=", 1) for change in getattr(options, "changes", []))
    stores = [pair.split("=")[1] for pair in settings.pop("stores", "").split(",") if pair]
    eyes = ["data/visual_genome/VG_100K"] if options.command == "train" and not stores else []
    return [*stores, *eyes, *(value for value in settings.values() if value.startswith("data/"))]


def makes(options) -> list[str]:
    """Paths that are there once a command is done."""
    if options.command == "download":
        photos = {"coco-images": "data/coco", "visual-genome-images": "data/visual_genome/VG_100K"}
        annotations = {
            "coco-annotations": "data/coco/annotations/captions_val2014.json",
            "detector-weights": "data/weights/frcnn-vg-finetuned",
        }
        return [path for name, path in (photos | annotations).items() if name in options.names]
    if options.command == "prepare":
        return ["data/prepared", *(VECTORS for name in options.names if name == "glove")]
    if options.command == "train":
        return [f"{options.out}/stages/{options.stage}/captions.json"]
    return [options.store if options.command == "extract" else getattr(options, "out", "")]


def test_every_command_finds_what_those_before_it_have_made():
    there = set()
    for options in map(parsed, COMMANDS):
        assert set(reads(options)) <= there, options
        there |= set(makes(options))


@pytest.mark.parametrize("options", of_kind("train"), ids=lambda options: f"{options.out} {options.stage}")
def test_every_stage_is_one_of_its_run_and_nobody_looks_twice(options, data):
    plan = make_plan(config_of(options), options.out)
    needed = [stage.name for stage in plan.upto(options.stage).stages]

    assert options.stage in needed and options.preset == "paper" and options.out != "runs/quickstart"
    assert ("detector" in needed) == (options.out == "runs/own-eyes")


def test_all_commands_of_a_run_have_the_same_settings(data):
    runs = {}
    for options in of_kind("train"):
        runs.setdefault(options.out, []).append(config_of(options))

    assert set(runs) == {"runs/real", "runs/own-eyes"}, "notebooks 00 and 08 open runs/real"
    assert all(config == configs[0] for configs in runs.values() for config in configs)
