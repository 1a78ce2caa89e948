"""Between ranks: the one module that speaks to torch.distributed.

With several processes each rank holds a share of every batch, and the objective is the
mean of the ranks' losses, since DistributedDataParallel averages their gradients. What
is a statistic of the whole batch (a centre, a Dice over the batch, contrastive
negatives) goes through these functions, which are the identity in one process. They are
differentiable: gradients are exact for the mean of the ranks' losses.

Every rank must call the same functions in the same order.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_PATIENCE = timedelta(
    minutes=30
)  # chosen here: a rank may wait while another validates


def start(rank: int, world_size: int, *, backend: str, init_method: str) -> None:
    """Join `world_size` processes as number `rank` (0-based) and wait for all of them.

    backend: 'nccl' for GPUs, 'gloo' for CPUs; init_method: 'env://' (MASTER_ADDR and
    MASTER_PORT) or 'file://PATH'.
    """
    dist.init_process_group(
        backend, init_method=init_method, rank=rank, world_size=world_size,
        timeout=_PATIENCE,
    )  # fmt: skip


def stop() -> None:
    """Leave the group; nothing in one process."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    """Return the number of ranks, 1 in one process."""
    started = dist.is_available() and dist.is_initialized()
    return dist.get_world_size() if started else 1


def rank() -> int:
    """Return this process's number, 0-based; 0 is the one that publishes."""
    return dist.get_rank() if world_size() > 1 else 0


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004 - what autograd calls
        return _summed(x)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:  # noqa: ARG004
        # Every rank's loss saw this rank's x.
        return _summed(slopes[0])


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = len(x)
        parts = [torch.empty_like(x) for _ in range(world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        first = rank() * ctx.rows
        return _summed(slopes[0])[first : first + ctx.rows]


def _summed(x: Tensor) -> Tensor:
    total = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


def sum_over_ranks(x: Tensor) -> Tensor:
    """Return Σ_r x_r, equal on every rank. x: any shape, the same on all."""
    if world_size() == 1:
        return x
    total: Tensor = _Sum.apply(x)  # type: ignore[no-untyped-call]
    return total


def mean_over_ranks(x: Tensor) -> Tensor:
    """Return Σ_r x_r / world size, equal on every rank."""
    return sum_over_ranks(x) / world_size() if world_size() > 1 else x


def gather(x: Tensor) -> Tensor:
    """Return the rows of all ranks in their order: (B, ...) -> (world size * B, ...).

    B must be equal on all ranks. In training, rank r holds rows r B to (r + 1) B of the
    batch, so the result is the whole batch in its order.
    """
    if world_size() == 1:
        return x
    rows: Tensor = _Gather.apply(x)  # type: ignore[no-untyped-call]
    return rows


def moved_on(x: Tensor) -> Tensor:
    """Return x.roll(1, dims=0) of the whole batch: row 0 is the rank before's last one."""
    if world_size() == 1:
        return x.roll(1, dims=0)
    return torch.cat([gather(x[-1:])[rank() - 1].unsqueeze(0), x[:-1]])


@torch.no_grad()
def broadcast(x: Tensor, source: int = 0) -> Tensor:
    """Overwrite x with that of rank `source` and return it."""
    if world_size() > 1:
        dist.broadcast(x, source)
    return x


def broadcast_text(text: str, device: torch.device) -> str:
    """Return the text of rank 0. device: where the ranks' tensors lie."""
    if world_size() == 1:
        return text
    own = text.encode()
    size = broadcast(torch.tensor([len(own)], device=device))
    sent = torch.zeros(int(size), dtype=torch.uint8, device=device)
    if rank() == 0 and own:
        sent.copy_(torch.frombuffer(bytearray(own), dtype=torch.uint8))
    if int(size):
        broadcast(sent)
    return bytes(sent.tolist()).decode()


def agreed(answer: bool, device: torch.device) -> bool:  # noqa: FBT001
    """Return the answer of rank 0, on every rank."""
    if world_size() == 1:
        return answer
    return bool(broadcast(torch.tensor([answer], device=device)))


def barrier() -> None:
    """Wait until every rank is here."""
    if world_size() > 1:
        dist.barrier()
