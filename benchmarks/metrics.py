"""Dice and HD95 of one large case against MONAI, side by side in one run.

python benchmarks/metrics.py [--repeats N] [--json]
Every measurement runs in its own process and reads the case from a file, so that peak
memory is that of one work alone. MONAI's part includes the one-hot maps that it needs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

SHAPE, CLASSES, SPACING = (192, 192, 128), 14, (0.8, 0.8, 2.5)


def case(shape: tuple[int, int, int] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """Thirteen ellipsoid organs, and a prediction of them that is somewhat off."""
    rng = np.random.default_rng(0)
    grid = np.indices(shape, dtype=np.float32)
    truth, pred = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    for k in range(1, CLASSES):
        centre = [rng.uniform(0.2, 0.8) * side for side in shape]
        radius = [rng.uniform(0.05, 0.16) * side for side in shape]
        for labels, shift in ((truth, 0.0), (pred, 2.0)):
            moved = [c + rng.uniform(-shift, shift) for c in centre]
            inside = sum(
                ((g - c) / r) ** 2 for g, c, r in zip(grid, moved, radius, strict=True)
            )
            labels[inside < 1] = k
    return pred, truth


def ours_dice(pred: np.ndarray, truth: np.ndarray) -> list[float]:
    from harness.metrics.overlap import dice

    return [score.value for score in dice(pred, truth, CLASSES)]


def ours_hd95(pred: np.ndarray, truth: np.ndarray) -> list[float]:
    from harness.metrics.surface import hd95

    return [score.value for score in hd95(pred, truth, CLASSES, SPACING)]


def monai_dice(pred: np.ndarray, truth: np.ndarray) -> list[float]:
    import torch
    from monai.metrics import DiceHelper

    warnings.simplefilter("ignore")
    helper = DiceHelper(
        include_background=False, softmax=False, num_classes=CLASSES, reduction="none"
    )
    both = (torch.from_numpy(m)[None, None].long() for m in (pred, truth))
    return helper(*both)[0].reshape(-1).tolist()


def monai_hd95(pred: np.ndarray, truth: np.ndarray) -> list[float]:
    import torch
    from monai.metrics import compute_hausdorff_distance
    from monai.networks.utils import one_hot

    warnings.simplefilter("ignore")
    both = (
        one_hot(torch.from_numpy(m)[None, None].float(), CLASSES) for m in (pred, truth)
    )
    found = compute_hausdorff_distance(*both, percentile=95, spacing=list(SPACING))
    return found[0].tolist()


def measure(work: str, repeats: int, file: str) -> dict[str, object]:
    """Median seconds, peak memory in MB above the start, and the values."""
    import torch

    torch.set_num_threads(2)
    function = globals()[work]
    pred, truth = np.load(file)
    small = (pred[64:96, 64:96, 48:64], truth[64:96, 64:96, 48:64])
    function(*(np.ascontiguousarray(m) for m in small))  # imports and first-call costs
    before, took, values = peak_mb(), [], []
    for _ in range(repeats):
        start = time.perf_counter()
        values = function(pred, truth)
        took.append(time.perf_counter() - start)
    return {
        "seconds": statistics.median(took),
        "mb": peak_mb() - before,
        "values": values,
    }


def peak_mb() -> float:
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    report = {}
    folder = tempfile.TemporaryDirectory()
    file = str(Path(folder.name) / "case.npy")
    np.save(file, np.stack(case()))
    for name, aim in (("dice", 20), ("hd95", 3)):
        result = {}
        for side in ("ours", "monai"):
            with spawn.Pool(1) as pool:
                work = (f"{side}_{name}", options.repeats, file)
                result[side] = pool.apply(measure, work)
        ours, theirs = result["ours"], result["monai"]
        gap = np.abs(np.subtract(ours["values"], theirs["values"])).max()
        report[name] = {
            "ours_s": ours["seconds"],
            "monai_s": theirs["seconds"],
            "times_faster": theirs["seconds"] / ours["seconds"],
            "aim": aim,
            "ours_mb": ours["mb"],
            "monai_mb": theirs["mb"],
            "largest_difference": float(gap),
        }
    folder.cleanup()
    if options.json:
        print(json.dumps(report, indent=1))
        return
    for name, row in report.items():
        print(
            f"{name}: {row['ours_s']:.3f} s, +{row['ours_mb']:.0f} MB; MONAI "
            f"{row['monai_s']:.3f} s, +{row['monai_mb']:.0f} MB; "
            f"{row['times_faster']:.1f}x faster (aim {row['aim']}x); "
            f"values differ by at most {row['largest_difference']:.1e}"
        )


if __name__ == "__main__":
    main()
