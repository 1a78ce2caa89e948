"""Settings of the encoders; torch is not needed to read them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from ..schema.task import Closed, Tier
from .input_scale import InputSettings

ShrunkBias = Literal["first_tokens", "offsets"]


class SemanticSettings(Closed):
    """Global attention with a class token after one stage's merge (METHODS 1.19)."""

    stage: int | None = Field(
        None, description="from 1; none: the last but one, the paper's stage 3 of 4"
    )
    blocks: int = Field(2, ge=1, description="METHODS 1.19")
    heads: int = Field(8, ge=1, description="the paper leaves it open; METHODS 1.19")


class SwinSettings(InputSettings):
    """Settings of the encoder: Swin-MSK (METHODS 0), SwinUNETR's in brackets."""

    kind: Literal["swin"] = "swin"
    patch: int = Field(2, ge=1, description="voxels per side of a stem token")
    width: int = Field(
        48, ge=1, description="channels of the stem; doubled by each merge"
    )
    depths: tuple[int, ...] = Field(
        (2, 2, 8, 2), min_length=1, description="blocks per stage [2, 2, 2, 2]"
    )
    heads: tuple[int, ...] = Field(
        (4, 4, 8, 16),
        min_length=1,
        description="attention heads per stage [3, 6, 12, 24]",
    )
    window: int = Field(4, ge=1, description="tokens per side of a window [7]")
    mlp_ratio: float = Field(4.0, gt=0)
    qkv_bias: bool = True
    patch_norm: bool = Field(default=True, description="LayerNorm after the stem [no]")
    drop_path: float = Field(
        0.1, ge=0, lt=1, description="of the last block; linear from 0 at the first"
    )
    shrunk_bias: ShrunkBias = Field(
        "first_tokens",
        description="relative bias of windows that shrank to their grid: as published, "
        "or by the tokens' true offsets (see windows.offset_index)",
    )
    semantic_attention: SemanticSettings | None = Field(
        None, description="global attention after a stage, for attention-guided masks"
    )
    merging: Literal["corners", "legacy"] = Field(
        "corners",
        exclude_if=lambda value: value == "corners",
        description="what a merge joins: all corners, or two twice and two never, as "
        "MONAI before 1.5 did, for weights of that time",
    )

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {
            "width": 12, "depths": (2, 2, 2), "heads": (1, 2, 4), "window": 2,
            "drop_path": 0.0,
        },
        "small": {
            "width": 24, "depths": (2, 2, 2), "heads": (2, 4, 8), "window": 4,
            "drop_path": 0.0,
        },
        "demo": {
            "width": 24, "depths": (2, 2, 2, 2), "heads": (2, 4, 8, 8), "window": 4,
            "drop_path": 0.0,
        },
    }  # fmt: skip

    @model_validator(mode="after")
    def _fits(self) -> SwinSettings:
        if len(self.depths) != len(self.heads):
            msg = (
                f"depths {self.depths} and heads {self.heads} need one number per stage"
            )
            raise ValueError(msg)
        for stage, heads in enumerate(self.heads):
            width = self.width * 2**stage
            if heads < 1 or width % heads or self.depths[stage] < 1:
                msg = (
                    f"stage {stage + 1} has width {width}, {heads} heads and "
                    f"{self.depths[stage]} blocks; heads must divide the width and "
                    "a stage needs a block"
                )
                raise ValueError(msg)
        if self.merging == "legacy" and self.dims == 2:
            msg = "merging: legacy is of volumes; MONAI's merge of images was right"
            raise ValueError(msg)
        if self.semantic_attention is not None:
            _check_semantic(self, self.semantic_attention)
        return self

    @property
    def stride(self) -> int:
        """Voxels per side of a bottleneck token."""
        return self.patch << len(self.depths)

    @property
    def unit_stage(self) -> int:
        """The stage, from 1, whose merged tokens are mask units."""
        own = self.semantic_attention and self.semantic_attention.stage
        return own or max(1, len(self.depths) - 1)

    @property
    def unit(self) -> int:
        """Voxels per side of a mask unit, a token merged at `unit_stage`."""
        return self.patch << self.unit_stage

    @property
    def has_class_token(self) -> bool:
        """Whether `Features.cls` and `Features.attention` are there."""
        return self.semantic_attention is not None


def _check_semantic(swin: SwinSettings, own: SemanticSettings) -> None:
    stages = len(swin.depths)
    if own.stage is not None and not 1 <= own.stage <= stages:
        msg = (
            f"semantic attention at stage {own.stage}: the encoder has stages 1 to "
            f"{stages}; the nearest is {min(max(own.stage, 1), stages)}"
        )
        raise ValueError(msg)
    width = swin.width * 2**swin.unit_stage
    if width % own.heads:
        fits = max(n for n in range(1, own.heads + 1) if width % n == 0)
        msg = (
            f"semantic attention has width {width} after stage {swin.unit_stage}, and "
            f"{own.heads} heads must divide it; the nearest is {fits}"
        )
        raise ValueError(msg)


