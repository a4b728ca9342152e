"""The recipes on worlds so small that the right outcome is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from updown_lab.config import Config, WorldConfig, override, preset
from updown_lab.datasets.coco import CaptionRecord
from updown_lab.datasets.picturebook import make_picturebook
from updown_lab.datasets.vqa import QuestionRecord
from updown_lab.decode import greedy, sample
from updown_lab.pipeline.sources import PicturebookSource
from updown_lab.regions import Regions
from updown_lab.store.feature_store import FeatureStore
from updown_lab.store.writer import write_features
from updown_lab.text import END, AnswerVocabulary, Vocabulary, pad_ids
from updown_lab.training.answering import Questions, answer_all, answer_prior, new_vqa, train_vqa
from updown_lab.training.seeing import mirrored, padded_attributes, pretrain_trunk, score_detector, train_detector
from updown_lab.training.self_critical import FORMS, train_self_critical
from updown_lab.training.speaking import (
    CaptionImages,
    describe_images,
    new_captioner,
    train_captioner,
    validation_score,
)  # fmt: skip
from updown_lab.vision.trunk import build_trunk

SENTENCES = ("a red cat", "two blue boats", "the sun is low", "a dog on a table", "one fish", "green apples")
COLOURS = ("red", "blue", "green")
CPU = torch.device("cpu")


def settings(**changes) -> Config:
    small = {"captioner.embedding_size": 24, "captioner.hidden_size": 32, "captioner.attention_size": 16,
             "captioner.minimum_count": 1, "captioner.maximum_words": 8, "cross_entropy.steps": 60,
             "cross_entropy.batch_size": 6, "cross_entropy.learning_rate": 0.02, "cross_entropy.evaluate_every": 20,
             "vqa.embedding_size": 12, "vqa.hidden_size": 24, "vqa_training.steps": 60, "vqa_training.batch_size": 18,
             "vqa_training.learning_rate": 0.01, "vqa_training.evaluate_every": 30}  # fmt: skip
    return override(preset("tiny"), **small | changes)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Six images; image n has n % 3 + 1 regions, one of which points along axis n."""
    folder = tmp_path_factory.mktemp("store")

    def encode(numbers):
        return [Regions(torch.eye(6)[[n] * (n % 3 + 1)], torch.zeros(n % 3 + 1, 4), (8, 8), "toy") for n in numbers]

    items = [(n, lambda n=n: n) for n in range(6)]
    write_features(encode, items, folder, 6, dtype="float32", training_ids=range(6), progress=False)
    return FeatureStore.open(folder)


@pytest.fixture
def captions(store):
    records = [CaptionRecord(n, Path(f"{n}.jpg"), "train", (text,)) for n, text in enumerate(SENTENCES)]
    return CaptionImages(records, store, Vocabulary.build(SENTENCES, 1), 8, "cpu")


def said(model, images, cfg, vocabulary=Vocabulary.build(SENTENCES, 1)):  # noqa: B008 (never changed)
    regions = images.regions(range(len(images)))
    return [vocabulary.decode(caption.words) for caption in greedy(model, regions, cfg.captioner.maximum_words)]


# ------------------------------------------------------------------------------------------------ speaking


def test_captions_come_with_their_end_and_their_image(store):
    records = [CaptionRecord(4, Path("4.jpg"), "train", ("a cat", "one cat sat")), CaptionRecord(2, Path(), "", ("a",))]
    images = CaptionImages(records, store, Vocabulary(["a", "cat", "one", "sat"]), 2, "cpu")

    targets, owners = images.targets(images.captions([1, 0]))

    assert targets.tolist() == [[4, END, 0], [4, 5, END], [6, 5, END]]  # the third is cut to two words
    assert owners.tolist() == [0, 1, 1]
    assert images.regions([1, 0]).mask.sum(1).tolist() == [3, 2]  # image 2 has three regions, image 4 has two


def test_a_captioner_learns_six_captions_by_heart(store, captions, tmp_path):
    cfg = settings()
    model = new_captioner(store, Vocabulary.build(SENTENCES, 1), cfg)

    train_captioner(model, captions, captions, cfg, tmp_path)

    losses = [float(row.split(",")[1]) for row in (tmp_path / "history.csv").read_text().splitlines()[1:]]
    assert losses[-1] < 0.1 < losses[1] < losses[0]
    assert said(model, captions, cfg) == list(SENTENCES)
    perfect = captions.reward().score(range(6), pad_ids([ids[0] for ids in captions.ids])).mean()
    assert validation_score(model, captions, cfg)["score"] == pytest.approx(100 * perfect)
    described = describe_images(model, captions, cfg)
    assert [caption.words for caption in described] == [ids[0] for ids in captions.ids]


