"""Numbers that the official tools gave, kept beside the real data (see ../shared/golden)."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from updown_lab.datasets.coco import read_coco_captions
from updown_lab.metrics.captions import ptb_tokenise, score_captions
from updown_lab.metrics.cider_d import CiderD
from updown_lab.metrics.grounding import GroundedCaption, grounding
from updown_lab.metrics.java import find_java, java_environment
from updown_lab.metrics.vqa import normalise_answer, vqa_accuracy
from updown_lab.pipeline.sources import RealSource
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
COCO = REAL / "coco_core"
needs_coco = pytest.mark.skipif(
    not all((COCO / name).exists() for name in ("captions.json", "vinvl_captions.json", "instances_boxes.json")),
    reason="needs coco_core with vinvl_captions.json: set UPDOWN_REAL_DATA to a folder like ../shared/data",
)
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


def vinvl():
    """(captions of a published model, five people's captions) of the photos of coco_core."""
    people = {record.image_id: list(record.captions) for record in read_coco_captions(COCO / "captions.json", COCO)}
    said = {row["image_id"]: row["caption"] for row in json.loads((COCO / "vinvl_captions.json").read_text())}
    return said, people


@needs_coco
@needs_java
@pytest.mark.java
def test_scores_of_a_published_models_captions_equal_pycocoevalcaps_own():
    said, people = vinvl()

    ours = score_captions(said, people, metrics=["BLEU", "METEOR", "ROUGE-L", "CIDEr"])

    with java_environment():
        tokenizer = PTBTokenizer()
        wanted = tokenizer.tokenize({image: [{"caption": text} for text in people[image]] for image in said})
        given = tokenizer.tokenize({image: [{"caption": text}] for image, text in said.items()})
        bleu, bleu_each = Bleu(4).compute_score(wanted, given, verbose=0)
        meteor, meteor_each = Meteor().compute_score(wanted, given)
    rouge, rouge_each = Rouge().compute_score(wanted, given)
    cider, cider_each = Cider().compute_score(wanted, given)
    assert len(said) == 351
    assert list(ours.corpus.values()) == pytest.approx([*bleu, meteor, rouge, cider], abs=1e-12)
    each = [*bleu_each, meteor_each, rouge_each, cider_each]
    np.testing.assert_allclose(ours.per_image.loc[list(given)].T, each, rtol=0, atol=1e-12)


@needs_coco
def test_people_hallucinate_little_and_a_published_model_too():
    """CHAIR of one person against the boxes and the other four: what is left are slips of people, boxes and word lists.

    Measured: people 2.0 % of object words (4.4 % if boxes alone were the truth), 3.0 % of captions.
    """
    source = RealSource(REAL, 1)
    said, people = vinvl()

    def look(image, text, mentioned):
        words, corner = text.split(), torch.tensor([[0.0, 0, 1, 1]])
        return GroundedCaption(torch.ones(len(words), 1), corner, words, source.objects(image), mentioned)

    alone = grounding([look(i, text, ()) for i in people for text in people[i]], source.nouns)
    left_out = [look(image, text, source.named_in([*texts[:place], *texts[place + 1 :]]))
                for image, texts in people.items() for place, text in enumerate(texts)]  # fmt: skip
    human = grounding(left_out, source.nouns)
    model = grounding([look(image, text, source.mentioned(image)) for image, text in said.items()], source.nouns)

    assert human["words"][0] > 2500
    assert human["hallucination"][0] < 0.025 and human["hallucinated captions"][0] < 0.035
    assert human["hallucination"][0] < alone["hallucination"][0] < 0.05
    assert 0 < model["hallucination"][0] < 0.05


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
