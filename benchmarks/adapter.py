"""Sampling of deformable attention: grid_sample against a gather written out.

    python benchmarks/adapter.py --side 96 --repeats 5

Both sides compute the same sum of interpolated values in one process and take turns; the
sizes are those of 3DINO's adapter (METHODS 2.3): a ViT of 1,024 channels with patches of
16, values 256 wide, 8 heads, 4 points. 'injector': the ViT's patches look at three
levels; 'extractor': the tokens of three levels look at the ViT's grid. Prints seconds of
forward and backward (median) and the ratios; only the ratios carry over to other
machines.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.nn.deformable import HEADS, sample

Sampler = Callable[[Tensor, Sequence[Sequence[int]], Tensor, Tensor], Tensor]


def gathered(
    value: Tensor, grids: Sequence[Sequence[int]], places: Tensor, weights: Tensor
) -> Tensor:
    """Return what `sample` does: corner by corner, by indexing."""
    b, _, heads, d = value.shape
    total = value.new_zeros(b, heads, places.shape[1], places.shape[4], d)
    batch = torch.arange(b).view(-1, 1, 1, 1)
    head = torch.arange(heads).view(1, -1, 1, 1)
    start = 0
    for level, grid in enumerate(grids):
        sides = torch.tensor(tuple(grid))
        at = places[:, :, :, level].transpose(1, 2) * sides - 0.5  # (B, H, Q, P, dims)
        low = at.detach().floor()
        weight = weights[:, :, :, level].transpose(1, 2)
        for corner in product((0, 1), repeat=len(grid)):
            voxel = low + torch.tensor(corner)
            share = (1 - (at - voxel).abs()).prod(dim=-1) * weight
            inside = ((voxel >= 0) & (voxel < sides)).all(dim=-1)
            index = torch.zeros_like(voxel[..., 0], dtype=torch.long)
            for axis, side in enumerate(grid):
                index = index * side + voxel[..., axis].long().clamp(0, side - 1)
            found = value[batch, start + index, head]  # (B, H, Q, P, d)
            total = total + found * (share * inside).unsqueeze(-1)
        start += torch.Size(grid).numel()
    return total.sum(dim=3).transpose(1, 2).flatten(2)


def timed(sampler: Sampler, inputs: Sequence[Tensor], grids: Sequence[Sequence[int]]):  # noqa: ANN201
    """Return the seconds of one pass forward and backward, and the result."""
    value, places, weights = (each.detach().requires_grad_() for each in inputs)
    start = time.perf_counter()
    y = sampler(value, grids, places, weights)
    y.square().mean().backward()
    return time.perf_counter() - start, y.detach()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--side", type=int, default=96, help="voxels per side")
    parser.add_argument("--dims", type=int, default=3, choices=(2, 3))
    parser.add_argument("--width", type=int, default=256, help="of the values")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rng = torch.Generator().manual_seed(0)
    pyramid = [(options.side // stride,) * options.dims for stride in (4, 8, 16)]
    own = [pyramid[-1]]
    count = [torch.Size(each).numel() for each in pyramid]
    print(
        f"Deformable attention, {options.side}^{options.dims}, values of "
        f"{options.width}, batch {options.batch}, {options.threads} threads, "
        f"{options.repeats} repeats"
    )
    for name, queries, grids in (
        ("injector", count[-1], pyramid),
        ("extractor", sum(count), own),
    ):
        places = (options.batch, queries, HEADS, len(grids), 4)
        inputs = (
            torch.randn(
                options.batch, sum(torch.Size(g).numel() for g in grids), HEADS,
                options.width // HEADS, generator=rng,
            ),
            torch.rand(*places, options.dims, generator=rng),
            torch.rand(places, generator=rng),
        )  # fmt: skip
        seconds: dict[str, list[float]] = {"gather": [], "harness": []}
        for turn in range(options.repeats + 1):
            results = []
            for side, sampler in (("gather", gathered), ("harness", sample)):
                taken, y = timed(sampler, inputs, grids)
                results.append(y)
                if turn:  # the first turn warms up
                    seconds[side].append(taken)
            assert torch.allclose(*results, atol=1e-4)
        slow, fast = (statistics.median(each) for each in seconds.values())
        print(
            f"  {name:10s} gather {slow:7.3f} s  grid_sample {fast:7.3f} s  "
            f"{slow / fast:5.1f}x"
        )


if __name__ == "__main__":
    main()
