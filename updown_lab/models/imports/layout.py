"""What all importers share: look at everything before believing anything, then move rows and gates to our places."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from updown_lab.config import CaptionerConfig
from updown_lab.errors import DataInvalid
from updown_lab.models.captioner import UpDownCaptioner
from updown_lab.text import PAD, SPECIAL_WORDS, START, UNKNOWN, Vocabulary

UNSAID = -1e4  # logit of a word that the other model does not have: probability zero, and no infinity to trip over

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Words:
    """How another project numbers its words.

    Attributes:
        listed:  the ordinary words.
        rows:    their numbers there.
        start, end: what begins and ends a sentence there; many projects use one number for both.
        unknown: number of the word for words not listed; None where there is none.
    """

    listed: list[str]
    rows: list[int]
    start: int
    end: int
    unknown: int | None


@dataclass(frozen=True)
class Foreign:
    """A captioner of another project in our words: all that is needed to build it."""

    source: str
    cfg: CaptionerConfig
    feature_dim: int
    words: Words
    weights: dict[str, Tensor]  # our names; of embedding and output still in their order of words
    facts: dict


def our_gates(matrix: Tensor) -> Tensor:
    """Rows of torch's LSTM (input, forget, candidate, output) in our order: input, forget, output, candidate.

    >>> our_gates(torch.tensor([10, 20, 30, 40]))
    tensor([10, 20, 40, 30])
    """
    let_in, keep, candidate, show = matrix.chunk(4)
    return torch.cat([let_in, keep, show, candidate])


def size(seen: Mapping[str, Tensor], name: str, axis: int) -> int | None:
    """Length of one side of a tensor, None if it is not there: ``problems`` will say so."""
    return seen[name].shape[axis] if name in seen and seen[name].dim() > axis else None


def problems(seen: Mapping[str, Tensor], wanted: Mapping[str, Shape]) -> list[str]:
    """All that is wrong with a checkpoint: missing, of another shape, unknown, not finite.

    Args:
        seen:   its tensors.
        wanted: name to shape; None in a shape is a length that could not be found out.

    >>> problems({"a": torch.zeros(2), "b": torch.zeros(1)}, {"a": (3,), "c": (None, 4)})
    ['a: has (2), should be (3)', 'b: has (1), should not be there', 'c: is missing, should be (?, 4)']
    """
    found = []
    for name in sorted({*seen, *wanted}):
        should = f"should be {_told(wanted[name])}" if name in wanted else "should not be there"
        if name not in seen:
            found.append(f"{name}: is missing, {should}")
        elif name not in wanted or not _fits(seen[name].shape, wanted[name]):
            found.append(f"{name}: has {_told(seen[name].shape)}, {should}")
        elif not seen[name].isfinite().all():
            found.append(f"{name}: holds nan or infinity")
    return found


def _told(shape: Shape) -> str:
    return f"({', '.join('?' if side is None else str(side) for side in shape)})"


def _fits(shape: Sequence[int], wanted: Shape) -> bool:
    return len(shape) == len(wanted) and all(side in (None, seen) for seen, side in zip(shape, wanted, strict=True))


def refuse(path: Path | str, source: str, wrong: list[str], what: str = "a captioner") -> None:
    """Raise DataInvalid with everything that is wrong, if anything is."""
    if wrong:
        raise DataInvalid(f"{path} looks like {what} of {source}, but:\n  " + "\n  ".join(wrong))


def build(foreign: Foreign) -> tuple[UpDownCaptioner, Vocabulary, dict]:
    """The captioner, its vocabulary, and facts for ``checkpoints.save_model``."""
    vocabulary = Vocabulary(foreign.words.listed)
    weights = foreign.weights | _placed(foreign.weights, foreign.words)
    precision = torch.float64 if weights["output.weight"].dtype == torch.float64 else torch.float32
    weights |= {"standardise.mean": torch.zeros(foreign.feature_dim),
                "standardise.deviation": torch.ones(foreign.feature_dim)}  # fmt: skip
    with torch.device("meta"):
        model = UpDownCaptioner(foreign.cfg, len(vocabulary), foreign.feature_dim)
    own = {name: value.to(precision) if value.is_floating_point() else value for name, value in weights.items()}
    # Copied, because a slice would keep the whole matrix that it was cut from.
    model.load_state_dict({name: value.clone().contiguous() for name, value in own.items()}, assign=True)
    facts = {"source": foreign.source, "vocabulary_size": len(vocabulary), "feature_dim": foreign.feature_dim,
             "captioner": asdict(foreign.cfg), **foreign.facts}  # fmt: skip
    return model.eval(), vocabulary, facts


def _placed(weights: Mapping[str, Tensor], words: Words) -> dict[str, Tensor]:
    """Rows of embedding and output where our vocabulary wants them."""
    unknown = words.end if words.unknown is None else words.unknown
    order = torch.tensor([words.end, words.start, words.end, unknown, *words.rows])
    embedding, weight, bias = (weights[name][order] for name in ("embedding.weight", "output.weight", "output.bias"))
    unsaid = [PAD, START, UNKNOWN] if words.unknown is None else [PAD, START]
    weight[unsaid], bias[unsaid] = 0.0, 0.0  # of PAD and START never read
    embedding[PAD] = 0.0
    if words.unknown is None:
        embedding[UNKNOWN], bias[UNKNOWN] = 0.0, UNSAID
    return {"embedding.weight": embedding, "output.weight": weight, "output.bias": bias}


def listing_problems(listed: Sequence[str]) -> list[str]:
    """What keeps words from being a vocabulary: some come twice, or are our special words."""
    seen, wrong = set(SPECIAL_WORDS), []
    for word in listed:
        if word in seen:
            wrong.append(f"vocabulary: {word!r} is listed twice" + " or is ours" * (word in SPECIAL_WORDS))
        seen.add(word)
    return wrong


def read_lines(path: Path) -> list[str]:
    """Words of a text file, one a line; the number of a word is the number of its line, from 0.

    Raises:
        DataInvalid: the file is not UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except UnicodeDecodeError as error:
        raise DataInvalid(
            f"{path} is not UTF-8 text ({error.reason}): is it the vocabulary, one word a line?"
        ) from None
