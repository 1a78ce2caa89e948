"""The one training loop, of pretraining and of fine-tuning.

A training is its module, its optimiser and its generators, and is saved and restored as
these: an interrupted and resumed training ends with the bits of an uninterrupted one.
Its batch may be spread over ranks and micro-batches; every share sees the same draws.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from ..nn import collective, recompute
from ..nn.draws import share
from ..schema.optimiser import OptimiserSettings
from ..schema.training import Precision, TrainingOptions
from . import interrupts, ranks
from .curves import Curves
from .node import Node
from .optimise import BestState, Descent, Diverged, Schedule, make_optimiser
from .snapshots import Snapshots, Unusable, read
from .state import State, held

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Settings(Protocol):
    """What a training needs to be told; methods and protocols have these settings."""

    @property
    def batch(self) -> int: ...  # noqa: D102 - described where they are defined
    @property
    def steps(self) -> int: ...  # noqa: D102
    @property
    def lr(self) -> float: ...  # noqa: D102
    @property
    def weight_decay(self) -> float: ...  # noqa: D102
    @property
    def warmup(self) -> int: ...  # noqa: D102
    @property
    def clip(self) -> float: ...  # noqa: D102
    @property
    def precision(self) -> Precision: ...  # noqa: D102
    @property
    def accumulate(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class Objective:
    """The loss of one share of a batch, its parts, and the cases of the whole batch."""

    total: Tensor
    drawn: Sequence[str]
    terms: Mapping[str, Tensor] = field(default_factory=dict)


class Training:
    """One training under way.

    module: what is trained and restored, buffers included; network: what computes the
    objective, which averages gradients over ranks (ranks.parallel); encoder: the part
    that is worth compiling; optimiser: AdamW where none is given; generators: every
    stream that the training draws from, beside those that modules hold.
    """

    def __init__(
        self,
        node: Node,
        module: nn.Module,
        network: nn.Module,
        settings: Settings,
        *,
        encoder: nn.Module,
        generators: Mapping[str, torch.Generator],
        curves: Curves,
        best: BestState | None = None,
        schedule: Schedule | None = None,
        optimiser: OptimiserSettings | None = None,
    ) -> None:
        schedule = schedule or Schedule()
        self.node, self.module, self.network = node, module, network
        self.settings, self.curves = settings, curves
        self.options = TrainingOptions.model_validate(node.where.get("training", {}))
        self.done = 0
        if self.options.compile is not None:
            # Crops have one size: shapes as symbols make tracing Swin take minutes.
            encoder.compile(backend=self.options.compile, dynamic=False)
        self._optimiser = make_optimiser(
            module, settings.lr, weight_decay=settings.weight_decay,
            settings=optimiser, factors=schedule.factors,
        )  # fmt: skip
        self._scaler = torch.amp.GradScaler(
            node.device.type, enabled=settings.precision == "fp16"
        )
        self._descent = Descent(
            self._optimiser, settings.lr, settings.steps, settings.warmup,
            settings.clip, self._scaler, schedule,
        )  # fmt: skip
        self._state = State(
            module, self._optimiser, self._scaler, {**generators, **held(module)},
            curves, best, node.device,
        )  # fmt: skip
        self._shares = ranks.shares(settings.batch, settings.accumulate)
        self._snapshots = Snapshots(node.folder, node.attempt.id, node.log)
        self._saved = (0, time.monotonic())  # step and time of the last checkpoint

    def run(
        self,
        objective: Callable[[int], Objective],
        after_step: Callable[[int], None] = lambda _: None,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        """Take all steps, from the last checkpoint where there is one.

        objective: computes one share of the batch of a step; after_step: what follows the
        optimiser step with this number (0-based); is_over: whether validations ask for no
        further step, the same on all ranks. Raises Diverged where the loss is not
        finite, Interrupted, after saving, where a signal asks to stop.
        """
        self._resume()
        with interrupts.deferred() as stop:
            stopping = False
            while not (stopping or self.done >= self.settings.steps or is_over()):
                stopping = self._step(self.done, objective, stop)
                after_step(self.done)
                self.done += 1
                if stopping or self._is_due():
                    self.save()
        if stopping:
            if not ranks.leads():
                with suppress(RuntimeError):  # rank 0 leaves first, once it has saved
                    collective.barrier()
            interrupts.deliver(stop.number or signal.SIGUSR2)  # or another rank's

    def _step(
        self,
        step: int,
        objective: Callable[[int], Objective],
        stop: interrupts.Pending,
    ) -> bool:
        """Take one optimiser step; say whether the training has to stop after it."""
        self._optimiser.zero_grad(set_to_none=True)
        several = len(self._shares) > 1
        before = self._state.streams() if several else {}
        sums: dict[str, float] = {}
        for number, mine in enumerate(self._shares):
            if number:  # every share makes the draws of the whole batch
                self._state.rewind(before)
            last = number == len(self._shares) - 1
            with share(mine), self._averaging(last=last):
                with self._autocast(), recompute.enabled(self.options.recompute):
                    found = objective(step)
                loss = found.total / len(self._shares)
                self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            values = {"loss": found.total.detach(), **found.terms}
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + float(value) / len(self._shares)
        means, stopping = self._agree(sums, stopping=stop.number is not None)
        try:
            self._descent.step(means["loss"], step, found.drawn)
        except Diverged as error:
            raise Diverged(f"{error}; {self._last_good()}") from None  # noqa: EM102
        self.curves.train(step, means)
        return stopping

    def _agree(
        self, sums: Mapping[str, float], *, stopping: bool
    ) -> tuple[dict[str, float], bool]:
        """Return the means over ranks, and whether any rank was asked to stop."""
        if collective.world_size() == 1:
            return dict(sums), stopping
        mine = torch.tensor([*sums.values(), float(stopping)], dtype=torch.float64)
        means = collective.mean_over_ranks(mine.to(self.node.device)).tolist()
        return dict(zip(sums, means[:-1], strict=True)), means[-1] > 0

    def _autocast(self) -> torch.autocast:
        dtype = _DTYPES.get(self.settings.precision)
        return torch.autocast(
            self.node.device.type, dtype=dtype, enabled=dtype is not None
        )

    def _averaging(self, *, last: bool) -> AbstractContextManager[None]:
        parallel = nn.parallel.DistributedDataParallel
        if isinstance(self.network, parallel) and not last:
            waiting: AbstractContextManager[None] = self.network.no_sync()
            return waiting
        return nullcontext()

    # -- checkpoints ------------------------------------------------------------------

    def _is_due(self) -> bool:
        step, moment = self._saved
        every, minutes = self.options.checkpoint_steps, self.options.checkpoint_minutes
        return (every is not None and self.done - step >= every) or (
            time.monotonic() - moment >= 60 * minutes
        )

    def save(self) -> None:
        """Write a checkpoint after the last step; rank 0 alone does."""
        if ranks.leads() and self._snapshots.save(self._state.snapshot(self.done)):
            interrupts.progress.made = True
        self._saved = (self.done, time.monotonic())

    def _resume(self) -> None:
        """Go on from the newest checkpoint that is sound, the same on all ranks."""
        chosen = ""
        if ranks.leads():
            for path, snapshot in self._snapshots.usable():
                try:
                    self._state.restore(snapshot)
                except Unusable as reason:
                    self._snapshots.reject(path, str(reason))
                else:
                    self.done, chosen = snapshot.step, path.name
                    break
        chosen = collective.broadcast_text(chosen, self.node.device)
        if not chosen:
            return
        if not ranks.leads():
            snapshot = read(self._snapshots.folder / chosen)
            self._state.restore(snapshot)
            self.done = snapshot.step
        self._saved = (self.done, time.monotonic())
        self.node.log(f"resumed at step {self.done} from {chosen}")
        self.node.attempt.note(resumed_at=self.done)

    def _last_good(self) -> str:
        path = self._snapshots.newest()
        if path is None:
            return "no checkpoint had been saved"
        return f"the last good checkpoint is {path}"
