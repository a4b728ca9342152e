"""Several captioners that speak with one voice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from updown_lab.decode.captions import Sentences, Speaker
from updown_lab.errors import DataInvalid
from updown_lab.regions import RegionBatch


@dataclass(frozen=True)
class Chorus:
    """The states of all members; it is about the first one's regions."""

    states: tuple[Sentences, ...]

    @property
    def mask(self) -> Tensor:
        """(B, K) bool, the first member's."""
        return self.states[0].mask

    @property
    def image_rows(self) -> Tensor:
        """(N,) long."""
        return self.states[0].image_rows

    def select(self, rows: Tensor | slice) -> "Chorus":
        """Keep, repeat or reorder sentences, in all members alike."""
        return replace(self, states=tuple(state.select(rows) for state in self.states))

    def __len__(self) -> int:
        return len(self.states[0])


class Ensemble:
    """Average the opinions of several captioners on the next word, and let them all go on with the same one.

        p(y | before) = (1/M) sum_m p_m(y | before)

    Averages probabilities, not log-probabilities: one member's certainty is heard even if the others doubt.
    Use it wherever a captioner speaks: ``beam_search(Ensemble([one, two]), regions, cfg)``. The attention weights of
    its captions are the first member's.

    Args:
        members: captioners with one vocabulary; they may look at different features.

    Raises:
        ValueError: no members.

    >>> from updown_lab.config import preset
    >>> from updown_lab.models.captioner import UpDownCaptioner
    >>> from updown_lab.decode.beam import greedy
    >>> eyes = [UpDownCaptioner(preset("tiny").captioner, vocabulary_size=9, feature_dim=dim) for dim in (5, 2)]
    >>> regions, grid = (RegionBatch(torch.randn(1, count, dim), torch.zeros(1, count, 4), torch.ones(1, count) > 0)
    ...                  for count, dim in ((3, 5), (9, 2)))
    >>> len(greedy(Ensemble(eyes), [regions, grid], maximum_words=6))
    1
    """

    def __init__(self, members: Sequence[Speaker]):
        if not members:
            raise ValueError("an ensemble needs at least one captioner")
        self.members = tuple(members)

    def begin(self, regions: RegionBatch | Sequence[RegionBatch]) -> Chorus:
        """One empty sentence an image.

        Args:
            regions: what all members look at, or for each member its own view of the same images, in order.

        Raises:
            DataInvalid: not as many views as members, or views of different numbers of images.
        """
        views = [regions] * len(self.members) if isinstance(regions, RegionBatch) else list(regions)
        if len(views) != len(self.members):
            raise DataInvalid(f"{len(self.members)} captioners need as many sets of regions, got {len(views)}")
        if len({len(view) for view in views}) > 1:
            raise DataInvalid(f"all sets of regions should be of the same images, got {[len(v) for v in views]} images")
        return Chorus(tuple(member.begin(view) for member, view in zip(self.members, views)))

    def step(self, words: Tensor, state: Chorus) -> tuple[Tensor, Tensor, Chorus]:
        """One word for all members: averaged log-probabilities (N, V), the first one's weights (N, K), the state.

        Raises:
            DataInvalid: the members have vocabularies of different sizes.
        """
        said = [member.step(words, part) for member, part in zip(self.members, state.states)]
        sizes = [log_probs.shape[1] for log_probs, _, _ in said]
        if len(set(sizes)) > 1:
            raise DataInvalid(f"captioners of an ensemble need one vocabulary, these have {sizes} words")
        opinions = torch.stack([log_probs for log_probs, _, _ in said])
        # At most 0: rounding may make a certain word worth more, and beams rely on sums that only fall.
        log_probs = (opinions.logsumexp(0) - torch.tensor(float(len(said))).log()).clamp(max=0.0)
        return log_probs, said[0][1], Chorus(tuple(after for _, _, after in said))

    def eval(self) -> "Ensemble":
        """Switch off dropout in all members."""
        for member in self.members:
            member.eval()
        return self
