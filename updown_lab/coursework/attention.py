"""A2, masked attention and one step of the captioner: what is right, and the slips that many make."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from updown_lab.config import preset
from updown_lab.coursework.hints import Slip, try_out
from updown_lab.models.attention import blank_padding, masked_softmax
from updown_lab.models.captioner import DecodeState, UpDownCaptioner, lstm_update
from updown_lab.regions import RegionBatch
from updown_lab.text import PAD, START

NAN = float("nan")


def check_masked_softmax(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Try ``masked_softmax(scores (N, K), mask (N, K) bool) -> (N, K)``.

        alpha_i = exp(a_i) / sum_j exp(a_j) over the real regions; padding gets 0     Anderson et al. 2018, Eq. 2

    Raises:
        Hint: it is not right yet.

    >>> check_masked_softmax(masked_softmax)
    masked_softmax: right (no padding, one padded, nan where it is padded, large scores, no region at all).
    """
    two = torch.tensor([[True, True, False]])
    cases = {
        "no padding": (torch.tensor([[0.0, 1, 2], [3, 3, 3]]), torch.ones(2, 3, dtype=torch.bool)),
        "one padded": (torch.tensor([[1.0, 2, 9]]), two),
        "nan where it is padded": (torch.tensor([[1.0, 2, NAN]]), two),
        "large scores": (torch.tensor([[1000.0, 1000, 0]]), two),
        "no region at all": (torch.tensor([[1.0, 2]]), torch.zeros(1, 2, dtype=torch.bool)),
    }
    slips = (
        Slip(lambda scores, mask: scores.softmax(-1), "padding has a weight too."),
        Slip(lambda scores, mask: scores.softmax(0), "the weights of one image have to sum to one: which dimension is "
             "that?"),
        Slip(lambda scores, mask: scores.softmax(-1) * mask, "the weights of the real regions do not sum to one any "
             "more: padding took its part before it was set to 0."),
        Slip(lambda scores, mask: scores.masked_fill(~mask, -1e9).softmax(-1), "an image without regions gets weights "
             "for its padding."),
        Slip(lambda scores, mask: scores.masked_fill(~mask, -torch.inf).softmax(-1), "no region is real, so nothing is "
             "left to divide by: 0/0. (A softmax over nothing but -inf is that too; over the lowest finite number it "
             "is not, and what remains then is to give padding its 0.)"),
        Slip(lambda scores, mask: (scores * mask).softmax(-1), "a score of 0 is not nothing: exp(0) = 1."),
        Slip(_filled_late, "what padding holds gets in: 0 * nan is "
             "nan, and so is a maximum or a sum that has looked at a nan. Fill padding before anything else is done."),
        Slip(_plain_exponentials, "exp of a large number is infinite, and inf/inf is nan. torch's softmax knows the "
             "trick."),
    )  # fmt: skip
    try_out(function, "masked_softmax", masked_softmax, cases, slips)


