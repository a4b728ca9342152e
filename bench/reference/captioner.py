"""The captioner as it is usually written: one LSTMCell step after the other, all sentences to the longest end.

The same equations and the same weights as ``UpDownCaptioner``, so that both must give the same loss: what differs is
only how much is computed again. Regions are copied for each caption, the mean region and the word pass the LSTM at each
step, finished sentences run on, each step makes its own (N, V) log-probabilities.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from updown_lab.models.captioner import UpDownCaptioner
from updown_lab.text import PAD, START


class PopularCaptioner(nn.Module):
    """Take the weights of ours.

    Args:
        model: a captioner with the paper's configuration.
    """

    def __init__(self, model: UpDownCaptioner):
        super().__init__()
        hidden, dim = model.hidden_size, model.overview_gates.in_features
        words = model.embedding.embedding_dim
        self.hidden_size = hidden
        self.embed = nn.Embedding(*model.embedding.weight.shape)
        self.att_lstm = nn.LSTMCell(hidden + dim + words, hidden)  # [h2, mean region, word]
        self.lang_lstm = nn.LSTMCell(dim + hidden, hidden)  # [attended, h1]
        self.ctx2att = nn.Linear(dim, model.attention.region.out_features, bias=False)
        self.h2att = nn.Linear(hidden, model.attention.region.out_features, bias=False)
        self.alpha_net = nn.Linear(model.attention.region.out_features, 1, bias=False)
        self.logit = nn.Linear(hidden, len(model.embedding.weight))
        self._copy(model)

    @torch.no_grad()
    def _copy(self, model: UpDownCaptioner) -> None:
        size = self.hidden_size
        order = torch.cat([torch.arange(4 * size).view(4, size)[block] for block in (0, 1, 3, 2)])  # i,f,o,g to i,f,g,o
        h1_part, h2_part = model.hidden_gates.weight.split(size, 1)
        self.embed.weight.copy_(model.embedding.weight)
        self.att_lstm.weight_ih.copy_(
            torch.cat([h2_part, model.overview_gates.weight, model.word_gates.weight], 1)[order]
        )
        self.att_lstm.weight_hh.copy_(h1_part[order])
        self.att_lstm.bias_ih.copy_(model.overview_gates.bias[order])
        seen, language_h1, language_h2 = model.language_gates.weight.split([self.ctx2att.in_features, size, size], 1)
        self.lang_lstm.weight_ih.copy_(torch.cat([seen, language_h1], 1)[order])
        self.lang_lstm.weight_hh.copy_(language_h2[order])
        self.lang_lstm.bias_ih.copy_(model.language_gates.bias[order])
        for cell in (self.att_lstm, self.lang_lstm):
            cell.bias_hh.zero_()
        self.ctx2att.weight.copy_(model.attention.region.weight)
        self.h2att.weight.copy_(model.attention.query.weight)
        self.alpha_net.weight.copy_(model.attention.score.weight)
        self.logit.weight.copy_(model.output.weight)
        self.logit.bias.copy_(model.output.bias)

    def start(self, features: Tensor, mask: Tensor, copies: int):
        """Repeat everything for each caption of an image."""
        features, mask = features.repeat_interleave(copies, 0), mask.repeat_interleave(copies, 0)
        mean = (features * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        zero = features.new_zeros(len(features), self.hidden_size)
        return (features, mask, mean, self.ctx2att(features)), ((zero, zero), (zero, zero))

    def step(self, words: Tensor, images, state):
        """One word for every sentence: (N, V) log-probabilities."""
        features, mask, mean, keys = images
        (h1, c1), (h2, c2) = state
        h1, c1 = self.att_lstm(torch.cat([h2, mean, self.embed(words)], 1), (h1, c1))
        hidden = torch.tanh(keys + self.h2att(h1).unsqueeze(1))
        weights = F.softmax(self.alpha_net(hidden).squeeze(2), 1) * mask
        weights = weights / weights.sum(1, keepdim=True)
        attended = torch.bmm(weights.unsqueeze(1), features).squeeze(1)
        h2, c2 = self.lang_lstm(torch.cat([attended, h1], 1), (h2, c2))
        logits = self.logit(h2)
        logits[:, [PAD, START]] = float("-inf")
        return F.log_softmax(logits, 1), ((h1, c1), (h2, c2))

    def forward(self, features: Tensor, mask: Tensor, words: Tensor, copies: int) -> Tensor:
        """Teacher forcing: (N, T, V)."""
        images, state = self.start(features, mask, copies)
        outputs = features.new_zeros(len(words), words.shape[1], self.logit.out_features)
        for place in range(words.shape[1]):
            outputs[:, place], state = self.step(words[:, place], images, state)
        return outputs

    def sample(self, features: Tensor, mask: Tensor, copies: int, longest: int, greedy: bool):
        """Draw captions, with the gradient kept for those that are drawn: words and log-probabilities (N, T)."""
        images, state = self.start(features, mask, copies)
        words = torch.full((len(images[0]),), START)
        said, chances, running = [], [], torch.ones(len(words), dtype=torch.bool)
        for _ in range(longest):
            log_probs, state = self.step(words, images, state)
            words = log_probs.argmax(1) if greedy else torch.multinomial(log_probs.detach().exp(), 1).squeeze(1)
            chances.append(log_probs.gather(1, words.unsqueeze(1)).squeeze(1) * running)
            said.append(words * running)
            running = running & (words != 2)
            if not running.any():
                break
        return torch.stack(said, 1), torch.stack(chances, 1)
