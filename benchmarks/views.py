"""Views, corruptions and masks of a whole batch, against loops over samples.

The loops do what published code does, one sample (window, box, block) after the other in
numpy; both sides draw from the same distributions. Also a multi-crop pass, crops of equal
size in one batch, against a pass for each crop. Prints medians of turns taken one after
the other in one process and thread.

Run: python benchmarks/views.py [--repeats 5]
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from harness.api import resolve
from harness.nn.build import build_encoder
from harness.nn.corrupt import a_few, boxes, cut_out, draw_boxes, remap, shuffle_locally
from harness.nn.masking import attended_units, block_units, random_units, upsample_units
from harness.nn.settings import SwinSettings, ViTSettings
from harness.nn.views import random_view, resized_crop

Pair = tuple[Callable[[], Any], Callable[[], Any]]


def timed(pair: Pair, repeats: int) -> tuple[float, float]:
    """Return the median seconds of both, which take turns."""
    found: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats + 1):
        for which, work in enumerate(pair):
            start = time.perf_counter()
            work()
            if turn:
                found[which].append(time.perf_counter() - start)
    return statistics.median(found[0]), statistics.median(found[1])


SIDES = (64, 64, 32)  # of the sub-volumes that are corrupted (METHODS 1.9)


def corruptions(rng: torch.Generator, batch: int) -> dict[str, Pair]:
    """Pair the corruptions of Models Genesis and Tang with loops (METHODS 1.9, 1.10)."""
    x = torch.rand(batch, 1, *SIDES, generator=rng)
    volumes, draw = x[:, 0].numpy(), np.random.default_rng(0)

    def each(corrupt: Callable[[Any, np.random.Generator], Any]) -> Callable[[], Any]:
        return lambda: [corrupt(volume, draw) for volume in volumes]

    def paint() -> None:
        alive = a_few(batch, 5, 0.95, rng)
        start, length = draw_boxes(batch, 5, SIDES, 1 / 6, 1 / 3, rng)
        inside = boxes(start, length, alive, SIDES)
        torch.where(inside, torch.rand(x.shape, generator=rng), x)

    def cut() -> None:
        noise = torch.randn(x.shape, generator=rng)
        torch.where(cut_out(batch, SIDES, rng), noise, x)

    def bend() -> None:
        controls = torch.rand(batch, 2, 2, generator=rng)
        remap(x, controls, torch.rand(batch, generator=rng) < 0.5)

    return {
        "shuffling in 10,000 windows": (
            lambda: shuffle_locally(x, rng),
            each(_shuffled),
        ),
        "remapping intensities": (bend, each(_remapped)),
        "painting boxes": (paint, each(_painted)),
        "cutting boxes out": (cut, each(_cut)),
    }


def _shuffled(volume: Any, draw: np.random.Generator) -> Any:
    result = volume.copy()
    for _ in range(10_000):
        size = [int(draw.integers(1, side // 10 + 1)) for side in SIDES]
        place = [int(draw.integers(0, s - n)) for s, n in zip(SIDES, size, strict=True)]
        box = tuple(slice(p, p + n) for p, n in zip(place, size, strict=True))
        window = volume[box].flatten()
        draw.shuffle(window)
        result[box] = window.reshape(size)
    return result


def _remapped(volume: Any, draw: np.random.Generator) -> Any:
    t = np.linspace(0, 1, 256)
    basis = 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
    points = draw.random((2, 2))
    u, v = (np.sort(a * basis[0] + b * basis[1] + basis[2]) for a, b in points.T)
    return np.interp(volume, u, v if draw.random() < 0.5 else v[::-1])


def _painted(volume: Any, draw: np.random.Generator) -> Any:
    result = volume.copy()
    for number in range(5):
        if number and draw.random() > 0.95:
            break
        _noise(result, draw, 1 / 6, 1 / 3)
    return result


def _cut(volume: Any, draw: np.random.Generator) -> Any:
    result, left = volume.copy(), draw.uniform(0, 0.3) * volume.size
    while (size := _noise(result, draw, 0.05, 0.25)) < left:
        left -= size
    return result


def _noise(volume: Any, draw: np.random.Generator, low: float, high: float) -> int:
    """Fill a box anywhere with noise; return how many voxels it has."""
    size = [max(1, round(draw.uniform(low, high) * side)) for side in volume.shape]
    place = [
        int(draw.integers(0, side - n + 1))
        for side, n in zip(volume.shape, size, strict=True)
    ]
    box = tuple(slice(p, p + n) for p, n in zip(place, size, strict=True))
    volume[box] = draw.random(size, dtype=np.float32)
    return math.prod(size)


def masks(rng: torch.Generator, batch: int) -> dict[str, Pair]:
    """Masks on 8^3 units of 16 voxels (METHODS 0, 1.15, 1.19)."""
    grid, units, draw = (8, 8, 8), 512, np.random.default_rng(0)
    attention = torch.rand(batch, *grid, generator=rng)
    counts = torch.full((batch,), 256)

    def random_loop() -> None:
        for _ in range(batch):
            mask = np.zeros(units, bool)
            mask[draw.permutation(units)[: math.ceil(0.7 * units)]] = True
            mask = mask.reshape(grid)
            for axis in range(3):
                mask = mask.repeat(8, axis)  # stem tokens of 2 voxels

    def random() -> None:
        upsample_units(random_units(batch, grid, 0.7, rng), 8)

    def attended_loop() -> None:
        for score in attention.numpy():
            order = np.argsort(-score, axis=None)
            mask = np.zeros(units, bool)
            mask[order[51:359]] = True

    def attended() -> None:
        attended_units(attention, torch.full((batch,), 359), hints=51)

    def block_loop() -> None:
        for _ in range(batch):
            _blocks(grid, 256, draw)

    return {
        "random units": (random, random_loop),
        "attended units": (attended, attended_loop),
        "blocks": (lambda: block_units(grid, counts, rng), block_loop),
    }


def _blocks(grid: tuple[int, ...], count: int, draw: np.random.Generator) -> Any:
    """Place cuboids until `count` units are hidden (METHODS 1.15)."""
    mask, failures = np.zeros(grid, bool), 0
    least = (min(grid) / 3) ** 3
    while failures < 10 and (left := count - int(mask.sum())) > 0:
        size = draw.uniform(least, max(least, left))
        log = np.array([0, *draw.uniform(math.log(0.3), -math.log(0.3), 2)])
        sides = size ** (1 / 3) * np.exp(log - log.mean())
        sides = np.minimum(np.maximum(sides.round(), 1), grid).astype(int)
        place = [
            int(draw.integers(0, n - s + 1)) for n, s in zip(grid, sides, strict=True)
        ]
        box = tuple(slice(p, p + s) for p, s in zip(place, sides, strict=True))
        new = int((~mask[box]).sum())
        if 0 < new <= left:
            mask[box], failures = True, 0
        else:
            failures += 1
    return mask


def views(rng: torch.Generator, batch: int) -> dict[str, Pair]:
    """Cut views of 48^3 from regions of 64^3."""
    region = torch.rand(batch, 1, 64, 64, 64, generator=rng)
    draw, size = np.random.default_rng(0), (48, 48, 48)

    def crop_loop() -> None:
        parts = []
        for image in region:
            d, h, w = draw.integers(0, 17, 3)
            parts.append(image[:, d : d + 48, h : h + 48, w : w + 48])
        torch.stack(parts)

    def resize_loop() -> None:
        parts = []
        for image in region:
            side = draw.uniform(0.4, 1) ** (1 / 3) * 64
            sides = [min(64, int(side * draw.uniform(0.9, 1.1))) for _ in range(3)]
            d, h, w = (int(draw.integers(0, 65 - n)) for n in sides)
            part = image[None, :, d : d + sides[0], h : h + sides[1], w : w + sides[2]]
            parts.append(functional.interpolate(part, size=size, mode="trilinear"))
        torch.cat(parts)

    return {
        "cutting views": (lambda: random_view(region, size, rng), crop_loop),
        "cutting and resizing views": (
            lambda: resized_crop(region, size, rng, scale=(0.4, 1.0)),
            resize_loop,
        ),
    }


def crops(rng: torch.Generator, encoder: str) -> Pair:
    """Forward and backward of 2 large and 8 small crops of 2 images (METHODS 1.14)."""
    kind = {"swin": SwinSettings, "vit": ViTSettings}[encoder]
    network = build_encoder(resolve(kind, "small", {}), 1, rng)
    groups = [
        [torch.rand(2, 1, *[side] * 3, generator=rng) for _ in range(number)]
        for side, number in ((32, 2), (16, 8))
    ]

    def step(batches: list[torch.Tensor]) -> None:
        network.zero_grad()
        pooled = torch.cat([network(x).pooled for x in batches])
        pooled.square().mean().backward()

    return (
        lambda: step([torch.cat(group) for group in groups]),
        lambda: step([crop for group in groups for crop in group]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(0)
    for title, pairs in (
        ("corruptions of 8 volumes of 64x64x32", corruptions(rng, 8)),
        ("masks of 64 samples on 8^3 units", masks(rng, 64)),
        ("views of 48^3 of 16 regions of 64^3", views(rng, 16)),
        ("2 x (2 of 32^3 + 8 of 16^3), forward + backward, tier small",
         {f"multi-crop {each}": crops(rng, each) for each in ("swin", "vit")}),
    ):  # fmt: skip
        print(f"\n{title}: whole batch, loop, ratio")
        for name, pair in pairs.items():
            own, loop = timed(pair, options.repeats)
            print(
                f"  {name:28} {1e3 * own:9.2f} ms {1e3 * loop:9.2f} ms {loop / own:8.1f}x"
            )


if __name__ == "__main__":
    main()
