"""From any feature format to any other, image by image: the memory does not grow with the files."""

import csv
import glob
import os
import shutil
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from updown_lab.config import fingerprint
from updown_lab.errors import ConfigError, DataInvalid, UpdownError
from updown_lab.files import atomic_path
from updown_lab.regions import Regions
from updown_lab.store.entries import Problem, note
from updown_lab.store.feature_store import FeatureStore
from updown_lab.store.formats import FORMATS, format_of, read_features, recognise, write_features_as
from updown_lab.store.writer import FeatureWriter

#: What a target's ending says about its format.
_ENDINGS = {".tsv": "bottom-up-tsv", "": "store"}
_HDF5 = (".hdf5", ".h5")


class Conversion(NamedTuple):
    """What came of it.

    Attributes:
        images:   how many are in the target.
        problems: what was left out, and why.
        notes:    what a reader of the target should know.
        report:   the file with the problems, or None if there are none.
    """

    images: int
    problems: list[Problem]
    notes: list[str]
    report: Path | None


def convert_features(
    sources: Sequence[Path | str],
    target: Path | str,
    source_format: str | None = None,
    target_format: str | None = None,
    *,
    dtype: str | None = None,
    training_ids: Iterable[Hashable] | None = (),
    rename: Callable[[int | str], int | str] | None = None,
    show: bool = False,
) -> Conversion:
    """Read feature files, one after the other, into one target.

    What cannot be used is left out and listed in TARGET.problems.csv. Into a store, an interrupted conversion goes on
    where it was; other targets appear when they are whole, so it starts again.

    Args:
        sources:       files or folders; an image that comes twice is taken from the first.
        target:        the new store, file or folder.
        source_format: a name in ``FORMATS``; by default each source is looked at.
        target_format: a name in ``FORMATS``; by default the ending tells, and no ending means a store.
        dtype:         "float16" or "float32", for a store; by default float32, or that of the store that is read.
        training_ids:  for a store: images for mean and deviation; None means all.
        rename:        gives the new id of an image, for instance ``coco_number``.
        show:          show a progress bar.

    Raises:
        ConfigError: an unknown format, or one that cannot be written.
        DataMissing: a source is not there.
        DataInvalid: a source is no feature file; there is not one image that can be used; the target is there already
            and is not a store with the same sources.
        UpdownError: the disk is full.

    >>> import tempfile, torch
    >>> folder = Path(tempfile.mkdtemp())
    >>> one = Regions(torch.ones(2, 3), torch.zeros(2, 4), (640, 480), "demo")
    >>> write_features_as("bottom-up-tsv", [(9, one)], folder / "demo.tsv")
    >>> convert_features([folder / "demo.tsv"], folder / "demo").images
    1
    >>> FeatureStore.open(folder / "demo")[9].features.shape
    torch.Size([2, 3])
    """
    target, sources = Path(target), [Path(source) for source in sources]
    reading = [source_format or recognise(source) for source in sources]
    writing = target_format or _guess(target)
    if writing != "store":
        _refuse_existing(target, writing)
    problems: list[Problem] = []
    notes: list[str] = []
    items = read_features(*sources, format=source_format, problems=problems, rename=rename, show=show)
    first = next(items, None)
    if first is None:
        why = f"; the first of {len(problems)} problems: {problems[0]}" if problems else ""
        raise DataInvalid(f"not one image that can be used in {', '.join(map(str, sources))}{why}")
    count = _Count(chain([first], items))
    try:
        if writing == "store":
            settings = _settings(sources, reading, target, dtype, first[1])
            images = _into_store(count, target, settings, training_ids, problems, notes)
        else:
            write_features_as(writing, count, target, problems)
            images = count.given - sum(problem.file == target for problem in problems)
    except UpdownError:
        raise
    except OSError as error:
        raise UpdownError(f"converting into {target} failed: {error}; mend that (is the disk full?) and run the same "
                          "command again") from None  # fmt: skip
    notes += _notes(reading, writing, first[1])
    return Conversion(images, problems, notes, _report(problems, target))


