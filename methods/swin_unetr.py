"""SwinUNETR's pretraining (Tang): inpainting, contrast and rotation of two views.

METHODS 1.10. Every region gives two views, each turned in the plane of its last two axes
and then corrupted: boxes of noise over up to 30 % of it, then boxes pasted from another
region over up to 30 %. Three heads read the bottleneck: which turn, a code for contrast,
and the turned, uncorrupted view. The heads read the pooled feature; `token_heads` has
them read the first and the second token, as the released code does (its issue 87).
With a ViT (METHODS 1.11) they read its class token.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from harness.api import Batch, Loss, Method, MethodSettings, Sides
from harness.nn import collective
from harness.nn.build import build_encoder
from harness.nn.contrast import nt_xent
from harness.nn.corrupt import cut_out
from harness.nn.draws import rows
from harness.nn.features import Features
from harness.nn.heads import LinearHead
from harness.nn.orient import in_plane, turn_each
from harness.nn.restoring import RestoringDecoder
from harness.nn.settings import EncoderSettings, SwinSettings
from harness.nn.views import random_view
from harness.schema.task import Tier


class SwinUNETRSettings(MethodSettings):
    """Published settings; sources beside each value."""

    encoder: EncoderSettings = Field(
        default_factory=lambda: SwinSettings(
            depths=(2, 2, 2, 2), heads=(3, 6, 12, 24), window=7, patch_norm=False
        ),
        description="Swin-Tang; METHODS 0",
    )
    region: Sides = Field(
        (96, 96, 96), description="the crop: both views see one place; METHODS 1.10"
    )
    batch: int = Field(8, ge=1, description="8 x 1 as released; METHODS 1.10")
    steps: int = Field(100_000, ge=1, description="METHODS 1.10")
    lr: float = Field(4e-4, ge=0, description="default of the code; METHODS 1.10")
    weight_decay: float = Field(0.1, ge=0, description="METHODS 1.10")
    warmup: int = Field(500, ge=0, description="METHODS 1.10")
    cut: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="largest share of noise, and again of pasted boxes; METHODS 1.10",
    )
    box: tuple[float, float] = Field(
        (0.05, 0.25), description="side of a box, share of the crop's; METHODS 1.10"
    )
    code: int = Field(512, ge=1, description="length of a code; METHODS 1.10")
    temperature: float = Field(0.5, gt=0, description="METHODS 1.10")
    inpainting_weight: float = Field(1.0, ge=0, description="METHODS 1.10")
    contrast_weight: float = Field(1.0, ge=0, description="METHODS 1.10")
    rotation_weight: float = Field(1.0, ge=0, description="METHODS 1.10")
    token_heads: bool = Field(
        default=False,
        description="heads read tokens 0 and 1, as released; METHODS 1.10 advises pooling",
    )

    least: ClassVar[int] = 2
    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {**MethodSettings.tiers["tiny"], "region": (32, 32, 32), "code": 32},
        "small": {**MethodSettings.tiers["small"], "region": (32, 32, 32), "code": 64},
        "demo": {**MethodSettings.tiers["demo"], "region": (64, 64, 64), "code": 128},
    }

    @model_validator(mode="after")
    def _turns_fit(self) -> Self:
        if self.crop[-1] != self.crop[-2]:
            msg = (
                "rotation needs equal last two sides of the crop, not "
                f"{tuple(self.crop)}: the nearest has {min(self.crop[-2:])}"
            )
            raise ValueError(msg)
        return self


class SwinUNETRPretraining(Method):
    """L = L1(x̂, x) + NT-Xent(codes of both views) + CE(turn), each with its weight.

    x is the turned view before corruption; L1 is over all its voxels.
    """

    Settings = SwinUNETRSettings
    encoders: ClassVar[tuple[str, ...]] = ("swin", "vit", "resnet")
    dims: ClassVar[tuple[int, ...]] = (2, 3)
    version: ClassVar[int] = 1
    mixes: ClassVar[bool] = True

    def __init__(
        self, settings: SwinUNETRSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__(settings, channels, rng)
        self.settings = settings
        self.student = build_encoder(settings.encoder, channels, rng)
        self.student.hide_nothing()
        deep = self.student.widths[-1]
        width = deep if settings.token_heads else self.student.pooled_width
        self.turns = in_plane(settings.encoder.dims)
        self.turn_head = LinearHead(width, len(self.turns), rng)
        self.code_head = LinearHead(width, settings.code, rng)
        self.restore = RestoringDecoder(self.student, channels, rng)

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the weighted sum of the three objectives."""
        cfg = self.settings
        x = random_view(batch.volumes, cfg.crop, rng)
        x = torch.cat([x, x])  # (2B, C, *crop): views one, then views two
        label = rows(
            len(x),
            lambda n: torch.randint(0, 4, (n,), generator=rng, device=rng.device),
        ).to(x.device)
        x = turn_each(x, label, self.turns)
        features = self.student(self.corrupt(x, rng), rng=rng)
        first, second = self._read(features)
        turn = functional.cross_entropy(self.turn_head(first), label)
        one, two = self.code_head(second).chunk(2)
        contrast = nt_xent(one, two, cfg.temperature)
        inpainting = (self.restore(features.maps[-1]) - x).abs().mean()
        total = (
            cfg.inpainting_weight * inpainting
            + cfg.contrast_weight * contrast
            + cfg.rotation_weight * turn
        )
        terms = {"inpainting": inpainting, "contrast": contrast, "rotation": turn}
        return Loss(total, {name: term.detach() for name, term in terms.items()})

    def _read(self, features: Features) -> tuple[Tensor, Tensor]:
        """Return what the heads of turn and contrast read, (2B, width) each."""
        if not self.settings.token_heads:
            return features.pooled, features.pooled
        tokens = features.maps[-1].flatten(2)
        return tokens[..., 0], tokens[..., min(1, tokens.shape[-1] - 1)]

    def corrupt(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Put boxes of noise over each view (2B, C, *crop), then boxes of another one.

        Noise is normal, scaled to [0, 1] by its own extremes. Pasted boxes come from the
        uncorrupted view of another region (METHODS 1.10 calls corrupted donors a pitfall
        of the released code).
        """
        cfg, sides = self.settings, x.shape[2:]
        limits = {"most": cfg.cut, "low": cfg.box[0], "high": cfg.box[1]}
        noisy, pasted = (
            cut_out(len(x), sides, rng, **limits).to(x.device) for _ in range(2)
        )
        noise = rows(
            len(x),
            lambda n: torch.randn((n, *x.shape[1:]), generator=rng, device=rng.device),
        ).to(x)
        axes = tuple(range(1, x.ndim))
        low, high = (
            noise.amin(dim=axes, keepdim=True),
            noise.amax(dim=axes, keepdim=True),
        )
        donors = torch.cat([collective.moved_on(view) for view in x.chunk(2)])
        changed = torch.where(noisy, (noise - low) / (high - low), x)
        return torch.where(pasted, donors, changed)

    def outputs(self) -> dict[str, nn.Linear]:
        """Return the head of contrast, which 3DINO probes, where it reads an average."""
        if self.settings.token_heads:
            return {}
        return {"contrast": self.code_head.linear}

    def encoder(self) -> nn.Module:
        """Return the encoder; the other heads are dropped."""
        return self.student
