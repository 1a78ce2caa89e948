"""Contrastive predictive coding: from earlier cubes, recognise the codes of later ones.

METHODS 1.8. A crop is cut into overlapping cubes, each is encoded by itself, and a causal
network along the first axis sums up what lies before. From its context, one linear map
per distance predicts the code some rows further; it must be told from the codes of all
other cubes of the batch. Encoding cubes one by one keeps the answer out of the context:
tokens of a Swin or ViT have seen their neighbours already (`latents: tokens`, cheaper,
METHODS 1.8's suggestion for Swin).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from harness.api import Batch, Loss, Method, MethodSettings
from harness.nn import collective
from harness.nn.build import build_encoder
from harness.nn.features import CONVOLUTION
from harness.nn.init import initialise
from harness.nn.views import random_view
from harness.schema.task import Tier


class CPCSettings(MethodSettings):
    """Published settings; sources beside each value."""

    latents: Literal["cubes", "tokens"] = Field(
        "cubes", description="what is predicted; METHODS 1.8, see the file"
    )
    cube: int = Field(
        32,
        ge=2,
        description="voxels per side of a cube; half of it is the step; chosen here",
    )
    code: int = Field(
        256, ge=1, description="channels of codes and context; chosen here"
    )
    first: int = Field(
        2, ge=1, description="nearest predicted row; chosen here, 1 overlaps"
    )
    last: int = Field(4, ge=1, description="farthest predicted row; chosen here")
    temperature: float = Field(0.1, gt=0, description="of cosines; chosen here")
    batch: int = Field(
        6, ge=1, description="negatives are other cubes, too; as SMIT, METHODS 1.18"
    )

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {
            **MethodSettings.tiers["tiny"],
            "crop": (32, 32, 16),
            "region": (40, 40, 20),
            "cube": 16,
            "code": 32,
            "last": 2,
        },
        "small": {**MethodSettings.tiers["small"], "cube": 16, "code": 64, "last": 2},
        "demo": {**MethodSettings.tiers["demo"], "cube": 32, "code": 128, "last": 2},
    }

    @model_validator(mode="after")
    def _rows_fit(self) -> Self:
        step = self.cube // 2 if self.latents == "cubes" else self.encoder.unit
        if self.latents == "cubes":
            window = self.encoder.patch * getattr(self.encoder, "window", 1)
            if self.cube % 2 or self.cube < max(self.encoder.patch, window):
                near = max(self.encoder.patch, window)
                msg = (
                    f"cube {self.cube} must be even and hold the encoder's window x "
                    f"patch; the nearest is {near + near % 2}"
                )
                raise ValueError(msg)
        grid = rows_of(self.crop, self.cube if self.latents == "cubes" else step, step)
        if self.last < self.first or grid[0] <= self.first:
            msg = (
                f"the crop has {grid[0]} rows of {self.latents}, and row {self.first} "
                f"after the first is predicted: 'first' may be 1 to {grid[0] - 1}, and "
                "'last' must not be below it"
            )
            raise ValueError(msg)
        return self


def rows_of(crop: tuple[int, ...], size: int, step: int) -> tuple[int, ...]:
    """Return how many cubes of `size` at distances of `step` lie along each axis."""
    return tuple((side - size) // step + 1 for side in crop)


class Context(nn.Module):
    """Causal convolutions along the first axis of a grid: row r sees rows 0 to r."""

    def __init__(self, width: int, dims: int, rng: torch.Generator) -> None:
        super().__init__()
        kernel: Any = (2, *[3] * (dims - 1))
        self.layers = nn.ModuleList(
            CONVOLUTION[dims](width, width, kernel) for _ in range(3)
        )
        initialise(self, rng)

    def forward(self, z: Tensor) -> Tensor:
        """z: (B, C, *grid). Returns the context of each place, the same shape."""
        sides = z.ndim - 3
        for layer in self.layers:
            # One row of zeros before the first: no row sees a later one.
            padded = functional.pad(z, [*[1, 1] * sides, 1, 0])
            z = z + functional.gelu(layer(padded))
        return z


class CPC(Method):
    """L = mean_k InfoNCE(W_k c(r), z(r + k)), all other codes of the batch against it."""

    Settings = CPCSettings
    encoders: ClassVar[tuple[str, ...]] = ("swin", "vit", "resnet")
    dims: ClassVar[tuple[int, ...]] = (2, 3)
    version: ClassVar[int] = 1

    def __init__(
        self, settings: CPCSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__(settings, channels, rng)
        self.settings = settings
        self.student = build_encoder(settings.encoder, channels, rng)
        self.student.hide_nothing()
        cubes = settings.latents == "cubes"
        width = self.student.pooled_width if cubes else self.student.unit_width
        self.code = nn.Linear(width, settings.code)
        self.context = Context(settings.code, self.student.dims, rng)
        self.predict = nn.ModuleList(
            nn.Linear(settings.code, settings.code)
            for _ in range(settings.first, settings.last + 1)
        )
        initialise(self.code, rng)
        initialise(self.predict, rng)

    def codes(self, x: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Encode (B, C, *crop) into codes of cubes or tokens, (B, code, *grid)."""
        cfg, dims = self.settings, x.ndim - 2
        if cfg.latents == "tokens":
            z: Tensor = self.code(self.student(x, rng=rng).units.movedim(1, -1))
            return z.movedim(-1, 1)
        cubes = x
        for axis in range(2, x.ndim):
            cubes = cubes.unfold(axis, cfg.cube, cfg.cube // 2)
        grid = cubes.shape[2 : 2 + dims]  # (B, C, *grid, *cube)
        cubes = cubes.movedim(1, 1 + dims).reshape(-1, x.shape[1], *[cfg.cube] * dims)
        z = self.code(self.student(cubes, rng=rng).pooled)
        return z.view(len(x), *grid, -1).movedim(-1, 1)

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the mean InfoNCE over distances, of one crop of each region."""
        cfg = self.settings
        x = random_view(batch.volumes, cfg.crop, rng)
        z = self.codes(x, rng)
        c = self.context(z)
        every = functional.normalize(z.movedim(1, -1).flatten(0, -2), dim=1)
        others = collective.gather(every)
        place = torch.arange(len(every), device=z.device) + collective.rank() * len(
            every
        )
        place = place.view(len(z), *z.shape[2:])
        terms = {}
        rows = z.shape[2]
        for k, predict in zip(
            range(cfg.first, cfg.last + 1), self.predict, strict=True
        ):
            if k >= rows:
                break
            guess = predict(c[:, :, : rows - k].movedim(1, -1)).flatten(0, -2)
            logits = functional.normalize(guess, dim=1) @ others.T / cfg.temperature
            terms[f"row_{k}"] = functional.cross_entropy(logits, place[:, k:].flatten())
        total = torch.stack(list(terms.values())).mean()
        return Loss(total, {name: term.detach() for name, term in terms.items()})

    def encoder(self) -> nn.Module:
        """Return the encoder; context and predictions are dropped."""
        return self.student
