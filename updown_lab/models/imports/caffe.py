"""The authors' own weights: Caffe's HDF5 snapshots of peteanderson80/Up-Down-Captioner, both ways.

``/data/<layer>/<number>``, the layers of the first time step. Self-critical snapshots keep all but ``fc`` under
``/data/beam``. Gates lie in our order (input, forget, output, candidate), an LSTM has one matrix and one bias, its
columns are [word, v_bar, h2, h1] and [h1, v_hat, h2]. Word 0 is "." and begins and ends a sentence, word 1 is <unk>.
"""

from pathlib import Path

import h5py
import torch
from torch import Tensor

from updown_lab.config import CaptionerConfig
from updown_lab.errors import ConfigError, DataInvalid, DataMissing
from updown_lab.files import atomic_path
from updown_lab.models.captioner import UpDownCaptioner
from updown_lab.models.imports.layout import Foreign, Words, listing_problems, problems, read_lines, refuse, size
from updown_lab.text import END, SPECIAL_WORDS, START, UNKNOWN, Vocabulary

SOURCE = "peteanderson80/Up-Down-Captioner"
WORDS_FILE = "train_vocab.txt"
STOP, UNKNOWN_WORD = ".", "<unk>"
#: Blobs under /data/beam in this order.
BEAM = ("embedding/0", "lstm1/0", "lstm1/1", "hidden_att_0/0", "predict_att_0/0", "lstm2/0", "lstm2/1", "predict/0",
        "predict/1")  # fmt: skip


def read(path: Path, words: Path | None) -> Foreign:
    """A captioner in our names.

    Args:
        path:  the ``.caffemodel.h5``.
        words: the vocabulary, one word a line, or the folder of ``train_vocab.txt``; None means beside the snapshot.

    Raises:
        DataMissing: no vocabulary.
        DataInvalid: something does not fit; everything is listed.
    """
    blobs = _blobs(path)
    rows, embedding = size(blobs, "embedding/0", 0), size(blobs, "embedding/0", 1)
    attention, features, hidden = size(blobs, "fc/0", 0), size(blobs, "fc/0", 1), size(blobs, "predict/0", 1)
    gates = None if hidden is None else 4 * hidden
    known = None not in (embedding, features, hidden)
    wrong = problems(blobs, {
        "embedding/0": (rows, embedding),
        "fc/0": (attention, features),
        "lstm1/0": (gates, embedding + features + 2 * hidden if known else None), "lstm1/1": (gates,),
        "hidden_att_0/0": (attention, hidden),
        "predict_att_0/0": (1, attention),
        "lstm2/0": (gates, features + 2 * hidden if known else None), "lstm2/1": (gates,),
        "predict/0": (rows, hidden), "predict/1": (rows,),
    })  # fmt: skip
    listed = read_lines(_words_file(path, words))
    if rows is not None and len(listed) != rows:
        wrong.append(f"vocabulary: {len(listed)} words, but the model has rows for {rows}")
    if listed[:2] != [STOP, UNKNOWN_WORD]:
        wrong.append(f"vocabulary: begins with {listed[:2]}, should begin with {[STOP, UNKNOWN_WORD]}")
    refuse(path, SOURCE, wrong + listing_problems(listed[2:]))
    numbers = Words(listed[2:], list(range(2, rows)), start=0, end=0, unknown=1)
    cfg = CaptionerConfig(embedding_size=embedding, hidden_size=hidden, attention_size=attention,
                          initialisation="normal")  # fmt: skip
    return Foreign(SOURCE, cfg, features, numbers, _weights(blobs, embedding, features, hidden), {})


def _weights(blobs: dict[str, Tensor], embedding: int, features: int, hidden: int) -> dict[str, Tensor]:
    word, overview, h2, h1 = blobs["lstm1/0"].split([embedding, features, hidden, hidden], 1)
    from_h1, attended, from_h2 = blobs["lstm2/0"].split([hidden, features, hidden], 1)
    return {
        "embedding.weight": blobs["embedding/0"],
        "word_gates.weight": word,
        "overview_gates.weight": overview,
        "overview_gates.bias": blobs["lstm1/1"],
        "hidden_gates.weight": torch.cat([h1, h2], 1),
        "attention.region.weight": blobs["fc/0"],
        "attention.query.weight": blobs["hidden_att_0/0"],
        "attention.score.weight": blobs["predict_att_0/0"],
        "language_gates.weight": torch.cat([attended, from_h1, from_h2], 1),
        "language_gates.bias": blobs["lstm2/1"],
        "output.weight": blobs["predict/0"],
        "output.bias": blobs["predict/1"],
    }


