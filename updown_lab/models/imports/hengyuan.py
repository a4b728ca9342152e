"""VQA models of hengyuan-hu/bottom-up-attention-vqa: ``baseline0`` and ``baseline0_newatt``, as ours.

It has ReLU with one length a matrix (weight norm), a GRU that reads blanks before the question, and a classifier twice
as wide in between. All of these are settings of ``VqaConfig``, so an imported model is an ``UpDownVqa`` like any other.
The checkpoint holds no words: the dictionary and the list of answers must come with it. Questions are cut at blanks, as
his dictionary was made; a word that it does not list is left out (his code stops there).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from updown_lab.config import VqaConfig
from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.files import read_json
from updown_lab.models.imports.layout import Shape, problems, refuse, size
from updown_lab.models.imports.torch_files import tensors_of
from updown_lab.models.layers import set_weight
from updown_lab.models.vqa import UpDownVqa
from updown_lab.pickles import read_pickle
from updown_lab.text import AnswerVocabulary, Vocabulary

SOURCE = "hengyuan-hu/bottom-up-attention-vqa"
MARK = "w_emb.emb.weight"
SPECIAL = 4  # our padding, start, end, unknown
LAYERS = {
    "q_net.main.0": "from_question.both",
    "v_net.main.0": "from_image.both",
    "classifier.main.0": "classifier.before_answer.both",
    "classifier.main.3": "classifier.answer",
}


def import_vqa(
    path: Path | str, words: Path | str | Sequence[str] | None = None, answers: Path | str | Sequence[str] | None = None
) -> tuple[UpDownVqa, Vocabulary, AnswerVocabulary, dict]:
    """A VQA model that was trained elsewhere, ready to answer.

    Args:
        path:    ``model.pth``.
        words:   ``dictionary.pkl``, a text file with one word a line, or the words; None looks beside the model.
        answers: ``trainval_label2ans.pkl``, a JSON list, or the answers; None looks beside the model.

    Returns:
        The model in evaluation mode, its words, its answers, and facts of JSON types for ``checkpoints.save_model``.

    Raises:
        DataMissing: a file is not there; weights without their answers mean nothing.
        DataInvalid: not such a model, or something in it does not fit; everything is listed.

    >>> import_vqa("model.pth")                                               # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    DataMissing: no file model.pth
    """
    path = Path(path)
    if not path.is_file():
        raise DataMissing(f"no file {path}")
    state = plain_weights(tensors_of(path))
    if MARK not in state:
        raise DataInvalid(f"{path} is no VQA model known here; its tensors are {', '.join([*state][:4]) or 'none'} …. "
                          f"Known are baseline0 and baseline0_newatt of {SOURCE}")  # fmt: skip
    named = _words(words if words is not None else _beside(path, "dictionary.pkl", "dictionary.txt"))
    said = _answers(answers if answers is not None else _beside(path, "trainval_label2ans.pkl", "label2ans.json"))
    product = "v_att.q_proj.main.0.weight" in state
    sizes = _sizes(state, product)
    wrong = problems(state, _wanted(sizes, product))
    for what, listed, rows in (("words", named, sizes["words"]), ("answers", said, sizes["answers"])):
        if rows is not None and len(listed) != rows:
            wrong.append(f"{what}: {len(listed)} are listed, but the model has {rows}")
        if twice := [entry for entry, times in Counter(listed).items() if times > 1]:
            wrong.append(f"{what}: each is listed once, but {', '.join(map(repr, twice[:3]))} more often")
    refuse(path, SOURCE, wrong, "a VQA model")
    vocabulary = Vocabulary(named, "blanks")
    cfg = VqaConfig(
        embedding_size=sizes["embedding"], hidden_size=sizes["hidden"], normalise=False, activation="relu",
        weight_norm=True, attention="product" if product else "concatenated", attention_dropout=0.2 * product,
        front_padding=True, classifier="hidden",
    )  # fmt: skip
    model = _filled(cfg, state, sizes, product)
    facts = {"source": SOURCE, "file": path.name, "vocabulary_size": len(vocabulary), "answers": len(said),
             "feature_dim": sizes["features"], "vqa": asdict(cfg)}  # fmt: skip
    return model.eval(), vocabulary, AnswerVocabulary(said), facts


def plain_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Lengths and directions put together: W = g V / |V|, of the old layout (``weight_g``) and the new one.

    >>> plain_weights({"a.weight_g": torch.tensor([2.0]), "a.weight_v": torch.tensor([[3.0, 4.0]])})["a.weight"]
    tensor([[1.2000, 1.6000]])
    """
    plain = dict(state)
    for ending_g, ending_v in (("weight_g", "weight_v"), ("parametrizations.weight.original0",) * 2):
        ending_v = ending_v.replace("original0", "original1")
        for name in [name for name in plain if name.endswith("." + ending_g)]:
            layer = name.removesuffix(ending_g)
            direction = plain.pop(layer + ending_v, None)
            if direction is None:
                continue
            plain[f"{layer}weight"] = plain.pop(name).reshape(()) * direction / direction.norm()
    return plain


