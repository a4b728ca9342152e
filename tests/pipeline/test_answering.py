"""Files of questions, answered from a feature store as the challenge wants them."""

import json
from argparse import Namespace

import pytest
import torch

from updown_lab.checkpoints import save_model
from updown_lab.cli import main
from updown_lab.commands.parsing import config_of
from updown_lab.config import VqaConfig, override, preset, save_config
from updown_lab.datasets.vqa import QuestionRecord, write_vqa
from updown_lab.errors import DataInvalid
from updown_lab.files import write_json
from updown_lab.metrics.vqa_results import write_results
from updown_lab.models.vqa import UpDownVqa
from updown_lab.pipeline.plans import make_plan
from updown_lab.pipeline.work import load_text_vqa, load_vqa, save_text_vqa
from updown_lab.regions import Regions
from updown_lab.store.writer import write_features
from updown_lab.text import AnswerVocabulary, Vocabulary

SMALL = VqaConfig(embedding_size=4, hidden_size=6, reader="lstm")
WORDS, ANSWERS = Vocabulary(["is", "it", "red"]), AnswerVocabulary(["yes", "no", "red"])
ASKED = [QuestionRecord(9000 + n, n % 3, text, "", "", "", ()) for n, text in
         enumerate(["Is it red?", "", "what is it", "is it a dog"])]  # fmt: skip


@pytest.fixture
def store(tmp_path):
    def encode(numbers):
        return [Regions(torch.eye(3)[[n]], torch.zeros(1, 4), (8, 8), "toy") for n in numbers]

    write_features(
        encode, [(n, lambda n=n: n) for n in range(3)], tmp_path / "store", 3, dtype="float32", progress=False
    )
    return str(tmp_path / "store")


@pytest.fixture
def questions(tmp_path):
    write_vqa(ASKED, tmp_path / "test2015.json")
    return str(tmp_path / "test2015.json")


def saved(folder, answer, features="regions", feature_dim=3):
    """A model that gives one answer to everything, and its folder."""
    model = UpDownVqa(SMALL, len(WORDS), len(ANSWERS), feature_dim)
    with torch.no_grad():
        model.classifier.answer.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([{**dict.fromkeys(ANSWERS.answers, 0.01), **answer}[name]
                                                  for name in ANSWERS.answers]).logit())  # fmt: skip
    save_text_vqa(folder, model, WORDS, ANSWERS, features=features)
    return str(folder)


def test_every_question_of_a_test_set_is_answered_as_the_server_wants_it(tmp_path, store, questions, capsys):
    folder, out = saved(tmp_path / "model", {"red": 0.75}), tmp_path / "results.json"

    assert not main(["answer", questions, "--store", store, "--model", folder, "--out", str(out)])

    assert json.loads(out.read_text()) == [{"question_id": 9000 + n, "answer": "red"} for n in range(4)]
    assert capsys.readouterr().out.startswith("4 questions answered, mean probability 0.75: ")


def test_several_models_answer_by_the_mean_of_their_probabilities(tmp_path, store, questions):
    """By hand: red (0.75 + 0.01) / 2 = 0.38 is less than yes (0.01 + 0.9) / 2; a model that never looks may help."""
    folders = [saved(tmp_path / "one", {"red": 0.75}), saved(tmp_path / "two", {"yes": 0.9}, "question-only", 1)]
    out = tmp_path / "results.json"

    assert not main(["answer", questions, "--store", store, "--model", *folders, "--out", str(out)])

    assert {row["answer"] for row in json.loads(out.read_text())} == {"yes"}


def test_what_is_missing_is_said_before_anything_is_answered(tmp_path, store, questions, capsys):
    folder, blind = saved(tmp_path / "model", {}), saved(tmp_path / "blind", {"no": 0.5}, "question-only", 1)
    write_vqa([*ASKED, QuestionRecord(1, 77, "where", "", "", "", ())], tmp_path / "more.json")
    out = ["--out", str(tmp_path / "results.json")]

    assert main(["answer", str(tmp_path / "more.json"), "--store", store, "--model", folder, *out]) == 1
    assert "1 photos that are asked about are not in the feature store, first: [77]" in capsys.readouterr().err
    assert main(["answer", questions, "--model", folder, *out]) == 1
    assert "name them with --store FOLDER" in capsys.readouterr().err
    assert main(["answer", questions, "--store", store, "--model", str(tmp_path), *out]) == 1
    assert "it has no model.json" in capsys.readouterr().err
    assert not (tmp_path / "results.json").exists()
    assert not main(["answer", questions, "--model", blind, *out])  # who never looks needs no store


def test_a_model_is_built_with_the_settings_that_were_saved_with_it(tmp_path):
    saved(tmp_path / "model", {"red": 0.75})

    for cfg in (None, preset("tiny")):  # whose reader is a GRU
        model = load_vqa(tmp_path / "model", cfg)
        assert model.cfg == SMALL
    text = load_text_vqa(tmp_path / "model")
    assert text.vocabulary.words == WORDS.words and text.answers.answers == ANSWERS.answers and not text.blind


def test_a_folder_without_settings_needs_those_of_its_run(tmp_path):
    cfg = preset("tiny")
    model = UpDownVqa(cfg.vqa, 7, 3, 3)
    save_model(tmp_path, model, vocabulary_size=7, answers=3, feature_dim=3)

    assert load_vqa(tmp_path, cfg).cfg == cfg.vqa
    with pytest.raises(DataInvalid, match="does not say how its model is built"):
        load_vqa(tmp_path)


def question(number, kind, asked, answers):
    return QuestionRecord(number, 1, asked + " it", kind, asked, answers[0], tuple(answers))


def test_the_vqa_models_of_a_run_are_scored_on_its_own_questions(tmp_path, capsys):
    """By hand: two of ten said red, (2 * 1/3 + 8 * 2/3) / 10 = 60 %; all said yes; the mean is 80."""
    data, run = tmp_path / "data" / "vqa2", tmp_path / "run"
    data.mkdir(parents=True)
    records = [question(1, "yes/no", "is", ["yes"] * 10), question(2, "other", "what", ["red"] * 2 + ["blue"] * 8)]
    write_vqa(records, data / "questions_test.json", data / "annotations_test.json")
    config = override(preset("photos"), data=str(data.parent))
    plan = make_plan(config, run)
    save_config(config, run / "config.json")

    assert main(["evaluate", "vqa", "--out", str(run)]) == 1
    assert "train vqa" in capsys.readouterr().err
    folder = plan.path("vqa-question-only")
    write_results(folder / "results.json", {1: "yes", 2: "red"})
    write_json(folder / "stage.json", {"fingerprint": plan.fingerprint(plan.find("vqa-question-only"))})
    assert not main(["evaluate", "vqa", "--out", str(run)])

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("vqa-question-only (")
    assert [line.split() for line in lines[1:4]] == [["overall", "80.00"], ["other", "60.00"], ["yes/no", "100.00"]]
    assert "is 100.00 (1); what 60.00 (1)" in lines[-1]


def test_files_that_a_run_names_are_found_from_any_folder(tmp_path, monkeypatch):
    """The run keeps whole paths, whatever was typed."""
    (tmp_path / "data").mkdir()
    (tmp_path / "glove.txt").write_text("red 1 2")
    monkeypatch.chdir(tmp_path)

    typed = ["data=data", "vqa.word_vectors=glove.txt", "vqa.embedding_size=2"]
    config = config_of(Namespace(preset="photos", seed=None, changes=typed))

    assert config.data == str(tmp_path / "data") and config.vqa.word_vectors == str(tmp_path / "glove.txt")
