"""Captioners of ruotianluo/ImageCaptioning.pytorch ("updown", "topdown"): model.pth and infos_<id>.pkl.

Its UpDown is what most people mean by the name, and differs from the paper: regions and overview go through a linear
layer with ReLU, words through ReLU, there are biases everywhere and dropout in training. All of these are settings of
``CaptionerConfig``, so an imported model is an ``UpDownCaptioner`` like any other.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from updown_lab.config import CaptionerConfig
from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.models.captioner import GEOMETRY
from updown_lab.models.imports.layout import Foreign, Shape, Words, listing_problems, our_gates, problems, refuse, size
from updown_lab.pickles import read_pickle

SOURCE = "ruotianluo/ImageCaptioning.pytorch"
MARK = "core.att_lstm.weight_ih"
UNKNOWN_WORD = "UNK"
KEPT = ("id", "caption_model", "use_bn", "use_box", "norm_att_feat", "drop_prob_lm", "max_length", "seq_length")


def read(path: Path, state: Mapping[str, Tensor], words: Path | None) -> Foreign:
    """A captioner in our names.

    Args:
        path:  of the model, for messages and to find what lies beside it.
        state: its tensors.
        words: the infos file or its folder; None means beside the model.

    Raises:
        DataMissing: no infos file.
        DataInvalid: something does not fit; everything is listed.
    """
    infos = _infos(path, words)
    options, number_to_word = infos["opt"], infos["vocab"]
    wanted, sizes = _wanted(state)
    wrong = problems(state, wanted)
    rows = sizes["words"]
    if rows is not None and sorted(number_to_word) != list(range(1, rows)):
        wrong.append(f"vocabulary: {len(number_to_word)} words, but the model has rows for {rows - 1}, numbered from 1")
    if options.get("norm_box_feat"):
        wrong.append("option norm_box_feat: boxes scaled to length 1 are not known here")
    listed = {number: word for number, word in sorted(number_to_word.items()) if word != UNKNOWN_WORD}
    unknown = [number for number, word in number_to_word.items() if word == UNKNOWN_WORD]
    refuse(path, SOURCE, wrong + listing_problems(list(listed.values())))
    cfg = CaptionerConfig(
        embedding_size=sizes["embedding"],
        hidden_size=sizes["hidden"],
        attention_size=sizes["attention"],
        maximum_words=int(options.get("max_length") or options.get("seq_length") or 20),
        projection_size=sizes["hidden"],
        batch_norm=sizes["batch_norm"],
        normalise="attended" if options.get("norm_att_feat") else "none",
        geometry=sizes["geometry"],
        attention_bias=True,
        word_relu=True,
        dropout=float(options.get("drop_prob_lm", 0.5)),
    )
    numbers = Words(list(listed.values()), list(listed), start=0, end=0, unknown=unknown[0] if unknown else None)
    kept = {name: options[name] for name in KEPT if isinstance(options.get(name), int | float | str)}
    return Foreign(SOURCE, cfg, sizes["features"], numbers, _weights(state, sizes), {"options": kept})


def _wanted(state: Mapping[str, Tensor]) -> tuple[dict[str, Shape], dict]:
    """Shapes that fit together, and the sizes that they were found by."""
    before, after = "att_embed.0.running_mean" in state, "att_embed.4.running_mean" in state
    linear = "att_embed.1" if before else "att_embed.0"
    words, embedding = size(state, "embed.0.weight", 0), size(state, "embed.0.weight", 1)
    features, regions = size(state, "fc_embed.0.weight", 1), size(state, f"{linear}.weight", 1)
    hidden, attention = size(state, "core.lang_lstm.weight_hh", 1), size(state, "ctx2att.weight", 0)
    geometry = None not in (features, regions) and regions == features + GEOMETRY
    gates = None if hidden is None else 4 * hidden
    inputs = None if None in (hidden, embedding) else 2 * hidden + embedding
    wanted: dict[str, Shape] = {
        "embed.0.weight": (words, embedding),
        "fc_embed.0.weight": (hidden, features), "fc_embed.0.bias": (hidden,),
        f"{linear}.weight": (hidden, regions if geometry else features), f"{linear}.bias": (hidden,),
        "logit.weight": (words, hidden), "logit.bias": (words,),
        "ctx2att.weight": (attention, hidden), "ctx2att.bias": (attention,),
        "core.attention.h2att.weight": (attention, hidden), "core.attention.h2att.bias": (attention,),
        "core.attention.alpha_net.weight": (1, attention), "core.attention.alpha_net.bias": (1,),
    }  # fmt: skip
    for name, width in (("att_lstm", inputs), ("lang_lstm", None if hidden is None else 2 * hidden)):
        wanted |= {f"core.{name}.weight_ih": (gates, width), f"core.{name}.weight_hh": (gates, hidden),
                   f"core.{name}.bias_ih": (gates,), f"core.{name}.bias_hh": (gates,)}  # fmt: skip
    for name, there, width in (("att_embed.0", before, regions), ("att_embed.4", after, hidden)):
        if there:
            wanted |= {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
            wanted |= {f"{name}.num_batches_tracked": ()} if f"{name}.num_batches_tracked" in state else {}
    return wanted, {"words": words, "embedding": embedding, "features": features, "hidden": hidden,
                    "attention": attention, "geometry": geometry, "batch_norm": before + after}  # fmt: skip


def _weights(state: Mapping[str, Tensor], sizes: dict) -> dict[str, Tensor]:
    hidden = sizes["hidden"]
    linear = "att_embed.1" if sizes["batch_norm"] else "att_embed.0"
    inputs = our_gates(state["core.att_lstm.weight_ih"])  # of [h2, v_bar, word]
    bias = {name: our_gates(state[f"core.{name}.bias_ih"] + state[f"core.{name}.bias_hh"])
            for name in ("att_lstm", "lang_lstm")}  # fmt: skip
    overview = state["fc_embed.0.weight"]
    if sizes["geometry"]:  # our overview ends in the mean of the boxes, theirs does not know boxes
        overview = torch.cat([overview, overview.new_zeros(hidden, GEOMETRY)], 1)
    weights = {
        "embedding.weight": state["embed.0.weight"],
        "word_gates.weight": inputs[:, 2 * hidden :],
        "overview_gates.weight": inputs[:, hidden : 2 * hidden],
        "overview_gates.bias": bias["att_lstm"],
        "hidden_gates.weight": torch.cat([our_gates(state["core.att_lstm.weight_hh"]), inputs[:, :hidden]], 1),
        "attention.region.weight": state["ctx2att.weight"],
        "attention.region.bias": state["ctx2att.bias"] + state["core.attention.h2att.bias"],
        "attention.query.weight": state["core.attention.h2att.weight"],
        "attention.score.weight": state["core.attention.alpha_net.weight"],  # its bias moves all scores alike
        "language_gates.weight": our_gates(
            torch.cat([state["core.lang_lstm.weight_ih"], state["core.lang_lstm.weight_hh"]], 1)
        ),
        "language_gates.bias": bias["lang_lstm"],
        "output.weight": state["logit.weight"],
        "output.bias": state["logit.bias"],
        "region_projection.linear.0.weight": state[f"{linear}.weight"],
        "region_projection.linear.0.bias": state[f"{linear}.bias"],
        "overview_projection.linear.0.weight": overview,
        "overview_projection.linear.0.bias": state["fc_embed.0.bias"],
    }
    for ours, theirs in (("before", "att_embed.0"), ("after", "att_embed.4"))[: sizes["batch_norm"]]:
        weights[f"region_projection.{ours}.num_batches_tracked"] = torch.tensor(0)  # older torch did not count
        weights |= {f"region_projection.{ours}.{name.removeprefix(theirs + '.')}": value
                    for name, value in state.items() if name.startswith(theirs + ".")}  # fmt: skip
    return weights


def _infos(path: Path, words: Path | None) -> dict:
    """Options and words of the run: {"opt": …, "vocab": {number: word}}."""
    file = _infos_file(path, path.parent if words is None else words)
    infos = read_pickle(file, classes=("argparse.Namespace",))
    vocabulary = infos.get("vocab") if isinstance(infos, Mapping) else None
    try:
        numbered = {int(number): str(word) for number, word in dict(vocabulary).items()}
    except (TypeError, ValueError):
        raise DataInvalid(f'{file} should hold a dictionary with "vocab": {{"1": word, …}} and "opt"') from None
    options = infos.get("opt")
    return {"opt": options if isinstance(options, Mapping) else {}, "vocab": numbered}


def _infos_file(path: Path, place: Path) -> Path:
    """The infos of a model: model-best.pth has infos_<id>-best.pkl, model.pth has infos_<id>.pkl."""
    if not place.is_dir():
        return place
    ending = path.stem.removeprefix("model")
    found = sorted(place.glob(f"infos_*{ending}.pkl"), key=lambda file: len(file.name))
    if not found:
        raise DataMissing(f"no infos_*{ending}.pkl in {place}: it holds the vocabulary of {path.name}; "
                          "name the file with words=…")  # fmt: skip
    return found[0]
