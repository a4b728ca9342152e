"""Drawing what a detector sees, as people type it."""

import pytest
import torch
from PIL import Image
from untrained_run import untrained_run

from updown_lab.cli import main
from updown_lab.config import CaptionerConfig, preset
from updown_lab.demo import BUNDLE
from updown_lab.models.captioner import UpDownCaptioner
from updown_lab.models.imports.caffe import export_caffe
from updown_lab.models.vqa import UpDownVqa
from updown_lab.pipeline.work import save_text_vqa
from updown_lab.text import AnswerVocabulary, Vocabulary


def test_the_regions_of_a_picture_are_drawn_and_listed(tmp_path, capsys):
    run = untrained_run(tmp_path / "run")
    torch.manual_seed(0)
    Image.fromarray(torch.randint(0, 255, (90, 120, 3)).byte().numpy()).save(tmp_path / "a.png")

    code = main(["look", str(tmp_path / "a.png"), "--run-folder", str(run), "--picture", str(tmp_path / "out.png"),
                 "--top", "3"])  # fmt: skip

    lines = capsys.readouterr().out.splitlines()
    assert not code and len(lines) == 4 and lines[-1].startswith(f"saved {tmp_path / 'out.png'}")
    corners = torch.tensor([[int(number) for number in line.split()[-4:]] for line in lines[:3]])
    assert (corners[:, :2] <= corners[:, 2:]).all() and (corners[:, 2:] <= torch.tensor([120, 90])).all()
    assert Image.open(tmp_path / "out.png").size[0] > 500


def test_a_picture_that_is_not_there_is_named(tmp_path, capsys):
    assert main(["look", str(tmp_path / "no.png")]) == 1

    assert capsys.readouterr().err.strip() == f"error: no picture {tmp_path / 'no.png'}"


def test_a_captioner_that_was_trained_elsewhere_describes_a_picture(tmp_path, capsys):
    run = untrained_run(tmp_path / "run")
    torch.manual_seed(0)
    Image.fromarray(torch.randint(0, 255, (90, 120, 3)).byte().numpy()).save(tmp_path / "a.png")
    words, size = Vocabulary(["cat", "hat", "a"]), preset("tiny").trunk.widths[-1]
    for name, feature_dim in (("fits", size), ("other", size + 1)):
        (tmp_path / name).mkdir()
        model = UpDownCaptioner(CaptionerConfig(12, 10, 8), len(words), feature_dim)
        export_caffe(tmp_path / name / "iter_1.caffemodel.h5", model, words)
    ask = ["describe", str(tmp_path / "a.png"), "--run-folder", str(run), "--captioner"]

    assert not main([*ask, str(tmp_path / "fits"), "--picture", str(tmp_path / "out.png")])

    said = capsys.readouterr()
    assert set(said.out.splitlines()[0].split()) <= {"cat", "hat", "a"} and (tmp_path / "out.png").exists()
    assert main([*ask, str(tmp_path / "other")]) == 1
    assert f"reads {size + 1} numbers a region, but these eyes give {size}" in capsys.readouterr().err


@pytest.fixture
def picture(tmp_path):
    torch.manual_seed(0)
    Image.fromarray(torch.randint(0, 255, (90, 120, 3)).byte().numpy()).save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


def answerer(folder, feature_dim, **probabilities):
    """The folder of a VQA model that believes the same whatever it sees."""
    words, answers = Vocabulary(["is", "it"]), AnswerVocabulary(probabilities)
    model = UpDownVqa(preset("tiny").vqa, len(words), len(answers), feature_dim)
    with torch.no_grad():
        model.classifier.answer.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([*probabilities.values()]).logit())
    save_text_vqa(folder, model, words, answers)
    return str(folder)


def test_models_that_were_trained_elsewhere_answer_together_with_the_eyes_of_a_run(tmp_path, picture, capsys):
    """By hand: red (0.2 + 0.8) / 2, blue 0.6 / 2."""
    run, size = untrained_run(tmp_path / "run"), preset("tiny").trunk.widths[-1]
    models = [answerer(tmp_path / "one", size, red=0.2, blue=0.6), answerer(tmp_path / "two", size, red=0.8)]
    ask = ["ask", picture, "Is it a gnu, a gnu" + " or what" * 14 + " zebra?", "--run-folder", str(run), "--answerer"]

    assert not main([*ask, *models, "--picture", str(tmp_path / "out.png")])

    said = capsys.readouterr()
    assert said.out.splitlines()[:2] == [f"{'red':<16}  50.0 %", f"{'blue':<16}  30.0 %"]
    assert said.err.splitlines() == ["(only the first 14 of 35 words are read)",
                                     "(the model has never read: a, gnu, or, what)"]  # fmt: skip
    assert (tmp_path / "out.png").exists()
    assert main([*ask, answerer(tmp_path / "other", size + 1, red=0.5)]) == 1
    assert f"reads {size + 1} numbers a region, but these eyes give {size}" in capsys.readouterr().err


def test_the_demo_answers_and_describes_without_a_run(picture, capsys):
    assert not main(["ask", picture, "?!", "--demo"])
    assert "no word in the question" in capsys.readouterr().err
    assert not main(["ask", picture, "how many cats are there", "--run-folder", str(BUNDLE)])
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert not main(["describe", picture, "--demo"]) and capsys.readouterr().out.strip()
    assert main(["ask", picture, "is it red", "--demo", "--features", "question-only"]) == 1
    assert "a model of 'question-only' cannot look at a picture" in capsys.readouterr().err


def test_options_of_other_eyes_are_refused_for_a_runs_own_captioner(tmp_path, capsys):
    Image.new("RGB", (90, 120)).save(tmp_path / "a.png")

    assert main(["describe", str(tmp_path / "a.png"), "--device", "cpu"]) == 1

    assert "go with --captioner" in capsys.readouterr().err
