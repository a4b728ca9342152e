"""Steps of the captioner at the paper's size: 10 images of 36 x 2048 with 5 captions each, vocabulary 9,487."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

from bench.harness import Record, compare, record_of
from bench.reference.captioner import PopularCaptioner
from bench.reference.reward import PopularCider
from updown_lab.config import CaptionerConfig
from updown_lab.decode import greedy
from updown_lab.metrics.cider_d import CiderD
from updown_lab.models.captioner import UpDownCaptioner, shift_right
from updown_lab.models.rehearsal import rehearsal_loss, rehearse
from updown_lab.models.teaching import teaching_loss
from updown_lab.regions import RegionBatch
from updown_lab.text import END, PAD, pad_ids

IMAGES, CAPTIONS, REGIONS, FEATURES, VOCABULARY, LONGEST = 10, 5, 36, 2048, 9487 + 4, 20


def paper_captioner(seed: int = 0) -> UpDownCaptioner:
    """The paper's sizes, random weights, and sentences of about COCO's lengths.

    Random weights never end a sentence. One cell of the language LSTM is made a clock that opens the output for END
    after about ten words: the same in both implementations, since it is in the weights.
    """
    torch.manual_seed(seed)
    model = UpDownCaptioner(CaptionerConfig(), VOCABULARY, FEATURES)
    size = model.hidden_size
    with torch.no_grad():
        for gate, bias in ((0, 20.0), (1, 20.0), (2, 20.0), (3, 0.1003)):  # in, keep, show: open; adds 0.1 a word
            model.language_gates.weight[gate * size] = 0.0
            model.language_gates.bias[gate * size] = bias
        model.output.weight[END] = 0.0
        model.output.weight[END, 0] = 24.0
        model.output.bias[END] = -9.6  # tanh(0.1 t) 24 - 9.6 passes log 9487 at the tenth word
    return model


def batch(seed: int = 0) -> tuple[RegionBatch, Tensor, Tensor, list[list[list[int]]]]:
    """Regions, targets (50, T), their images, and the references; lengths like COCO's, mean 10.6 words, at most 16."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(IMAGES, REGIONS, FEATURES, generator=generator).relu()
    regions = RegionBatch(features, torch.zeros(IMAGES, REGIONS, 4), torch.ones(IMAGES, REGIONS, dtype=torch.bool))
    lengths = (torch.randn(IMAGES * CAPTIONS, generator=generator) * 2.4 + 10.6).round().clamp(5, 16).int().tolist()
    words = [torch.randint(4, VOCABULARY, (length,), generator=generator).tolist() for length in lengths]
    references = [words[start : start + CAPTIONS] for start in range(0, len(words), CAPTIONS)]
    return (
        regions,
        pad_ids([[*caption, END] for caption in words]),
        torch.arange(IMAGES).repeat_interleave(CAPTIONS),
        references,
    )


class Step:
    """Forward, backward, clip, Adam. With a learning rate of zero, so that both sides go on saying equally much."""

    def __init__(self, parameters, loss_of, **options):
        self.parameters, self.loss_of = list(parameters), loss_of
        self.optimiser = torch.optim.Adam(self.parameters, 0.0, **options)

    def forget(self) -> None:
        """Drop the gradients."""
        self.optimiser.zero_grad(set_to_none=True)

    def __call__(self) -> None:
        self.forget()
        self.loss_of().backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 10.0)
        self.optimiser.step()


def xe_steps(only: str = ""):
    """The popular and our cross-entropy step, or only one of them ("popular", "ours")."""
    regions, targets, owners, _ = batch()
    model = paper_captioner()
    popular = None if only == "ours" else PopularCaptioner(model)
    weights = (targets != PAD) / (targets != PAD).sum()

    def reference():
        log_probs = popular(regions.features, regions.mask, shift_right(targets), CAPTIONS)
        said = log_probs.gather(2, targets[..., None])[..., 0]
        return -(said.masked_fill(targets == PAD, 0.0) * weights).sum()

    def ours():
        return teaching_loss(model, regions, targets, owners, weights)

    if only:
        return Step(model.parameters(), ours, fused=True) if only == "ours" else Step(popular.parameters(), reference)
    with torch.no_grad():
        torch.testing.assert_close(ours(), reference(), rtol=1e-5, atol=1e-5)
    return Step(popular.parameters(), reference), Step(model.parameters(), ours, fused=True)


def scst_steps():
    """The popular and our self-critical step: 5 samples and a greedy sentence an image, reward included."""
    regions, _, owners, references = batch()
    model = paper_captioner()
    popular, slow, fast = PopularCaptioner(model), PopularCider(references), CiderD(references, END)
    rows = list(range(IMAGES))

    def reference():
        with torch.no_grad():
            guesses, _ = popular.sample(regions.features, regions.mask, 1, LONGEST, greedy=True)
        said, chances = popular.sample(regions.features, regions.mask, CAPTIONS, LONGEST, greedy=False)
        own = torch.tensor(slow.score(rows, guesses.tolist())).repeat_interleave(CAPTIONS)
        advantage = torch.tensor(slow.score(owners.tolist(), said.tolist())) - own
        return -(advantage[:, None] * chances).sum() / len(said)

    def ours():
        with torch.no_grad():
            guesses = greedy(model, regions, LONGEST)
        own = fast.score(rows, pad_ids([[*guess.words, END] if guess.ended else guess.words for guess in guesses]))
        drawn = rehearse(model, regions, LONGEST, CAPTIONS)
        advantage = torch.from_numpy(fast.score(owners, drawn.words) - own.repeat(CAPTIONS)).float()
        return rehearsal_loss(model, drawn, advantage / len(advantage))

    return Step(popular.parameters(), reference), Step(model.parameters(), ours, fused=True)


def peak_of_xe_step(side: str) -> int:
    """Bytes that a cross-entropy step needs above parameters and optimiser state. Ask in a fresh process."""
    step = xe_steps(only=side)
    step()  # makes the optimiser's state; its gradients are dropped when the measured step begins
    step.forget()
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest resident size so far
    before = _status("VmRSS")
    step()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def _memory(rounds: int) -> Record:
    """Both peaks, each in a process whose freed memory goes back at once, so that the resident size tells the truth."""
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}

    def ask(side: str) -> tuple[float, float]:
        said = subprocess.run([sys.executable, "-m", "bench.speaking", side], env=environment, check=True,
                              capture_output=True, text=True).stdout  # fmt: skip
        return int(said) / 2**20, 0.0

    pairs = [(ask("popular"), ask("ours")) for _ in range(rounds)]
    return record_of("xe-memory", pairs, 2.0, "peak above parameters and Adam's state, gradients included", "MiB")


def records(quick: bool) -> list[Record]:
    """xe-step, scst-step, xe-memory."""
    rounds = 1 if quick else 7
    note = f"10 images x 5 captions, {torch.get_num_threads()} threads"
    found = [compare("xe-step", *xe_steps(), target=2.8, rounds=rounds, note=note)]
    torch.manual_seed(0)
    found.append(compare("scst-step", *scst_steps(), target=2.5, rounds=rounds, note=note))
    return [*found, _memory(1 if quick else 3)]


if __name__ == "__main__":
    print(peak_of_xe_step(sys.argv[1]))