def check_attend(function: Callable[..., tuple[Tensor, Tensor]]) -> None:
    """Try ``attend(query (N, H), features (N, K, D), mask, W_v (A, D), W_q (A, H), w (A,), normalise)``.

        a_i = w . tanh(W_v v_i + W_q q);  alpha = normalise(a, mask);  v_hat = sum_i alpha_i v_i       Eq. 1-2

    It gives v_hat (N, D) and alpha (N, K).

    Raises:
        Hint: it is not right yet.

    >>> check_attend(_attend)
    attend: right (two images, nan where it is padded, no region at all).
    """
    draw = torch.Generator().manual_seed(1)
    query, features = torch.randn(2, 3, generator=draw), torch.randn(2, 4, 5, generator=draw)
    weights = [torch.randn(*shape, generator=draw) for shape in ((6, 5), (6, 3), (6,))]
    mask = torch.tensor([[True, True, True, True], [True, True, False, False]])
    dirty = features.masked_fill(~mask[..., None], NAN)
    cases = {
        "two images": (query, features, mask, *weights, masked_softmax),
        "nan where it is padded": (query, dirty, mask, *weights, masked_softmax),
        "no region at all": (query, features, mask & False, *weights, masked_softmax),
    }
    parts = {"alpha": 1, "v_hat": 0}  # in the order of computation
    slips = (
        Slip(lambda *asked: _attend(*asked, squash=lambda scores: scores), "the weights are those without tanh."),
        Slip(lambda *asked: _attend(*asked, squash=torch.relu), "that is relu; Eq. 1 has tanh."),
        Slip(lambda q, v, m, W_v, W_q, w, n: _attend(q * 0, v, m, W_v, W_q, w, n), "the query is not asked: W_q q has "
             "to be added to every region's W_v v_i."),
        Slip(lambda *asked: _attend(*asked)[::-1], "the summary of the regions comes first, then the weights."),
        Slip(_mean_instead, "that is the plain mean; each region counts with its weight."),
        Slip(_sum_over_dirt, "the weights are right, but 0 * nan is nan: what padding holds must be blanked before the "
             "sum, not only given weight 0."),
    )  # fmt: skip
    try_out(function, "attend", _attend, cases, slips, parts)


def check_captioner_step(function: Callable[..., tuple[Tensor, ...]]) -> None:
    """Try ``captioner_step(captioner, words, overview, h1, c1, h2, c2, look)``.

    It gives log-probabilities (N, V), weights (N, K), and the new h1, c1, h2, c2; Anderson et al. 2018, Sec. 3.2.

    Raises:
        Hint: it is not right yet.

    >>> check_captioner_step(_step)
    captioner_step: right (the first word, a later word).
    """
    captioner, state = small_captioner()
    words = torch.tensor([START, START])
    _, _, later = captioner.step(words, state)
    cases = {
        "the first word": step_arguments(captioner, words, state),
        "a later word": step_arguments(captioner, torch.tensor([5, 7]), later),
    }
    parts = {"c1": 3, "h1": 2, "alpha": 1, "c2": 5, "h2": 4, "log_probs": 0}  # in the order of computation
    slips = (
        Slip(lambda *asked: _step(*asked, asks="old"), "attention was asked with the h1 from before this word. The new "
             "h1 knows what was just said."),
        Slip(lambda *asked: _step(*asked, reads="old"), "the language LSTM reads the new h1, together with what was "
             "seen; this is with the old one."),
        Slip(lambda *asked: _step(*asked, first="h2 h1"), "hidden_gates reads h1 first, then h2."),
        Slip(lambda captioner, words, overview, *others: _step(captioner, words, overview * 0, *others), "the mean "
             "region is missing: `overview` belongs to the gates of the first LSTM."),
        Slip(lambda *asked: _step(*asked, speak=_log_softmax), "PAD and START can be said here. No sentence can: their "
             "log-probability is -inf."),
        Slip(lambda *asked: _step(*asked, speak=lambda scores: _forbid(_log_softmax(scores))), "the probabilities do "
             "not sum to one: PAD and START have to be forbidden before the softmax, not after it."),
        Slip(lambda *asked: _step(*asked, speak=_forbid), "these are scores, and their exponentials do not sum to one: "
             "a softmax and a logarithm are missing (log_softmax is both)."),
        Slip(lambda *asked: _step(*asked, speak=lambda scores: _forbid(scores).softmax(-1)), "these are probabilities; "
             "their logarithm is asked for (log_softmax, which is also safer)."),
        Slip(lambda *asked: tuple(_step(*asked)[place] for place in (0, 1, 2, 4, 3, 5)), "the states come in the order "
             "h1, c1, h2, c2."),
    )  # fmt: skip
    try_out(function, "captioner_step", _step, cases, slips, parts)


