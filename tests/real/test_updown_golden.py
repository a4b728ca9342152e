"""ruotianluo's UpDown, number by number: his code was run on weights that a recipe fills in, and we import the same.

His words 1 to 7 are a, b, c, d, e, f and UNK; his 0 is START, END and padding. Ours: a to f are 4 to 9, UNK is 3.
"""

import json
import math
import os
import pickle
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from updown_lab.config import DecodeConfig
from updown_lab.models.captioner import shift_right
from updown_lab.models.imports import import_captioner
from updown_lab.regions import RegionBatch
from updown_lab.text import END, PAD, START, UNKNOWN

REAL = Path(os.environ.get("UPDOWN_REAL_DATA", "../shared/data"))
GOLDEN = REAL.parent / "golden" / "golden_updown_ruotianluo.json"
pytestmark = pytest.mark.skipif(
    not GOLDEN.exists(), reason="needs real data: set UPDOWN_REAL_DATA to a folder like ../shared/data"
)
OURS = torch.tensor([END, 4, 5, 6, 7, 8, 9, UNKNOWN])  # of his numbers as targets
CLOSE = {"rtol": 0.0, "atol": 1e-6}


@pytest.fixture(scope="module")
def golden() -> dict:
    return json.loads(GOLDEN.read_text())


@pytest.fixture(scope="module")
def regions() -> RegionBatch:
    features = torch.arange(48, dtype=torch.float64).mul(0.21).cos().abs().view(2, 3, 8)
    mask = torch.tensor([[True, True, True], [True, True, False]])
    return RegionBatch(features, torch.zeros(2, 3, 4), mask)


def imported(golden: dict, folder: Path, end_bias: float = 0.0):
    """His checkpoint as his training writes it, filled by the recipe, and imported."""
    state = {name: (0.5 * torch.sin(0.37 * torch.arange(math.prod(shape), dtype=torch.float64) + number)).view(shape)
             for number, (name, shape) in enumerate(golden["state_dict_order"])}  # fmt: skip
    state["logit.bias"][0] += end_bias
    torch.save(state, folder / "model.pth")
    words = {str(number): word for number, word in enumerate([*"abcdef", "UNK"], 1)}
    infos = {"opt": Namespace(id="td", caption_model="updown", max_length=6, drop_prob_lm=0.5), "vocab": words}
    (folder / "infos_td.pkl").write_bytes(pickle.dumps(infos, protocol=2))
    return import_captioner(folder)[0]


@pytest.fixture(scope="module")
def model(golden, tmp_path_factory):
    return imported(golden, tmp_path_factory.mktemp("golden"))


def targets(rows: list[list[int]]) -> torch.Tensor:
    """His rows, zero behind, in our numbers: one END and then padding."""
    theirs = torch.tensor(rows)
    behind = (theirs == 0).cumsum(1) > 1
    return OURS[theirs].masked_fill(behind, PAD)


def log_probs_of(model, regions, seq_in: list[list[int]]) -> torch.Tensor:
    """(2, 6, 8) in his order of words; he goes on, reading 0, while the other caption of the batch runs."""
    state, steps = model.begin(regions), []
    for place, words in enumerate(torch.tensor(seq_in).t()):
        if place and not words.any():
            break
        log_probs, _, state = model.step(OURS[words].masked_fill(words == 0, START), state)
        steps.append(log_probs[:, OURS])
    return torch.nn.functional.pad(torch.stack(steps, 1), (0, 0, 0, 6 - len(steps)))


def test_log_probabilities(golden, model, regions):
    got = log_probs_of(model, regions, golden["recipe"]["seq_in"])

    torch.testing.assert_close(got, torch.tensor(golden["logprobs"], dtype=torch.float64), **CLOSE)


def test_log_probabilities_of_teacher_forcing(golden, model, regions):
    wanted = targets([row[1:] for row in golden["recipe"]["seq_in"]])

    got, _ = model(regions, shift_right(wanted), torch.arange(2))

    expected = torch.tensor(golden["logprobs"], dtype=torch.float64)[:, : wanted.shape[1]]
    torch.testing.assert_close(got[..., OURS][wanted != PAD], expected[wanted != PAD], **CLOSE)


