"""Features of a folder of pictures."""

import sys

from updown_lab.commands.parsing import command, finished_options


def add(commands) -> None:
    """extract."""
    extract = command(commands, "extract", extract_folder, "encode a folder of pictures into a feature store")
    extract.add_argument("pictures", help="folder with jpg, png, webp, bmp")
    extract.add_argument("--store", required=True, help="folder to write the features to")
    finished_options(extract)


def extract_folder(options) -> int:
    """Encode every picture of a folder; the unreadable ones are listed."""
    from updown_lab.pipeline.extracting import extract_pictures

    kept, problems = extract_pictures(options.pictures, options.store, options.run_folder, options.features)
    print(f"{kept} pictures in {options.store}")
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    return 1 if problems else 0