def small_captioner(seed: int = 0) -> tuple[UpDownCaptioner, DecodeState]:
    """A captioner with random weights and nine words, and its state before the first word about two images.

    The second image has two regions and two padded rows.

    >>> captioner, state = small_captioner()
    >>> captioner.output.out_features, tuple(state.features.shape), state.mask.sum(1).tolist()
    (9, (2, 4, 5), [4, 2])
    """
    sizes = {"embedding_size": 4, "hidden_size": 6, "attention_size": 3, "dropout": 0.0}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        captioner = UpDownCaptioner(replace(preset("tiny").captioner, **sizes), 9, feature_dim=5).eval()
        mask = torch.tensor([[True, True, True, True], [True, True, False, False]])
        state = captioner.begin(RegionBatch(torch.randn(2, 4, 5), torch.zeros(2, 4, 4), mask))
    return captioner.requires_grad_(False), state


def step_arguments(captioner: UpDownCaptioner, words: Tensor, state: DecodeState) -> tuple:
    """What ``captioner_step`` is called with: the captioner, words, overview, h1, c1, h2, c2, look.

    >>> [type(part).__name__ for part in step_arguments(*small_captioner()[:1], torch.tensor([1, 1]),
    ...                                                 small_captioner()[1])][-2:]
    ['Tensor', 'function']
    """

    def look(query: Tensor) -> tuple[Tensor, Tensor]:
        return captioner.attention.attend(query, state.features, state.keys, state.mask, state.image_rows)

    hidden = (state.attention_hidden, state.attention_cell, state.language_hidden, state.language_cell)
    return (captioner, words, state.overview[state.image_rows], *hidden, look)


def _filled_late(scores: Tensor, mask: Tensor) -> Tensor:
    weights = scores.softmax(-1).masked_fill(~mask, 0.0)
    return weights / weights.sum(-1, keepdim=True)


def _plain_exponentials(scores: Tensor, mask: Tensor) -> Tensor:
    raised = scores.exp().masked_fill(~mask, 0.0)
    return raised / raised.sum(-1, keepdim=True)


def _attend(query, features, mask, W_v, W_q, w, normalise, squash=torch.tanh) -> tuple[Tensor, Tensor]:
    features = blank_padding(features, mask)
    alpha = normalise(squash(features @ W_v.T + (query @ W_q.T)[:, None]) @ w, mask)
    return torch.einsum("nk,nkd->nd", alpha, features), alpha


def _mean_instead(query, features, mask, *others) -> tuple[Tensor, Tensor]:
    kept = blank_padding(features, mask)
    return kept.sum(1) / mask.sum(1, keepdim=True), _attend(query, features, mask, *others)[1]


def _sum_over_dirt(query, features, mask, *others) -> tuple[Tensor, Tensor]:
    alpha = _attend(query, features, mask, *others)[1]
    return (alpha[..., None] * features).sum(1), alpha


def _forbid(scores: Tensor) -> Tensor:
    return scores.index_fill(1, torch.tensor([PAD, START]), -torch.inf)


def _log_softmax(scores: Tensor) -> Tensor:
    return scores.log_softmax(-1)


def _speak(scores: Tensor) -> Tensor:
    return _log_softmax(_forbid(scores))


def _step(
    captioner, words, overview, h1, c1, h2, c2, look, asks="new", reads="new", first="h1 h2", speak=_speak
) -> tuple[Tensor, ...]:
    """One step; the settings behind ``look`` make the known mistakes."""
    hidden = torch.cat([h1, h2] if first == "h1 h2" else [h2, h1], 1)
    gates = captioner.word_gates(captioner.embedding(words)) + overview + captioner.hidden_gates(hidden)
    before = h1
    h1, c1 = lstm_update(gates, c1)
    v_hat, alpha = look(h1 if asks == "new" else before)
    h2, c2 = lstm_update(captioner.language_gates(torch.cat([v_hat, h1 if reads == "new" else before, h2], 1)), c2)
    return speak(captioner.output(h2)), alpha, h1, c1, h2, c2
