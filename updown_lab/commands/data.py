"""Data from elsewhere: download it, prepare it for training."""

from pathlib import Path

from updown_lab.commands.parsing import command
from updown_lab.errors import ConfigError


def add(commands) -> None:
    """download, prepare."""
    fetch = command(commands, "download", download_names, "fetch data sets and published weights")
    fetch.add_argument("names", nargs="*", metavar="NAME", help="what to fetch; --list shows all")
    fetch.add_argument("--root", default="data", help="data folder (default %(default)s)")
    fetch.add_argument("--list", action="store_true", help="show what there is, how large, under which licence")
    fetch.add_argument("--dry-run", action="store_true", help="say what would be fetched, and stop")
    fetch.add_argument("--keep", action="store_true", help="keep archives after unpacking")
    ready = command(commands, "prepare", prepare_names, "turn downloads into what training reads")
    ready.add_argument("names", nargs="+", metavar="NAME", help="coco, visual-genome, vqa2, glove")
    ready.add_argument("--root", default="data", help="data folder (default %(default)s)")
    ready.add_argument("--out", help="where to write (default ROOT/prepared)")
    ready.add_argument("--count-names", nargs=2, type=int, metavar=("OBJECTS", "ATTRIBUTES"),
                       help="visual-genome: learn the commonest names of the training photos, for instance 1600 400, "
                            "instead of the authors' lists")  # fmt: skip


def download_names(options) -> None:
    """Fetch, or show what there is."""
    from updown_lab.datasets.catalogue import CATALOGUE, find_entry, in_words
    from updown_lab.datasets.download import download, is_there

    if options.list:
        for name, entry in CATALOGUE.items():
            there = "there" if is_there(entry, options.root) else ""
            size = in_words(sum(file.size for file in entry.files))
            print(f"{name:<22}{size:>9}  {there:<6}{entry.purpose} ({entry.licence})")
        return
    if not options.names:
        raise ConfigError("say what to download; `updown-lab download --list` shows what there is")
    entries = {name: find_entry(name) for name in options.names}  # a typo should not cost the first download
    for name, entry in entries.items():
        print(f"{name}: {entry.purpose}; licence: {entry.licence}")
        if options.dry_run:
            for file in entry.files:
                print(f"  {file.url}  {in_words(file.size)} -> {Path(options.root) / entry.folder}")
            continue
        new = download(name, entry, options.root, options.keep)
        found = f"{len(new)} new files" if new else "everything is there"
        print(f"{name}: {found} in {Path(options.root) / entry.folder}")


def prepare_names(options) -> None:
    """Turn downloads into what training reads, with a report of what was kept and dropped."""
    from updown_lab.datasets.prepare import PREPARED, prepare
    from updown_lab.pipeline.answer_lists import write_published_answers

    unknown = [name for name in options.names if name not in PREPARED]
    if unknown:
        raise ConfigError(f"nothing called {unknown[0]!r} to prepare; known: {', '.join(PREPARED)}")
    if options.count_names and "visual-genome" not in options.names:
        raise ConfigError("--count-names makes the lists of visual-genome; add that name")
    for name in options.names:
        out = Path(options.out or Path(options.root) / "prepared")
        report = prepare(name, options.root, out, options.count_names)
        if name == "vqa2":
            report["answers of 9 questions or more, train and val (answers.json)"] = write_published_answers(out / name)
        for text, number in report.items():
            print(f"{name}: {text}: {number:,}" if isinstance(number, int) else f"{name}: {text}: {number}")
