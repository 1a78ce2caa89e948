"""How attention is spread: entropy and distance per head (METHODS 4.9).

For a query q and the probabilities A(q, k) of its keys:

    entropy   H(q) = -Σ_k A(q, k) log A(q, k), in nats, and as a share of log(keys)
    distance  d(q) = Σ_k A(q, k) |place(q) - place(k)|, in tokens and in mm

averaged over queries, windows and samples for each head. Keys that a window's shift put
on the other side of the grid, and padding, are no keys of a query. Heads that look alike
have little spread between them; the histogram of d(q) over all heads and queries of a
stage says the same in one number. Attention is read through an explicit path, which
gives the same output as the one that trains.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ...nn.swin import WindowAttention
from ...nn.transformer import Attention
from ...nn.windows import cut, fit_window, put_back, shift_masks
from ..measured import Measured
from .layers import encoder_layers

BINS = 20  # of the histogram of distances, METHODS 4.9
LEAST_KEYS = 8  # per query: with fewer, entropy has no room to differ (METHODS 2.13)


@dataclass(frozen=True)
class Attended:
    """The attention of one layer on one batch.

    probabilities: (W, H, n, n), W windows (samples, where attention is global), H heads,
    n queries by n keys; allowed: bool (W, n, n), whether a key is one of a query's;
    places: (W, n, dims), where a token lies, in tokens; counts: bool (W, n), whether a
    query counts (no padding, no class token); output: what the layer puts out.
    """

    probabilities: Tensor
    allowed: Tensor
    places: Tensor
    counts: Tensor
    output: Tensor


def of_windows(layer: WindowAttention, x: Tensor, *, shifted: bool) -> Attended:
    """Compute a Swin layer's attention explicitly. x: (B, *grid, C)."""
    grid = tuple(x.shape[1:-1])
    window, shift = fit_window(grid, layer.window)
    kind, masks = None, None
    if shifted and any(shift):
        kind, masks = shift_masks(grid, window, shift, x.device)
    else:
        shift = (0,) * len(grid)
    windows = cut(x, window, shift)
    count, n, c = windows.shape
    qkv = layer.qkv(windows).view(count, n, 3, layer.heads, c // layer.heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + layer.bias(window, n)
    per_sample = count // len(x)
    allowed = torch.ones(per_sample, n, n, dtype=torch.bool, device=x.device)
    if kind is not None and masks is not None:
        allowed &= masks[kind] == 0
        scores = scores + masks[kind].repeat(len(x), 1, 1)[:, None]
    probabilities = scores.softmax(dim=-1)
    mixed = (probabilities @ v).transpose(1, 2).flatten(2)
    axes = [torch.arange(side, device=x.device) for side in grid]
    where = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)[None].float()
    places = cut(where, window, shift)
    real = cut(torch.ones(1, *grid, 1, device=x.device), window, shift)[..., 0] > 0
    return Attended(
        probabilities,
        allowed.repeat(len(x), 1, 1),
        places.repeat(len(x), 1, 1),
        real.repeat(len(x), 1),
        put_back(layer.out(mixed), window, shift, grid),
    )


