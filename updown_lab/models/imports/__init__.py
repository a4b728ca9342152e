"""Captioners that others trained, as ours: ruotianluo's, updown-baseline's and the authors' own. docs/captioner.md"""

from pathlib import Path

import h5py

from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.models.captioner import UpDownCaptioner
from updown_lab.models.imports import caffe, ruotianluo, updown_baseline
from updown_lab.models.imports.hengyuan import import_vqa
from updown_lab.models.imports.layout import build
from updown_lab.models.imports.torch_files import tensors_of
from updown_lab.text import Vocabulary

__all__ = ["import_captioner", "import_vqa"]
ENDINGS = (".pth", ".pt", ".h5")


def import_captioner(path: Path | str, words: Path | str | None = None) -> tuple[UpDownCaptioner, Vocabulary, dict]:
    """A captioner that was trained elsewhere, ready to speak.

    Rows, columns and gates move to where ours are; nothing is computed but a few sums. So every word has the
    log-probability that the other project gives it.

    Args:
        path:  a checkpoint, or a folder that holds one (of several the one called "best").
        words: where its vocabulary is, if not beside it: ``infos_*.pkl``, ``tokens.txt`` or ``train_vocab.txt``,
            or the folder of that file.

    Returns:
        The captioner in evaluation mode; its vocabulary; and facts of JSON types for ``checkpoints.save_model``:
        source, file, vocabulary_size, feature_dim, captioner (the settings), and what else the file knew.

    Raises:
        DataMissing: no checkpoint or no vocabulary there.
        DataInvalid: not a captioner that is known here, or something in it does not fit; everything is listed.

    >>> import_captioner("log_td")                                            # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    DataMissing: no file or folder log_td
    """
    file, words = _checkpoint(Path(path)), None if words is None else Path(words)
    if words is not None and not words.exists():
        raise DataMissing(f"no file or folder {words}")
    if h5py.is_hdf5(file):
        foreign = caffe.read(file, words)
    else:
        state = tensors_of(file)
        readers = [room for room in (ruotianluo, updown_baseline) if room.MARK in state]
        if not readers:
            raise DataInvalid(
                f"{file} is no captioner known here; its tensors are {', '.join([*state][:4]) or 'none'} …. "
                f"Known are UpDown models of {ruotianluo.SOURCE}, {updown_baseline.SOURCE}, and {caffe.SOURCE} (HDF5)"
            )
        foreign = readers[0].read(file, state, words)
    model, vocabulary, facts = build(foreign)
    return model, vocabulary, {"file": file.name, **facts}


def _checkpoint(path: Path) -> Path:
    """The file itself, or the one in the folder."""
    if path.is_file():
        return path
    if not path.exists():
        raise DataMissing(f"no file or folder {path}")
    found = [file for file in sorted(path.iterdir())
             if file.suffix in ENDINGS and not file.name.startswith("optimizer")]  # fmt: skip
    best = [file for file in found if "best" in file.stem]
    chosen = best if len(found) > 1 else found
    if not found:
        raise DataMissing(f"{path} holds no checkpoint: no file ends in {', '.join(ENDINGS)}")
    if len(chosen) != 1:
        raise DataMissing(f"{path} holds {', '.join(file.name for file in found)}; name the one that is meant")
    return chosen[0]
