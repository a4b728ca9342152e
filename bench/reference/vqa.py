"""The popular layout of a VQA step: the features of a photo once a question, question and region side by side."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from updown_lab.models.vqa import UpDownVqa
from updown_lab.text import PAD


class PopularVqa(nn.Module):
    """The same function as an ``UpDownVqa`` with ReLU, concatenated attention and the wide classifier.

    Every question brings the regions of its photo along; attention repeats the question for every region and multiplies
    both at once with one matrix. Each matrix is a length times a direction, put together anew in every pass.

    Args:
        ours: whose weights are copied.
    """

    def __init__(self, ours: UpDownVqa):
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(ours.embedding.weight.detach().clone(), freeze=False)
        self.reader, self.width = nn.GRU(ours.reader.input_size, ours.reader.hidden_size, batch_first=True), \
            ours.cfg.maximum_words  # fmt: skip
        self.reader.load_state_dict(ours.reader.state_dict())
        both = torch.cat([ours.region_gates.weight, ours.question_gates.weight], 1).detach()
        wide, last = ours.classifier.before_answer.both, ours.classifier.answer
        self.attention = _normed(both, ours.region_gates.bias)
        self.score = _normed(ours.score.weight.detach(), torch.zeros(1))
        self.from_question = _normed(ours.from_question.both.weight.detach(), ours.from_question.both.bias)
        self.from_image = _normed(ours.from_image.both.weight.detach(), ours.from_image.both.bias)
        self.wide, self.last = _normed(wide.weight.detach(), wide.bias), _normed(last.weight.detach(), last.bias)
        self.dropout = nn.Dropout(ours.cfg.dropout)

    def forward(self, features: Tensor, questions: Tensor) -> Tensor:
        """Features (N, K, D) of each question's photo, questions (N, T) with blanks in front: logits (N, A)."""
        question = self.reader(self.embedding(questions))[0][:, -1]
        beside = torch.cat([features, question[:, None].expand(-1, features.shape[1], -1)], 2)
        weights = self.score(F.relu(self.attention(beside))).softmax(1)
        attended = (weights * features).sum(1)
        joint = F.relu(self.from_question(question)) * F.relu(self.from_image(attended))
        return self.last(self.dropout(F.relu(self.wide(joint))))


def blanks_first(questions: Tensor, width: int) -> Tensor:
    """Questions with their padding in front, (N, width); what is longer loses its end.

    >>> blanks_first(torch.tensor([[4, 5, 0], [6, 7, 8]]), 4)
    tensor([[0, 0, 4, 5],
            [0, 6, 7, 8]])
    """
    questions = F.pad(questions, (0, max(0, width - questions.shape[1])), value=PAD)[:, :width]
    place = torch.arange(width, device=questions.device) - (width - (questions != PAD).sum(1, keepdim=True))
    return questions.gather(1, place.clamp(min=0)).masked_fill(place < 0, PAD)


def _normed(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias.detach())
    return nn.utils.parametrizations.weight_norm(layer, dim=None)