def of_all(layer: Attention, x: Tensor, grid: Sequence[int]) -> Attended:
    """Compute a layer of global attention explicitly. x: (B, 1 + N, C), class token first.

    The class token is a key like any other for entropy, but has no place: it is left out
    of distances, and is no query.
    """
    b, n, c = x.shape
    qkv = layer.qkv(x).view(b, n, 3, layer.heads, c // layer.heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    probabilities = scores.softmax(dim=-1)
    output = layer.out((probabilities @ v).transpose(1, 2).reshape(b, n, c))
    axes = [torch.arange(side, device=x.device) for side in grid]
    where = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    where = where.reshape(1, -1, len(grid)).float()
    nowhere = torch.full((1, 1, len(grid)), math.nan, device=x.device)
    counts = torch.ones(b, n, dtype=torch.bool, device=x.device)
    counts[:, 0] = False
    return Attended(
        probabilities,
        torch.ones(b, n, n, dtype=torch.bool, device=x.device),
        torch.cat([nowhere, where], dim=1).repeat(b, 1, 1),
        counts,
        output,
    )


@dataclass
class HeadSums:
    """Sums of one layer over queries, per head; see `spread_of`."""

    entropy: Tensor
    share: Tensor
    tokens: Tensor
    mm: Tensor
    histogram: Tensor  # (H, BINS) of distances in tokens, as counts
    queries: int = 0
    keys: int = 0
    longest: float = 0.0

    def means(self) -> dict[str, Tensor]:
        """Return the mean over queries of each head (H,), by quantity."""
        return _means([self])


def _means(parts: Sequence[HeadSums]) -> dict[str, Tensor]:
    """Return the mean over queries of each head of a layer, over batches."""
    queries = sum(part.queries for part in parts)
    names = {
        "attention_entropy": "entropy", "attention_entropy_share": "share",
        "attention_distance_tokens": "tokens", "attention_distance_mm": "mm",
    }  # fmt: skip
    return {
        quantity: torch.stack([getattr(part, name) for part in parts]).sum(0) / queries
        for quantity, name in names.items()
    }


def spread_of(seen: Attended, scale: Sequence[float]) -> HeadSums:
    """Sum entropies and distances over the queries of a batch.

    scale: mm between neighbouring tokens, per axis.
    """
    p = torch.where(seen.allowed[:, None], seen.probabilities, 0.0).double()
    counts = seen.counts[:, None, :].double()  # (W, 1, n)
    keys = seen.allowed.sum(dim=-1).clamp(min=2)[:, None].double()
    entropy = -torch.special.xlogy(p, p).sum(dim=-1)  # (W, H, n)
    tokens, placed = _distances(p, seen.places.double(), None)
    mm, _ = _distances(p, seen.places.double(), torch.tensor(list(scale)).double())
    heads = p.shape[1]
    longest = float(placed.amax() if placed.numel() else torch.zeros(()))
    bins = (tokens / max(longest, 1e-12) * BINS).long().clamp(0, BINS - 1)
    histogram = torch.zeros(heads, BINS, dtype=torch.float64, device=p.device)
    weight = counts.expand_as(tokens)
    for head in range(heads):
        histogram[head].scatter_add_(
            0, bins[:, head].flatten(), weight[:, head].flatten()
        )

    def summed(values: Tensor) -> Tensor:
        return (values * counts).sum(dim=(0, 2)).cpu()

    return HeadSums(
        summed(entropy),
        summed(entropy / keys.log()),
        summed(tokens),
        summed(mm),
        histogram.cpu(),
        queries=int(seen.counts.sum()),
        keys=int(seen.allowed.sum(dim=-1).max()),
        longest=longest,
    )


def _distances(
    p: Tensor, places: Tensor, scale: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return Σ_k A |q - k| (W, H, n), over keys that have a place, and all |q - k|."""
    if scale is not None:
        places = places * scale.to(places)
    apart = torch.cdist(places.nan_to_num(), places.nan_to_num())
    has_place = ~places.isnan().any(dim=-1)
    apart = torch.where(has_place[:, None] & has_place[:, :, None], apart, 0.0)
    seen = p * has_place[:, None, None]
    norm = seen.sum(dim=-1).clamp(min=1e-12)
    return (seen * apart[:, None]).sum(dim=-1) / norm, apart


@dataclass
class AttentionSpread:
    """Running sums of every attention layer of an encoder, filled by `watching`.

    spacing: mm per voxel along each axis of the network's grid.
    """

    spacing: Sequence[float]
    layers: dict[str, list[HeadSums]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, seen: Attended, stride: Sequence[float]) -> None:
        """Add a batch; stride: voxels between neighbouring tokens, per axis."""
        scale = [s * mm for s, mm in zip(stride, self.spacing, strict=True)]
        self.layers[name].append(spread_of(seen, scale))

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

        A layer whose queries have fewer than LEAST_KEYS keys is left out.
        """
        for stage, names in _by_stage(self.layers).items():
            found = []
            histogram = torch.zeros(BINS, dtype=torch.float64)
            for name in names:
                parts = self.layers[name]
                queries = sum(part.queries for part in parts)
                found.append(_means(parts))
                for quantity, values in found[-1].items():
                    for head, value in enumerate(values.tolist(), start=1):
                        yield Measured(f"{name}.head{head}", quantity, value, queries)
                histogram += sum(part.histogram.sum(0) for part in parts)
            for quantity in found[0]:
                heads = torch.cat([each[quantity] for each in found])
                mean = float(heads.mean())
                yield Measured(stage, f"{quantity}_mean", mean, len(heads))
                if len(heads) > 1:
                    sd = float(heads.std())
                    yield Measured(stage, f"{quantity}_sd", sd, len(heads))
            share = histogram / histogram.sum()
            entropy = float(-torch.special.xlogy(share, share).sum())
            yield Measured(stage, "attention_distance_entropy", entropy, len(share))


def _by_stage(layers: Mapping[str, Sequence[HeadSums]]) -> dict[str, list[str]]:
    """Return the names of the layers of each stage that are reported."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, parts in layers.items():
        if parts[0].keys >= LEAST_KEYS:
            found[name.split(".")[0]].append(name)
    return found


def layers_of(encoder: nn.Module) -> dict[str, WindowAttention | Attention]:
    """Return the attention of each block of an encoder, by the block's name."""
    attentions = (
        (name, getattr(block, "attention", None))
        for name, block in encoder_layers(encoder).items()
    )
    return {
        name: layer
        for name, layer in attentions
        if isinstance(layer, (WindowAttention, Attention))
    }


@contextmanager
def watching(
    encoder: nn.Module, spread: AttentionSpread, sides: Sequence[int]
) -> Iterator[None]:
    """Read every attention layer of `encoder` in each forward pass inside.

    sides: of the images that go through, in voxels.
    """
    handles = []
    try:
        for name, layer in layers_of(encoder).items():
            hook = _window_hook(name, spread, sides)
            if isinstance(layer, Attention):
                hook = _global_hook(name, spread, sides)
            handles.append(layer.register_forward_hook(hook, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _window_hook(name: str, spread: AttentionSpread, sides: Sequence[int]) -> Any:
    @torch.no_grad()
    def hook(layer: Any, args: Any, kwargs: Any, output: Any) -> None:  # noqa: ARG001
        x = args[0]
        seen = of_windows(layer, x, shifted=kwargs["shifted"])
        stride = [side / n for side, n in zip(sides, x.shape[1:-1], strict=True)]
        spread.add(name, seen, stride)

    return hook


def _global_hook(name: str, spread: AttentionSpread, sides: Sequence[int]) -> Any:
    @torch.no_grad()
    def hook(layer: Any, args: Any, kwargs: Any, output: Any) -> None:  # noqa: ARG001
        x = args[0]
        tokens = x.shape[1] - 1
        # The grid has the images' proportions: sides over one stride.
        stride = (math.prod(sides) / tokens) ** (1 / len(sides))
        grid = [round(side / stride) for side in sides]
        spread.add(name, of_all(layer, x, grid), [stride] * len(sides))

    return hook
