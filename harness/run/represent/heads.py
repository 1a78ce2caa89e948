"""How attention is spread: entropy and distance per head (METHODS 4.9).

For a query q and the probabilities A(q, k) of its keys:

    entropy   H(q) = -Σ_k A(q, k) log A(q, k), in nats, and as a share of log(keys)
    distance  d(q) = Σ_k A(q, k) |place(q) - place(k)|, in tokens, in mm, and as a share of
              the window's diagonal

averaged over queries, windows and samples for each head. Keys that a window's shift put
on the other side of the grid, and padding, are no keys of a query; what a network gives
to padding is taken off and the rest sums to 1. Heads that look alike have little spread
between them; the histogram of d(q) over all heads and queries of a stage, in equal parts
of the diagonal, says the same in one number.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from ...nn.features import Encoder
from ...nn.transformer import Attention
from ..measured import Measured
from .explicit_attention import Attended, layers_of, of_all, of_windows

BINS = 20  # of the histogram of distances, METHODS 4.9
LEAST_KEYS = 8  # per query: with fewer, entropy has no room to differ (METHODS 2.13)
_AT_ONCE = 2**24  # probabilities in double precision, 128 MiB (chosen here)


@dataclass
class HeadSums:
    """Sums of one layer over queries, per head; see `spread_of`."""

    entropy: Tensor
    share: Tensor
    tokens: Tensor
    mm: Tensor
    reach: Tensor
    histogram: Tensor  # (H, BINS) of distances as shares of the diagonal, as counts
    queries: int

    def __add__(self, other: HeadSums) -> HeadSums:
        """Return the sums over the queries of both."""
        mine, theirs = vars(self), vars(other)
        return HeadSums(**{name: mine[name] + theirs[name] for name in mine})

    def means(self) -> dict[str, Tensor]:
        """Return the mean over queries of each head (H,), by quantity."""
        return {
            quantity: getattr(self, name) / self.queries
            for quantity, name in _QUANTITIES.items()
        }


_QUANTITIES = {
    "attention_entropy": "entropy", "attention_entropy_share": "share",
    "attention_distance_tokens": "tokens", "attention_distance_mm": "mm",
    "attention_distance_share": "reach",
}  # fmt: skip


def spread_of(seen: Attended, scale: Sequence[float], least: int = 1) -> HeadSums:
    """Sum entropies and distances over the queries of a batch.

    scale: mm between neighbouring tokens, per axis; least: queries with fewer keys do not
    count. Windows are taken a few at a time, in double precision.
    """
    windows, heads, n, _ = seen.probabilities.shape
    step = max(1, _AT_ONCE // (heads * n * n))
    parts = [
        _spread_of(seen, slice(first, first + step), scale, least)
        for first in range(0, windows, step)
    ]
    return reduce(HeadSums.__add__, parts)


def _spread_of(
    seen: Attended, part: slice, scale: Sequence[float], least: int
) -> HeadSums:
    allowed, places = seen.allowed[part], seen.places[part].double()
    p = torch.where(allowed[:, None], seen.probabilities[part], 0.0).double()
    p = p / p.sum(dim=-1, keepdim=True).clamp(min=1e-30)
    keys = allowed.sum(dim=-1)  # (W, n)
    counted = seen.counts[part] & (keys >= least)
    entropy = -torch.special.xlogy(p, p).sum(dim=-1)  # (W, H, n)
    share = entropy / keys.clamp(min=2).double().log()[:, None]
    tokens = _distances(p, places)
    mm = _distances(p, places * places.new_tensor(list(scale)))
    reach = tokens / max(seen.longest, 1e-12)
    heads, weight = p.shape[1], counted[:, None].double()  # (W, 1, n)
    bins = (reach * BINS).long().clamp(0, BINS - 1).movedim(1, 0).flatten(1)
    histogram = torch.zeros(heads, BINS, dtype=torch.float64, device=p.device)
    histogram.scatter_add_(1, bins, counted.double().flatten().expand(heads, -1))

    def summed(values: Tensor) -> Tensor:
        return (values * weight).sum(dim=(0, 2)).cpu()

    return HeadSums(
        summed(entropy), summed(share), summed(tokens), summed(mm), summed(reach),
        histogram.cpu(), queries=int(counted.sum()),
    )  # fmt: skip


def _distances(p: Tensor, places: Tensor) -> Tensor:
    """Return Σ_k A |q - k| (W, H, n), over keys that have a place."""
    has_place = ~places.isnan().any(dim=-1)
    places = places.nan_to_num()
    # Not by a product of matrices, which loses the small ones among large places.
    apart = torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist")
    seen = p * has_place[:, None, None]
    norm = seen.sum(dim=-1).clamp(min=1e-30)
    return (seen * apart[:, None]).sum(dim=-1) / norm


@dataclass
class AttentionSpread:
    """Running sums of every attention layer of an encoder, filled by `watching`.

    spacing: mm per voxel along each axis of the network's grid, of all images; or one such
    row for each image of the next pass.
    """

    spacing: Sequence[float] | Sequence[Sequence[float]]
    layers: dict[str, list[HeadSums]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, seen: Iterable[Attended], stride: int, count: int) -> None:
        """Add a batch of `count` images, one by one; stride: voxels between tokens."""
        spacing = torch.tensor(self.spacing, dtype=torch.float64)
        if spacing.ndim == 1:
            spacing = spacing.expand(count, -1)
        # Channels of an image may pass as images of their own.
        rows = spacing.repeat_interleave(count // len(spacing), dim=0)
        parts = (
            spread_of(one, (stride * row).tolist(), LEAST_KEYS)
            for one, row in zip(seen, rows, strict=True)
        )
        self.layers[name].append(reduce(HeadSums.__add__, parts))

    def by_batch(self) -> tuple[list[str], dict[str, Tensor]]:
        """Return the stages, and mean and spread over heads of each batch and stage.

        (B, stages) by the name that rows have for the whole; the spread of a single head
        is nan. Batches are what intervals are made from.
        """
        stages = _by_stage(self.layers)
        found: dict[str, list[list[Tensor]]] = defaultdict(list)
        for names in stages.values():
            own: dict[str, list[Tensor]] = defaultdict(list)
            for parts in zip(*(self.layers[name] for name in names), strict=True):
                each = [part.means() for part in parts]
                for quantity in each[0]:
                    heads = torch.cat([one[quantity] for one in each])
                    own[f"{quantity}_mean"].append(heads.mean())
                    many = len(heads) > 1
                    sd = heads.std() if many else torch.full_like(heads[0], math.nan)
                    own[f"{quantity}_sd"].append(sd)
            for quantity, values in own.items():
                found[quantity].append(values)
        return list(stages), {
            quantity: torch.stack([torch.stack(values) for values in of_stage], dim=1)
            for quantity, of_stage in found.items()
        }

    def rows(self) -> Iterator[Measured]:
        """Yield what was measured of heads, n being queries, and of their stage.

        A layer whose queries have fewer than LEAST_KEYS keys is left out. n of the
        histogram's entropy is of heads times queries.
        """
        for stage, names in _by_stage(self.layers).items():
            found = []
            histogram = torch.zeros(BINS, dtype=torch.float64)
            for name in names:
                whole = reduce(HeadSums.__add__, self.layers[name])
                found.append(whole.means())
                for quantity, values in found[-1].items():
                    for head, value in enumerate(values.tolist(), start=1):
                        yield Measured(
                            f"{name}.head{head}", quantity, value, whole.queries
                        )
                histogram += whole.histogram.sum(0)
            for quantity in found[0]:
                heads = torch.cat([each[quantity] for each in found])
                mean = float(heads.mean())
                yield Measured(stage, f"{quantity}_mean", mean, len(heads))
                if len(heads) > 1:
                    sd = float(heads.std())
                    yield Measured(stage, f"{quantity}_sd", sd, len(heads))
            share = histogram / histogram.sum()
            entropy = float(-torch.special.xlogy(share, share).sum())
            count = int(histogram.sum())
            yield Measured(stage, "attention_distance_entropy", entropy, count)


def _by_stage(layers: Mapping[str, Sequence[HeadSums]]) -> dict[str, list[str]]:
    """Return the names of the layers of each stage that are reported."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, parts in layers.items():
        if all(part.queries for part in parts):
            found[name.split(".")[0]].append(name)
    return found


