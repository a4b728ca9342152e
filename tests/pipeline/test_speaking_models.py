"""Models with eyes, words and names: begin a sentence for them, look where they should, read what they see."""

from dataclasses import replace

import pytest
import torch
from untrained_run import ATTRIBUTES, OBJECTS, untrained_run

from updown_lab.checkpoints import save_model
from updown_lab.config import override, preset
from updown_lab.errors import ConfigError, DataMissing
from updown_lab.files import write_json
from updown_lab.models.captioner import UpDownCaptioner
from updown_lab.models.vqa import UpDownVqa
from updown_lab.pipeline.finished import FinishedRun
from updown_lab.pipeline.plans import make_plan
from updown_lab.pipeline.speaking_models import Answerer, Speaker, Told, labels_of
from updown_lab.pipeline.told import Answered
from updown_lab.regions import Regions, collate_regions
from updown_lab.text import START, AnswerVocabulary, Vocabulary
from updown_lab.vision.grid import grid_boxes

WORDS = ("a", "red", "cat", "cats", "on", "hat")
SMALL = override(preset("tiny"), **{"captioner.hidden_size": 24, "captioner.embedding_size": 12, "decode.beam_size": 3,
                                    "decode.maximum_words": 6, "vqa.hidden_size": 20})  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of networks that have learned nothing, with eyes, captioners and VQA models."""
    folder = untrained_run(tmp_path_factory.mktemp("run"), SMALL)
    plan, size = make_plan(SMALL, folder), SMALL.trunk.widths[-1]
    words, answers = Vocabulary(WORDS), AnswerVocabulary(["yes", "no", "red"])
    for kind in ("regions", "grid-pretrained-7"):
        captioner = UpDownCaptioner(SMALL.captioner, len(words), size)
        torch.nn.init.normal_(_last(captioner), std=1.5)
        save_model(plan.path(f"captions-{kind}-scst"), captioner, vocabulary_size=len(words), feature_dim=size)
        vqa = UpDownVqa(SMALL.vqa, len(words), len(answers), size)
        save_model(plan.path(f"vqa-{kind}"), vqa, vocabulary_size=len(words), answers=len(answers), feature_dim=size)
        answers.save(plan.path(f"vqa-{kind}") / "answers.json")
        for name in (f"captions-{kind}-scst", f"vqa-{kind}"):
            words.save(plan.path(name) / "vocabulary.json")
            write_json(plan.path(name) / "stage.json", {"fingerprint": plan.fingerprint(plan.find(name))})
    return FinishedRun(folder)


def _last(captioner):
    """The matrix that makes words; larger numbers make an untrained model speak in more than one way."""
    return [value for value in captioner.parameters() if value.dim() == 2][-1]


@pytest.fixture(scope="module")
def image():
    return torch.rand(3, 64, 80, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("features", ["regions", "grid-pretrained-7"])
def test_a_speaker_says_what_its_run_says_and_shows_why(run, image, features):
    speaker = Speaker.of(run, features)
    regions = speaker.see(image)

    told = speaker.describe(regions)

    alone = FinishedRun(run.folder, features)
    words, caption = alone.describe(alone.see(image))
    assert told.words == words and str(told) == " ".join(words) and told.ended == caption.ended
    torch.testing.assert_close(told.weights, caption.weights)
    torch.testing.assert_close(torch.tensor(told.log_probs), caption.word_log_probs)
    assert told.weights.shape == (len(words), regions.count) and len(told.labels) == regions.count
    torch.testing.assert_close(told.weights.sum(1), torch.ones(len(words)))
    assert told.regions is regions and speaker.name == f"{features}, scst"


def test_entropies_and_alternatives_are_those_of_the_whole_vocabulary(run, image):
    speaker = Speaker.of(run)
    regions = speaker.see(image)

    told = speaker.describe(regions, start=["a", "red"])

    state = speaker.model.begin(collate_regions([regions]))
    for place, before in enumerate([START, *speaker.vocabulary.encode(" ".join(told.words[:-1]))]):
        with torch.no_grad():
            log_probs, weights, state = speaker.model.step(torch.tensor([before]), state)
        chances = log_probs[0].double().exp()
        by_hand = sum(float(-p * p.log()) for p in chances if p > 0)
        assert told.entropies[place] == pytest.approx(by_hand, abs=1e-5)
        torch.testing.assert_close(told.weights[place], weights[0])
        sayable = {word: float(log_probs[0, number]) for number, word in enumerate(speaker.vocabulary.words)
                   if word not in ("<pad>", "<start>", "<unknown>")}  # fmt: skip
        best = sorted(sayable, key=sayable.get, reverse=True)[: speaker.decode.alternatives]
        assert [word for word, _ in told.alternatives[place]] == best
        assert [value for _, value in told.alternatives[place]] == pytest.approx([sayable[word] for word in best])


def test_a_sentence_goes_on_from_the_words_it_is_given(run, image):
    speaker = Speaker.of(run)
    regions = speaker.see(image)

    for start in (["hat"], ("cats", "cats"), "A red hat"):
        told = speaker.describe(regions, start)
        wanted = start.lower().split() if isinstance(start, str) else list(start)
        assert told.words[: len(wanted)] == wanted
    assert isinstance(told, Told)


def test_its_own_first_words_lead_a_greedy_speaker_to_its_own_sentence(run, image):
    speaker = Speaker.of(run)
    speaker.decode = replace(speaker.decode, beam_size=1)
    regions = speaker.see(image)
    told = speaker.describe(regions)

    for length in range(len(told.words) + 1):
        again = speaker.describe(regions, told.words[:length])
        assert again.words == told.words
        assert again.log_probs == pytest.approx(told.log_probs, abs=1e-5)


def test_the_word_end_stops_a_sentence(run, image):
    speaker = Speaker.of(run)

    told = speaker.describe(speaker.see(image), ["a", "cat", "<end>"])

    assert told.words == ["a", "cat"] and told.ended and len(told.weights) == len(told.alternatives) == 2


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (["a", "cad"], r"cannot say 'cad' as word 2: it knows 6 words; near it are ca"),
        (["quixotic"], "they are in speaker.vocabulary.words"),
        (["<pad>"], "cannot say '<pad>'"),
        (["<unknown>"], "cannot say '<unknown>'"),
        (["<end>", "a"], "cannot say '<end>' as word 1"),
        ([7], "cannot say '7'"),
        (["a", "cat"] * 4, "at most 6 words, but 8"),
    ],
)
def test_a_start_that_cannot_be_said_is_named(run, image, start, message):
    speaker = Speaker.of(run)

    with pytest.raises(ConfigError, match=message):
        speaker.describe(speaker.see(image), start)


def test_regions_are_named_by_what_they_are_or_where_they_lie():
    seen = Regions(torch.zeros(2, 1), torch.zeros(2, 4), (9, 9), "regions", torch.tensor([1, 0]),
                   torch.tensor([0.934, 0.5]), torch.tensor([0, -1]))  # fmt: skip
    cells = Regions(torch.zeros(6, 1), grid_boxes(3, 100, 50)[[0, 1, 2, 5, 6, 8]], (100, 50), "grid-detector-3")

    assert labels_of(seen, ["dog", "cat"], ["red"]) == ["red cat 0.93", "dog 0.50"]
    assert labels_of(replace(seen, classes=None)) == ["region 1", "region 2"]
    assert labels_of(seen, ["dog", "cat"]) == ["cat 0.93", "dog 0.50"]
    # cells keep their places when others are taken away; row 2, column 3 is the sixth of 3 x 3
    assert labels_of(cells) == ["cell 1,1", "cell 1,2", "cell 1,3", "cell 2,3", "cell 3,1", "cell 3,3"]


def test_a_thing_is_named_with_all_that_it_is_surely_like():
    names = ["red", "plain", "large", "striped", "blue"]
    opinions = torch.tensor([[0.3, 0.4, 0.2, 0.05, 0], [0.16, 0.17, 0.18, 0.19, 0.2], [0.1, 0.3, 0, 0, 0],
                             [0.2, 0.5, 0, 0, 0]])  # fmt: skip
    seen = Regions(torch.zeros(4, 1), torch.zeros(4, 4), (9, 9), "regions", torch.zeros(4, dtype=torch.long),
                   attributes=torch.tensor([1, 4, -1, 1]), attribute_probabilities=opinions)  # fmt: skip

    # 0.05 is too little; three are enough; "no attribute" has 0.6 and is likelier than all; or 0.3 and than red
    assert labels_of(seen, ["cat"], names) == ["plain, red, large cat", "blue, striped, large cat", "cat", "plain cat"]
    alone = labels_of(replace(seen, attribute_probabilities=None), ["cat"], names)
    assert alone == ["plain cat", "blue cat", "cat", "plain cat"]


def test_regions_of_a_run_have_the_names_of_its_detector(run, image):
    speaker = Speaker.of(run)

    regions = speaker.see(image)
    labels, names = speaker.labels(regions), speaker.names(regions)

    assert all(any(name in label.split() for name in OBJECTS) for label in labels)
    assert {word.rstrip(",") for label in labels for word in label.split()[:-1]} <= {*OBJECTS, *ATTRIBUTES}
    assert all(label.endswith(name) and name.split()[0] in OBJECTS for label, name in zip(labels, names))
    assert list(speaker.describe(regions).names) == names


def test_a_place_of_your_own_has_the_features_that_a_proposal_there_would_have(run, image):
    speaker = Speaker.of(run)
    regions = speaker.see(image)

    mine = speaker.see_boxes(image, regions.boxes)

    torch.testing.assert_close(mine.features, regions.features, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mine.boxes, regions.boxes)
    assert mine.source == regions.source and len(speaker.describe(mine).labels) == regions.count


def test_a_box_of_your_own_is_cut_at_the_edge_and_refused_outside_or_on_a_grid(run, image):
    speaker, grid = Speaker.of(run), Speaker.of(run, "grid-pretrained-7")

    assert speaker.see_boxes(image, [[-5, 10, 30, 90]]).boxes.tolist() == [[0, 10, 30, 64]]  # the image is 80 x 64
    for wrong in ([[90, 5, 99, 9]], [[5, 5, 5, 9]], [1, 2, 3, 4], [[float("nan")] * 4]):
        with pytest.raises(ValueError, match=r"x1, y1, x2, y2 with at least one of 80 x 64 pixels inside"):
            speaker.see_boxes(image, wrong)
    with pytest.raises(ConfigError, match='not pooled from boxes; take a model with features="regions"'):
        grid.see_boxes(image, [[1, 1, 9, 9]])


def test_an_answerer_answers_as_its_run_does(run, image):
    answerer = Answerer.of(run)
    regions = answerer.see(image)

    said = answerer.ask(regions, "A red dog, on a cat?")

    answers, weights, unknown = run.answer(regions, "A red dog, on a cat?")
    assert said.answers == answers and said.unknown_words == unknown == ["dog"] and str(said) == answers[0][0]
    torch.testing.assert_close(said.weights, weights)
    assert said.weights.shape == (regions.count,) and len(said.labels) == regions.count
    assert [len(answerer.ask(regions, "", top).answers) for top in (1, 2, 9)] == [1, 2, 3]
    assert isinstance(said, Answered)


def test_models_of_one_run_share_their_eyes(run):
    assert Speaker.of(run).encoder is Answerer.of(run).encoder
    assert Speaker.of(run).encoder is not Speaker.of(run, "grid-pretrained-7").encoder


def test_what_cannot_be_looked_at_is_named(run, image):
    speaker = Speaker.of(run)
    regions = speaker.see(image)

    cases = [(image * 255, r"from 0\.02\d* to 25\d"), (image[0], r"\(64, 80\)"), (image[None], r"\(1, 3, 64, 80\)"),
             ((image * 255).byte(), "torch.uint8"), (image * float("nan"), "nan"), (image - 1, "from -0")]  # fmt: skip
    for wrong, message in cases:
        with pytest.raises(ValueError, match=message):
            speaker.see(wrong)
    with pytest.raises(DataMissing, match=r"no\.png"):
        speaker.see("no.png")
    with pytest.raises(ConfigError, match=r"these regions .regions. have 5; take those of its own eyes"):
        speaker.describe(replace(regions, features=torch.zeros(regions.count, 5)))
    with pytest.raises(DataMissing, match="captions-regions-cross-entropy"):
        Speaker.of(run, objective="cross-entropy")


def test_half_precision_features_of_a_store_are_read_too(run, image):
    speaker = Speaker.of(run)
    regions = speaker.see(image)

    told = speaker.describe(replace(regions, features=regions.features.half()))

    assert told.weights.dtype == torch.float32