def test_a_captioner_that_cannot_see_its_images_apart_cannot_learn_them(store, tmp_path):
    """The features carry the lesson above, not the order of the captions."""
    cfg = settings()
    blind = [CaptionRecord(0, Path(), "train", (text,)) for text in SENTENCES]  # six captions of one image
    images = CaptionImages(blind, store, Vocabulary.build(SENTENCES, 1), 8, "cpu")
    model = new_captioner(store, Vocabulary.build(SENTENCES, 1), cfg)

    train_captioner(model, images, images, cfg, tmp_path)

    assert len(set(said(model, images, cfg))) == 1


def test_new_captioners_of_one_seed_are_the_same_and_scaled_by_the_store(store):
    first, second = (new_captioner(store, Vocabulary(["a"]), settings()) for _ in range(2))

    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    scaled = first.standardise(store.batch(range(6)).features)
    real = scaled[store.batch(range(6)).mask]
    torch.testing.assert_close(real.mean(0), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(real.std(0, correction=0), torch.ones(6), atol=1e-4, rtol=0)


@pytest.mark.parametrize("form", FORMS)
def test_self_critical_training_raises_the_reward(store, captions, tmp_path, form):
    cfg = settings(**{"cross_entropy.steps": 24, "scst.samples": 10, "scst.training.steps": 120,
                      "scst.training.batch_size": 6, "scst.training.evaluate_every": 120})  # fmt: skip
    cfg = replace(cfg, scst=replace(cfg.scst, form=form))
    model = new_captioner(store, Vocabulary.build(SENTENCES, 1), cfg)
    train_captioner(model, captions, captions, cfg, tmp_path / "imitate")  # too short to know them all

    def reward():
        torch.manual_seed(0)
        drawn = sample(model, captions.regions(range(6)), 8, 100)
        return captions.reward(END).score(np.repeat(range(6), 100), drawn).mean()

    before = reward()
    train_self_critical(model, captions, captions, cfg, tmp_path / "please")

    assert reward() > before + 0.5  # of 10; the mean of 600 samples has an error of about 0.15


def test_the_reward_of_self_critical_training_pays_for_stopping_and_that_of_validation_does_not(
    store, captions, tmp_path, monkeypatch
):
    cfg, asked, reward = settings(**{"scst.training.steps": 1}), [], captions.reward
    monkeypatch.setattr(captions, "reward", lambda *how: asked.append(how[:1]) or reward(*how))

    model = new_captioner(store, Vocabulary.build(SENTENCES, 1), cfg)
    train_self_critical(model, captions, captions, cfg, tmp_path)

    assert asked == [(END,), ()]  # else captions learn to end in "with a"
    whole, cut = reward(END).score([0, 0], [[*captions.ids[0][0], END], [*captions.ids[0][0], 0]])
    assert whole == pytest.approx(10) and cut < 9  # by hand: CIDEr-D of a reference itself is 10


# ----------------------------------------------------------------------------------------------- answering


def question(number, image, text, answer):
    return QuestionRecord(number, image, text, "other", "", answer, (answer,) * 10)


def colour_questions():
    """Only the picture knows "what colour" (image % 3); "is it drawn" is always yes."""
    asked = [question(image, image, "what colour", COLOURS[image % 3]) for image in range(6)]
    return asked + [question(image + 10, image, "is it drawn", "yes") for image in range(6)]


def question_set(store, records=None):
    records = records or colour_questions()
    words = Vocabulary.build((record.question for record in colour_questions()), 1)
    return Questions(records, store, words, AnswerVocabulary(["yes", *COLOURS]), 8, "cpu"), words


def test_a_batch_of_questions_reads_each_image_once(store):
    questions, _ = question_set(store)

    regions, ids, owners, targets = questions.batch([7, 1, 0])  # is it drawn (image 1), colours of images 1 and 0

    assert len(regions) == 2 and owners.tolist() == [0, 0, 1]
    assert regions.mask.sum(1).tolist() == [2, 1]
    assert ids.shape == (3, 3) and ids[1, 2] == 0
    assert targets.tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]]


def test_soft_scores_reach_the_targets(store):
    record = QuestionRecord(1, 0, "what colour", "other", "", "red", ("red",) * 2 + ("blue",) * 7 + ("grey",))

    questions, _ = question_set(store, [record])

    torch.testing.assert_close(questions.targets([0]), torch.tensor([[0.0, 2 / 3, 1.0, 0.0]]))  # min(1, times / 3)


@pytest.mark.parametrize("group_by_image", [False, True])
def test_a_vqa_model_that_sees_beats_the_prior_and_one_that_does_not_cannot(store, tmp_path, group_by_image):
    cfg = settings(**{"vqa.group_by_image": group_by_image})
    scores = {}
    for name, eyes in (("seeing", store), ("question-only", None)):
        questions, words = question_set(eyes)
        model = train_vqa(new_vqa(questions, words, cfg), questions, questions, cfg, tmp_path / name)
        chosen, sure = answer_all(model, questions, size=5)
        truth = [questions.answers.ids[record.answer] for record in questions.records]
        scores[name] = np.mean([given == right for given, right in zip(chosen, truth, strict=True)])
        assert all(0 <= value <= 1 for value in sure)

    assert answer_prior(colour_questions()) == "yes"  # right for 6 of 12
    assert scores["seeing"] == 1.0
    assert scores["question-only"] <= (6 + 2) / 12  # all the "yes", and one colour for everything


