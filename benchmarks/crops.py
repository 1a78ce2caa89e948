"""Random crops per second, and memory with more worker processes, beside MONAI.

50 volumes of 192x192x128 int16 (472 MB). Ours: CropSampler on the memory-mapped cache,
in one process. MONAI: CacheDataset with RandSpatialCropd in a DataLoader, as it comes
(which deep-copies the cached volume for every crop) and with copy_cache=False, each
with 0 and 2 loader workers. All deliver float32 batches of 16 in [0, 1], images only,
and compute on one thread a process.

Memory: 1 and 4 independent processes, as when several cells run on one machine, each
drawing 64^3 crops from all volumes. Counted is what they hold beyond an idle process
with the same imports: the sum of proportional set sizes (a shared page counts once).

Run: python benchmarks/crops.py [--volumes 50] [--seconds 2]
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import torch

from harness.schema.cases import CaseRef
from harness.schema.task import TaskSpec
from harness.volumes.cache import build_cache, open_cache
from harness.volumes.crops import CropSampler
from harness.volumes.formats import RawCase, list_cases, open_dataset

SHAPE = (192, 192, 128)
BATCH = 16
STEPS = 32767
ROUNDS = 3


def build(folder: Path, volumes: int) -> None:
    """Fill a cache folder with volumes of noise."""
    generator = ModuleType("noise")

    def cases(seed: int) -> list[CaseRef]:
        return [CaseRef(f"v{seed + k:03}", f"p{k}") for k in range(volumes)]

    def make(case: CaseRef, seed: int) -> RawCase:
        rng = np.random.default_rng([seed, int(case.case_id[1:])])
        image = rng.random((1, *SHAPE), dtype=np.float32)
        return RawCase(image, np.zeros(SHAPE, np.uint8), np.eye(4))

    generator.cases, generator.make = cases, make  # type: ignore[attr-defined]
    spec = TaskSpec.model_validate(
        {
            "title": "noise",
            "kind": "segmentation",
            "modality": "CT",
            "synthetic": True,
            "format": {"kind": "generated", "generator": "noise"},
            "cases": volumes,
            "structures": {"none": 1},
            "preprocess": {"intensity": {"kind": "window", "low": 0, "high": 1}},
            "crop": {},
            "metrics": ["dice"],
            "source": {"page": "-", "licence": "-"},
        }
    )
    dataset = open_dataset("noise", spec, [], generator)
    build_cache(dataset, list_cases(dataset), folder, workers=2)


def ours(folder: Path, side: int) -> Iterator[torch.Tensor]:
    cached = open_cache(folder)
    sampler = CropSampler(cached, cached.case_ids, (side, side, side), labels=False)
    rng = torch.Generator().manual_seed(0)
    while True:
        yield sampler.sample(BATCH, rng).images


def theirs(
    folder: Path, side: int, *, copy_cache: bool, workers: int
) -> Iterator[torch.Tensor]:
    from monai.data import CacheDataset, DataLoader
    from monai.transforms import Compose, Lambdad, RandSpatialCropd
    from torch.utils.data import RandomSampler

    cached = open_cache(folder)

    def load(position: int) -> torch.Tensor:
        return torch.from_numpy(np.array(cached.image(position)))

    def to_unit(crop: torch.Tensor) -> torch.Tensor:
        return crop.float() / STEPS

    steps = [
        Lambdad("image", load),
        RandSpatialCropd("image", (side, side, side), random_size=False),
        Lambdad("image", to_unit),
    ]
    items = [{"image": position} for position in range(len(cached))]
    dataset = CacheDataset(
        items, Compose(steps), copy_cache=copy_cache, progress=False, num_workers=None
    )
    sampler = RandomSampler(dataset, replacement=True, num_samples=10**6)
    loader = DataLoader(dataset, num_workers=workers, batch_size=BATCH, sampler=sampler)
    for batch in loader:
        yield batch["image"]


def rate(batches: Iterator[torch.Tensor], side: int, seconds: float) -> float:
    """Return crops per second, first using up what loader workers have prefetched."""
    for batch in itertools.islice(batches, 6):
        assert batch.shape == (BATCH, 1, side, side, side)
        assert batch.dtype == torch.float32
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        count += len(next(batches))
    return count / (time.perf_counter() - start)


def speed(folder: Path, side: int, seconds: float) -> None:
    """Print medians over rounds in which the arms take turns."""
    arms = {"ours, one process": ours(folder, side)}
    for copy_cache, workers in itertools.product((True, False), (0, 2)):
        title = "default" if copy_cache else "copy_cache=False"
        arm = theirs(folder, side, copy_cache=copy_cache, workers=workers)
        arms[f"MONAI {title}, {workers} workers"] = arm
    rates: dict[str, list[float]] = {title: [] for title in arms}
    for _ in range(ROUNDS):
        for title, arm in arms.items():
            rates[title].append(rate(arm, side, seconds))
    middle = {title: statistics.median(found) for title, found in rates.items()}
    own = middle["ours, one process"]
    print(f"\ncrops of {side}^3 per second{'':>17}ours / MONAI")
    for title, got in middle.items():
        ratio = "" if title.startswith("ours") else f"{own / got:15.1f}x"
        print(f"  {title:32} {got:9.0f} {ratio}", flush=True)
    default = max(got for title, got in middle.items() if "default" in title)
    verdict = "reached" if own >= 10 * default else "MISSED"
    print(f"  aim, 10x MONAI's default (the faster of its two): {verdict}")


def _hold(kind: str, folder: Path, line: Connection) -> None:
    """Report when idle, draw from every volume, report, wait to be let go."""
    importlib.import_module("monai.data")
    importlib.import_module("monai.transforms")
    torch.set_num_threads(1)
    line.send("idle")
    line.recv()
    if kind == "ours":
        batches = ours(folder, 64)
    else:
        batches = theirs(folder, 64, copy_cache=False, workers=0)
    for _ in itertools.islice(batches, 120):
        pass
    line.send("drawn")
    line.recv()


def held(kind: str, folder: Path, processes: int) -> tuple[float, float]:
    """Return GB that the processes hold beyond idling: sum of PSS, and of USS."""
    context = multiprocessing.get_context("spawn")
    lines, running = [], []
    for _ in range(processes):
        here, there = context.Pipe()
        worker = context.Process(target=_hold, args=(kind, folder, there))
        worker.start()
        there.close()  # so that a worker that dies is noticed here
        lines.append(here)
        running.append(worker)

    def sizes() -> tuple[float, float]:
        for line in lines:
            line.recv()
        infos: list[Any] = [psutil.Process(w.pid).memory_full_info() for w in running]
        for line in lines:
            line.send("go on")
        return sum(i.pss for i in infos) / 1e9, sum(i.uss for i in infos) / 1e9

    idle, busy = sizes(), sizes()
    for worker in running:
        worker.join()
    return busy[0] - idle[0], busy[1] - idle[1]


def memory(folder: Path) -> None:
    print(f"\nGB held beyond idle processes{'':>8}1 process   4 processes   growth")
    for kind in ("ours", "MONAI copy_cache=False"):
        (one, own), (four, own_four) = (held(kind, folder, n) for n in (1, 4))
        print(f"  {kind:24} sum of PSS {one:9.2f} {four:13.2f} {four / one:8.2f}x")
        print(f"  {'':24} sum of USS {own:9.2f} {own_four:13.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--volumes", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        build(Path(folder) / "cache", options.volumes)
        took = time.perf_counter() - start
        print(f"cache of {options.volumes} volumes {SHAPE} built in {took:.0f} s")
        for side in (32, 64):
            speed(Path(folder) / "cache", side, options.seconds)
        memory(Path(folder) / "cache")


if __name__ == "__main__":
    main()
