"""What the captioner's recipes add to the losses: options of imitation, the four forms of self-criticism, the panel."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from updown_lab.config import TeachingConfig, override, preset
from updown_lab.datasets.coco import CaptionRecord
from updown_lab.errors import ConfigError, DataInvalid, UpdownError
from updown_lab.metrics.reward import Reward
from updown_lab.models.captioner import UpDownCaptioner, shift_right
from updown_lab.models.rehearsal import rehearsal_loss, rehearse_lesson
from updown_lab.models.teaching import teaching_loss
from updown_lab.regions import RegionBatch
from updown_lab.text import END, PAD, UNKNOWN, Vocabulary
from updown_lab.training import speaking
from updown_lab.training.self_critical import _beam, _read_again, _samples, sanity_panel, train_self_critical
from updown_lab.training.speaking import CaptionImages, imitation_loss, train_captioner

SENTENCES = ("a red cat", "two blue boats", "the sun is low")
WORDS = Vocabulary.build(SENTENCES, 1)
PLAIN = TeachingConfig(captions_per_image=0, loss_scale=1.0, skip_unknown=False)


class Store:
    """Three images of one region each."""

    feature_dim = 3

    def batch(self, image_ids):
        features = torch.eye(3)[list(image_ids)][:, None]
        return RegionBatch(features, torch.zeros(len(features), 1, 4), torch.ones(len(features), 1, dtype=torch.bool))


def images(captions=SENTENCES, vocabulary=WORDS):
    records = [CaptionRecord(n, Path(), "train", (captions[n], captions[n] + " too")) for n in range(3)]
    return CaptionImages(records, Store(), vocabulary, 6, "cpu")


def model(seed=0, **variant):
    torch.manual_seed(seed)
    return UpDownCaptioner(replace(preset("tiny").captioner, **variant), len(WORDS), 3).double()


def regions():
    batch = Store().batch(range(3))
    return RegionBatch(batch.features.double(), batch.boxes, batch.mask)


def gradient(loss, captioner):
    return torch.autograd.grad(loss, captioner.parameters())


def test_so_many_captions_of_each_image_are_drawn():
    texts = {tuple(images().captions([2, 0], 1, seed)[0][0]) for seed in range(20)}

    targets, owners = images().targets(images().captions([2, 0], 1))

    assert owners.tolist() == [0, 1] and len(targets) == 2
    assert len(texts) == 2  # both captions of image 2 come up
    assert images().captions([2, 0], 1, seed=7) == images().captions([2, 0], 1, seed=7)
    assert images().targets(images().captions([2, 0]))[1].tolist() == [0, 0, 1, 1]


def trained(folder, **changes):
    """Weights and history of six steps on all three images; captions of three and four words."""
    tiny = override(preset("tiny"), **{"cross_entropy.batch_size": 4, "cross_entropy.steps": 6} | changes)
    captions = ("a red cat", "two blue boats", "the sun is low", "a cat")
    records = [CaptionRecord(n % 3, Path(), "train", (text, text + " too")) for n, text in enumerate(captions)]
    train = CaptionImages(records, Store(), WORDS, 6, "cpu")
    captioner = train_captioner(model(), train, images(), tiny, folder)
    return captioner.state_dict()


@pytest.mark.parametrize("drawn", [0, 1])
@pytest.mark.parametrize("fast", [True, False])
def test_a_step_in_parts_teaches_what_the_whole_step_does(tmp_path, drawn, fast):
    """Parts have different numbers of words, and a word weighs the same in each."""
    settings = {"teaching.captions_per_image": drawn, "teaching.fast": fast}

    whole = trained(tmp_path / "whole", **settings)
    parts = trained(tmp_path / "parts", **settings, **{"cross_entropy.accumulate": 2})

    torch.testing.assert_close(parts, whole, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("changes", [{}, {"loss_scale": 20.0}, {"label_smoothing": 0.2}, {"skip_unknown": True}])
def test_the_fast_way_and_the_plain_way_give_one_loss_and_one_gradient(changes):
    captioner, cfg = model(), replace(PLAIN, **changes)
    targets, owners = torch.tensor([[4, UNKNOWN, 6, END], [5, END, PAD, PAD]]), torch.tensor([2, 0])

    one, other = (
        imitation_loss(captioner, regions(), targets, owners, replace(cfg, fast=fast)) for fast in (True, False)
    )

    torch.testing.assert_close(one, other)
    for mine, theirs in zip(gradient(one, captioner), gradient(other, captioner), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


def test_the_loss_is_the_mean_over_words_that_count_times_the_scale():
    captioner = model()
    targets, owners = torch.tensor([[4, UNKNOWN, END], [5, END, PAD]]), torch.tensor([2, 0])
    log_probs, _ = captioner(regions(), shift_right(targets), owners)
    said = log_probs.gather(2, targets[..., None])[..., 0]

    every = imitation_loss(captioner, regions(), targets, owners, PLAIN)
    known = imitation_loss(captioner, regions(), targets, owners, replace(PLAIN, skip_unknown=True, loss_scale=20.0))

    torch.testing.assert_close(every, -(said[0].sum() + said[1, :2].sum()) / 5)
    torch.testing.assert_close(known, -20 * (said[0, 0] + said[0, 2] + said[1, :2].sum()) / 4)


def test_smoothing_by_hand():
    captioner = model()
    targets, owners = torch.tensor([[END]]), torch.tensor([0])
    log_probs = captioner(regions(), torch.tensor([[1]]), owners)[0][0, 0, 2:]  # PAD and START are never said

    smooth = imitation_loss(captioner, regions(), targets, owners, replace(PLAIN, label_smoothing=0.1))

    torch.testing.assert_close(smooth, -(0.9 * log_probs[0] + 0.1 * log_probs.mean()))


def test_a_lesson_that_never_listens_to_itself_is_teacher_forcing():
    captioner = model()
    targets, owners = images().targets(images().captions(range(3)))
    weights = torch.rand(targets.shape, dtype=torch.float64)

    lesson = rehearse_lesson(captioner, regions(), targets, owners, share=0.0)

    assert torch.equal(lesson.read, shift_right(targets))
    torch.testing.assert_close(
        rehearsal_loss(captioner, lesson, weights), teaching_loss(captioner, regions(), targets, owners, weights)
    )


def test_in_scheduled_sampling_the_model_reads_its_own_words_and_is_asked_for_the_truth():
    captioner = model()
    with torch.no_grad():
        captioner.output.bias[WORDS.encode("cat", 1)[0]] = 50.0  # it can only say "cat"
    targets, owners = torch.tensor([[4, 5, 6, 7, 8, END]] * 300), torch.zeros(300, dtype=torch.long)

    torch.manual_seed(0)
    lesson = rehearse_lesson(captioner, regions(), targets, owners, share=0.3)

    assert torch.equal(lesson.words, targets)
    own = lesson.read != shift_right(targets)
    cat = WORDS.encode("cat", 1)[0]
    assert (lesson.read[own] == cat).all() and not own[:, 0].any()
    truth = shift_right(targets)[:, 1:] != cat
    share = own[:, 1:][truth].double().mean()
    assert 0.25 < share < 0.35  # 1,500 draws with a deviation of 0.012
    log_probs, _ = captioner(regions(), lesson.read, owners)  # what the gradient follows is what was read
    expected = -log_probs.gather(2, targets[..., None]).sum() / 300
    torch.testing.assert_close(
        rehearsal_loss(captioner, lesson, torch.full((300,), 1 / 300, dtype=torch.float64)), expected
    )


@pytest.mark.parametrize("dropout, fast", [(0.0, True), (0.0, False), (0.5, True), (0.5, False)])
def test_scheduled_sampling_learns_from_what_was_read_whatever_the_way(dropout, fast):
    captioner, heard = model(dropout=dropout).train(), []
    cat = WORDS.encode("cat", 1)[0]
    with torch.no_grad():
        captioner.output.bias[cat] = 50.0  # it can only say "cat", and reads that from now on
    targets, owners = torch.tensor([[4, 5, 6, END]]), torch.tensor([0])
    read = torch.tensor([[1, cat, cat, cat]])

    with captioner.embedding.register_forward_pre_hook(lambda layer, inputs: heard.append(inputs[0].flatten())):
        loss = imitation_loss(captioner, regions(), targets, owners, replace(PLAIN, fast=fast), own=1.0)

    assert captioner.training and heard[-1].tolist() == read[0].tolist()
    if not dropout:
        log_probs, _ = captioner(regions(), read, owners)
        torch.testing.assert_close(loss, -log_probs.gather(2, targets[..., None]).mean())


def test_mixed_precision_takes_the_readable_way_and_learns_the_same():
    captioner = model().float()
    targets, owners = torch.tensor([[4, 5, END]]), torch.tensor([0])
    seen = RegionBatch(*(part.float() if part.is_floating_point() else part for part in
                         (regions().features, regions().boxes, regions().mask)))  # fmt: skip

    with torch.autocast("cpu", torch.bfloat16):
        short = imitation_loss(captioner, seen, targets, owners, PLAIN)
    exact = imitation_loss(captioner, seen, targets, owners, PLAIN)

    short.backward()
    assert abs(short.item() / exact.item() - 1) < 0.02
    assert all(weight.grad.dtype == torch.float32 for weight in captioner.parameters() if weight.grad is not None)


# ------------------------------------------------------------------------------------------------- self-critical


def config(**changes):
    return override(preset("tiny"), **{"captioner.maximum_words": 6, "scst.samples": 4, "scst.training.steps": 1,
                                       "scst.training.batch_size": 3} | changes)  # fmt: skip


def test_sentences_read_again_give_the_same_gradient_by_both_ways():
    captioner, cfg = model(), config()
    said, owners, _, loss_of = _samples(captioner, regions(), cfg)
    weights = torch.randn(len(said), dtype=torch.float64)

    tape = gradient(loss_of(weights), captioner)

    for fast in (True, False):
        again = gradient(_read_again(captioner, regions(), said, owners, weights, fast), captioner)
        for mine, theirs in zip(again, tape, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-11)


def test_the_papers_form_weighs_the_beam_by_its_probability_and_the_authors_do_not():
    captioner = model()

    shares = {form: _beam(captioner, regions(), config(**{"scst.form": form}))[2] for form in ("paper", "authors")}

    assert shares["authors"].tolist() == [[0.25] * 4] * 3
    assert (shares["paper"].diff(dim=1) <= 1e-7).all() and not torch.allclose(
        shares["paper"], shares["authors"].to(shares["paper"])
    )
    torch.testing.assert_close(shares["paper"].sum(1), torch.ones(3).to(shares["paper"]))


def test_an_unknown_form_names_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match="paper, authors, rennie, leave_one_out"):
        train_self_critical(model(), images(), images(), config(**{"scst.form": "greedy"}), tmp_path)


class Untrained:
    """A captioner that always says one thing."""

    def __init__(self, text, seed=0):
        self.model = model(seed).float()
        with torch.no_grad():
            self.model.output.weight.zero_()
            self.model.output.bias.fill_(-50.0)
            self.model.output.bias[WORDS.encode(text, 1)[0]] = 50.0


def test_the_panel_says_what_is_strange_before_the_first_update():
    learner, data = Untrained("cat").model, images()

    panel = sanity_panel(learner, data, data.reward(END), config(**{"scst.training.learning_rate": 0.1}))

    assert panel["ended"] == 0.0 and panel["known"] == 1.0 and panel["reward"] > 0
    assert panel["learning_rate_ratio"] == pytest.approx(0.1 / preset("tiny").cross_entropy.learning_rate)
    assert len(panel["warnings"]) == 2 and "end by themselves" in panel["warnings"][0]
    assert "learning rate" in panel["warnings"][1]


def test_no_reward_at_all_is_refused_before_anything_is_lost(tmp_path):
    data = images()
    bigger = Vocabulary([*WORDS.words[4:], "zebra"])
    foreign = CaptionImages(
        [CaptionRecord(n, Path(), "train", ("zebra",)) for n in range(3)], Store(), bigger, 6, "cpu"
    )
    learner = Untrained("cat").model

    with pytest.raises(UpdownError, match=r"no reward at all.*0 % of their words.*share one vocabulary"):
        train_self_critical(learner, foreign, data, config(), tmp_path)

    assert not (tmp_path / "checkpoint.pt").exists()


def test_the_panel_is_kept_beside_the_history(tmp_path):
    data = images()

    train_self_critical(Untrained("cat").model, data, data, config(), tmp_path)

    assert json.loads((tmp_path / "panel.json").read_text())["known"] == 1.0


def test_document_frequencies_are_kept_and_those_of_another_vocabulary_are_refused(tmp_path):
    counts = tmp_path / "df.npz"
    said = torch.tensor([[4, 5, END]])

    first = images().reward(END, frequencies=counts).score([0], said)
    again = images().reward(END, frequencies=counts).score([0], said)

    assert counts.exists() and first == again == images().reward(END).score([0], said)
    other = images(vocabulary=Vocabulary.build(SENTENCES[::-1], 2))
    with pytest.raises(DataInvalid, match=r"counted on another corpus: vocabulary .* to rebuild, delete it"):
        other.reward(END, frequencies=counts)
    with pytest.raises(DataInvalid, match="end token"):
        images().reward(frequencies=counts)


def test_bleu_counts_in_the_reward_of_self_critical_training_but_not_in_validation(tmp_path, monkeypatch):
    cfg = override(preset("tiny"), **{"scst.bleu": 3.0, "scst.training.steps": 1, "scst.training.batch_size": 3})
    asked = []
    monkeypatch.setattr(speaking, "Reward", lambda *how: asked.append(how[1:3]) or Reward(*how))

    train_self_critical(model(), images(), images(), cfg, tmp_path)

    assert asked == [(END, 3.0), (None, 0.0)]
    assert (tmp_path / "panel.json").exists() and (tmp_path / "document_frequencies.npz").exists()
