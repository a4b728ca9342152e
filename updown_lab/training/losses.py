"""What each training stage makes small."""

import torch.nn.functional as F
from torch import Tensor

from updown_lab.errors import ConfigError
from updown_lab.text import PAD, START

BASELINES = ("greedy", "mean", "others")


def caption_cross_entropy(
    log_probs: Tensor, targets: Tensor, importance: Tensor | None = None, smoothing: float = 0.0
) -> Tensor:
    """How surprised the captioner is by the next word of a person's caption.

        L = -(1/n) sum_t log p(y*_t | y*_1 ... y*_{t-1})          Anderson et al. 2018, Sec. 3.2.3

    The paper sums over t; here it is the mean over all n words of the batch, padding left out,
    so that the number can be compared between batches.

    Args:
        log_probs:  (N, T, V) float.
        targets:    (N, T) long, words then END then PAD.
        importance: (N, T) float, of each word instead of 1/n; read where ``targets`` is not PAD.
        smoothing:  s in [0, 1): so much praise is spread over all words that can be said.

    Returns:
        () float in nats a word.

    Raises:
        ValueError: the shapes disagree.

    >>> import torch
    >>> sure = torch.tensor([[[-9.0, -9.0, 0.0]]])
    >>> caption_cross_entropy(sure, torch.tensor([[2]])).item() == 0
    True
    """
    if targets.shape != log_probs.shape[:2]:
        raise ValueError(f"targets must be {tuple(log_probs.shape[:2])}, got {tuple(targets.shape)}")
    real = targets != PAD
    praised = (1 - smoothing) * log_probs.gather(2, targets[..., None])[..., 0]
    if smoothing:
        praised = praised + smoothing * log_probs[..., START + 1 :].mean(2)
    if importance is None:
        importance = real / real.sum()
    return -(praised.masked_fill(~real, 0.0) * importance).sum()


def self_critical_loss(log_probs: Tensor, mask: Tensor, advantage: Tensor) -> Tensor:
    """Make captions that beat the baseline more likely, and those that fall short less.

        grad L = -(r(y) - b) grad log p(y)          Rennie et al. 2017; Anderson et al. 2018, Sec. 3.2.3

    Args:
        log_probs: (N, T) float, of the sampled words, END included; anything where ``mask`` is False.
        mask:      (N, T) bool, True at the words and the END of each sample.
        advantage: (N,) float, reward minus baseline; no gradient goes through it.

    Returns:
        () float: the sum over a caption's words, the mean over captions.

    Raises:
        ValueError: the shapes disagree.

    >>> import torch
    >>> two = torch.tensor([[-1.0, -2.0]])
    >>> self_critical_loss(two, torch.tensor([[True, True]]), torch.tensor([0.5]))
    tensor(1.5000)
    """
    if mask.shape != log_probs.shape or advantage.shape != log_probs.shape[:1]:
        raise ValueError(
            f"for log_probs {tuple(log_probs.shape)} mask must have the same shape and advantage "
            f"({len(log_probs)},), got {tuple(mask.shape)} and {tuple(advantage.shape)}"
        )
    sentences = log_probs.masked_fill(~mask, 0.0).sum(1)
    return -(advantage.detach() * sentences).mean()


def advantages(rewards: Tensor, greedy: Tensor | None = None, baseline: str = "greedy") -> Tensor:
    """How much better each candidate is than what one could have expected.

    "greedy" compares with the model's own best guess, "mean" with the mean of the image's candidates, "others" with the
    mean of the *other* candidates, which unlike the mean is independent of the candidate itself.

    Args:
        rewards:  (B, S) float, S candidates an image.
        greedy:   (B,) float, reward of the greedy caption; read by "greedy" only.
        baseline: one of the three.

    Returns:
        (B, S) float.

    Raises:
        ConfigError: an unknown baseline.
        ValueError: "greedy" without (B,) greedy rewards, or "others" with a single candidate.

    >>> import torch
    >>> advantages(torch.tensor([[1.0, 2.0, 6.0]]), baseline="others")
    tensor([[-3.0000, -1.5000,  4.5000]])
    """
    if baseline == "greedy":
        if greedy is None or greedy.shape != rewards.shape[:1]:
            seen = None if greedy is None else tuple(greedy.shape)
            raise ValueError(f'baseline "greedy" needs the greedy captions\' rewards ({len(rewards)},), got {seen}')
        return rewards - greedy[:, None]
    if baseline == "mean":
        return rewards - rewards.mean(1, keepdim=True)
    if baseline == "others":
        count = rewards.shape[1]
        if count < 2:
            raise ValueError('baseline "others" needs at least 2 candidates an image, got 1')
        return rewards - (rewards.sum(1, keepdim=True) - rewards) / (count - 1)
    raise ConfigError(f"no baseline called {baseline!r}; known: {', '.join(BASELINES)}")


def vqa_loss(logits: Tensor, soft_scores: Tensor) -> Tensor:
    """One yes-or-no question for every answer: is this one right?

        L = -sum_a [ s_a log sigma(x_a) + (1 - s_a) log(1 - sigma(x_a)) ]          Teney et al. 2018, Sec. 3.7

    Args:
        logits:      (N, A) float.
        soft_scores: (N, A) float in [0, 1].

    Returns:
        () float: the sum over answers, the mean over questions.

    Raises:
        ValueError: the shapes disagree.

    >>> import torch
    >>> vqa_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))              # 2 log 2
    tensor(1.3863)
    """
    if logits.shape != soft_scores.shape:
        raise ValueError(f"soft scores must be {tuple(logits.shape)} like the logits, got {tuple(soft_scores.shape)}")
    return F.binary_cross_entropy_with_logits(logits, soft_scores.to(logits.dtype), reduction="sum") / len(logits)
