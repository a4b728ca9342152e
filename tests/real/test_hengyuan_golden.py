"""An imported VQA model says what hengyuan-hu's code says, to 1e-6 in float64."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from updown_lab.datasets.vqa import read_vqa
from updown_lab.models.imports import import_vqa
from updown_lab.regions import RegionBatch
from updown_lab.text import Vocabulary, pad_ids
from updown_lab.training.losses import vqa_loss

REAL = Path(os.environ.get("UPDOWN_REAL_DATA", "../shared/data"))
GOLDEN = REAL.parent / "golden" / "golden_vqa_hengyuan.json"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not GOLDEN.exists(), reason="needs goldens beside real data: set UPDOWN_REAL_DATA"),
]
WORDS, BLANK, QUESTIONS = 9, 9, [[1, 4, 2], [0, 8]]  # without the blanks that his code puts in front, to six words
#: The golden does not name its targets: of all that scores of 0, 0.3, 0.6, 0.9, 1 allow, only these give both losses.
SCORES = torch.tensor([[0.0, 0.3, 1.0, 0.0, 0.0], [0.6, 0.0, 0.0, 0.0, 0.9]], dtype=torch.float64)


def filled(golden):
    """The recipe's weights, in the layout of his checkpoint."""
    state = {}
    for number, (name, shape) in enumerate(golden["state_dict"]):
        size = 1
        for side in shape:
            size *= side
        value = 0.5 * torch.sin(0.37 * torch.arange(size, dtype=torch.float64) + number)
        state[name] = (value.abs() + 0.5 if name.endswith("weight_g") else value).reshape(shape)
    return state


def modern(state):
    """The same as today's torch saves it."""
    names = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    return {f"{name.rpartition('.')[0]}.{names.get(name.rpartition('.')[2], name.rpartition('.')[2])}": value
            for name, value in state.items()}  # fmt: skip


LAYOUTS = {
    "as today": lambda state: state,
    "DataParallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "torch 0.3": lambda state: {n: v.reshape(1) if n.endswith("weight_g") else v for n, v in state.items()},
    "parametrizations": modern,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["build_baseline0", "build_baseline0_newatt"])
def test_question_attention_logits_and_loss_equal_his(name, layout, tmp_path):
    golden = json.loads(GOLDEN.read_text())[name]
    torch.save(LAYOUTS[layout](filled(golden)), tmp_path / "model.pth")
    model, vocabulary, _, _ = import_vqa(tmp_path / "model.pth", [f"w{n}" for n in range(WORDS)], list("abcde"))
    model.cfg = replace(model.cfg, maximum_words=6)
    features = (0.21 * torch.arange(48, dtype=torch.float64) + 0.4).cos().abs().reshape(2, 3, 8)
    regions = RegionBatch(features, torch.zeros(2, 3, 4, dtype=torch.float64), torch.ones(2, 3, dtype=torch.bool))
    questions = pad_ids([vocabulary.encode(" ".join(f"w{n}" for n in question)) for question in QUESTIONS])

    with torch.inference_mode():
        logits, weights = model(regions, questions, torch.arange(2))

    for got, wanted in ((model.read(questions), "q_emb"), (weights, "att"), (logits, "logits")):
        torch.testing.assert_close(got.detach(), torch.tensor(golden[wanted], dtype=torch.float64), rtol=0, atol=1e-6)
    assert vqa_loss(logits, SCORES).item() == pytest.approx(golden["bce_x_nans"], abs=1e-6)


def test_no_word_of_a_real_question_is_unknown_to_his_dictionary():
    folder = REAL / "vqa2_60k"
    words = (folder / "butd_dictionary_19901.txt").read_text(encoding="utf-8").split("\n")
    his = Vocabulary((word for word in words if word), tokeniser="blanks")

    asked = [record.question for record in read_vqa(folder / "vqa_questions_train.gzip")]

    assert len(his) == 19_901 + 4 and len(asked) == 48_061
    assert [question for question in asked if his.unknown(question)] == []
