"""Beam search of five over 50 images at the paper's sizes, against the search as it is usually written."""

import torch
from torch import Tensor

from bench.harness import Record, compare
from bench.reference.captioner import PopularCaptioner
from updown_lab.config import CaptionerConfig, DecodeConfig
from updown_lab.decode import beam_search
from updown_lab.models.captioner import UpDownCaptioner
from updown_lab.regions import RegionBatch
from updown_lab.text import END, START, UNKNOWN

IMAGES, REGIONS, DIM, VOCABULARY = 50, 36, 2048, 9487
BEAMS, LONGEST = 5, 20
#: Random weights never stop. END's logit is this at each step, on both sides: what the other words' logits come to at
#: that step (log-sum-exp), and a wish to end that grows. Captions of 7 words on average, as the prototypes had.
CROWD = (14, 21, 25, 28, 30.5, 32, 33.5, 34, 34.5, 35, 35.5, 36, 36.5, 36.5, 36.5, 36.5, 36.5, 36.5, 36.5, 36.5)
WISHES = (-20, -20, -20, -9, -6, -4, -3, -2, -1.2, -0.6, 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5)
PATIENCE = tuple(crowd + wish for crowd, wish in zip(CROWD, WISHES))
LONGER = tuple(number - 2 for number in PATIENCE)  # 9 to 10 words: what captioners of COCO say
NEVER_ENDING = (-1e4,) * LONGEST


class Hurried(UpDownCaptioner):
    """Ours, with END's logit set anew at each step."""

    wishes: tuple[float, ...] = ()

    def begin(self, regions: RegionBatch):
        """Start anew."""
        self.left = iter(self.wishes)
        return super().begin(regions)

    def _log_probs(self, hidden: Tensor) -> Tensor:
        self.output.bias[END] = next(self.left)
        return super()._log_probs(hidden)


class HurriedPopular(PopularCaptioner):
    """The usual one, likewise."""

    wishes: tuple[float, ...] = ()

    def start(self, *arguments):
        """Start anew."""
        self.left = iter(self.wishes)
        return super().start(*arguments)

    def step(self, *arguments):
        """One word."""
        self.logit.bias[END] = next(self.left)
        return super().step(*arguments)


def usual_search(model, features: Tensor, mask: Tensor) -> list[list[tuple[list[int], float]]]:
    """Beam search as it is usually written: always 20 steps, features copied for each beam, everything sorted.

    The log-probabilities of all words at all steps ride along with each beam and are reordered with it, a loop over
    images collects what has ended, and an ended sentence is punished so that it loses its place.

    Returns:
        (ids, log p) of each image's captions, best first.
    """
    images, state = model.start(features, mask, BEAMS)
    count, neighbours = len(features), torch.arange(len(features))[:, None] * BEAMS
    words = torch.full((count * BEAMS,), START)
    sums, history = torch.zeros(count, BEAMS), None
    said = torch.zeros(count, BEAMS, 0, dtype=torch.long)
    done: list[list] = [[] for _ in range(count)]
    for place in range(LONGEST):
        log_probs, state = model.step(words, images, state)
        log_probs[:, UNKNOWN] -= 1000
        log_probs = log_probs.view(count, BEAMS, -1)
        vocabulary = log_probs.shape[2]
        heirs = BEAMS if place else 1  # at first all beams are the same
        totals = (sums[:, :heirs, None] + log_probs[:, :heirs]).reshape(count, -1)
        ordered, places = torch.sort(totals, 1, descending=True)
        sums, places = ordered[:, :BEAMS], places[:, :BEAMS]
        parents, chosen = places // vocabulary, places % vocabulary
        rows = (neighbours + parents).flatten()
        said = torch.cat([said.flatten(0, 1)[rows].view(count, BEAMS, -1), chosen[:, :, None]], 2)
        step_log_probs = log_probs.flatten(0, 1)[rows].view(count, BEAMS, 1, vocabulary)
        if history is None:
            history = step_log_probs
        else:
            kept = history.gather(1, parents[:, :, None, None].expand_as(history))
            assert torch.equal(kept, history.flatten(0, 1)[rows].view_as(kept))
            history = torch.cat([kept, step_log_probs], 2)
        sums = sums.clone()
        for image in range(count):
            for beam in range(BEAMS):
                if chosen[image, beam] == END or place == LONGEST - 1:
                    own = history[image, beam].clone()
                    done[image].append((said[image, beam].tolist(), float(sums[image, beam]), own))
            sums[image, (chosen[image] == END)] -= 1000
        state = tuple(tuple(part[rows] for part in pair) for pair in state)
        words = chosen.flatten()
    best = [sorted(found, key=lambda item: -item[1])[:BEAMS] for found in done]
    return [[(ids, value) for ids, value, _ in found] for found in best]


def _setting(images: int, wishes: tuple[float, ...]) -> tuple[Hurried, HurriedPopular, RegionBatch]:
    torch.manual_seed(0)
    model = Hurried(CaptionerConfig(), VOCABULARY, DIM).eval().requires_grad_(False)
    model.output.weight.mul_(60)  # else all words are equally likely
    model.output.weight[END] = 0.0
    usual = HurriedPopular(model).eval().requires_grad_(False)
    model.wishes = usual.wishes = wishes
    features = torch.randn(images, REGIONS, DIM).relu()
    return model, usual, RegionBatch(features, torch.zeros(images, REGIONS, 4), torch.ones(images, REGIONS) > 0)


def _record(name: str, wishes: tuple[float, ...], target: float, quick: bool) -> Record:
    ours, usual, regions = _setting(5 if quick else IMAGES, wishes)
    cfg = DecodeConfig(BEAMS, LONGEST, no_repeat=False, finished="collect", captions=1)

    def reference() -> list[list[int]]:
        with torch.no_grad():
            return [found[0][0] for found in usual_search(usual, regions.features, regions.mask)]

    def mine() -> list[list[int]]:
        return [found[0].tokens for found in beam_search(ours, regions, cfg)]

    expected, got = reference(), mine()
    same = sum(first == second for first, second in zip(expected, got))
    words = sum(map(len, got)) / len(got)
    note = f"{same} of {len(got)} captions the same, {words:.1f} words on average"
    return compare(name, reference, mine, target, rounds=1 if quick else 5, warm_up=0, note=note)


def records(quick: bool) -> list[Record]:
    """``beam5`` at the prototypes' lengths, ``beam5-longer`` at COCO's, ``beam5-never-ending``: no caption ends."""
    return [
        _record("beam5", PATIENCE, 6.0, quick),
        _record("beam5-longer", LONGER, 0.0, quick),
        _record("beam5-never-ending", NEVER_ENDING, 2.7, quick),
    ]
