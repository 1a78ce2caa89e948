"""VoCo: where in the volume does a crop lie? Overlaps with a grid of base crops.

METHODS 1.24, after the CVPR 2024 code. A region is cut into a grid of base crops; target
crops lie anywhere in it. How alike a target's and a base's codes are shall be how much
of the target lies in that base crop; base crops shall be unlike each other. Codes come
from a student and from its moving average, once each way round.
"""

from __future__ import annotations

from itertools import product
from typing import Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from harness.api import Batch, Loss, Method, MethodSettings, Sides
from harness.nn.batchnorm import use_batch_statistics
from harness.nn.build import build_encoder
from harness.nn.draws import rows
from harness.nn.ema import Teacher
from harness.nn.levels import LevelAverages, MapAverages
from harness.nn.losses import mean_count
from harness.nn.projection import ProjectionHead
from harness.schema.task import Tier

_MODES = {2: "bilinear", 3: "trilinear"}


class VoCoSettings(MethodSettings):
    """Published settings; sources beside each value."""

    grid: tuple[int, int, int] | tuple[int, int] = Field(
        (1, 4, 4), description="base crops along each axis; METHODS 1.24"
    )
    base: Sides = Field((96, 96, 96), description="a base crop, voxels; METHODS 1.24")
    region: Sides = Field(
        (96, 384, 384), description="the grid of base crops; METHODS 1.24"
    )
    crop: Sides = Field(
        (64, 64, 64),
        description="what base and target crops are resized to; METHODS 1.24",
    )
    targets: int = Field(2, ge=1, description="crops per region; METHODS 1.24")
    code: int = Field(2048, ge=1, description="of all three layers; METHODS 1.24")
    momentum: float = Field(0.9, ge=0, le=1, description="fixed; METHODS 1.24")
    batch: int = Field(2, ge=1, description="regions; chosen here, each gives 18 crops")
    weight_decay: float = Field(0.1, ge=0, description="METHODS 1.24")

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {
            **MethodSettings.tiers["tiny"], "grid": (1, 2, 2), "base": (20, 20, 20),
            "region": (20, 40, 40), "crop": (16, 16, 16), "code": 64,
        },
        "small": {
            **MethodSettings.tiers["small"], "grid": (1, 2, 2), "base": (32, 32, 32),
            "region": (32, 64, 64), "crop": (32, 32, 32), "code": 256,
        },
        "demo": {
            **MethodSettings.tiers["demo"], "grid": (1, 3, 3), "base": (64, 64, 64),
            "region": (64, 192, 192), "batch": 2, "code": 1024,
        },
    }  # fmt: skip

    @model_validator(mode="after")
    def _grid_fits(self) -> Self:
        dims = self.encoder.dims
        if not len(self.grid) == len(self.base) == dims:
            msg = f"grid and base need {dims} numbers each"
            raise ValueError(msg)
        want = tuple(n * side for n, side in zip(self.grid, self.base, strict=True))
        if tuple(self.region) != want:
            msg = f"the region must be grid x base = {want}, not {tuple(self.region)}"
            raise ValueError(msg)
        if max(self.grid) < 2:
            msg = "grid: one base crop tells nothing; the nearest grid has two"
            raise ValueError(msg)
        return self


