"""The captioner's variants: one setting each, one class, and what holds for the paper's model holds for all."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from updown_lab.config import CaptionerConfig
from updown_lab.errors import ConfigError, DataInvalid
from updown_lab.models.captioner import UpDownCaptioner, shift_right
from updown_lab.models.standardise import Projection, box_geometry
from updown_lab.models.teaching import teaching_loss
from updown_lab.regions import RegionBatch, Regions, collate_regions
from updown_lab.text import PAD

SMALL = CaptionerConfig(embedding_size=6, hidden_size=7, attention_size=5)
TARGETS = torch.tensor([[4, 5, 6, 2], [7, 2, 0, 0], [8, 4, 2, 0], [2, 0, 0, 0], [5, 5, 9, 2]])
ROWS = torch.tensor([1, 0, 0, 2, 1])
VARIANTS = {
    "paper": {},
    "projected": {"projection_size": 4},
    "normed": {"batch_norm": 1},
    "normed and projected": {"projection_size": 4, "batch_norm": 1},
    "normed twice": {"projection_size": 4, "batch_norm": 2},
    "biases": {"attention_bias": True},
    "length one": {"normalise": "all"},
    "length one where attended": {"normalise": "attended"},
    "geometry": {"geometry": True},
    "uniform attention": {"attention": "uniform"},
    "no attention": {"attention": "none"},
    "rectified words": {"word_relu": True},
    "authors' start": {"initialisation": "normal"},
    "all of ruotianluo's": {"projection_size": 7, "batch_norm": 2, "normalise": "attended", "geometry": True,
                            "attention_bias": True, "word_relu": True, "dropout": 0.5},
}  # fmt: skip


def regions_of(images: int = 3, count: int = 4, junk: float = 0.5) -> RegionBatch:
    """Images of 4, 3 and 2 regions, and whatever you like in the padding."""
    source = torch.Generator().manual_seed(0)
    features = torch.randn(images, count, 3, generator=source, dtype=torch.float64)
    corner = 50 * torch.rand(images, count, 2, generator=source)
    boxes = torch.cat([corner, corner + 1 + 40 * torch.rand(images, count, 2, generator=source)], -1)
    mask = torch.arange(count) < torch.arange(count, count - images, -1)[:, None]
    hidden = ~mask[..., None]
    sizes = torch.tensor([[100.0, 120.0]]).repeat(images, 1)
    return RegionBatch(features.masked_fill(hidden, junk), boxes.masked_fill(hidden, junk), mask, sizes)


def captioner_of(**variant) -> UpDownCaptioner:
    torch.manual_seed(0)
    return UpDownCaptioner(replace(SMALL, **variant), vocabulary_size=10, feature_dim=3).double()


def run(model, regions, train: bool = False):
    """Log-probabilities and weights, and the gradient of every parameter."""
    model.train(train).zero_grad()
    log_probs, weights = model(regions, shift_right(TARGETS), ROWS)
    (log_probs[..., 2:].sum() + weights.square().sum()).backward()
    return (log_probs, weights), {name: parameter.grad for name, parameter in model.named_parameters()}


every_variant = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)


@every_variant
def test_probabilities_sum_to_one_and_weights_too(variant):
    log_probs, weights = captioner_of(**variant).eval()(regions_of(), shift_right(TARGETS), ROWS)

    said = TARGETS != PAD
    assert log_probs.shape == (5, 4, 10) and weights.shape == (5, 4, 4)
    torch.testing.assert_close(log_probs.exp().sum(-1)[said], torch.ones(said.sum(), dtype=torch.float64))
    torch.testing.assert_close(weights.sum(-1)[said], torch.ones(said.sum(), dtype=torch.float64))


@pytest.mark.parametrize("train", [False, True])
@every_variant
def test_padding_changes_neither_predictions_nor_gradients_nor_what_is_remembered(variant, train):
    variant = variant | {"dropout": 0.0}
    clean, dirty = captioner_of(**variant), captioner_of(**variant)

    expected = run(clean, regions_of(), train)
    got = run(dirty, regions_of(junk=float("nan")), train)

    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(dirty.state_dict(), clean.state_dict())  # batch norm remembers means


@every_variant
def test_a_wider_batch_changes_nothing(variant):
    variant, regions = variant | {"dropout": 0.0}, regions_of()
    wider = RegionBatch(*(F.pad(part, (0, 0, 0, 3)) for part in (regions.features, regions.boxes)),
                        F.pad(regions.mask, (0, 3)), regions.image_sizes)  # fmt: skip

    (log_probs, weights), gradients = run(captioner_of(**variant), regions, train=True)
    (wide_log_probs, wide_weights), wide_gradients = run(captioner_of(**variant), wider, train=True)

    torch.testing.assert_close(wide_log_probs, log_probs)
    torch.testing.assert_close(wide_weights[..., :4], weights)
    torch.testing.assert_close(wide_gradients, gradients)


@every_variant
def test_every_parameter_learns(variant):
    _, gradients = run(captioner_of(**variant), regions_of(), train=True)

    silent = {name for name, gradient in gradients.items() if gradient is None or not gradient.any()}
    uniform = {"attention.region.weight", "attention.query.weight", "attention.score.weight"}
    assert silent == (uniform if variant.get("attention", "soft") != "soft" else set())


@every_variant
def test_teacher_forcing_equals_step_by_step(variant):
    model, regions, words = captioner_of(**variant).eval(), regions_of(), shift_right(TARGETS)

    log_probs, weights = model(regions, words, ROWS)

    state = model.begin(regions).select(ROWS)
    for place in range(words.shape[1]):
        step_log_probs, step_weights, state = model.step(words[:, place], state)
        said = words[:, place] != PAD
        torch.testing.assert_close(log_probs[said, place], step_log_probs[said])
        torch.testing.assert_close(weights[said, place], step_weights[said])


@every_variant
def test_hand_written_gradients_are_the_variants_own(variant):
    importance = torch.randn(TARGETS.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = []
    for fast in (False, True):
        model, regions = captioner_of(**variant).train(), regions_of(junk=float("nan"))
        torch.manual_seed(2)  # dropout drops the same
        if fast:
            loss = teaching_loss(model, regions, TARGETS, ROWS, importance)
        else:
            log_probs, _ = model(regions, shift_right(TARGETS), ROWS)
            said = log_probs.gather(2, TARGETS[..., None])[..., 0]
            loss = -(said.masked_fill(TARGETS == PAD, 0.0) * importance).sum()
        loss.backward()
        found.append((loss, {name: part.grad for name, part in model.named_parameters() if part.requires_grad}))

    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-11)


@every_variant
def test_a_variant_comes_back_from_its_state_dict(variant):
    model, again = captioner_of(**variant), captioner_of(**variant | {"initialisation": "normal"})
    run(model, regions_of(), train=True)

    again.load_state_dict(model.state_dict())

    torch.testing.assert_close(run(again, regions_of()), run(model, regions_of()))


@pytest.mark.parametrize("variant", [{}, {"projection_size": 4, "batch_norm": 2, "geometry": True}])
def test_regions_are_projected_once_for_all_captions_beams_and_samples(variant):
    from updown_lab.config import DecodeConfig
    from updown_lab.decode import beam_search, sample

    model, regions, rows = captioner_of(**variant).eval(), regions_of(), []
    for layer in filter(None, (model.attention.region, model.region_projection)):
        layer.register_forward_hook(lambda layer, inputs, output: rows.append(tuple(output.shape[:2])))
    speak = {
        "captions": lambda: model(regions, shift_right(TARGETS), ROWS),
        "beams": lambda: beam_search(model, regions, DecodeConfig(beam_size=3, maximum_words=4)),
        "samples": lambda: sample(model, regions, 4, 5),
        "gradients": lambda: teaching_loss(model, regions, TARGETS, ROWS, torch.ones(5, 4, dtype=torch.float64)),
    }
    for way in speak.values():
        rows.clear()
        way()
        assert rows == [(3, 4)] * (2 if variant else 1)  # 3 images of 4 regions


def real_rows(regions: RegionBatch) -> torch.Tensor:
    return regions.features[regions.mask]


def test_projection_is_linear_and_relu_of_regions_and_of_their_mean():
    model, regions = captioner_of(projection_size=4).eval(), regions_of(junk=float("nan"))

    state = model.begin(regions)

    near, far = model.region_projection.linear[0], model.overview_projection.linear[0]
    torch.testing.assert_close(state.features[regions.mask], near(real_rows(regions)).clamp(min=0))
    assert (state.features[~regions.mask] == 0).all()
    means = torch.stack([features[mask].mean(0) for features, mask in zip(regions.features, regions.mask, strict=True)])
    torch.testing.assert_close(state.overview, model.overview_gates(far(means).clamp(min=0)))


def test_batch_norm_takes_mean_and_deviation_of_real_regions():
    model, regions = captioner_of(batch_norm=1).train(), regions_of(junk=1e6)

    state = model.begin(regions)

    real = real_rows(regions)
    expected = (real - real.mean(0)) / (real.var(0, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(state.features[regions.mask], expected)
    torch.testing.assert_close(model.region_projection.before.running_mean, 0.1 * real.mean(0))


def test_batch_norm_of_a_single_region_cannot_learn_but_can_speak():
    model, one = captioner_of(batch_norm=1), regions_of(images=1, count=1)

    with pytest.raises(ValueError, match="at least 2 regions a step, got 1"):
        model.train().begin(one)
    assert model.eval().begin(one).features.isfinite().all()


@pytest.mark.parametrize(("normalise", "overview_too"), [("all", True), ("attended", False)])
def test_regions_of_length_one(normalise, overview_too):
    model, regions = captioner_of(normalise=normalise).eval(), regions_of(images=1)
    features = regions.features[0]

    state = model.begin(regions)

    short = features / features.norm(dim=1, keepdim=True)
    torch.testing.assert_close(state.features[0], short)
    torch.testing.assert_close(state.overview[0], model.overview_gates((short if overview_too else features).mean(0)))


def test_geometry_stands_behind_the_features():
    box = torch.tensor([[10.0, 20.0, 60.0, 40.0]])
    one = Regions(torch.ones(1, 3), box, (100, 80), "demo")
    two = Regions(torch.ones(2, 3), box.repeat(2, 1), (200, 80), "demo")

    state = captioner_of(geometry=True).eval().begin(collate_regions([one, two]))

    # by hand: 10/100, 20/80, 60/100, 40/80, and 50 * 20 pixels of 100 * 80; then the wider image
    torch.testing.assert_close(state.features[0, 0, 3:], torch.tensor([0.1, 0.25, 0.6, 0.5, 0.125]).double())
    torch.testing.assert_close(state.features[1, 1, 3:], torch.tensor([0.05, 0.25, 0.3, 0.5, 0.0625]).double())
    assert (state.features[0, 1] == 0).all()  # padding


def test_geometry_of_the_whole_image_is_zero_one_and_all_of_it():
    got = box_geometry(torch.tensor([[[0.0, 0.0, 640.0, 480.0]]]), torch.tensor([[640.0, 480.0]]))

    assert got.tolist() == [[[0.0, 0.0, 1.0, 1.0, 1.0]]]


def test_geometry_without_image_sizes_is_refused_and_batches_carry_them():
    regions = replace(regions_of(), image_sizes=None)

    with pytest.raises(DataInvalid, match="no image_sizes; make it with collate_regions"):
        captioner_of(geometry=True).begin(regions)
    assert regions.to("cpu").image_sizes is None
    assert regions_of().to("cpu").image_sizes.tolist() == [[100.0, 120.0]] * 3


def test_uniform_attention_sees_the_mean_region_and_never_learns_otherwise():
    model, regions = captioner_of(attention="uniform").train(), regions_of()
    for _ in range(2):
        optimiser = torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.1)
        run(model, regions, train=True)
        optimiser.step()

    _, weights = model(regions, shift_right(TARGETS), ROWS)

    for row, image in enumerate(ROWS.tolist()):
        count = int(regions.mask[image].sum())
        torch.testing.assert_close(weights[row, 0, :count], torch.full((count,), 1 / count, dtype=torch.float64))


def test_without_attention_only_the_overview_is_seen():
    model, regions = captioner_of(attention="none").eval(), regions_of(images=1)
    moved = regions.features[:, [0, 1, 2, 3]] + torch.tensor([1.0, -1.0, 2.0, -2.0])[None, :, None]  # the same mean
    words, rows = shift_right(TARGETS[:1]), torch.tensor([0])

    log_probs, _ = model(regions, words, rows)
    log_probs_moved, _ = model(replace(regions, features=moved), words, rows)
    log_probs_other, _ = model(replace(regions, features=regions.features + 1), words, rows)

    torch.testing.assert_close(log_probs_moved, log_probs)
    assert not torch.allclose(log_probs_other, log_probs)


def test_words_are_rectified():
    model = captioner_of(word_relu=True)

    got = model.embedding(torch.tensor([4, 5]))

    torch.testing.assert_close(got, model.embedding.weight[[4, 5]].clamp(min=0))


def test_dropout_is_for_training_and_hits_words_regions_overview_and_output():
    model = captioner_of(dropout=0.5, projection_size=400)
    everything = torch.ones(1, 400, dtype=torch.bool)
    for layer in (model.region_projection, model.overview_projection):  # so that all that is zero was dropped
        nn.init.zeros_(layer.linear[0].weight)
        nn.init.ones_(layer.linear[0].bias)
    places = {
        "words": lambda: model.embedding(torch.full((100,), 4)),
        "regions": lambda: model.region_projection(torch.ones(1, 400, 3).double(), everything),
        "overview": lambda: model.overview_projection(torch.ones(400, 3).double(), everything[0]),
        "output": lambda: model.dropout(torch.ones(400, dtype=torch.float64)),
    }
    for name, place in places.items():
        model.train()
        assert 0.4 < (place() == 0).double().mean() < 0.6, name
        model.eval()
        assert (place() != 0).all(), name
    state = model.eval().begin(regions_of())
    model.train()
    torch.manual_seed(1)
    twice = [model._log_probs(state.features[:, 0, :7]) for _ in range(2)]
    assert not torch.equal(*twice)


def test_the_authors_start_is_normal_with_an_open_forget_gate():
    model = UpDownCaptioner(CaptionerConfig(200, 100, 50, initialisation="normal"), 300, 400)

    for name, part in model.named_parameters():
        if name in ("overview_gates.bias", "language_gates.bias"):
            assert part.tolist() == [0.0] * 100 + [1.0] * 100 + [0.0] * 200, name  # i, f, o, g
        elif name.endswith("bias"):
            assert not part.any(), name
        elif name != "attention.score.weight":  # 50 numbers say little about their deviation
            assert part.std().item() == pytest.approx(0.01, rel=0.05), name
            assert abs(part.mean().item()) < 0.001, name


def test_a_projection_of_size_zero_only_norms():
    features, mask = torch.randn(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)

    assert Projection(4, 0)(features, mask).equal(features)
    assert not list(Projection(4, 0).parameters())


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ({"normalise": "l2"}, "captioner.normalise is one of none, all, attended; got 'l2'"),
        ({"attention": "hard"}, "captioner.attention is one of soft, uniform, none; got 'hard'"),
        ({"initialisation": "xavier"}, "captioner.initialisation is one of uniform, normal; got 'xavier'"),
        ({"batch_norm": 3}, "captioner.batch_norm is one of 0, 1, 2; got 3"),
        ({"batch_norm": 2}, "set captioner.projection_size too"),
        ({"dropout": 1.0}, "captioner.dropout is at least 0 and below 1; got 1.0"),
    ],
)
def test_unknown_variants_are_refused_with_the_known_ones(variant, message):
    with pytest.raises(ConfigError, match=message):
        captioner_of(**variant)


@pytest.mark.parametrize("short", [torch.bfloat16, torch.float16])
@every_variant
def test_mixed_precision_speaks_and_learns(variant, short):
    from updown_lab.config import DecodeConfig
    from updown_lab.decode import beam_search, sample

    model, regions = captioner_of(**variant | {"dropout": 0.0}).float(), regions_of()
    sizes = regions.image_sizes.float()
    regions = RegionBatch(regions.features.float(), regions.boxes.float(), regions.mask, sizes)
    exact, _ = model(regions, shift_right(TARGETS), ROWS)

    with torch.autocast("cpu", short):
        log_probs, _ = model(regions, shift_right(TARGETS), ROWS)
        beams = beam_search(model.eval(), regions, DecodeConfig(beam_size=3, maximum_words=4))
        assert sample(model, regions, 4, 2).shape[0] == 6

    log_probs.gather(2, TARGETS[..., None]).sum().backward()
    assert log_probs.dtype == torch.float32 and len(beams) == 3
    torch.testing.assert_close(log_probs, exact, rtol=0.02, atol=0.02)
    assert all(part.grad.isfinite().all() for part in model.parameters() if part.grad is not None)
