"""Numbers that the official tools gave, kept beside the real data (see ../shared/golden)."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from updown_lab.metrics.captions import ptb_tokenise, score_captions
from updown_lab.metrics.cider_d import CiderD
from updown_lab.metrics.java import find_java
from updown_lab.metrics.vqa import normalise_answer, vqa_accuracy
from updown_lab.text import pad_ids

REAL = Path(os.environ.get("UPDOWN_REAL_DATA", "../shared/data"))
GOLDEN = REAL.parent / "golden"
CAPTIONS = GOLDEN / "golden_caption_metrics_pycocoevalcap.json"
VQA = GOLDEN / "golden_vqa_eval_official.json"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not (CAPTIONS.exists() and VQA.exists()),
        reason="needs real data: set UPDOWN_REAL_DATA to a folder like ../shared/data, with ../shared/golden beside it",
    ),
]
needs_java = pytest.mark.skipif(find_java() is None, reason="needs Java: pip install 'updown_lab[java]'")


@pytest.mark.parametrize(("end_token", "key"), [(None, "corpus_df"), (2, "with_eos")])
def test_cider_d_equals_the_golden_scores(end_token, key):
    golden = json.loads(CAPTIONS.read_text())
    ids = {}
    number = lambda text: [ids.setdefault(word, len(ids) + 4) for word in text.split()]  # noqa: E731
    references = [[number(text) for text in texts] for _, texts in golden["data"]]
    candidates = pad_ids([[*number(text), 2] for text, _ in golden["data"]])

    got = CiderD(references, end_token).score([0, 1, 2], candidates)

    np.testing.assert_allclose(got, golden[key]["scores"], rtol=0, atol=1e-12)
    assert got.mean() == pytest.approx(golden[key]["mean"], abs=1e-12)


@needs_java
@pytest.mark.java
def test_caption_scores_equal_the_golden_scores():
    golden = json.loads(CAPTIONS.read_text())
    candidates = {image: text for image, (text, _) in enumerate(golden["data"])}
    references = {image: texts for image, (_, texts) in enumerate(golden["data"])}

    scores = score_captions(candidates, references, metrics=["BLEU", "METEOR", "ROUGE-L", "CIDEr"])

    bleu = {f"BLEU-{n}": value for n, value in enumerate(golden["bleu"]["corpus"], 1)}
    rest = {
        "METEOR": golden["meteor"]["corpus"],
        "ROUGE-L": golden["rouge_l"]["mean"],
        "CIDEr": golden["corpus_df"]["mean"],
    }
    assert scores.corpus == pytest.approx({**bleu, **rest}, abs=1e-12)
    each = [*golden["bleu"]["per_image"], *(golden[n]["scores"] for n in ("meteor", "rouge_l", "corpus_df"))]
    np.testing.assert_allclose(scores.per_image.to_numpy().T, each, rtol=0, atol=1e-12)


@needs_java
@pytest.mark.java
def test_the_ptb_tokeniser_equals_the_golden_words():
    golden = json.loads(CAPTIONS.read_text())["ptb_tokenizer"]

    assert ptb_tokenise(golden["input"]) == golden["output"]


def test_answers_are_normalised_as_officially():
    golden = json.loads(VQA.read_text())["normalize"]

    assert {text: normalise_answer(text) for text in golden} == golden


def test_vqa_accuracy_equals_the_official_one():
    golden = json.loads(VQA.read_text())
    records = [
        SimpleNamespace(question_id=n, answer_type="other", question_type="what", answers=tuple(case["gt"]))
        for n, case in enumerate(golden["cases"])
    ]

    scores = vqa_accuracy({n: case["pred"] for n, case in enumerate(golden["cases"])}, records)

    assert scores.per_question["score"].round(2).tolist() == [case["acc"] for case in golden["cases"]]
    assert round(scores.overall, 2) == golden["accuracy"]["overall"]