def test_answers_come_back_in_the_order_of_the_questions(store):
    cfg = settings()
    questions, words = question_set(store)
    model = new_vqa(questions, words, cfg).eval()

    chosen, sure = answer_all(model, questions, size=5)

    for row in range(len(questions)):  # one at a time
        regions, ids, owners, _ = questions.batch([row])
        best, answer = model(regions, ids, owners)[0].sigmoid().max(1)
        assert answer.item() == chosen[row]
        assert best.item() == pytest.approx(sure[row], abs=1e-5)


def test_question_only_models_get_no_regions():
    questions, words = question_set(None)

    regions, ids, owners, _ = questions.batch([0, 1, 6])

    assert regions.mask.shape == (2, 0)  # images 0 and 1, no region
    model = new_vqa(questions, words, settings())
    _, weights = model(regions, ids, owners)
    assert weights.shape == (3, 0)


def test_a_new_vqa_model_starts_from_the_answer_frequencies(store):
    questions, words = question_set(store)

    model = new_vqa(questions, words, settings())

    # by hand: "yes" to 6 of 12 questions, each colour to 2 of 12
    torch.testing.assert_close(model.classifier.bias.sigmoid().detach(), torch.tensor([1 / 2, 1 / 6, 1 / 6, 1 / 6]))


# -------------------------------------------------------------------------------------------------- seeing


def test_attributes_are_padded_and_cut_by_hand():
    assert padded_attributes([(3, 1), (), (7, 8, 9)], 2).tolist() == [[3, 1], [-1, -1], [7, 8]]
    assert padded_attributes([], 4).shape == (0, 4)


def test_a_mirror_moves_boxes_with_the_pixels_below_them():
    image = torch.zeros(3, 4, 10)
    image[:, 1:3, 2:5] = 1.0
    box = torch.tensor([[2.0, 1.0, 5.0, 3.0]])

    turned, boxes = mirrored(image, box)

    assert boxes.tolist() == [[5.0, 1.0, 8.0, 3.0]]  # by hand: 10 - 5, 10 - 2
    assert turned[:, 1:3, 5:8].eq(1).all() and turned.sum() == image.sum()
    assert box.tolist() == [[2.0, 1.0, 5.0, 3.0]]  # the record itself is not touched
    again = mirrored(turned, boxes)
    assert torch.equal(again[0], image) and torch.equal(again[1], box)


def test_a_trunk_learns_to_tell_crops_apart(tmp_path):
    random = np.random.default_rng(0)
    labels = np.arange(128) % 2
    crops = random.integers(0, 60, (128, 32, 32, 3)).astype(np.uint8)
    crops[labels == 1, :, :, 0] += 150  # class 1 is red
    cfg = override(preset("tiny"), **{"pretraining.steps": 12, "pretraining.batch_size": 16,
                                      "pretraining.evaluate_every": 12})  # fmt: skip

    classifier = pretrain_trunk(crops, labels, cfg, tmp_path, CPU)

    images = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        guesses = classifier(images).argmax(1)
    assert (guesses.numpy() == labels).mean() > 0.95
    assert not classifier.training


@pytest.fixture(scope="module")
def four_pictures(tmp_path_factory):
    world = WorldConfig(train_images=2, validation_images=1, test_images=1, crops=1, questions_per_image=1)
    make_picturebook(folder := tmp_path_factory.mktemp("world"), world, seed=1, workers=1)
    return PicturebookSource(folder)


def test_a_detector_resumes_to_the_same_weights_and_can_be_scored(four_pictures, tmp_path, monkeypatch):
    source = four_pictures
    cfg = override(preset("tiny"), **{"detector_training.steps": 3, "detector_training.batch_size": 1,
                                      "detector_training.evaluate_every": 3})  # fmt: skip
    data = {split: source.detection(split) for split in ("train", "val")}

    def train(folder):
        torch.manual_seed(0)
        return train_detector(build_trunk(cfg.trunk), data, source.names, cfg, tmp_path / folder, CPU)

    whole = train("whole")
    interrupt_at_the_third_picture(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train("halved")
    monkeypatch.undo()
    resumed = train("halved")

    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    scores = score_detector(whole, source.detection("test"), source.names, source.colours)
    assert scores.keys() >= {"map50", "class_accuracy", "colour_accuracy"}
    assert all(0 <= scores[name] <= 1 for name in ("map50", "class_accuracy"))


def interrupt_at_the_third_picture(monkeypatch):
    from updown_lab.training import loop, seeing

    opened, load = [], seeing.load_image
    plain = loop.fit

    def load_or_stop(file):
        opened.append(file)
        if len(opened) == 3:
            raise KeyboardInterrupt
        return load(file)

    monkeypatch.setattr(seeing, "load_image", load_or_stop)
    monkeypatch.setattr(seeing, "fit", lambda *args: plain(*args, checkpoint_seconds=0.0))
