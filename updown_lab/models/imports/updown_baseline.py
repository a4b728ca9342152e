"""Captioners of nocaps-org/updown-baseline: checkpoint_*.pth and a vocabulary folder with tokens.txt.

The paper's equations with both hidden states fed twice: once as inputs, once as the LSTM's own memory. A matrix times a
vector plus another matrix times the same vector is their sum times the vector, so the two are added.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from updown_lab.config import CaptionerConfig
from updown_lab.errors import DataMissing
from updown_lab.models.imports.layout import (
    Foreign,
    Shape,
    Words,
    listing_problems,
    our_gates,
    problems,
    read_lines,
    refuse,
    size,
)

SOURCE = "nocaps-org/updown-baseline"
MARK = "_updown_cell._attention_lstm_cell.weight_ih"
CELLS = "_updown_cell._attention_lstm_cell", "_updown_cell._language_lstm_cell"
ATTENTION = "_updown_cell._butd_attention"
EARLIER = {"_vector_projection_layer": "_query_vector_projection_layer",
           "_matrix_projection_layer": "_image_features_projection_layer"}  # fmt: skip
BOUNDARY, UNKNOWN_WORD = "@@BOUNDARY@@", "@@UNKNOWN@@"


def read(path: Path, state: Mapping[str, Tensor], words: Path | None) -> Foreign:
    """A captioner in our names.

    Args:
        path:  of the checkpoint, for messages and to find what lies beside it.
        state: its tensors.
        words: tokens.txt or its folder; None means beside the checkpoint, or in ``vocabulary`` there.

    Raises:
        DataMissing: no tokens.txt.
        DataInvalid: something does not fit; everything is listed.
    """
    state = {_renamed(name): value for name, value in state.items()}
    wanted, (rows, embedding, features, hidden, attention) = _wanted(state)
    wrong = problems(state, wanted)
    if any(name.startswith("_output_projection") for name in state):
        wrong.append("_output_projection: the variant with GloVe words has a layer before its output; ours has none")
    tokens = read_lines(_tokens(path, words))
    if rows is not None and len(tokens) != rows:
        wrong.append(f"vocabulary: {len(tokens)} words, but the model has rows for {rows}")
    missing = [word for word in (BOUNDARY, UNKNOWN_WORD) if word not in tokens]
    wrong += [f"vocabulary: {word} is missing" for word in missing]
    listed = [word for word in tokens if word not in (BOUNDARY, UNKNOWN_WORD)]
    refuse(path, SOURCE, wrong + listing_problems(listed))
    boundary, unknown = tokens.index(BOUNDARY), tokens.index(UNKNOWN_WORD)
    numbers = Words(listed, [row for row in range(rows) if row not in (boundary, unknown)], boundary, boundary, unknown)
    cfg = CaptionerConfig(embedding_size=embedding, hidden_size=hidden, attention_size=attention)
    return Foreign(SOURCE, cfg, features, numbers, _weights(state, embedding, features, hidden), {})


def _renamed(name: str) -> str:
    last = name.removeprefix(f"{ATTENTION}.").partition(".")[0]
    return name.replace(last, EARLIER[last]) if last in EARLIER else name


def _wanted(state: Mapping[str, Tensor]) -> tuple[dict[str, Shape], tuple]:
    """Shapes that fit together, and V, E, D, H, A."""
    rows, embedding = size(state, "_embedding_layer.weight", 0), size(state, "_embedding_layer.weight", 1)
    features = size(state, f"{ATTENTION}._image_features_projection_layer.weight", 1)
    attention = size(state, f"{ATTENTION}._image_features_projection_layer.weight", 0)
    hidden = size(state, f"{CELLS[1]}.weight_hh", 1)
    gates = None if hidden is None else 4 * hidden
    known = None not in (embedding, features, hidden)
    widths = (embedding + features + 2 * hidden, features + 2 * hidden) if known else (None, None)
    wanted: dict[str, Shape] = {
        "_embedding_layer.weight": (rows, embedding),
        f"{ATTENTION}._query_vector_projection_layer.weight": (attention, hidden),
        f"{ATTENTION}._image_features_projection_layer.weight": (attention, features),
        f"{ATTENTION}._attention_layer.weight": (1, attention),
        "_output_layer.weight": (rows, hidden),
        "_output_layer.bias": (rows,),
    }
    for name, width in zip(CELLS, widths, strict=True):
        wanted |= {f"{name}.weight_ih": (gates, width), f"{name}.weight_hh": (gates, hidden),
                   f"{name}.bias_ih": (gates,), f"{name}.bias_hh": (gates,)}  # fmt: skip
    return wanted, (rows, embedding, features, hidden, attention)


def _weights(state: Mapping[str, Tensor], embedding: int, features: int, hidden: int) -> dict[str, Tensor]:
    (inputs1, own1, bias1), (inputs2, own2, bias2) = (
        (our_gates(state[f"{name}.weight_ih"]), our_gates(state[f"{name}.weight_hh"]),
         our_gates(state[f"{name}.bias_ih"] + state[f"{name}.bias_hh"]))
        for name in CELLS
    )  # fmt: skip
    word, overview, h1, h2 = inputs1.split([embedding, features, hidden, hidden], 1)
    attended, from_h1, from_h2 = inputs2.split([features, hidden, hidden], 1)
    return {
        "embedding.weight": state["_embedding_layer.weight"],
        "word_gates.weight": word,
        "overview_gates.weight": overview,
        "overview_gates.bias": bias1,
        "hidden_gates.weight": torch.cat([h1 + own1, h2], 1),
        "attention.region.weight": state[f"{ATTENTION}._image_features_projection_layer.weight"],
        "attention.query.weight": state[f"{ATTENTION}._query_vector_projection_layer.weight"],
        "attention.score.weight": state[f"{ATTENTION}._attention_layer.weight"],
        "language_gates.weight": torch.cat([attended, from_h1, from_h2 + own2], 1),
        "language_gates.bias": bias2,
        "output.weight": state["_output_layer.weight"],
        "output.bias": state["_output_layer.bias"],
    }


def _tokens(path: Path, words: Path | None) -> Path:
    place = path.parent if words is None else words
    if place.is_file():
        return place
    for file in (place / "tokens.txt", place / "vocabulary" / "tokens.txt"):
        if file.is_file():
            return file
    raise DataMissing(f"no tokens.txt in {place}: it holds the vocabulary of {path.name}; name its folder with words=…")