def spoken(caption) -> list[int]:
    """A caption in his numbers."""
    back = {ours: theirs for theirs, ours in enumerate(OURS.tolist())}
    return [back[word] for word in caption.words] + [0] * caption.ended


@pytest.mark.parametrize(("key", "no_repeat"), [("greedy", False), ("greedy_decoding_constraint", True)])
def test_greedy(golden, model, regions, key, no_repeat):
    from updown_lab.decode import beam_search

    cfg = DecodeConfig(beam_size=1, maximum_words=6, no_repeat=no_repeat)
    got = beam_search(model, regions, cfg, allow_unknown=True)

    assert [spoken(captions[0]) for captions in got] == golden[key]


def check_beams(found: list, expected: list) -> None:
    for captions, done in zip(found, expected, strict=True):
        assert [spoken(caption) for caption in captions] == [beam["seq"] for beam in done]
        got = torch.tensor([caption.log_prob for caption in captions], dtype=torch.float64)
        torch.testing.assert_close(got, torch.tensor([beam["p"] for beam in done], dtype=torch.float64), **CLOSE)


@pytest.mark.parametrize("no_repeat", [False, True])
@pytest.mark.parametrize("beams", [2, 3, 5])
def test_beams(golden, model, regions, beams, no_repeat):
    from updown_lab.decode import beam_search

    cfg = DecodeConfig(beam_size=beams, maximum_words=6, no_repeat=no_repeat)

    check_beams(beam_search(model, regions, cfg, allow_unknown=True), golden[f"beam{beams}_dc{no_repeat:d}"]["done"])


@pytest.mark.parametrize("no_repeat", [False, True])
@pytest.mark.parametrize("beams", [1, 3, 5])
def test_beams_that_end(golden, regions, tmp_path, beams, no_repeat):
    from updown_lab.decode import beam_search

    model, expected = imported(golden, tmp_path, end_bias=1.0), golden["eos_variant"][f"beam{beams}_dc{no_repeat:d}"]
    cfg = DecodeConfig(beam_size=beams, maximum_words=6, no_repeat=no_repeat)

    found = beam_search(model, regions, cfg, allow_unknown=True)

    if "done" in expected:
        check_beams(found, expected["done"])
    assert [spoken(captions[0]) + [0] * (6 - len(spoken(captions[0]))) for captions in found] == expected["seq"]


def test_cross_entropy_loss(golden, model, regions):
    from updown_lab.training.losses import caption_cross_entropy

    wanted = targets([row[0][1:] for row in golden["xe_loss"]["labels"]])
    log_probs, _ = model(regions, shift_right(wanted), torch.arange(2))

    assert caption_cross_entropy(log_probs, wanted).item() == pytest.approx(golden["xe_loss"]["value"], abs=1e-6)


def self_critical(golden: dict, model, regions, rows: list[list[int]], advantage: torch.Tensor) -> float:
    """His loss from ours. He divides by the words of the batch, we by its captions: his = ours * captions / words.

    His own test gave the losses log-probabilities of other words than those in ``seq``, so that is what they get here.
    """
    from updown_lab.training.losses import self_critical_loss

    log_probs = log_probs_of(model, regions, golden["recipe"]["seq_in"]).repeat_interleave(len(rows) // 2, 0)
    said = log_probs.gather(2, torch.tensor(rows)[..., None])[..., 0]
    mask = targets(rows) != PAD
    return (self_critical_loss(said, mask, advantage) * len(rows) / mask.sum()).item()


def test_self_critical_loss(golden, model, regions):
    expected = golden["reward_criterion"]

    got = self_critical(golden, model, regions, expected["seq"], torch.tensor(expected["reward_rows"]).double())

    assert got == pytest.approx(expected["value"], abs=1e-6)


def test_new_self_critical_loss(golden, model, regions):
    expected = golden["new_self_critical"]
    scores = torch.tensor(expected["scores"], dtype=torch.float64).view(2, 2)
    advantage = (scores - scores.flip(1)).flatten()  # two samples an image: the baseline of one is the other

    got = self_critical(golden, model, regions, expected["seq"], advantage)

    assert got == pytest.approx(expected["value"], abs=1e-6)


def test_start_is_never_said(model, regions):
    log_probs, _, _ = model.step(torch.tensor([START, START]), model.begin(regions))

    assert log_probs.exp()[:, [PAD, START]].eq(0).all()
