"""One door to all feature files: recognise, read, write.

``FORMATS`` lists what is known. Reading gives the same stream for all of them, image ids with their ``Regions``, one
image in memory at a time; writing takes such a stream.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from updown_lab.errors import ConfigError, DataInvalid, DataMissing
from updown_lab.progress import progress
from updown_lab.regions import Regions
from updown_lab.store import folders, hdf5, tsv, updown_baseline
from updown_lab.store.entries import Entry, Problem, sound
from updown_lab.store.feature_store import FeatureStore


class Format(NamedTuple):
    """One kind of feature file.

    Attributes:
        describe: what it is, in one line.
        sniff:    whether a path looks like it.
        walk:     its images, not read yet: ``walk(path, show)`` gives ``Entry``.
        write:    ``write(items, path, problems)``, or None if it is only read.
        keeps:    what it holds besides features: "boxes", "size", "labels" (all four), "scores".
        paths:    the files and folders that one target consists of.
    """

    describe: str
    sniff: Callable[[Path], bool]
    walk: Callable[[Path, bool], Iterator[Entry]]
    write: Callable[[Iterable, Path, list | None], None] | None
    keeps: tuple[str, ...] = ("boxes", "size")
    paths: Callable[[Path], Sequence[Path]] = lambda path: (path,)


def read_features(
    *paths: Path | str,
    format: str | None = None,
    problems: list[Problem] | None = None,
    feature_dim: int | None = None,
    rename: Callable[[int | str], int | str] | None = None,
    show: bool = False,
) -> Iterator[tuple[int | str, Regions]]:
    """The images of one or several feature files, whatever their format.

    Args:
        paths:       files or folders.
        format:      a name in ``FORMATS``; by default each path is looked at.
        problems:    collects images that cannot be used, the rest goes on; without it the first one raises.
        feature_dim: D that every image must have; by default the D of the first good one.
        rename:      gives the new id of an image, for instance ``coco_number``; where it fails is a problem.
        show:        show a progress bar.

    Yields:
        image id and float32 ``Regions``, one image in memory at a time.

    Raises:
        ConfigError: no format of this name.
        DataMissing: a path does not exist.
        DataInvalid: a path is no feature file; or an image cannot be used, and no list was given.

    >>> import tempfile, torch
    >>> path = Path(tempfile.mkdtemp()) / "demo.tsv"
    >>> one = Regions(torch.ones(2, 3), torch.zeros(2, 4), (640, 480), "demo")
    >>> write_features_as("lxmert-tsv", [(9, one)], path)
    Traceback (most recent call last):
    updown_lab.errors.DataInvalid: image 9 has no classes, scores, attributes, attribute_scores, which the table of 10
    columns needs; write bottom-up-tsv instead
    >>> write_features_as("bottom-up-tsv", [(9, one)], path)
    >>> recognise(path), [(image_id, regions.count) for image_id, regions in read_features(path)]
    ('bottom-up-tsv', [(9, 2)])
    """
    walks = [format_of(format or recognise(path)).walk(Path(path), show) for path in paths]
    entries = chain.from_iterable(walks)
    if rename:
        entries = (_renamed(entry, rename) for entry in entries)
    return sound(entries, problems, feature_dim)


def write_features_as(
    format: str,
    items: Iterable[tuple[int | str, Regions]],
    path: Path | str,
    problems: list[Problem] | None = None,
) -> None:
    """Write a stream of images as another project's file. For our own store there is ``FeatureWriter``.

    Args:
        format:   a name in ``FORMATS`` that can be written.
        items:    image ids and their regions; taken one by one.
        path:     the new file or folder; it appears when it is whole.
        problems: collects images that the format cannot hold; without it the first one raises.

    Raises:
        ConfigError: no format of this name, or it is only read.
        DataInvalid: the format cannot hold such regions at all; or one image, and no list was given.
    """
    write = format_of(format).write
    if write is None:
        raise ConfigError(f"{format} cannot be written; formats that can: {', '.join(writable())}")
    write(items, Path(path), problems)


def recognise(path: Path | str) -> str:
    """The name of a path's format.

    Raises:
        DataMissing: there is nothing at the path.
        DataInvalid: it looks like none of ``FORMATS``.
    """
    path = Path(path)
    for name, format in FORMATS.items():
        if format.sniff(path):
            return name
    if not path.exists():
        raise DataMissing(f"no file or folder {path}; see docs/features.md for where features come from")
    raise DataInvalid(f"{path} is none of the known feature formats; name one of: {', '.join(FORMATS)}")


def format_of(name: str) -> Format:
    """The format of a name.

    Raises:
        ConfigError: there is none.
    """
    if name not in FORMATS:
        raise ConfigError(f"no format called {name!r}; known: {', '.join(FORMATS)}")
    return FORMATS[name]


def writable() -> list[str]:
    """Names of the formats that ``write_features_as`` writes.

    >>> "bottom-up-tsv" in writable(), "ruotianluo-lmdb" in writable()
    (True, False)
    """
    return [name for name, format in FORMATS.items() if format.write]


def _renamed(entry: Entry, rename: Callable) -> Entry:
    try:
        return entry._replace(image_id=rename(entry.image_id))
    except ValueError as error:
        return entry._replace(read=partial(_refuse, str(error)))


def _refuse(reason: str) -> Regions:
    raise ValueError(reason)


def _walk_store(path: Path, show: bool = False) -> Iterator[Entry]:
    store = FeatureStore.open(path)
    for image_id in progress(store.image_ids, f"reading {path.name}", unit="image", show=show):
        yield Entry(path, "", image_id, partial(store.__getitem__, image_id))


def _is_lmdb(path: Path) -> bool:
    return (path.suffix == ".lmdb" and path.exists()) or (path / "data.mdb").is_file()


def _is_ruotianluo(path: Path) -> bool:
    try:
        keys = folders.first_npz(folders.attention_folder(path))
    except DataMissing:
        return False
    return bool(keys & {"feat", "z"})


def _has(path: Path, **dimensions: int) -> bool:
    """Whether an HDF5 file has these datasets."""
    found = hdf5.keys_of(path)
    return all(found.get(name) == wanted for name, wanted in dimensions.items())


def _ruotianluo_paths(path: Path) -> list[Path]:
    stem = path.name.removesuffix("_att")
    return [path.with_name(f"{stem}_{part}") for part in ("att", "fc", "box")]


#: Looked through from the top when a path is to be recognised.
FORMATS: dict[str, Format] = {
    "store": Format(
        "our own store: a folder of flat files (write it with FeatureWriter or updown-lab convert)",
        lambda path: (path / "index.jsonl").is_file(),
        _walk_store, None, ("boxes", "size", "labels"),
    ),
    "bottom-up-tsv": Format(
        "6 columns, the authors' Caffe code",
        partial(tsv.sniff_tsv, columns=6), tsv.walk_tsv, partial(tsv.write_tsv, columns=6),
    ),
    "lxmert-tsv": Format(
        "10 columns with classes and attributes, LXMERT and py-bottom-up-attention",
        partial(tsv.sniff_tsv, columns=10), tsv.walk_tsv, partial(tsv.write_tsv, columns=10),
        ("boxes", "size", "labels"),
    ),
    "ban-hdf5": Format(
        "varying number of boxes, ban-vqa: HDF5 and NAME_imgid2idx.pkl",
        partial(_has, image_features=2, pos_boxes=2), hdf5.walk_ban, hdf5.write_ban,
        paths=lambda path: (path, hdf5.ids_file(path)),
    ),
    "hengyuan-hdf5": Format(
        "36 boxes an image, hengyuan-hu's bottom-up-attention-vqa: HDF5 and NAME_imgid2idx.pkl",
        partial(_has, image_features=3), hdf5.walk_hengyuan, hdf5.write_hengyuan,
        paths=lambda path: (path, hdf5.ids_file(path)),
    ),
    "updown-baseline-hdf5": Format(
        "HDF5 of updown-baseline (nocaps)",
        lambda path: {"image_id", "features"} <= set(hdf5.keys_of(path)),
        updown_baseline.walk_updown_baseline, updown_baseline.write_updown_baseline, ("boxes", "size", "scores"),
    ),
    "ruotianluo-lmdb": Format(
        "NAME_att.lmdb of ImageCaptioning.pytorch (needs the package lmdb; only read)",
        _is_lmdb, folders.walk_lmdb, None, ("boxes",),
    ),
    "milvlg-npz": Format(
        "a folder of npz with x and bbox, bottom-up-attention.pytorch",
        lambda path: {"x", "bbox"} <= folders.first_npz(path), folders.walk_milvlg, folders.write_milvlg,
    ),
    "ruotianluo-npz": Format(
        "NAME_att, NAME_fc, NAME_box: npz and npy, ImageCaptioning.pytorch",
        _is_ruotianluo, folders.walk_ruotianluo, folders.write_ruotianluo, paths=_ruotianluo_paths,
    ),
}  # fmt: skip