def _sizes(state: Mapping[str, Tensor], product: bool) -> dict:
    rows = size(state, MARK, 0)
    return {
        "words": None if rows is None else rows - 1,  # the last row is the blank
        "embedding": size(state, MARK, 1),
        "hidden": size(state, "q_emb.rnn.weight_hh_l0", 1),
        "features": size(state, "v_net.main.0.weight", 1),
        "answers": size(state, "classifier.main.3.weight", 0),
    }


def _wanted(sizes: dict, product: bool) -> dict[str, Shape]:
    hidden, features, embedding, answers = (sizes[name] for name in ("hidden", "features", "embedding", "answers"))
    gates, twice = (None, None) if hidden is None else (3 * hidden, 2 * hidden)
    both = None if None in (hidden, features) else hidden + features
    layers = {"q_net.main.0": (hidden, hidden), "v_net.main.0": (hidden, features),
              "classifier.main.0": (twice, hidden), "classifier.main.3": (answers, twice),
              "v_att.linear": (1, hidden)}  # fmt: skip
    layers |= (
        {"v_att.v_proj.main.0": (hidden, features), "v_att.q_proj.main.0": (hidden, hidden)}
        if product
        else {"v_att.nonlinear.main.0": (hidden, both)}
    )
    wanted: dict[str, Shape] = {MARK: (None, embedding)}
    for side, width in (("ih", embedding), ("hh", hidden)):
        wanted |= {f"q_emb.rnn.weight_{side}_l0": (gates, width), f"q_emb.rnn.bias_{side}_l0": (gates,)}
    for name, shape in layers.items():
        wanted |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return wanted


@torch.no_grad()
def _filled(cfg: VqaConfig, state: Mapping[str, Tensor], sizes: dict, product: bool) -> UpDownVqa:
    """Our model with their numbers. The score's bias moves all regions alike and is left out."""
    model = UpDownVqa(cfg, sizes["words"] + SPECIAL, sizes["answers"], sizes["features"]).to(state[MARK].dtype)
    blank, rows = state[MARK][-1], state[MARK][:-1]
    model.embedding.weight.zero_()  # of padding, start, end and unknown only the first is ever read
    model.embedding.weight[0], model.embedding.weight[SPECIAL:] = blank, rows
    for name, value in model.reader.named_parameters():
        value.copy_(state[f"q_emb.rnn.{name}"])
    if product:
        pairs = {"region_gates": "v_att.v_proj.main.0", "question_gates": "v_att.q_proj.main.0"}
        parts = {ours: (state[f"{name}.weight"], state[f"{name}.bias"]) for ours, name in pairs.items()}
    else:
        matrix, bias = state["v_att.nonlinear.main.0.weight"], state["v_att.nonlinear.main.0.bias"]
        seen, asked = matrix.split([sizes["features"], sizes["hidden"]], 1)
        parts = {"region_gates": (seen, bias), "question_gates": (asked, None)}
    parts |= {ours: (state[f"{name}.weight"], state[f"{name}.bias"]) for name, ours in LAYERS.items()}
    for name, (weight, bias) in (parts | {"score": (state["v_att.linear.weight"], None)}).items():
        layer = model.get_submodule(name)
        set_weight(layer, weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return model


def _beside(path: Path, *names: str) -> Path:
    found = [path.with_name(name) for name in names if path.with_name(name).exists()]
    if not found:
        raise DataMissing(f"neither {' nor '.join(names)} lies beside {path}; the weights hold only numbers, so name "
                          "the files that were made with them (words=..., answers=...)")  # fmt: skip
    return found[0]


def _listed(given: Path | str | Sequence[str]) -> list:
    if not isinstance(given, Path | str):
        return list(given)
    path = Path(given)
    if not path.exists():
        raise DataMissing(f"no file {path}")
    if path.suffix == ".pkl":
        return read_pickle(path)
    return read_json(path) if path.suffix == ".json" else path.read_text(encoding="utf-8").split("\n")


def _words(given: Path | str | Sequence[str]) -> list[str]:
    found = _listed(given)
    if isinstance(found, list | tuple) and len(found) == 2 and isinstance(found[0], Mapping):
        found = found[1]  # dictionary.pkl holds word to number, then the words in order
    return [word for word in found if word != ""] if all(isinstance(word, str) for word in found) else _no_list(given)


def _answers(given: Path | str | Sequence[str]) -> list[str]:
    found = _listed(given)
    return list(found) if isinstance(found, list) and all(isinstance(a, str) for a in found) else _no_list(given)


def _no_list(given) -> list[str]:
    raise DataInvalid(f"{given} holds no list of words")
