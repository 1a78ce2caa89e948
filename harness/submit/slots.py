"""How the workers of the local pool share this machine's cores and GPUs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..schema.errors import UserError


@dataclass(frozen=True)
class Slot:
    """What one worker has: cores that it is pinned to, and the GPU that it sees.

    threads: how many it computes with, the same for all, since sums depend on it.
    """

    cores: tuple[int, ...]
    threads: int
    gpu: str | None = None


def slots(
    cores: Sequence[int], gpus: Sequence[str], *, workers: int | None, per_gpu: int
) -> list[Slot]:
    """Return the slots of a pool: `workers`, by default one per core or place on a GPU.

    per_gpu: how many workers may use a GPU at once. Cores are dealt out in neighbouring
    runs; more workers than cores share them in turn. UserError if GPUs have no place for
    so many workers.
    """
    places = len(gpus) * per_gpu
    if places and workers is not None and workers > places:
        message = (
            f"--workers {workers} is more than {len(gpus)} GPUs take with {per_gpu} each "
            f"({places}): raise --per-gpu, or leave --workers out"
        )
        raise UserError(message)
    count = workers or places or len(cores)
    threads = max(1, len(cores) // count)
    return [
        Slot(
            _run_of(cores, index, count),
            threads,
            gpus[index % len(gpus)] if gpus else None,
        )
        for index in range(count)
    ]


def _run_of(cores: Sequence[int], index: int, count: int) -> tuple[int, ...]:
    if count > len(cores):
        return (cores[index % len(cores)],)
    first, end = (len(cores) * place // count for place in (index, index + 1))
    return tuple(cores[first:end])


def usable_cores() -> list[int]:
    """Return the cores that this process may use, by number."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def usable_gpus(count: int, devices: Path = Path("/dev")) -> list[str]:
    """Return `count` of the GPUs that this process may use, as CUDA numbers them.

    CUDA_VISIBLE_DEVICES says which these are; without it all that have a device file.
    UserError if there are fewer.
    """
    if not count:
        return []
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    if said is not None:
        found = [word.strip() for word in said.split(",") if word.strip()]
        where = f"CUDA_VISIBLE_DEVICES={said}"
    else:
        found = [str(i) for i, _ in enumerate(devices.glob("nvidia[0-9]*"))]
        where = f"{devices}/nvidia*"
    if len(found) < count:
        message = f"--gpus {count}: there are {len(found)} here ({where})"
        raise UserError(message)
    return found[:count]
