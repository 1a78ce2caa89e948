"""Classification by the votes of nearest neighbours (METHODS 2.8)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Neighbours(nn.Module):
    """Votes of the k training vectors that are most alike, each exp(cosine / t).

    width: of the vectors; count: how many there are. Nothing is trained; `remember` sets
    what is looked up.
    """

    vectors: Tensor
    classes: Tensor

    def __init__(
        self, width: int, count: int, outputs: int, *, k: int, temperature: float
    ) -> None:
        super().__init__()
        self.outputs, self.temperature = outputs, temperature
        self.k = min(k, count)
        self.register_buffer("vectors", torch.zeros(count, width))
        self.register_buffer("classes", torch.zeros(count, dtype=torch.int64))

    @torch.no_grad()
    def remember(self, x: Tensor, y: Tensor) -> None:
        """Keep the training cases. x: (count, width), any length; y: (count,)."""
        self.vectors.copy_(functional.normalize(x, dim=1))
        self.classes.copy_(y)

    def forward(self, x: Tensor) -> Tensor:
        """Return the log of the votes (B, outputs), -inf without any. x: (B, width)."""
        cosines = functional.normalize(x, dim=1) @ self.vectors.T
        return vote(cosines, self.classes, self.outputs, self.k, self.temperature)


def vote(
    cosines: Tensor, classes: Tensor, outputs: int, k: int, temperature: float
) -> Tensor:
    """Return the log of the votes (B, outputs) of the k nearest, -inf without any.

    cosines: (B, count); classes: (count,).
    """
    nearest = cosines.topk(k, dim=1)
    # By the largest, so that no temperature is too small for the numbers.
    votes = ((nearest.values - nearest.values[:, :1]) / temperature).exp()
    sums = votes.new_zeros(len(cosines), outputs)
    sums.scatter_add_(1, classes[nearest.indices], votes)
    return sums.log()


def left_out_accuracy(
    x: Tensor, y: Tensor, case: Tensor, *, k: int, temperature: float
) -> float | None:
    """Return the share of images whose class the k nearest of other cases vote for.

    x: (n, width), any length; y: (n,) classes; case: (n,) numbers of cases, of which
    several images may be. None where all are of one class.
    """
    if bool((y == y[0]).all()):
        return None
    z = functional.normalize(x, dim=1)
    cosines = z @ z.T
    cosines[case[:, None] == case] = -1e3  # far below any cosine: no vote
    votes = vote(cosines, y, int(y.max()) + 1, min(k, len(y) - 1), temperature)
    return float((votes.argmax(dim=1) == y).float().mean())
