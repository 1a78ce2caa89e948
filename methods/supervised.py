"""Supervised pretraining: learn a labelled source task, hand on the encoder.

METHODS 1.2. A segmentation source trains the encoder under the decoder that fine-tuning
uses, with Dice plus cross-entropy; a classification source under one linear layer, with
cross-entropy. Labels are those of the source's training side. Source and target must
share no patient, unless the entry says `allow_overlap: true`; then it is an upper bound.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from harness.api import Batch, LabelledSource, Loss, Method, SupervisedSettings
from harness.nn.build import build_encoder
from harness.nn.decoder import build_decoder
from harness.nn.draws import rows
from harness.nn.heads import LinearHead
from harness.nn.losses import full_precision
from harness.nn.objectives import dice_ce
from harness.nn.views import random_view
from harness.schema.roles import Role
from harness.volumes.augment import augment


class LearningSettings(SupervisedSettings):
    """Published settings; sources beside each value."""

    flip: float = Field(
        0.0, ge=0, le=1,
        description="probability per axis; 0, since left and right "
        "structures differ; chosen here",
    )  # fmt: skip
    scale_shift: float = Field(
        0.1, ge=0, le=1, description="probability of each, by 0.1; METHODS 2.1"
    )
    weight_decay: float = Field(1e-5, ge=0, description="as fine-tuning; METHODS 2.1")


class Supervised(Method):
    """L = Dice(g(f(x)), y) + CE(g(f(x)), y), or CE(w·f(x), y) for a class per image."""

    Settings = LearningSettings
    encoders: ClassVar[tuple[str, ...]] = ("swin", "vit", "resnet")
    dims: ClassVar[tuple[int, ...]] = (2, 3)
    version: ClassVar[int] = 1
    role: ClassVar[Role] = "supervised"

    def __init__(
        self,
        settings: LearningSettings,
        channels: int,
        rng: torch.Generator,
        source: LabelledSource,
    ) -> None:
        super().__init__(settings, channels, rng)
        self.settings = settings
        self.student = build_encoder(settings.encoder, channels, rng)
        self.student.hide_nothing()
        self.segments = source.kind == "segmentation"
        self.top: nn.Module = (
            build_decoder(self.student, channels, source.classes, rng)
            if self.segments
            else LinearHead(self.student.pooled_width, source.classes, rng)
        )

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the loss of one labelled crop of each region."""
        if batch.labels is None:
            msg = "supervised pretraining needs labels with every batch"
            raise ValueError(msg)
        x, y = self._crops(batch.volumes, batch.labels, rng)
        features = self.student(x, rng=rng)
        if self.segments:
            loss = dice_ce(self.top(x, features), y)
            return Loss(loss, {"dice_ce": loss.detach()})
        logits = full_precision(self.top(features.pooled))
        loss = functional.cross_entropy(logits, y)
        right = (logits.argmax(dim=1) == y).float().mean()
        return Loss(loss, {"ce": loss.detach(), "accuracy": right})

    def _crops(
        self, region: Tensor, labels: Tensor, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Cut, flip and scale: images (B, C, *crop), labels (B, *crop) or (B,)."""
        cfg = self.settings
        if self.segments:
            # One cut for both: labels ride along as a channel, small whole numbers.
            both = torch.cat([region, labels.unsqueeze(1).to(region.dtype)], dim=1)
            both = random_view(both, cfg.crop, rng)
            x, y = both[:, :-1], both[:, -1]
        else:
            x, y = random_view(region, cfg.crop, rng), None
        x, y = augment(x, y, rng, flip=cfg.flip, scale_shift=cfg.scale_shift, rows=rows)
        return x, labels if y is None else y.long()

    def encoder(self) -> nn.Module:
        """Return the encoder; decoder and head are dropped."""
        return self.student
