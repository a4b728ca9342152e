"""VQA: a training step and an evaluation at batch 256 and hidden 1024, beside the popular layout."""

import numpy as np
import torch

from bench.harness import Record, compare
from bench.reference.vqa import PopularVqa, blanks_first
from updown_lab.config import VqaConfig
from updown_lab.models.vqa import UpDownVqa
from updown_lab.regions import RegionBatch
from updown_lab.training.losses import vqa_loss

QUESTIONS, REGIONS, FEATURES, WORDS, ANSWERS = 256, 36, 2048, 19_901, 3_129
SHARING = 5.4  # questions a photo has in VQA v2


def popular_settings() -> VqaConfig:
    """hengyuan-hu's numbers."""
    return VqaConfig(hidden_size=1024, normalise=False, activation="relu", weight_norm=True, front_padding=True,
                     classifier="hidden", dropout=0.0)  # fmt: skip


def batch(images: int):
    """Questions about so many photos: regions, ids, the photo of each, and soft scores."""
    draw = np.random.default_rng(0)
    torch.manual_seed(0)
    features = torch.rand(images, REGIONS, FEATURES)
    regions = RegionBatch(features, torch.zeros(images, REGIONS, 4), torch.ones(images, REGIONS, dtype=torch.bool))
    owners = torch.from_numpy(np.sort(np.arange(QUESTIONS) % images))
    lengths = torch.from_numpy(draw.integers(4, 11, QUESTIONS))
    questions = torch.randint(4, WORDS, (QUESTIONS, 14)).masked_fill(torch.arange(14) >= lengths[:, None], 0)
    return regions, questions, owners, (torch.rand(QUESTIONS, ANSWERS) > 0.999).float()


def sides(images: int, training: bool):
    """The popular step (or evaluation) and ours, on the same questions."""
    regions, questions, owners, targets = batch(images)
    model = UpDownVqa(popular_settings(), WORDS, ANSWERS, FEATURES)
    popular, blanks = PopularVqa(model), blanks_first(questions, 14)
    optimisers = [torch.optim.Adamax(side.parameters(), 0.0) for side in (popular, model)]
    torch.testing.assert_close(popular(regions.features[owners], blanks), model(regions, questions, owners)[0],
                               rtol=1e-4, atol=1e-4)  # fmt: skip

    def step(logits, optimiser, side):
        optimiser.zero_grad(set_to_none=True)
        vqa_loss(logits, targets).backward()
        torch.nn.utils.clip_grad_norm_(side.parameters(), 0.25)
        optimiser.step()

    def reference():
        logits = popular(regions.features[owners], blanks)
        if training:
            step(logits, optimisers[0], popular)

    def ours():
        logits = model(regions, questions, owners)[0]
        if training:
            step(logits, optimisers[1], model)

    if training:
        return reference, ours
    return torch.inference_mode()(reference), torch.inference_mode()(ours)


def records(quick: bool) -> list[Record]:
    """``vqa-step`` as such, ``vqa-step-grouped`` with a photo's questions together, ``vqa-evaluation`` grouped."""
    rounds, photos = 1 if quick else 7, round(QUESTIONS / SHARING)
    note = f"{QUESTIONS} questions, {REGIONS} x {FEATURES}, hidden 1024, {ANSWERS} answers"
    return [
        compare("vqa-step", *sides(QUESTIONS, True), target=1.3, rounds=rounds, note=f"{note}, a photo each"),
        compare("vqa-step-grouped", *sides(photos, True), target=2.5, rounds=rounds, note=f"{note}, {photos} photos"),
        compare("vqa-evaluation", *sides(photos, False), target=2.8, rounds=rounds, note=f"{note}, {photos} photos"),
    ]
