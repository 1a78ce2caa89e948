"""Sliding-window inference of a large volume beside MONAI's: equal logits, ratio, memory.

    python benchmarks/inference.py [--side 160]

Both run the same small network on the same windows, in turn, three times; the least time
of each counts. Memory is what tensors of a whole volume take on top of the image.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from harness.run.inference import Windows, sliding_window

CROP = (32, 32, 32)
CLASSES = 4


def best(*calls: Callable[[], Tensor], times: int = 3) -> list[float]:
    """Return the least seconds of each call; calls take turns."""
    found = [float("inf")] * len(calls)
    for _ in range(times):
        for number, call in enumerate(calls):
            start = time.perf_counter()
            call()
            found[number] = min(found[number], time.perf_counter() - start)
    return found


@torch.no_grad()
def main() -> None:
    """Print one line per way of weighting windows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=160)
    side = parser.parse_args().side
    generator = torch.Generator().manual_seed(0)
    volume = torch.rand(1, side, side, side, generator=generator)
    network = nn.Conv3d(1, CLASSES, 3, padding=1)
    for weights in ("constant", "gaussian"):
        windows = Windows(CROP, 0.5, weights)

        def ours(windows: Windows = windows) -> Tensor:
            return sliding_window(network, volume, windows)

        def theirs(weights: str = weights) -> Tensor:
            found = sliding_window_inference(
                volume[None], CROP, 4, network, overlap=0.5, mode=weights
            )
            assert isinstance(found, Tensor)
            return found[0]

        away = float((ours() - theirs()).abs().max())
        assert away < 1e-4, f"{weights}: logits differ by {away:.2g}"
        own, other = best(ours, theirs)
        print(
            f"{side}^3, {windows.count(volume.shape[1:])} windows, {weights}: "
            f"{own:.2f} s, MONAI {other:.2f} s, {other / own:.2f} times as fast, "
            f"logits differ by {away:.1e}"
        )


if __name__ == "__main__":
    main()