@contextmanager
def watching(
    encoder: Encoder, spread: AttentionSpread, sides: Sequence[int]
) -> Iterator[None]:
    """Read every attention layer of `encoder` in each forward pass inside.

    sides: of the images that go through, in voxels.
    """
    handles = []
    try:
        for name, layer in layers_of(encoder).items():
            hook = _window_hook(name, spread, _stride_of(encoder, name))
            if isinstance(layer, Attention):
                grid = [-(-side // encoder.unit) for side in sides]
                hook = _global_hook(name, spread, grid, encoder.unit)
            handles.append(layer.register_forward_hook(hook, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _stride_of(encoder: Encoder, name: str) -> int:
    """Return voxels between the tokens of a layer, 'stage2.block1' or of all tokens."""
    stage = re.match(r"stage(\d+)\.", name)
    return encoder.strides[int(stage[1]) - 1] if stage else encoder.unit


def _window_hook(name: str, spread: AttentionSpread, stride: int) -> Any:
    @torch.no_grad()
    def hook(layer: Any, args: Any, kwargs: Any, output: Any) -> None:  # noqa: ARG001
        x = args[0]
        seen = (of_windows(layer, one, shifted=kwargs["shifted"]) for one in x.split(1))
        spread.add(name, seen, stride, len(x))

    return hook


def _global_hook(
    name: str, spread: AttentionSpread, grid: Sequence[int], stride: int
) -> Any:
    @torch.no_grad()
    def hook(layer: Any, args: Any, kwargs: Any, output: Any) -> None:  # noqa: ARG001
        x = args[0]
        seen = (of_all(layer, one, grid) for one in x.split(1))
        spread.add(name, seen, stride, len(x))

    return hook