class ViTSettings(InputSettings):
    """Settings of the encoder: ViT-S1 (METHODS 0), ViT-L-3D's in brackets."""

    kind: Literal["vit"] = "vit"
    patch: int = Field(
        16, ge=1, description="voxels per side; ViT-S1 leaves it open, METHODS 6 #15"
    )
    width: int = Field(768, ge=1, description="channels of a token [1024]")
    depth: int = Field(12, ge=4, description="blocks, four or more [24]")
    heads: int = Field(8, ge=1, description="attention heads [16]")
    mlp_ratio: float = Field(4.0, gt=0)
    qkv_bias: bool = True
    layer_scale: float | None = Field(
        None,
        gt=0,
        description="start of a learnt gain per branch; none: no gain [1e-5]",
    )
    drop_path: float = Field(0.1, ge=0, lt=1, description="of the last block [0.3]")
    drop_path_rule: Literal["linear", "uniform"] = Field(
        "linear", description="from 0 at the first block, or equal in all [uniform]"
    )
    norm_eps: float = Field(
        1e-6,
        gt=0,
        exclude_if=lambda value: value == 1e-6,
        description="of LayerNorm [MONAI: 1e-5]",
    )
    positions: int = Field(
        6, ge=1, description="tokens per axis that positions are learnt for: 96 / 16"
    )
    positions_start: Literal["normal", "sines"] = Field(
        "normal",
        exclude_if=lambda value: value == "normal",
        description="of the learnt positions: normal with 0.02 (METHODS 1.1), or waves as "
        "MAE has, which a short run sees from its first step",
    )

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {
            "patch": 8, "width": 96, "depth": 4, "heads": 3, "drop_path": 0.0,
            "positions": 4,
        },
        "small": {
            "patch": 8, "width": 192, "depth": 6, "heads": 3, "drop_path": 0.0,
            "positions": 4,
        },
        "demo": {
            "patch": 8, "width": 384, "depth": 12, "heads": 6, "drop_path": 0.0,
            "positions": 8,
        },
    }  # fmt: skip

    @model_validator(mode="after")
    def _fits(self) -> ViTSettings:
        if self.width % self.heads:
            msg = f"heads {self.heads} must divide the width {self.width}"
            raise ValueError(msg)
        return self

    @property
    def stride(self) -> int:
        """Voxels per side of a bottleneck token."""
        return self.patch

    @property
    def unit(self) -> int:
        """Voxels per side of a mask unit."""
        return self.patch

    @property
    def has_class_token(self) -> bool:
        """Whether `Features.cls` and `Features.attention` are there."""
        return True


class ResNetSettings(InputSettings):
    """Settings of the encoder: ResNet-50; depths, block and stem give its kin."""

    kind: Literal["resnet"] = "resnet"
    block: Literal["bottleneck", "basic"] = Field(
        "bottleneck", description="basic: ResNet-18 and -34"
    )
    width: int = Field(64, ge=1, description="channels of the stem; doubled by stages")
    depths: tuple[int, ...] = Field(
        (3, 4, 6, 3), min_length=1, description="blocks per stage"
    )
    stem: Literal["imagenet", "small"] = Field(
        "imagenet",
        description="7 wide with stride 2 and pooling, or 3 wide without either, for "
        "images of some 32 pixels a side",
    )
    dilated: int = Field(
        0,
        ge=0,
        description="last stages that keep their grid and dilate instead, by 2, 4, .. "
        "[2: Med3D, stride 8; METHODS 1.23]",
    )

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {"width": 8, "depths": (1, 1, 1)},
        "small": {"width": 24, "depths": (1, 1, 1, 1), "block": "basic"},
        "demo": {"width": 32, "depths": (2, 2, 2, 2), "block": "basic"},
    }

    @model_validator(mode="after")
    def _fits(self) -> ResNetSettings:
        if min(self.depths) < 1:
            msg = f"depths {self.depths}: every stage needs a block"
            raise ValueError(msg)
        if self.dilated >= len(self.depths):
            msg = (
                f"dilated {self.dilated}: of {len(self.depths)} stages at most "
                f"{len(self.depths) - 1}, since the first keeps its grid anyway"
            )
            raise ValueError(msg)
        return self

    @property
    def patch(self) -> int:
        """Voxels per side of a place of the finest map."""
        return 2 if self.stem == "imagenet" else 1

    @property
    def stride(self) -> int:
        """Voxels per side of a place of the bottleneck."""
        return self.strides[-1]

    @property
    def strides(self) -> tuple[int, ...]:
        """Voxels per side of a place of each stage."""
        first, halved = (
            4 if self.stem == "imagenet" else 1,
            len(self.depths) - self.dilated,
        )
        return tuple(
            first << min(stage, halved - 1) for stage in range(len(self.depths))
        )

    @property
    def unit_stage(self) -> int:
        """The stage, from 1, whose places are mask units: the last but one."""
        return max(1, len(self.depths) - 1)

    @property
    def unit(self) -> int:
        """Voxels per side of a mask unit; 16 at published depth (METHODS 1.12)."""
        return self.strides[self.unit_stage - 1]

    @property
    def has_class_token(self) -> bool:
        """Whether `Features.cls` and `Features.attention` are there."""
        return False


AnySettings = SwinSettings | ViTSettings | ResNetSettings
EncoderSettings = Annotated[AnySettings, Field(discriminator="kind")]
_KINDS: dict[str, type[AnySettings]] = {
    "swin": SwinSettings,
    "vit": ViTSettings,
    "resnet": ResNetSettings,
}


def encoder_tier(kind: str, tier: Tier) -> dict[str, Any]:
    """Return what a kind of encoder changes at a tier; {} for an unknown kind."""
    known = _KINDS.get(kind)
    return dict(known.tiers.get(tier, {})) if known is not None else {}


def check_guidance(encoder: AnySettings) -> None:
    """Raise ValueError unless the encoder's attention can guide a mask."""
    if not encoder.has_class_token:
        msg = (
            f"masks of kind high and low follow a class token, which {encoder.kind} does "
            "not have: set encoder: {kind: swin, semantic_attention: {}}, or use a vit"
        )
        raise ValueError(msg)
