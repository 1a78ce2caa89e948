"""Preprocessing CT cases, read from NIfTI and resampled, beside MONAI's transforms.

Cases of 256x256x96 voxels, int16, 0.8x0.8x2.5 mm, gzipped, with a label map of two
structures; they become canonical volumes of 1.5x1.5x2 mm, [-175, 250] HU to [0, 1].
Ours: build_cache, which also checks every voxel, digests and writes what it made. MONAI:
LoadImaged, EnsureChannelFirstd, Orientationd, Spacingd (linear and nearest),
ScaleIntensityRanged, into memory. Each alone and with two workers: threads here,
DataLoader processes there. All compute on one thread a worker.

Means of the middle and volumes of a structure are compared first. Rounds are interleaved
and medians taken, of wall time and of the processor time of all threads and processes: on
a machine with other work the second tells what workers cost, the first what is left over.
Run: python benchmarks/preprocess.py [--cases 6] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from harness.schema.task import TaskSpec
from harness.volumes.cache import build_cache, open_cache
from harness.volumes.formats import list_cases, open_dataset

SHAPE = (256, 256, 96)
SPACING = (0.8, 0.8, 2.5)
WORKERS = (1, 2)


def write(folder: Path, cases: int) -> None:
    """Write an MSD folder of smooth noise in HU, axes turned as scanners store them."""
    for kind in ("imagesTr", "labelsTr"):
        (folder / kind).mkdir(parents=True)
    affine = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
    entries = []
    for number in range(cases):
        rng = np.random.default_rng(number)
        smooth = gaussian_filter(rng.normal(size=SHAPE).astype(np.float32), 4)
        smooth /= smooth.std()
        noise = rng.normal(0, 15, SHAPE)
        image = np.rint(150 * smooth + noise).astype(np.int16)
        label = (smooth > 1.0).astype(np.uint8) + (smooth > 1.6)
        name = f"ct_{number:02}.nii.gz"
        for kind, voxels in (("imagesTr", image), ("labelsTr", label)):
            nib.save(nib.Nifti1Image(voxels, affine), folder / kind / name)
        entries.append({"image": f"imagesTr/{name}", "label": f"labelsTr/{name}"})
    (folder / "dataset.json").write_text(json.dumps({"training": entries}))


def spec_of(cases: int) -> TaskSpec:
    """Return the task that both sides prepare."""
    return TaskSpec.model_validate(
        {
            "title": "CT", "kind": "segmentation", "modality": "CT", "cases": cases,
            "format": {"kind": "msd", "folder": "ct"},
            "structures": {"soft": 1, "dense": 2}, "metrics": ["dice"],
            "preprocess": {"spacing": [1.5, 1.5, 2.0],
                           "intensity": {"kind": "window", "low": -175, "high": 250}},
            "crop": {"tiny": [32, 32, 32]},
            "source": {"page": "none", "licence": "none"},
        }
    )  # fmt: skip


def ours(root: Path, cases: int, workers: int) -> Path:
    """Prepare all cases; return the cache folder."""
    dataset = open_dataset("ct", spec_of(cases), [root])
    folder = Path(tempfile.mkdtemp(dir=root)) / "cache"
    build_cache(dataset, list_cases(dataset), folder, workers=workers)
    return folder


def theirs(root: Path, cases: int, workers: int) -> list[dict[str, torch.Tensor]]:
    """Prepare all cases with MONAI; return them."""
    from monai.data import Dataset
    from monai.transforms import (
        Compose,
        EnsureChannelFirstd,
        LoadImaged,
        Orientationd,
        ScaleIntensityRanged,
        Spacingd,
    )

    both = ["image", "label"]
    steps = Compose(
        [
            LoadImaged(both),
            EnsureChannelFirstd(both),
            Orientationd(both, axcodes="RAS"),
            Spacingd(both, pixdim=(1.5, 1.5, 2.0), mode=("bilinear", "nearest")),
            ScaleIntensityRanged(["image"], -175, 250, 0, 1, clip=True),
        ]
    )
    listed = json.loads((root / "ct" / "dataset.json").read_text())["training"]
    files = [{k: str(root / "ct" / v) for k, v in entry.items()} for entry in listed]
    loader = torch.utils.data.DataLoader(
        Dataset(files[:cases], steps), batch_size=None,
        num_workers=0 if workers == 1 else workers,
    )  # fmt: skip
    return [{key: case[key].as_tensor() for key in both} for case in loader]


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Return the wall time of a call and the processor time, children's too, in seconds."""
    start, before = time.perf_counter(), os.times()
    call()
    after = os.times()
    return time.perf_counter() - start, sum(after[:4]) - sum(before[:4])


def differences(root: Path, cases: int) -> tuple[float, float]:
    """Return by how much means of the middle differ, and the ratio of volumes in mm^3."""
    cached = open_cache(ours(root, cases, 1))
    case = theirs(root, cases, 1)[0]
    a, b = cached.to_unit(cached.image(0))[0], case["image"][0].numpy()
    # MONAI lines the grids up at the first voxel, ours at the centre of the volume:
    # compare smooth statistics of the middle, not voxels.
    low, high = (slice(20, -20),) * 2, slice(8, -8)
    means = [float(x[(*low, high)].mean()) for x in (a, b)]
    found = cached.label(0)
    assert found is not None
    mm3 = 1.5 * 1.5 * 2.0
    volumes = [float((x == 1).sum()) * mm3 for x in (found, case["label"][0].numpy())]
    return abs(means[0] - means[1]), volumes[0] / volumes[1]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root / "ct", args.cases)
        mean, volume = differences(root, args.cases)
        print(f"means of the middle differ by {mean:.1e}, volumes by {volume - 1:+.1e}")
        times: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for _ in range(args.rounds):
            for workers in WORKERS:
                for name, call in (("ours", ours), ("monai", theirs)):
                    spent = timed(lambda: call(root, args.cases, workers))  # noqa: B023
                    times.setdefault((name, workers), []).append(spent)
    for number, clock in enumerate(("wall", "processor")):
        print(
            f"{'workers':>8} {'ours':>9} {'MONAI':>9} {'ratio':>7}   {clock} s per case"
        )
        for workers in WORKERS:
            one, two = (
                statistics.median(spent[number] for spent in times[name, workers])
                / args.cases
                for name in ("ours", "monai")
            )
            print(f"{workers:8} {one:9.3f} {two:9.3f} {two / one:6.1f}x")


if __name__ == "__main__":
    main()
