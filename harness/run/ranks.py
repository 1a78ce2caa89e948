"""How this process stands among those that train together, and which device it has.

SLURM starts one task per rank; each runs the same job. Rank 0 keeps the records and
publishes. Without SLURM's tasks there is one process and one rank.
"""

from __future__ import annotations

import atexit
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..nn import collective
from ..nn.draws import Share
from ..schema.errors import UserError


def tasks() -> int:
    """Return how many tasks of SLURM run this job together, 1 outside."""
    given = os.environ.get("SLURM_NTASKS", "")
    inside = "SLURM_PROCID" in os.environ and "SLURM_STEP_ID" in os.environ
    return int(given) if inside and given.isdigit() else 1


def join() -> None:
    """Join the other tasks of the job, once for all; nothing with one task."""
    if tasks() == 1 or collective.world_size() > 1:
        return
    from submitit.helpers import TorchDistributedEnvironment

    # CUDA_VISIBLE_DEVICES stays as SLURM set it: submitit would write the local rank
    # there, which is wrong where a job was given GPUs 4 and 5 (ENGINE 2).
    env = TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
    os.environ["LOCAL_RANK"] = str(env.local_rank)
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    device()
    collective.start(env.rank, env.world_size, backend=backend, init_method="env://")
    atexit.register(collective.stop)


def device() -> torch.device:
    """Return this rank's GPU, set to repeatable kernels, or the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    # Where SLURM shows each task its own GPU only, that is number 0.
    local = int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count()
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def leads() -> bool:
    """Say whether this is rank 0, the one that records and publishes."""
    return collective.rank() == 0


def parallel(module: nn.Module) -> nn.Module:
    """Return `module` with gradients averaged over ranks; itself in one process.

    Buffers are not copied from rank 0 at each step: they are equal, because what
    changes them goes through the collective layer.
    """
    if collective.world_size() == 1:
        return module
    # A tensor of one column has two equal layouts, which costs nothing.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view")
    return nn.parallel.DistributedDataParallel(
        module, forward_sync_buffers=False, find_unused_parameters=True
    )


def shares(batch: int, accumulate: int) -> list[Share]:
    """Return this rank's shares of a batch, one per micro-batch.

    Raises UserError where the batch cannot be divided among ranks and micro-batches.
    """
    world = collective.world_size()
    count = world * accumulate
    if batch % count:
        parts = f"{world} processes x {accumulate} micro-batches"
        msg = (
            f"a batch of {batch} cannot be divided among {parts}: choose another "
            "'batch', 'accumulate' or number of GPUs"
        )
        raise UserError(msg)
    first = collective.rank() * accumulate
    return [Share(first + i, count, batch // count) for i in range(accumulate)]


class Bystander:
    """Stands for the attempt on ranks that keep no record: what it is told is lost."""

    def __init__(self) -> None:
        self.id = f"rank-{collective.rank()}"
        self._scratch = tempfile.TemporaryDirectory(prefix="medssl-rank-")

    @property
    def log(self) -> Path:
        """A file that nobody reads."""
        return Path(os.devnull)

    def path(self, name: str) -> Path:
        """Return where a file may be written that is not kept."""
        return Path(self._scratch.name) / name

    def note(self, **measured: Any) -> None:
        """Keep nothing."""
