"""From the tokens of a frozen encoder to voxels, by linear layers alone (METHODS 2.4).

As published, for a ViT: the tokens of the last blocks side by side, batch norm, one 1x1x1
convolution to the classes, and linear interpolation from the grid of tokens to voxels.
Batch norm and convolution act on each layer's channels by themselves, so the convolution
is a sum over layers, and a hierarchical encoder, whose layers have grids of their own,
is read by the same rule: each layer is classified on its grid and the sum is formed where
voxels are (chosen here; the paper leaves Swin out, whose bottleneck has 3 tokens a side).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .batchnorm import BatchNorm
from .channels import Merge
from .features import CONVOLUTION
from .init import initialise

_LINEAR = {2: "bilinear", 3: "trilinear"}


class LinearDecoder(nn.Module):
    """widths, strides: channels and voxels per token of the layers that are read.

    channels: images that passed the encoder alone for each case (METHODS 2.9); layers of
    one width share the layer that merges them, as in the released code. Weights come
    from `rng` alone.
    """

    def __init__(
        self,
        widths: Sequence[int],
        strides: Sequence[int],
        channels: int,
        classes: int,
        rng: torch.Generator,
        *,
        dims: int = 3,
    ) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.of_layer = [str(width) for width in widths]  # which merge a layer takes
        self.merges = nn.ModuleDict(
            {str(width): Merge(channels, width) for width in sorted(set(widths))}
        )
        self.norms = nn.ModuleList(BatchNorm(width) for width in widths)
        self.classify = nn.ModuleList(
            CONVOLUTION[dims](width, classes, 1, bias=number == 0)
            for number, width in enumerate(widths)
        )
        initialise(self, rng)

    def forward(self, maps: Sequence[Tensor], sides: Sequence[int]) -> Tensor:
        """Return logits (B, classes, *sides).

        maps: (B channels, widths[i], *grid_i), the channels of a case in a row.
        """
        sums: dict[int, Tensor] = {}  # of layers with one grid, by its stride
        layers = zip(
            maps, self.of_layer, self.norms, self.classify, self.strides, strict=True
        )
        for each, width, norm, classify, stride in layers:
            logits = classify(norm(self.merges[width](each)))
            sums[stride] = sums[stride] + logits if stride in sums else logits
        inside = (slice(None), slice(None), *(slice(side) for side in sides))
        voxels = [
            functional.interpolate(
                logits,
                size=[n * stride for n in logits.shape[2:]],
                mode=_LINEAR[len(sides)],
            )[inside]
            for stride, logits in sums.items()
        ]
        return torch.stack(voxels).sum(dim=0) if len(voxels) > 1 else voxels[0]

    @property
    def eps(self) -> float:
        """What batch norms add to a variance."""
        norm = self.norms[0]
        assert isinstance(norm, BatchNorm)
        return norm.eps

    @torch.no_grad()
    def take(self, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor) -> None:
        """Take over a linear layer on standardised features, its layers side by side.

        mean, var: (C,), what batch norms are to subtract and divide by; weight: (K, C);
        bias: (K,). C is the sum of the widths.
        """
        first = 0
        for norm, classify in zip(self.norms, self.classify, strict=True):
            assert isinstance(norm, BatchNorm)
            assert isinstance(classify, (nn.Conv2d, nn.Conv3d))
            assert norm.running_mean is not None
            assert norm.running_var is not None
            part = slice(first, first + norm.num_features)
            norm.running_mean.copy_(mean[part])
            norm.running_var.copy_(var[part])
            classify.weight.copy_(weight[:, part].view_as(classify.weight))
            if classify.bias is not None:  # of the first layer alone
                classify.bias.copy_(bias)
            first = part.stop