def _blobs(path: Path) -> dict[str, Tensor]:
    """All tensors by layer and number; those of a self-critical snapshot by the names that they had before."""
    found: dict[str, Tensor] = {}
    try:
        with h5py.File(path, "r") as file:
            for layer, group in file.get("data", {}).items():
                if isinstance(group, h5py.Group):
                    found |= {f"{layer}/{number}": torch.from_numpy(blob[()]) for number, blob in group.items()}
    except (OSError, TypeError) as error:
        raise DataInvalid(f"{path} cannot be read as HDF5 ({error}); copy or fetch the file again") from None
    for number, name in enumerate(BEAM):
        if f"beam/{number}" in found:
            blob = found.pop(f"beam/{number}")
            found.setdefault(name, blob)  # the authors' script may have copied it there already
    return found


def _words_file(path: Path, words: Path | None) -> Path:
    place = path.parent if words is None else words
    file = place / WORDS_FILE if place.is_dir() else place
    if not file.is_file():
        raise DataMissing(f"no {file}: it holds the vocabulary of {path.name}, one word a line; name it with words=…")
    return file


def export_caffe(path: Path | str, model: UpDownCaptioner, vocabulary: Vocabulary) -> None:
    """Write a captioner as the authors' Caffe network reads it, with ``train_vocab.txt`` beside it.

    Args:
        path:       the ``.caffemodel.h5`` to write.
        model:      the paper's: Caffe's network knows no variants.
        vocabulary: its words.

    Raises:
        ConfigError: the model is a variant, or its features are standardised.

    >>> import tempfile
    >>> from updown_lab.models.imports import import_captioner
    >>> words = Vocabulary(["a", "cat"])
    >>> model = UpDownCaptioner(CaptionerConfig(embedding_size=3, hidden_size=4, attention_size=2), len(words), 5)
    >>> path = Path(tempfile.mkdtemp()) / "cat.caffemodel.h5"
    >>> export_caffe(path, model, words)
    >>> import_captioner(path)[1].words[4:]
    ['a', 'cat']
    """
    path, paper = Path(path), CaptionerConfig()
    variants = [f"{name}={getattr(model.cfg, name)!r}" for name in
                ("projection_size", "batch_norm", "normalise", "geometry", "attention", "attention_bias", "word_relu")
                if getattr(model.cfg, name) != getattr(paper, name)]  # fmt: skip
    if model.standardise.mean.any() or (model.standardise.deviation != 1).any():
        variants.append("standardised features")
    if variants:
        raise ConfigError(f"Caffe's network is the paper's and knows no {', '.join(variants)}")
    with atomic_path(path) as draft, h5py.File(draft, "w") as file:
        for name, blob in _our_blobs(model).items():
            file[f"data/{name}"] = blob.detach().float().cpu().numpy()
    with atomic_path(path.with_name(WORDS_FILE)) as draft:
        words = [STOP, UNKNOWN_WORD, *vocabulary.words[len(SPECIAL_WORDS) :]]
        draft.write_text("".join(f"{word}\n" for word in words), encoding="utf-8")


def _our_blobs(model: UpDownCaptioner) -> dict[str, Tensor]:
    hidden = model.hidden_size
    h1, h2 = model.hidden_gates.weight.split(hidden, 1)
    attended, from_h1, from_h2 = model.language_gates.weight.split([len(model.standardise.mean), hidden, hidden], 1)
    embedding, output, bias = model.embedding.weight, model.output.weight, model.output.bias
    listed = slice(len(SPECIAL_WORDS), None)
    return {
        "embedding/0": torch.cat([embedding[[START, UNKNOWN]], embedding[listed]]),
        "fc/0": model.attention.region.weight,
        "lstm1/0": torch.cat([model.word_gates.weight, model.overview_gates.weight, h2, h1], 1),
        "lstm1/1": model.overview_gates.bias,
        "hidden_att_0/0": model.attention.query.weight,
        "predict_att_0/0": model.attention.score.weight,
        "lstm2/0": torch.cat([from_h1, attended, from_h2], 1),
        "lstm2/1": model.language_gates.bias,
        "predict/0": torch.cat([output[[END, UNKNOWN]], output[listed]]),
        "predict/1": torch.cat([bias[[END, UNKNOWN]], bias[listed]]),
    }
