"""The command line: ``python -m updown_lab COMMAND``."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from updown_lab import __version__
from updown_lab.commands import (
    ablating,
    answering,
    bundling,
    convert,
    coursework,
    data,
    extract,
    judging,
    looking,
    runs,
)
from updown_lab.errors import UpdownError

FAMILIES = (runs, data, extract, convert, looking, answering, judging, bundling, ablating, coursework)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 if all went well, 1 if there was something to mend (said in one message), 130 after an interrupt.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except UpdownError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever reads has seen enough: updown-lab ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what Python still wants to say at its end
        return 0
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    called = "updown-lab" if Path(sys.argv[0]).stem == "updown-lab" else "python -m updown_lab"
    parser = argparse.ArgumentParser(
        prog=called, description="Bottom-up and top-down attention: learn it, run it, take it apart.",
        epilog=f"Start with: {called} quickstart",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for family in FAMILIES:
        family.add(commands)
    return parser
