"""What a captioner thinks of sentences that are there already."""

import torch
from torch import Tensor

from updown_lab.decode.captions import Caption, Speaker, Tape, top_words
from updown_lab.text import END, PAD, START


@torch.no_grad()
def explain(
    model: Speaker, regions, ids: Tensor, image_rows: Tensor | None = None, alternatives: int = 5
) -> list[Caption]:
    """Look over the model's shoulder while it is made to say these sentences: samples, people's captions, your own.

    Teacher forcing, one word after the other, so that it works for everything that can speak.

    Args:
        model:        a captioner or an ``Ensemble``.
        regions:      B images.
        ids:          (N, T) long, words, END if it should count, then PAD.
        image_rows:   (N,) long, the image of each sentence; None if each of B images has N / B in a row.
        alternatives: how many best words to remember at each place.

    Returns:
        N captions, in order.

    Raises:
        ValueError: ids that cannot be said (START, or a word after PAD or END), or an image for only some of them.

    >>> from updown_lab.config import preset
    >>> from updown_lab.models.captioner import UpDownCaptioner
    >>> from updown_lab.regions import RegionBatch
    >>> captioner = UpDownCaptioner(preset("tiny").captioner, vocabulary_size=9, feature_dim=5)
    >>> regions = RegionBatch(torch.randn(1, 3, 5), torch.zeros(1, 3, 4), torch.ones(1, 3, dtype=torch.bool))
    >>> caption = explain(captioner, regions, torch.tensor([[4, 5, 2]]))[0]
    >>> caption.words, caption.alternatives.shape
    ([4, 5], torch.Size([2, 5]))
    """
    state = model.begin(regions)
    image_rows = _owners(ids, image_rows, len(state))
    state, steps = state.select(image_rows), []
    words, speaking = torch.full_like(ids[:, 0], START), torch.arange(len(ids), device=ids.device)
    for place in range(ids.shape[1]):
        more = ids[speaking, place] != PAD
        speaking, state = speaking[more], state.select(more)
        if not len(speaking):
            break
        log_probs, weights, state = model.step(words[speaking], state)
        words = ids[:, place]
        liked, best = top_words(log_probs, alternatives)
        steps.append((speaking, log_probs.gather(1, words[speaking, None])[:, 0], weights, best, liked))
    tables = [_spread([(step[0], step[part]) for step in steps], len(ids)) for part in range(1, 5)]
    log_probs = tables[0].sum(1).tolist()
    return Tape(ids[:, : len(steps)], *tables).captions(image_rows.tolist(), state.mask, log_probs)


def _owners(ids: Tensor, image_rows: Tensor | None, images: int) -> Tensor:
    """The image of each sentence, once all has been found to be in order."""
    if not ids.numel() or (ids[:, 0] == PAD).all():
        raise ValueError(f"there is no word to explain in ids of shape {tuple(ids.shape)}")
    over = (ids == PAD) | (ids == END)
    if (ids == START).any() or (over[:, :-1] & (ids[:, 1:] != PAD)).any():
        raise ValueError("ids should be words, END, then only PAD, without START")
    if image_rows is not None:
        if image_rows.shape != ids.shape[:1] or int(image_rows.max()) >= images:
            raise ValueError(f"image_rows should name one of {images} images for each of {len(ids)} sentences")
        return image_rows
    if len(ids) % images:
        raise ValueError(f"{len(ids)} sentences cannot be shared out to {images} images; pass image_rows")
    return torch.arange(images, device=ids.device).repeat_interleave(len(ids) // images)


def _spread(parts: list[tuple[Tensor, Tensor]], rows: int) -> Tensor:
    """Steps of fewer and fewer sentences as one table (rows, T, ...), zero where a sentence is over."""
    first = parts[0][1]
    table = first.new_zeros(rows, len(parts), *first.shape[1:])
    for place, (speaking, values) in enumerate(parts):
        table[speaking, place] = values
    return table
