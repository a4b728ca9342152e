"""What is missing or does not fit in a VQA checkpoint of hengyuan-hu's is said before anything is built from it."""

import json
from dataclasses import asdict

import pytest
import torch

from updown_lab.checkpoints import save_model
from updown_lab.config import preset
from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.models.imports import import_vqa
from updown_lab.pipeline.work import load_text_vqa

WORDS, ANSWERS = ["the", "man", "'s", "shirt"], ["yes", "no", "red"]
HIDDEN, FEATURES, EMBEDDING = 3, 5, 2
SHAPES = {
    "w_emb.emb.weight": (len(WORDS) + 1, EMBEDDING),
    "q_emb.rnn.weight_ih_l0": (3 * HIDDEN, EMBEDDING),
    "q_emb.rnn.weight_hh_l0": (3 * HIDDEN, HIDDEN),
    "q_emb.rnn.bias_ih_l0": (3 * HIDDEN,),
    "q_emb.rnn.bias_hh_l0": (3 * HIDDEN,),
    **{f"{name}.{part}": shape if part == "weight" else shape[:1] for name, shape in {
        "v_att.nonlinear.main.0": (HIDDEN, FEATURES + HIDDEN), "v_att.linear": (1, HIDDEN),
        "q_net.main.0": (HIDDEN, HIDDEN), "v_net.main.0": (HIDDEN, FEATURES),
        "classifier.main.0": (2 * HIDDEN, HIDDEN), "classifier.main.3": (len(ANSWERS), 2 * HIDDEN),
    }.items() for part in ("weight", "bias")},
}  # fmt: skip


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    torch.save({name: torch.randn(shape) for name, shape in SHAPES.items()}, tmp_path / "model.pth")
    (tmp_path / "dictionary.txt").write_text("\n".join(WORDS) + "\n")
    (tmp_path / "label2ans.json").write_text(json.dumps(ANSWERS))
    return tmp_path / "model.pth"


def test_words_and_answers_are_found_beside_the_model_and_questions_are_cut_as_his_code_cuts_them(checkpoint):
    model, vocabulary, answers, facts = import_vqa(checkpoint)

    assert answers.answers == ANSWERS and facts["answers"] == 3 and facts["feature_dim"] == FEATURES
    assert vocabulary.encode("The man's new shirt?") == [4, 5, 6, 7]  # "new" is not in his dictionary
    assert not model.training


@pytest.mark.parametrize("name", ["dictionary.txt", "label2ans.json"])
def test_numbers_without_their_words_are_refused_with_the_names_of_the_files(checkpoint, name):
    checkpoint.with_name(name).unlink()

    with pytest.raises(DataMissing, match=rf"{name} lies beside .*model\.pth; the weights hold only numbers"):
        import_vqa(checkpoint)


@pytest.mark.parametrize(
    ("words", "answers", "said"),
    [
        (WORDS[:3], ANSWERS, "words: 3 are listed, but the model has 4"),
        (WORDS, [*ANSWERS, "blue"], "answers: 4 are listed, but the model has 3"),
        (["the"] * 4, ANSWERS, "words: each is listed once, but 'the' more often"),
        (WORDS, ["yes", "no", "yes"], "answers: each is listed once, but 'yes' more often"),
        ("gone.txt", ANSWERS, "no file gone.txt"),
        (WORDS, ["yes", "no", 3], "holds no list of words"),
    ],
)
def test_words_and_answers_that_do_not_fit_are_all_named(checkpoint, words, answers, said):
    with pytest.raises((DataInvalid, DataMissing), match=said):
        import_vqa(checkpoint, words, answers)


def test_both_lists_may_be_wrong_at_once(checkpoint):
    with pytest.raises(DataInvalid, match=r"(?s)words: 1 are listed.*answers: 1 are listed"):
        import_vqa(checkpoint, ["the"], ["yes"])


def test_something_else_is_no_vqa_model(tmp_path):
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "model.pth")

    with pytest.raises(DataInvalid, match=r"no VQA model known here; its tensors are fc\.weight"):
        import_vqa(tmp_path / "model.pth", WORDS, ANSWERS)
    with pytest.raises(DataMissing, match="no file"):
        import_vqa(tmp_path / "gone.pth")


def test_an_imported_model_can_be_saved_and_loaded_as_its_docstring_says(checkpoint, tmp_path):
    model, words, answers, facts = import_vqa(checkpoint)
    save_model(tmp_path / "saved", model, **facts)
    words.save(tmp_path / "saved" / "vocabulary.json")
    answers.save(tmp_path / "saved" / "answers.json")

    again = load_text_vqa(tmp_path / "saved", preset("tiny"))  # whose own settings would not fit

    assert asdict(again.model.cfg) == facts["vqa"] and again.vocabulary.tokeniser == "blanks"
    torch.testing.assert_close(again.model.read(torch.tensor([[4, 5]])), model.read(torch.tensor([[4, 5]])))