class _Coder(nn.Module):
    """Encoder, averages of several depths together, a perceptron of three layers.

    On a Swin the averages are those of SwinUNETR's levels, as published; on others, of
    which no paper says the levels, of the encoder's own maps (chosen here).
    """

    def __init__(
        self, settings: VoCoSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(settings.encoder, channels, rng)
        self.encoder.hide_nothing()
        self.averages = (
            LevelAverages(self.encoder, channels, rng)
            if settings.encoder.kind == "swin"
            else MapAverages(self.encoder)
        )
        self.head = ProjectionHead(
            self.averages.width, settings.code, settings.code, rng, layers=3,
            affine=False,
        )  # fmt: skip

    def forward(self, x: Tensor, rng: torch.Generator | None = None) -> Tensor:
        codes: Tensor = self.head(self.averages(x, self.encoder(x, rng=rng)))
        return codes


class VoCo(Method):
    """L = pos + neg + reg, the mean of student-target/teacher-base and the reverse.

    y_ij is the share of target i that lies in base j, p_ij = ReLU(cos) of their codes.
    pos = -Σ y log(1 - |y - p| + 1e-6) / Σ y;  neg = mean p² where y = 0;
    reg = mean over pairs of base crops of ReLU(cos)².
    """

    Settings = VoCoSettings
    encoders: ClassVar[tuple[str, ...]] = ("swin", "vit", "resnet")
    dims: ClassVar[tuple[int, ...]] = (2, 3)
    version: ClassVar[int] = 2

    def __init__(
        self, settings: VoCoSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__(settings, channels, rng)
        self.settings = settings
        self.student = _Coder(settings, channels, rng)
        self.teacher = Teacher(self.student)
        use_batch_statistics(self.teacher)  # the code keeps no running ones

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the loss of target and base crops of each region (B, C, *region)."""
        cfg = self.settings
        b = len(batch.volumes)
        start = self._places(b, rng).to(batch.volumes.device)  # (B, T, dims)
        targets, bases = self._cut(batch.volumes, start), self._bases(batch.volumes)
        y = overlaps(start, cfg.grid, cfg.base)  # (B, T, N)
        codes = [
            net(torch.cat([targets, bases]), *drops).split([len(targets), len(bases)])
            for net, drops in ((self.student, (rng,)), (self.teacher, ()))
        ]
        parts = [
            voco_terms(t.view(b, cfg.targets, -1), n.view(b, y.shape[2], -1), y)
            for t, n in ((codes[0][0], codes[1][1]), (codes[1][0], codes[0][1]))
        ]
        pos, neg, reg = (torch.stack(each).mean() for each in zip(*parts, strict=True))
        terms = {"pos": pos, "neg": neg, "reg": reg}
        total = pos + neg + reg
        return Loss(total, {name: term.detach() for name, term in terms.items()})

    def _places(self, b: int, rng: torch.Generator) -> Tensor:
        """Draw where the target crops start, int64 (b, targets, dims)."""
        cfg = self.settings
        room = torch.tensor(cfg.region) - torch.tensor(cfg.base) + 1
        drawn = rows(
            b,
            lambda n: torch.rand(
                (n, cfg.targets, len(room)), generator=rng, device=rng.device
            ),
        )
        return (drawn * room.to(drawn.device)).floor().long()

    def _cut(self, region: Tensor, start: Tensor) -> Tensor:
        """Cut target crops and resize them, (B T, C, *crop)."""
        cut = []
        for image, places in zip(region, start.tolist(), strict=True):
            for place in places:
                box = [
                    slice(s, s + n)
                    for s, n in zip(place, self.settings.base, strict=True)
                ]
                cut.append(image[(slice(None), *box)])
        return self._resize(torch.stack(cut))

    def _bases(self, region: Tensor) -> Tensor:
        """Cut the grid of base crops and resize them, (B N, C, *crop)."""
        cfg = self.settings
        cubes = region
        for axis, side in enumerate(cfg.base, start=2):
            cubes = cubes.unfold(axis, side, side)
        dims = len(cfg.base)
        cubes = cubes.movedim(1, 1 + dims)  # (B, *grid, C, *base)
        return self._resize(cubes.reshape(-1, *cubes.shape[1 + dims :]))

    def _resize(self, x: Tensor) -> Tensor:
        size, mode = tuple(self.settings.crop), _MODES[x.ndim - 2]
        if x.shape[2:] == size:
            return x
        return functional.interpolate(x, size=size, mode=mode, align_corners=False)

    def after_step(self, step: int, total: int) -> None:  # noqa: ARG002 - fixed momentum
        """Move the teacher."""
        self.teacher.update(self.student, self.settings.momentum)

    def encoder(self) -> nn.Module:
        """Return the student's encoder; the head is dropped."""
        return self.student.encoder


def overlaps(start: Tensor, grid: tuple[int, ...], base: tuple[int, ...]) -> Tensor:
    """Return which share of each target lies in each base crop, (B, T, N).

    start: int64 (B, T, dims), where targets of the size of a base crop begin. Rows sum
    to 1, since targets lie inside the grid. Bases are in row-major order.
    """
    per_axis = []
    for axis, (count, side) in enumerate(zip(grid, base, strict=True)):
        first = torch.arange(count, device=start.device) * side
        gap = (start[..., axis, None] - first).abs()  # (B, T, count)
        per_axis.append((1 - gap / side).clamp(min=0))
    places = product(*(range(count) for count in grid))
    return torch.stack(
        [
            torch.stack([part[..., i] for part, i in zip(per_axis, place, strict=True)])
            .prod(dim=0)
            for place in places
        ],
        dim=-1,
    )  # fmt: skip


def voco_terms(
    targets: Tensor, bases: Tensor, y: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return pos, neg and reg of codes (B, T, D) and (B, N, D), overlaps y (B, T, N)."""
    targets, bases = (functional.normalize(x, dim=-1) for x in (targets, bases))
    p = (targets @ bases.transpose(1, 2)).relu()
    away = (1 - (y - p).abs() + 1e-6).log()
    pos = -(y * away).sum() / y.sum()
    apart = (y == 0).to(p.dtype)
    neg = (p.square() * apart).sum() / mean_count(apart.sum())
    alike = (bases @ bases.transpose(1, 2)).relu().square()
    n = bases.shape[1]
    pairs = ~torch.eye(n, dtype=torch.bool, device=y.device)
    return pos, neg, alike[:, pairs].mean()
