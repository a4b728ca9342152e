"""Features of other projects: into a store and out of it; and whether a store is still what was written."""

import argparse
import sys
from pathlib import Path

from updown_lab.commands.parsing import command
from updown_lab.errors import DataMissing

#: The names in ``updown_lab.store.formats.FORMATS``, here so that --help does not wait for torch.
FORMATS = (
    "store", "bottom-up-tsv", "lxmert-tsv", "ban-hdf5", "hengyuan-hdf5", "updown-baseline-hdf5", "ruotianluo-lmdb",
    "milvlg-npz", "ruotianluo-npz",
)  # fmt: skip


def add(commands) -> None:
    """convert, verify."""
    added = command(commands, "convert", convert, "features from one format to another: TSV, HDF5, npz, our store")
    added.formatter_class = argparse.RawDescriptionHelpFormatter
    added.epilog = "formats: " + ", ".join(FORMATS) + "\ndocs/features.md tells them apart"
    added.add_argument("sources", nargs="+", metavar="SOURCE", help="feature files or folders, one after the other")
    added.add_argument("--out", required=True, metavar="TARGET", help="new store, file or folder")
    added.add_argument("--from", dest="source_format", choices=FORMATS, metavar="FORMAT",
                       help="of the sources; by default they are looked at")  # fmt: skip
    added.add_argument("--to", dest="target_format", choices=FORMATS, metavar="FORMAT",
                       help="of the target; by default its ending tells, no ending is a store")  # fmt: skip
    added.add_argument("--dtype", choices=("float16", "float32"), help="numbers in a new store (default float32)")
    added.add_argument("--training-ids", metavar="FILE", help="for a store: file with the ids of the training images, "
                       "one a line, over which mean and deviation are taken; or the word all")  # fmt: skip
    added.add_argument("--coco-ids", action="store_true", help="COCO_val2014_000000000042 becomes 42")
    check = command(commands, "verify", verify, "read a feature store and compare it with its checksums")
    check.add_argument("store", help="folder of the store")


def convert(options) -> int:
    """Convert; 1 if something was left out."""
    from updown_lab.store.convert import convert_features
    from updown_lab.store.entries import coco_number

    done = convert_features(
        options.sources, options.out, options.source_format, options.target_format, dtype=options.dtype,
        training_ids=_training_ids(options.training_ids), rename=coco_number if options.coco_ids else None, show=True,
    )  # fmt: skip
    print(f"{done.images} images in {options.out}")
    for text in done.notes:
        print(f"note: {text}")
    for problem in done.problems[:5]:
        print(f"left out: {problem}", file=sys.stderr)
    if done.problems:
        print(f"{len(done.problems)} left out; listed in {done.report}", file=sys.stderr)
    return 1 if done.problems else 0


def verify(options) -> None:
    """Compare a store with its checksums."""
    from updown_lab.store.feature_store import FeatureStore

    store = FeatureStore.open(options.store)
    store.verify(show=True)
    print(f"{len(store)} images with {store.manifest['regions']} regions of {store.feature_dim} numbers "
          f"({store.manifest['dtype']}): all as written")  # fmt: skip


def _training_ids(name: str | None):
    """The ids in a file; None stands for all."""
    from updown_lab.store.entries import read_id

    if name is None:
        return ()
    if name == "all":
        return None
    try:
        return [read_id(line.strip()) for line in Path(name).read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError:
        raise DataMissing(f"no file {name} with the ids of the training images") from None
