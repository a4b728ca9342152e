"""``make bench``: run the comparisons, print them, and write runs/bench/bench.json."""

import argparse
import importlib
import os
import pkgutil
from dataclasses import asdict
from pathlib import Path

import torch

import bench
from updown_lab.files import read_json, write_json

HELPERS = {"__main__", "harness"}
MODULES = (item.name for item in pkgutil.iter_modules(bench.__path__) if not (item.ispkg or item.name in HELPERS))
TOPICS = {name.replace("_", "-"): f"bench.{name}" for name in sorted(MODULES)}


def main() -> None:
    """Run the topics that were asked for; records of the others stay in the file."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"some of {', '.join(TOPICS)}; default all")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer rounds: does it run at all?")
    parser.add_argument("--out", default="runs/bench/bench.json")
    options = parser.parse_args()
    unknown = sorted(set(options.topics) - set(TOPICS))
    if unknown:
        parser.error(f"no topic {unknown[0]!r}; known: {', '.join(TOPICS)}")
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}, load {load:.1f}")
    for topic in options.topics or TOPICS:
        for record in importlib.import_module(TOPICS[topic]).records(options.quick):
            print(record, flush=True)
            _keep(
                Path(options.out), asdict(record) | {"topic": topic, "quick": options.quick, "load": os.getloadavg()[0]}
            )


def _keep(path: Path, entry: dict) -> None:
    """Put one record into the file, in place of an older one of its name."""
    entries = [item for item in (read_json(path) if path.exists() else []) if item["name"] != entry["name"]]
    write_json(path, [*entries, entry], indent=1)


if __name__ == "__main__":
    main()
