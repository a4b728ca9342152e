"""Teacher forcing, told like a caption."""

import pytest
import torch
from toy_captioners import lively_captioner, random_regions, worth

from updown_lab.config import DecodeConfig
from updown_lab.decode import beam_search, explain, sample
from updown_lab.text import END, PAD, START, pad_ids


def test_a_caption_explained_is_the_caption():
    captioner, regions = lively_captioner(), random_regions()
    found = [(image, caption) for image, captions in enumerate(beam_search(captioner, regions, DecodeConfig(3, 8)))
             for caption in captions]  # fmt: skip

    told = explain(captioner, regions, pad_ids([caption.tokens for _, caption in found]),
                   torch.tensor([image for image, _ in found]))  # fmt: skip

    for caption, (_, expected) in zip(told, found, strict=True):
        assert caption.tokens == expected.tokens
        assert caption.log_prob == pytest.approx(expected.log_prob, abs=1e-4)
        assert torch.equal(caption.alternatives, expected.alternatives)
        for name in ("word_log_probs", "weights", "alternative_log_probs"):
            torch.testing.assert_close(getattr(caption, name), getattr(expected, name), rtol=1e-4, atol=1e-5)


def test_samples_are_explained_in_their_order():
    captioner, regions = lively_captioner(), random_regions()
    ids = sample(captioner, regions, 7, 3, torch.Generator().manual_seed(0))

    for row, caption in enumerate(explain(captioner, regions, ids)):
        tokens = [word for word in ids[row].tolist() if word != PAD]
        assert caption.tokens == tokens
        assert caption.log_prob == pytest.approx(worth(captioner, regions, row // 3, tokens).sum().item(), abs=1e-4)


@pytest.mark.parametrize(
    ("ids", "rows", "message"),
    [
        ([[START, 4]], [0], "without START"),
        ([[4, PAD, 5]], [0], "then only PAD"),
        ([[4, END, 5]], [0], "then only PAD"),
        ([[PAD, PAD]], [0], "no word to explain"),
        ([[4], [5], [6]], None, "3 sentences cannot be shared out to 4 images"),
        ([[4], [5]], [0], "one of 4 images for each of 2"),
        ([[4]], [4], "one of 4 images"),
    ],
)
def test_what_cannot_be_said_is_refused(ids, rows, message):
    with pytest.raises(ValueError, match=message):
        explain(lively_captioner(), random_regions(), torch.tensor(ids), None if rows is None else torch.tensor(rows))