class _Count:
    """Counts what is taken from a stream."""

    def __init__(self, items: Iterable):
        self.items, self.given = items, 0

    def __iter__(self) -> Iterator:
        for item in self.items:
            self.given += 1
            yield item


def _guess(target: Path) -> str:
    if (target / "index.jsonl").exists():
        return "store"
    ending = target.suffix.lower()
    if ending in _HDF5:
        raise ConfigError(f"{target} could be several things; say --to " + " or --to ".join(
            name for name in FORMATS if name.endswith("hdf5")))  # fmt: skip
    return _ENDINGS.get(ending, "store")


def _refuse_existing(target: Path, writing: str) -> None:
    """Nothing is overwritten; what a killed conversion left behind is swept away."""
    for path in format_of(writing).paths(target):
        for draft in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
            if not _runs(draft.name.split(".")[-2]):
                shutil.rmtree(draft) if draft.is_dir() else draft.unlink()
    there = [path for path in format_of(writing).paths(target) if path.exists()]
    if there:
        raise DataInvalid(f"{there[0]} is there already; delete it or choose another target")


def _runs(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except ValueError:
        return True  # not a draft of ours: leave it alone
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _settings(sources: list[Path], reading: list[str], target: Path, dtype: str | None, first: Regions) -> dict:
    """What ``FeatureWriter`` wants to know. The same files give the same fingerprint, so a conversion can go on."""
    command = f"updown-lab convert {' '.join(map(str, sources))} --out {target}"
    if reading == ["store"]:
        store = FeatureStore.open(sources[0])
        return {"feature_dim": store.feature_dim, "dtype": dtype or store.manifest["dtype"], "source": store.source,
                "fingerprint": store.fingerprint, "command": command, "about": store.manifest.get("about")}  # fmt: skip
    about = {"sources": [source.name for source in sources], "formats": reading}
    sizes = [source.stat().st_size if source.is_file() else 0 for source in sources]
    return {"feature_dim": first.features.shape[1], "dtype": dtype or "float32", "source": first.source,
            "fingerprint": fingerprint(about, sizes), "command": command, "about": about}  # fmt: skip


def _into_store(items, target: Path, settings: dict, training_ids, problems: list, notes: list) -> int:
    with FeatureWriter(target, **settings) as writer:
        for image_id, regions in items:
            if image_id in writer:
                continue  # from before the interruption
            try:
                writer.append(image_id, regions)
            except ValueError as error:
                note(problems, Problem(target, "", image_id, str(error)))
        wanted = list(writer.image_ids if training_ids is None else training_ids)
        absent = [image_id for image_id in wanted if image_id not in writer]
        if absent:
            notes.append(f"{len(absent)} of {len(wanted)} training ids are not in the store, the first is "
                         f"{absent[0]!r}; mean and deviation are taken over the others")  # fmt: skip
        writer.finish([image_id for image_id in wanted if image_id in writer])
        return len(writer)


def _notes(reading: list[str], writing: str, first: Regions) -> list[str]:
    notes = []
    sizeless = [name for name in reading if name.startswith(("ruotianluo", "updown-baseline"))]
    if sizeless:
        notes.append(f"{sizeless[0]} may lack image sizes and boxes: where it does, the size is the smallest whole one "
                     "that holds the boxes, and without boxes the image is 1 x 1")  # fmt: skip
    keeps = FORMATS[writing].keeps
    labels = {"classes", "scores", "attributes", "attribute_scores"}
    kept = labels if "labels" in keeps else {"scores"} & set(keeps)
    lost = sorted(name for name in labels - kept if getattr(first, name) is not None)
    if lost:
        notes.append(f"{writing} does not hold {', '.join(lost)}: they were left out")
    return notes


def _report(problems: list[Problem], target: Path) -> Path | None:
    """Write the problems beside the target; a list from an earlier try is removed."""
    path = target.with_name(f"{target.name}.problems.csv")
    if not problems:
        path.unlink(missing_ok=True)
        return None
    with atomic_path(path) as draft, open(draft, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(Problem._fields)
        writer.writerows(problems)
    return path
