"""Recipes that teach the VQA model, and the two baselines that do not look at the picture."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from updown_lab.choices import choices
from updown_lab.config import Config, VqaConfig
from updown_lab.datasets.word_vectors import answer_vectors, word_vectors
from updown_lab.errors import ConfigError, DataMissing
from updown_lab.models.ensemble import TextVqa, VqaEnsemble
from updown_lab.models.vqa import UpDownVqa, nothing_seen
from updown_lab.progress import progress
from updown_lab.regions import RegionBatch
from updown_lab.store.feature_store import FeatureStore
from updown_lab.text import AnswerVocabulary, Vocabulary, pad_ids
from updown_lab.training.loop import Batches, fit
from updown_lab.training.losses import vqa_loss

TARGETS = choices(VqaConfig, "targets")


class Questions:
    """The questions of one split as ids and soft scores.

    Args:
        records:    ``QuestionRecord`` of the split.
        store:      regions of their images; None for a model that only reads.
        vocabulary: words to ids.
        answers:    the answers a model may give.
        maximum_words: questions are trimmed to so many words.
        device:     where batches go.
        targets:    "soft", min(people who said it / 3, 1) for each answer, or "hard", 1 for the commonest.
    """

    def __init__(self, records, store: FeatureStore | None, vocabulary: Vocabulary, answers: AnswerVocabulary,
                 maximum_words: int, device, targets: str = "soft"):  # fmt: skip
        if targets not in TARGETS:
            raise ConfigError(f"no VQA targets {targets!r}; known: {', '.join(TARGETS)}")
        self.records, self.store, self.device = list(records), store, torch.device(device)
        self.ids = [vocabulary.encode(record.question, maximum_words) for record in self.records]
        self.soft = [answers.soft_scores(record.answers) for record in self.records]
        self.wanted = self.soft if targets == "soft" else [hardened(answers, record.answer) for record in self.records]
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
        """(N, A) what to learn, soft scores or a single 1."""
        table = torch.zeros(len(rows), len(self.answers))
        for number, row in enumerate(rows):
            for answer, score in self.wanted[row].items():
                table[number, answer] = score
        return table.to(self.device)


def hardened(answers: AnswerVocabulary, answer: str) -> dict[int, float]:
    """A single right answer, if a model may give it.

    >>> hardened(AnswerVocabulary(["no", "yes"]), "yes"), hardened(AnswerVocabulary(["no"]), "yes")
    ({1: 1.0}, {})
    """
    return {answers.ids[answer]: 1.0} if answer in answers.ids else {}


def new_vqa(train: Questions, vocabulary: Vocabulary, cfg: Config) -> UpDownVqa:
    """A model of the configured size for these features: from chance, or from word vectors and pictures of the
    answers; and from how often each answer is right in training."""
    torch.manual_seed(cfg.seed)
    feature_dim = train.store.feature_dim if train.store else 1
    two_streams, source = cfg.vqa.classifier == "two-stream", cfg.vqa.word_vectors
    words = word_vectors(source, vocabulary.words)[0] if source else None
    vqa = replace(cfg.vqa, embedding_size=words.shape[1]) if source == "pypi" or not cfg.vqa.embedding_size else cfg.vqa
    model = UpDownVqa(vqa, len(vocabulary), len(train.answers), feature_dim)
    if cfg.vqa.standardise and train.store:
        model.standardise.fit(train.store.mean, train.store.deviation)
    said = answer_vectors(source, train.answers.answers) if source and two_streams else None
    pictures = pictures_of_answers(train) if two_streams and cfg.vqa.answer_pictures and train.store else None
    model.start_from(words, said, pictures)
    prior = torch.zeros(len(train.answers))
    for scores in train.wanted:
        for answer, score in scores.items():
            prior[answer] += score
    model.set_answer_prior(prior / max(1, len(train)))
    return model


def pictures_of_answers(train: Questions) -> Tensor:
    """What photos look like to which an answer is right: (A, D), each of length 1, or zero if there are none.

    The mean of their mean regions, as far as it differs from the mean of all. Teney et al. (2018, Sec. 3.8) took
    photos that an image search finds for the answer; the training photos say the same without a search.
    """
    total = torch.zeros(len(train.answers), train.store.feature_dim)
    weight, everything = torch.zeros(len(train.answers)), torch.zeros(train.store.feature_dim)
    by_image: dict = {}
    for record, scores in zip(train.records, train.soft, strict=True):
        by_image.setdefault(record.image_id, []).append(scores)
    for image, all_scores in progress(by_image.items(), "pictures of the answers"):
        features = train.store[image].features.float()
        mean = features.mean(0) if len(features) else torch.zeros(train.store.feature_dim)
        everything += mean
        for scores in all_scores:
            for answer, score in scores.items():
                total[answer] += score * mean
                weight[answer] += score
    pictures = total / weight.clamp(min=1e-9)[:, None] - everything / max(1, len(by_image))
    return F.normalize(pictures, dim=1).masked_fill((weight == 0)[:, None], 0.0)


def question_groups(questions: Questions, cfg: Config) -> tuple[list[list[int]], int]:
    """What a step draws from: single questions, balanced pairs, or all questions of an image together.

    Returns:
        Groups of question rows, and how many groups make about ``cfg.vqa_training.batch_size`` questions.
    """
    count = len(questions)
    if cfg.vqa.pairs:
        groups = balanced_pairs(questions.records)
        return groups, max(1, round(cfg.vqa_training.batch_size * len(groups) / max(1, count)))
    if not cfg.vqa.group_by_image:
        return [[row] for row in range(count)], cfg.vqa_training.batch_size
    groups: dict[int, list[int]] = {}
    for row, record in enumerate(questions.records):
        groups.setdefault(record.image_id, []).append(row)
    return list(groups.values()), max(1, round(cfg.vqa_training.batch_size * len(groups) / max(1, len(questions))))


def balanced_pairs(records) -> list[list[int]]:
    """Rows in twos: the same words, another picture, another answer; a row without such a partner stays alone.

    Side by side in a step, the two differ only in what is seen. Teney et al. 2018, Sec. 4.2.

    >>> from updown_lab.datasets.vqa import QuestionRecord
    >>> asked = [QuestionRecord(n, image, "Is it red?", "yes/no", "is it", answer, (answer,) * 10)
    ...          for n, (image, answer) in enumerate([(1, "yes"), (1, "yes"), (2, "no"), (3, "yes")])]
    >>> balanced_pairs(asked)
    [[0, 2], [1], [3]]
    """
    waiting: dict[str, dict[str, deque[int]]] = {}  # question, answer: rows without a partner
    groups = []
    for row, record in enumerate(records):
        others = waiting.setdefault(record.question, {})
        found = [next((other for other in rows if records[other].image_id != record.image_id), None)
                 for answer, rows in others.items() if answer != record.answer]  # fmt: skip
        partner = min((other for other in found if other is not None), default=None)
        if partner is None:
            others.setdefault(record.answer, deque()).append(row)
        else:
            others[records[partner].answer].remove(partner)
            groups.append([partner, row])
    alone = sorted(row for others in waiting.values() for rows in others.values() for row in rows)
    return groups + [[row] for row in alone]


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


def answer_questions(model: TextVqa | VqaEnsemble, records, store, size: int = 512) -> list[tuple[str, float]]:
    """What a model, or several together, answer to questions as they were asked.

    Args:
        model:   texts in, probabilities out.
        records: ``QuestionRecord``s, answered or not.
        store:   regions of their images; None if nobody looks.
        size:    questions at a time.

    Returns:
        (answer, its probability) for each question.

    Raises:
        DataMissing: photos are asked about that are not in the store.
        DataInvalid: the store has another D than the model was built for.
    """
    _check_store(model, records, store)
    found: list = [None] * len(records)
    order = sorted(range(len(records)), key=lambda row: records[row].image_id)
    for start in progress(range(0, len(order), size), "questions"):
        rows = order[start : start + size]
        images = list(dict.fromkeys(records[row].image_id for row in rows))
        place = {image: number for number, image in enumerate(images)}
        owners = torch.tensor([place[records[row].image_id] for row in rows])
        regions = store.batch(images) if store else nothing_seen(len(images))
        scores, best = model(regions, [records[row].question for row in rows], owners)[0].max(1)
        for row, answer, score in zip(rows, best.tolist(), scores.tolist(), strict=True):
            found[row] = (model.answers.answers[answer], score)
    return found


def _check_store(model: TextVqa | VqaEnsemble, records, store) -> None:
    wanted = model.feature_dim
    if wanted is None:
        return
    if store is None:
        raise DataMissing(f"the model looks at regions of {wanted} numbers; give it a feature store")
    missing = sorted({record.image_id for record in records if record.image_id not in store})
    if missing:
        raise DataMissing(f"{len(missing)} photos that are asked about are not in the feature store, first: "
                          f"{missing[:3]}; add them with updown-lab extract")  # fmt: skip


def answer_prior(records) -> str:
    """The most common answer of a split: what a parrot says to every question."""
    return Counter(record.answer for record in records).most_common(1)[0][0]
