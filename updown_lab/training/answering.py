"""Recipes that teach the VQA model, and the two baselines that do not look at the picture."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from updown_lab.config import Config
from updown_lab.models.vqa import UpDownVqa
from updown_lab.regions import RegionBatch
from updown_lab.store.feature_store import FeatureStore
from updown_lab.text import AnswerVocabulary, Vocabulary, pad_ids
from updown_lab.training.loop import Batches, fit
from updown_lab.training.losses import vqa_loss


class Questions:
    """The questions of one split as ids and soft scores.

    Args:
        records:    ``QuestionRecord`` of the split.
        store:      regions of their images; None for a model that only reads.
        vocabulary: words to ids.
        answers:    the answers a model may give.
        maximum_words: questions are trimmed to so many words.
        device:     where batches go.
    """

    def __init__(self, records, store: FeatureStore | None, vocabulary: Vocabulary, answers: AnswerVocabulary,
                 maximum_words: int, device):  # fmt: skip
        self.records, self.store, self.device = list(records), store, torch.device(device)
        self.ids = [vocabulary.encode(record.question, maximum_words) for record in self.records]
        self.soft = [answers.soft_scores(record.answers) for record in self.records]
        self.answers = answers

    def __len__(self) -> int:
        return len(self.records)

    def batch(self, rows: Sequence[int]) -> tuple[RegionBatch, Tensor, Tensor, Tensor]:
        """Regions of B images, questions (N, T), their image rows (N,), soft scores (N, A)."""
        images = list(dict.fromkeys(self.records[row].image_id for row in rows))
        place = {image: number for number, image in enumerate(images)}
        owners = torch.tensor([place[self.records[row].image_id] for row in rows], device=self.device)
        regions = self.store.batch(images) if self.store else nothing_seen(len(images))
        return (
            regions.to(self.device),
            pad_ids([self.ids[row] for row in rows]).to(self.device),
            owners,
            self.targets(rows),
        )

    def targets(self, rows: Sequence[int]) -> Tensor:
        """(N, A) soft scores."""
        table = torch.zeros(len(rows), len(self.answers))
        for number, row in enumerate(rows):
            for answer, score in self.soft[row].items():
                table[number, answer] = score
        return table.to(self.device)


def nothing_seen(images: int) -> RegionBatch:
    """Regions of a model with its eyes shut: none.

    >>> nothing_seen(2).mask.shape
    torch.Size([2, 0])
    """
    return RegionBatch(torch.zeros(images, 0, 1), torch.zeros(images, 0, 4), torch.zeros(images, 0, dtype=torch.bool))


def new_vqa(train: Questions, vocabulary: Vocabulary, cfg: Config) -> UpDownVqa:
    """A model of the configured size for these features; starts from the training set's answer frequencies."""
    torch.manual_seed(cfg.seed)
    feature_dim = train.store.feature_dim if train.store else 1
    model = UpDownVqa(cfg.vqa, len(vocabulary), len(train.answers), feature_dim)
    if cfg.vqa.standardise and train.store:
        model.standardise.fit(train.store.mean, train.store.deviation)
    prior = torch.zeros(len(train.answers))
    for scores in train.soft:
        for answer, score in scores.items():
            prior[answer] += score
    model.set_answer_prior(prior / max(1, len(train)))
    return model


def question_groups(questions: Questions, cfg: Config) -> tuple[list[list[int]], int]:
    """What a step draws from: single questions, or all questions of an image together.

    Returns:
        Groups of question rows, and how many groups make about ``cfg.vqa_training.batch_size`` questions.
    """
    if not cfg.vqa.group_by_image:
        return [[row] for row in range(len(questions))], cfg.vqa_training.batch_size
    groups: dict[int, list[int]] = {}
    for row, record in enumerate(questions.records):
        groups.setdefault(record.image_id, []).append(row)
    return list(groups.values()), max(1, round(cfg.vqa_training.batch_size * len(groups) / max(1, len(questions))))


def train_vqa(model: UpDownVqa, train: Questions, validation: Questions, cfg: Config, folder: Path) -> UpDownVqa:
    """Sigmoid cross-entropy against soft scores; Anderson et al. 2018, Sec. 3.3 and 4.3."""
    groups, size = question_groups(train, cfg)
    batches = Batches(len(groups), size, cfg.seed)

    def losses_at(step: int) -> dict[str, Tensor]:
        rows = [row for group in batches.rows(step) for row in groups[group]]
        regions, questions, owners, targets = train.batch(rows)
        logits, _ = model(regions, questions, owners)
        return {"soft_cross_entropy": vqa_loss(logits, targets)}

    def evaluate() -> dict[str, float]:
        chosen = answer_all(model, validation)[0]
        hits = [validation.soft[row].get(answer, 0.0) for row, answer in enumerate(chosen)]
        return {"score": 100 * sum(hits) / max(1, len(hits))}

    fit(model, losses_at, cfg.vqa_training, folder, cfg.seed, evaluate, "visual question answering")
    return model


@torch.inference_mode()
def answer_all(model: UpDownVqa, questions: Questions, size: int = 512) -> tuple[list[int], list[float]]:
    """The likeliest answer id of every question, and its probability."""
    model.eval()
    chosen, sure = [], []
    order = sorted(range(len(questions)), key=lambda row: questions.records[row].image_id)
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        regions, ids, owners, _ = questions.batch(rows)
        scores, answers = model(regions, ids, owners)[0].sigmoid().max(1)
        chosen += answers.tolist()
        sure += scores.tolist()
    back = sorted(range(len(order)), key=order.__getitem__)
    return [chosen[n] for n in back], [sure[n] for n in back]


def answer_prior(records) -> str:
    """The most common answer of a split: what a parrot says to every question."""
    return Counter(record.answer for record in records).most_common(1)[0][0]
