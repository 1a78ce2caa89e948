"""An encoder that others trained, read from a file.

The entry names the file (`weights: PATH`, or a URL with its sha256) and this method's
settings say what is in it: which encoder, how its tensors are called, and what its input
was. Nothing is trained. Neither path nor URL is part of a result's identity: the digest
of the file is. Public checkpoints have presets, one YAML file each.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import nn

from harness.api import BaselineSettings, Imported, Method
from harness.nn.build import build_encoder
from harness.nn.foreign import fit, read_tensors, stripped
from harness.nn.layouts import Layout, Merging, arranged
from harness.schema.roles import Role
from harness.schema.task import Tier


class CheckpointSettings(BaselineSettings):
    """What a file holds; the encoder is that of the file at every tier."""

    scaled: ClassVar[bool] = False
    # A rehearsal reads a file that it made itself.
    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        **BaselineSettings.tiers,
        "tiny": {
            "inside": None, "strip": (), "rules": (), "layout": "own", "merging": None,
        },
    }  # fmt: skip

    channels: int = Field(
        1,
        ge=1,
        description="input channels that the encoder gets; an input convolution of "
        "another number is averaged (METHODS 2.9)",
    )
    inside: str | None = Field(
        None,
        description="where in the file the encoder lies ('teacher', 'model.trunk'); none: "
        "the usual places, chosen here",
    )
    strip: tuple[str, ...] = Field(
        (), description="prefixes taken off the names of tensors; chosen here: none"
    )
    rules: tuple[tuple[str, str], ...] = Field(
        (),
        description="[pattern, replacement] regular expressions on names after 'strip'; a "
        "name that becomes empty is left out; chosen here: none",
    )
    layout: Layout = Field(
        "own",
        description="whose names and orders the file has; own: this harness's, "
        "chosen here",
    )
    merging: Merging | None = Field(
        None,
        description="of layout swin, which no file tells: trained with MONAI 1.5 or "
        "later, an earlier one, or TransMorph's code, as SMIT (METHODS 0)",
    )
    share: float = Field(
        1.0, gt=0, le=1,
        description="of the encoder's tensors that the file must fill; chosen here: all",
    )  # fmt: skip
    outputs: dict[str, str] = Field(
        default_factory=dict,
        description="linear heads on the pooled features that are kept by name: the "
        "prefix of the head's tensors in the file, after 'strip'; chosen here: none",
    )

    @field_validator("rules")
    @classmethod
    def _patterns_compile(
        cls, rules: tuple[tuple[str, str], ...]
    ) -> tuple[tuple[str, str], ...]:
        for pattern, _ in rules:
            try:
                re.compile(pattern)
            except re.error as error:
                msg = f"{pattern!r} is no regular expression: {error}"
                raise ValueError(msg) from error
        return rules

    @model_validator(mode="after")
    def _merging_is_told(self) -> Self:
        swin = self.layout == "swin"
        if swin and self.encoder.kind != "swin":
            msg = f"layout swin needs encoder swin, not {self.encoder.kind}"
            raise ValueError(msg)
        if not swin and self.merging is not None:
            msg = f"merging is of layout swin, and this is {self.layout}: remove it"
            raise ValueError(msg)
        if not swin or self.encoder.dims == 2:
            return self
        if self.merging is None:
            msg = (
                "no file tells how its merges join corners: say merging: monai (trained "
                "with 1.5 or later), monai_legacy (before 1.5) or transmorph (as SMIT)"
            )
            raise ValueError(msg)
        legacy = getattr(self.encoder, "merging", "corners") == "legacy"
        if legacy != (self.merging == "monai_legacy"):
            have = "merging: legacy" if legacy else "no 'merging: legacy'"
            msg = (
                f"merging: {self.merging} does not go with an encoder that has {have}: "
                "weights from before MONAI 1.5 need encoder: {merging: legacy}, others "
                "must not have it"
            )
            raise ValueError(msg)
        return self


class Checkpoint(Method):
    """An encoder from a file, as others trained it."""

    Settings = CheckpointSettings
    encoders: ClassVar[tuple[str, ...]] = ("swin", "vit", "resnet")
    dims: ClassVar[tuple[int, ...]] = (2, 3)
    version: ClassVar[int] = 1
    role: ClassVar[Role] = "checkpoint"

    def __init__(
        self, settings: CheckpointSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__(settings, channels, rng)
        self.settings = settings
        self.student = build_encoder(settings.encoder, channels, rng)

    def load(self, path: Path) -> Imported:
        """Fill the encoder from the file; DataError where too little of it fits."""
        cfg = self.settings
        theirs = stripped(read_tensors(path, cfg.inside), cfg.strip, cfg.rules)
        outputs, notes = {}, []
        for name, prefix in cfg.outputs.items():
            weight = theirs.pop(f"{prefix}.weight", None)
            bias = theirs.pop(f"{prefix}.bias", None)
            if weight is None:
                notes.append(f"{path.name} has no {prefix}.weight: no output {name}")
                continue
            outputs[f"{name}.weight"] = weight.clone()
            if bias is not None:
                outputs[f"{name}.bias"] = bias.clone()
        ours = arranged(theirs, cfg.layout, cfg.encoder, cfg.merging)
        found = fit(ours, self.student)
        found.check_share(cfg.share, self.student, path.name)
        self.student.load_state_dict(found.state, strict=False)
        lacking = [
            f"{name} is drawn at random: not in the file" for name in found.missing
        ]
        return Imported(found.share, (*found.notes, *lacking, *notes), outputs)

    def encoder(self) -> nn.Module:
        """Return the encoder as the file has it."""
        return self.student
