"""What notebook 07 compares: other eyes on the same pictures, and runs that keep the score of every question."""

from dataclasses import replace

import pytest
import torch

from updown_lab.analysis.compare import compare
from updown_lab.config import override, preset
from updown_lab.errors import ConfigError
from updown_lab.metrics.vqa import answer_accuracy
from updown_lab.pipeline import lessons
from updown_lab.pipeline.lessons import open_lesson, seen_by, vqa_run
from updown_lab.regions import Regions

FEW = {"world.train_images": 6, "world.validation_images": 2, "world.test_images": 3, "world.questions_per_image": 4}
SHORT = {"vqa_training.steps": 3, "vqa_training.evaluate_every": 3, "vqa.hidden_size": 8}


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    return open_lesson(override(preset("lesson"), **FEW, **SHORT), tmp_path_factory.mktemp("lessons"))


class Eyes:
    """Sees the mean colour of a picture, and counts how many it was shown."""

    feature_dim, source, shown = 3, "mean colour", 0

    def encode(self, images, records=None):
        self.shown += len(images)
        whole = torch.tensor([[0.0, 0.0, 128.0, 128.0]])
        return [Regions(image.mean((1, 2))[None], whole, (128, 128), self.source) for image in images]


def test_other_eyes_see_the_same_pictures_once(lesson):
    eyes, again = Eyes(), Eyes()

    seen = seen_by(lesson, eyes)
    seen_by(lesson, again)

    assert (eyes.shown, again.shown) == (11, 0)
    assert seen.store.source == "mean colour" and seen.source is lesson.source
    for record in lesson.source.captions("test"):
        mean = lesson.picture(record.image_id).mean((1, 2))
        torch.testing.assert_close(seen.store[record.image_id].features[0].float(), mean, atol=1e-3, rtol=0)


def test_only_training_pictures_make_the_mean_of_other_eyes(lesson):
    seen = seen_by(lesson, Eyes())

    means = [lesson.picture(record.image_id).mean((1, 2)) for record in lesson.source.captions("train")]
    torch.testing.assert_close(seen.store.mean.float(), torch.stack(means).mean(0), atol=1e-3, rtol=0)


def test_every_test_question_has_its_official_score_and_its_picture(lesson, monkeypatch):
    records = lesson.source.questions("test")
    known = [record.answer if record.answer in lesson.answers.ids else lesson.answers.answers[0] for record in records]
    told = [lesson.answers.ids[answer] for answer in known]
    monkeypatch.setattr(lessons, "answer_all", lambda model, questions: (told, [1.0] * len(told)))

    run = vqa_run(lesson, "parrot", seed=1)

    assert run.scores.index.tolist() == [record.question_id for record in records]
    assert run.groups.loc[run.scores.index].tolist() == [record.image_id for record in records]
    right = [100 * answer_accuracy(answer, record.answers) for answer, record in zip(known, records, strict=True)]
    assert run.scores.tolist() == pytest.approx(right) and max(right) > 50


def test_a_seed_gives_the_same_run_again_and_another_seed_another(lesson, tmp_path):
    weights = []
    for number, seed in enumerate((1, 1, 2)):
        fresh = replace(lesson, folder=tmp_path / str(number))
        vqa_run(fresh, "soft", seed)
        (place,) = fresh.folder.glob("vqa-symbolic-*")
        weights.append(torch.load(place / "checkpoint.pt", weights_only=True)["model"])

    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_runs_know_what_they_differ_in(lesson):
    runs = [vqa_run(lesson, how, 1, **{"vqa.attention": how}) for how in ("concatenated", "uniform")]
    longer = vqa_run(lesson, "uniform", 1, **{"vqa.attention": "uniform", "vqa_training.steps": 4})

    assert len(compare(runs, "vqa.attention")) == 2
    with pytest.raises(ConfigError, match=r"training\.steps: 3, 4"):
        compare([runs[0], longer], "vqa.attention")
    with pytest.raises(ConfigError, match="features: 'symbolic', 'mean colour'"):
        compare([runs[0], vqa_run(seen_by(lesson, Eyes()), "colour", 1)], "vqa.attention")
