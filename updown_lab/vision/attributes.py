"""What things are like: the attribute head that makes Faster R-CNN "bottom-up attention"."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class AttributeHead(nn.Module):
    """Say what a region is like, knowing what it is.

    "Ripe" is worth asking of a banana, not of a bus, so the class joins the pooled feature:

        a = softmax(W2 relu(W1 [v ; embed(class)]))        Anderson et al. 2018, Sec. 3.1

    The last row of the output is "no attribute".

    Args:
        feature_dim: D of the pooled region feature.
        classes:     C, number of class ids that may be asked about.
        attributes:  M, number of real attributes.
        embedding:   width of the class embedding.
        hidden:      width of the hidden layer.

    >>> head = AttributeHead(feature_dim=8, classes=3, attributes=5, embedding=4, hidden=6)
    >>> head(torch.zeros(2, 8), torch.tensor([0, 2])).shape
    torch.Size([2, 6])
    """

    def __init__(self, feature_dim: int, classes: int, attributes: int, embedding: int, hidden: int):
        super().__init__()
        self.cls_embedding = nn.Embedding(classes, embedding)
        self.fc_attr = nn.Linear(feature_dim + embedding, hidden)
        self.attr_score = nn.Linear(hidden, attributes + 1)

    def forward(self, features: Tensor, classes: Tensor) -> Tensor:
        """Features (R, D) and class ids (R,) without background to logits (R, M + 1)."""
        return self.attr_score(F.relu(self.fc_attr(torch.cat([features, self.cls_embedding(classes)], dim=1))))


def attribute_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over the several true attributes of each region.

    A region with four labels must not shout louder than one with a single label, so the labels of a region are
    averaged first, then the regions; a region without labels should say "no attribute".

        L = (1/R) sum_r (1/|labels_r|) sum_(a in labels_r) -log softmax(logits_r)[a]

    Args:
        logits: (R, M + 1), the last column "no attribute".
        labels: (R, L) long attribute ids, -1 where there is none.

    Returns:
        () float; zero (with a gradient of zero) when there is no region.

    >>> loss = attribute_loss(torch.zeros(2, 4), torch.tensor([[0, 2], [-1, -1]]))
    >>> round(loss.exp().item(), 4)         # a uniform guess over M + 1 = 4
    4.0
    """
    none = logits.shape[1] - 1
    unlabelled = (labels < 0).all(1)
    labels = torch.cat([labels, torch.where(unlabelled, none, -1)[:, None]], dim=1)  # (R, L + 1)
    real = labels >= 0
    costs = -logits.log_softmax(1).gather(1, labels.clamp(min=0)).masked_fill(~real, 0.0)
    return (costs.sum(1) / real.sum(1)).sum() / max(1, len(logits))
