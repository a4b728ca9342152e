"""VQA models that read text and answer by name: one alone, or several together."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from updown_lab.errors import ConfigError, DataInvalid
from updown_lab.models.vqa import UpDownVqa, nothing_seen
from updown_lab.regions import RegionBatch
from updown_lab.text import AnswerVocabulary, Vocabulary, pad_ids


class TextVqa(nn.Module):
    """A VQA model with its words: questions go in as they were asked, and an answer has a name.

    Args:
        model:      numbers in, numbers out.
        vocabulary: words of questions.
        answers:    what its outputs mean.
        blind:      it was trained without looking, so it is shown no regions.

    Raises:
        DataInvalid: words or answers are not as many as the model has.

    >>> from updown_lab.config import preset
    >>> words, answers = Vocabulary(["is", "it", "red"]), AnswerVocabulary(["yes", "no"])
    >>> model = TextVqa(UpDownVqa(preset("tiny").vqa, len(words), len(answers), feature_dim=5), words, answers)
    >>> regions = RegionBatch(torch.randn(1, 3, 5), torch.zeros(1, 3, 4), torch.ones(1, 3, dtype=torch.bool))
    >>> probabilities, weights = model(regions, ["Is it red?"], torch.tensor([0]))
    >>> probabilities.shape, weights.shape
    (torch.Size([1, 2]), torch.Size([1, 3]))
    """

    def __init__(self, model: UpDownVqa, vocabulary: Vocabulary, answers: AnswerVocabulary, blind: bool = False):
        super().__init__()
        pairs = (("words", len(vocabulary), model.embedding.num_embeddings), ("answers", len(answers), model.answers))
        for what, listed, wanted in pairs:
            if listed != wanted:
                raise DataInvalid(f"{listed} {what} are listed, but the model has {wanted}; give the files that were "
                                  "saved with it")  # fmt: skip
        self.model, self.vocabulary, self.answers, self.blind = model, vocabulary, answers, blind
        self.eval()

    @property
    def feature_dim(self) -> int | None:
        """D of the regions it looks at; None if it never looks."""
        return None if self.blind else self.model.feature_dim

    @torch.inference_mode()
    def forward(self, regions: RegionBatch, questions: Sequence[str], image_rows: Tensor) -> tuple[Tensor, Tensor]:
        """The probability of every answer, (N, A), and the attention, (N, K); otherwise as ``UpDownVqa.forward``."""
        device = self.model.embedding.weight.device
        if self.blind:
            regions = nothing_seen(len(regions))
        ids = pad_ids([self.vocabulary.encode(text, self.model.cfg.maximum_words) for text in questions])
        logits, weights = self.model(regions.to(device), ids.to(device), image_rows.to(device))
        return logits.sigmoid(), weights

    def unknown(self, question: str) -> list[str]:
        """The words that it reads without knowing them."""
        return self.vocabulary.unknown(question, self.model.cfg.maximum_words)


class VqaEnsemble(nn.Module):
    """Several VQA models answer together: the mean of their probabilities; Teney et al. 2018, Sec. 4.5.

    Answers are put together by name, over all answers that any model knows: one that cannot give an answer counts
    as certain that it is wrong. The models may differ in words, answers and settings.

    Args:
        members: any number of ``TextVqa``.

    Raises:
        ConfigError: none at all.

    Attributes:
        answers: of all members, in the order in which they come first.

    >>> from updown_lab.config import preset
    >>> words = Vocabulary(["red"])
    >>> def member(*answers):
    ...     return TextVqa(UpDownVqa(preset("tiny").vqa, 5, len(answers), 5), words, AnswerVocabulary(answers))
    >>> both = VqaEnsemble([member("yes", "no"), member("no", "yes", "red")])
    >>> both.answers.answers
    ['yes', 'no', 'red']
    """

    def __init__(self, members: Iterable[TextVqa]):
        super().__init__()
        self.members = nn.ModuleList(members)
        if not len(self.members):
            raise ConfigError("an ensemble needs at least one model")
        self.answers = AnswerVocabulary(dict.fromkeys(name for one in self.members for name in one.answers.answers))
        self.eval()
        self.places = [[self.answers.ids[name] for name in one.answers.answers] for one in self.members]

    @property
    def feature_dim(self) -> int | None:
        """D of the regions that the first member that looks wants; None if nobody looks."""
        return next((one.feature_dim for one in self.members if not one.blind), None)

    @torch.inference_mode()
    def forward(
        self, regions: RegionBatch | Sequence[RegionBatch], questions: Sequence[str], image_rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Answer together.

        Args:
            regions:    of B images, one batch for all members, or one a member if each has its own eyes.
            questions:  N texts.
            image_rows: (N,) long, the image of each question.

        Returns:
            Probabilities (N, A) and the attention (N, K), the mean over the members that look; with eyes of their own
            it is the first one's.
        """
        shared = isinstance(regions, RegionBatch)
        batches = [regions] * len(self.members) if shared else list(regions)
        total, looks = torch.zeros(len(questions), len(self.answers)), []
        for member, places, batch in zip(self.members, self.places, batches, strict=True):
            probabilities, weights = member(batch, questions, image_rows)
            total[:, places] += probabilities.float().cpu()
            looks += [] if member.blind else [weights.float().cpu()]
        if not looks:
            looks = [torch.zeros(len(questions), 0)]
        return total / len(self.members), torch.stack(looks).mean(0) if shared else looks[0]

    def unknown(self, question: str) -> list[str]:
        """The words that no member knows."""
        first, *others = [one.unknown(question) for one in self.members]
        return [word for word in first if all(word in other for other in others)]
