"""What a training is between two steps, and how it becomes what was saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .curves import Curves
from .optimise import BestState
from .snapshots import Snapshot, Unusable


@dataclass(frozen=True)
class State:
    """Everything that changes from step to step; the schedule follows from the step.

    generators: every stream that the training draws from.
    """

    module: nn.Module
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    generators: Mapping[str, torch.Generator]
    curves: Curves
    best: BestState | None
    device: torch.device

    def streams(self) -> dict[str, Tensor]:
        """Return the states of the generators."""
        return {name: g.get_state() for name, g in self.generators.items()}

    def rewind(self, streams: Mapping[str, Tensor]) -> None:
        """Put the generators back to where `streams` found them."""
        for name, generator in self.generators.items():
            generator.set_state(streams[name])

    def snapshot(self, step: int) -> Snapshot:
        """Return what to save after `step` steps."""
        about = {
            "device": self.device.type,
            "curves": self.curves.state(),
            "best": self.best.state() if self.best else None,
            "scaler": self.scaler.state_dict(),
        }
        return Snapshot(step, self._tensors(), about)

    def _tensors(self) -> dict[str, Tensor]:
        state = self.optimiser.state_dict()["state"]
        parts = {
            "module": self.module.state_dict(),
            "best": self.best.tensors if self.best else {},
            "rng": self.streams(),
            "optimiser": {
                f"{index}.{name}": value
                for index, entry in state.items()
                for name, value in entry.items()
            },
        }
        return {
            f"{p}/{n}": value for p, part in parts.items() for n, value in part.items()
        }

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was saved. Raises Unusable, having changed nothing."""
        if snapshot.about.get("device") != self.device.type:
            msg = f"it was made on {snapshot.about.get('device')}"
            raise Unusable(msg)
        parts: dict[str, dict[str, Tensor]] = {}
        for name, value in snapshot.tensors.items():
            part, _, rest = name.partition("/")
            parts.setdefault(part, {})[rest] = value
        state = self.module.state_dict()
        _check("the module", state, parts.get("module", {}))
        _check("the generators", self.streams(), parts.get("rng", {}))
        entries = self._entries(parts.get("optimiser", {}))
        if parts.get("best"):
            _check("the best weights", state, parts["best"])
        self.module.load_state_dict(parts["module"])
        self.optimiser.load_state_dict(
            {**self.optimiser.state_dict(), "state": entries}
        )
        self.rewind(parts.get("rng", {}))
        self.scaler.load_state_dict(snapshot.about["scaler"])
        self.curves.restore(snapshot.about["curves"])
        if self.best is not None:
            self.best.resume(snapshot.about["best"], parts.get("best", {}))

    def _entries(self, saved: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
        """Return the optimiser's state by parameter. Raises Unusable if it is foreign."""
        parameters = [p for g in self.optimiser.param_groups for p in g["params"]]
        entries: dict[int, dict[str, Tensor]] = {}
        for key, value in saved.items():
            index, _, name = key.partition(".")
            place = int(index)
            if place >= len(parameters) or (
                value.ndim and value.shape != parameters[place].shape
            ):
                msg = "the optimiser has other parameters"
                raise Unusable(msg)
            entries.setdefault(place, {})[name] = value
        return entries


def _check(what: str, own: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """Raise Unusable unless names and shapes agree."""
    shapes = [{n: tuple(v.shape) for n, v in each.items()} for each in (own, saved)]
    if shapes[0] != shapes[1]:
        msg = f"{what} has other tensors now"
        raise Unusable(msg)


def held(module: nn.Module) -> dict[str, torch.Generator]:
    """Return the generators that modules hold, such as an encoder's for drop path."""
    return {
        f"{name}.{attribute}": value
        for name, part in module.named_modules()
        for attribute, value in vars(part).items()
        if isinstance(value, torch.Generator)
    }
