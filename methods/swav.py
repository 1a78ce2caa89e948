"""SwAV: views of a region shall choose the same prototypes; no pairs are compared.

METHODS 1.4. Codes of two large views are assigned to prototypes so that a batch uses them
evenly (Sinkhorn-Knopp); every other view, large or small, predicts that assignment.
Prototypes have length 1 and rest at first; a queue of earlier codes helps a small batch
to be spread over many prototypes.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from harness.api import Batch, Loss, ManyCropsSettings, Method
from harness.nn import collective
from harness.nn.build import build_encoder
from harness.nn.contrast import swapped_ce
from harness.nn.distil import sinkhorn_knopp
from harness.nn.init import initialise
from harness.nn.projection import ProjectionHead
from harness.nn.settings import EncoderSettings, ResNetSettings
from harness.schema.bounds import REGIONS, SEVERAL
from harness.schema.optimiser import Optimiser, OptimiserSettings
from harness.schema.task import Tier


class SwAVSettings(ManyCropsSettings):
    """Published settings; sources beside each value."""

    encoder: EncoderSettings = Field(
        default_factory=ResNetSettings, description="its own paper's; METHODS 1.4"
    )
    global_scale: tuple[float, float] = Field((0.14, 1.0), description="METHODS 1.4")
    local_scale: tuple[float, float] = Field((0.05, 0.14), description="METHODS 1.4")
    local_crops: int = Field(6, ge=0, description="METHODS 1.4")
    prototypes: Annotated[int, SEVERAL] = Field(
        3000, description="METHODS 1.4; far fewer than samples for small sets"
    )
    code: int = Field(128, ge=1, description="length of a code; METHODS 1.4")
    head_hidden: int = Field(2048, ge=1, description="released code; METHODS 1.4")
    temperature: float = Field(0.1, gt=0, description="METHODS 1.4")
    epsilon: float = Field(
        0.05, gt=0, description="of the assignment; 0.03 against collapse, METHODS 1.4"
    )
    iterations: int = Field(3, ge=1, description="of Sinkhorn-Knopp; METHODS 1.4")
    freeze_prototypes: float = Field(
        0.01, ge=0, le=1,
        description="share of the steps in which prototypes rest: 5005 of 500k; "
        "METHODS 1.4",
    )  # fmt: skip
    queue: int = Field(
        3840,
        ge=0,
        description="earlier codes per view; the small-batch recipe; METHODS 1.4",
    )
    queue_start: float = Field(
        0.0375,
        ge=0,
        le=1,
        description="share of the steps: epoch 15 of 400; METHODS 1.4",
    )
    batch: Annotated[int, REGIONS] = Field(32, description="as simclr; METHODS 1.3")
    weight_decay: float = Field(1e-6, ge=0, description="METHODS 1.4")
    optimiser: Optimiser = Field(
        default_factory=lambda: OptimiserSettings(kind="lars"),
        description="as released, METHODS 1.4; AdamW at lower tiers, chosen here",
    )
    lr: float = Field(0.075, ge=0, description="0.6 per 256 regions; METHODS 1.4")
    lr_end: float = Field(7.5e-5, ge=0, description="6e-4 per 256; METHODS 1.4")

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {
            **ManyCropsSettings.tiers["tiny"], "prototypes": 8, "head_hidden": 64,
            "code": 32, "queue": 4, "queue_start": 0.5,
        },
        "small": {
            **ManyCropsSettings.tiers["small"], "batch": 16, "prototypes": 32,
            "head_hidden": 256, "code": 64, "queue": 64,
        },
        "demo": {
            **ManyCropsSettings.tiers["demo"], "prototypes": 300, "head_hidden": 1024,
            "queue": 960,
        },
    }  # fmt: skip


class SwAV(Method):
    """L = mean_i mean_{v≠i} H(q_i, softmax(z_v·C / T)), i of two large views, v of all.

    q = Sinkhorn-Knopp(z·C / ε) over the batch, and the queue where it is full; C rows of
    length 1, z codes of length 1.
    """

    Settings = SwAVSettings
    encoders: ClassVar[tuple[str, ...]] = ("resnet", "swin", "vit")
    dims: ClassVar[tuple[int, ...]] = (2, 3)
    version: ClassVar[int] = 1

    queue: Tensor
    filled: Tensor

    def __init__(
        self, settings: SwAVSettings, channels: int, rng: torch.Generator
    ) -> None:
        super().__init__(settings, channels, rng)
        self.settings = settings
        self.student = build_encoder(settings.encoder, channels, rng)
        self.student.hide_nothing()
        self.head = ProjectionHead(
            self.student.pooled_width, settings.head_hidden, settings.code, rng
        )
        self.prototypes = nn.Linear(settings.code, settings.prototypes, bias=False)
        initialise(self.prototypes, rng)
        self.register_buffer("queue", torch.zeros(2, settings.queue, settings.code))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))
        self._codes: list[Tensor] = []  # of the step's shares, (2, B, code) each

    def loss(self, batch: Batch, rng: torch.Generator) -> Loss:
        """Return the swapped prediction loss of 2 large and L small views."""
        cfg, b = self.settings, len(batch.volumes)
        large, small = cfg.cut_views(batch.volumes, rng)
        codes = self.codes(large, rng)
        if len(small):
            codes = torch.cat([codes, self.codes(small, rng)])
        self._codes.append(codes[: 2 * b].detach().view(2, b, -1))
        logits = self.cosines(codes).view(-1, b, cfg.prototypes)
        parts = []
        for i in range(2):
            q = self.assignment(i, logits[i].detach())
            parts += [
                swapped_ce(logits[v], q, cfg.temperature)
                for v in range(len(logits))
                if v != i
            ]
        total = torch.stack(parts).mean()
        return Loss(total, {"swapped": total.detach()})

    def codes(self, views: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Return codes of length 1, (views, code)."""
        pooled = self.student(views, rng=rng).pooled
        return functional.normalize(self.head(pooled), dim=1)

    def cosines(self, codes: Tensor) -> Tensor:
        """Return the cosines of codes (N, code) and prototypes, (N, K)."""
        directions = functional.normalize(self.prototypes.weight, dim=1)
        if self.step < round(self.settings.freeze_prototypes * self.settings.steps):
            directions = directions.detach()
        return functional.linear(codes, directions)

    @torch.no_grad()
    def assignment(self, view: int, logits: Tensor) -> Tensor:
        """Assign this batch's codes of a large view to prototypes, (B, K)."""
        cfg, mine = self.settings, len(logits)
        begun = self.step >= round(cfg.queue_start * cfg.steps)
        if cfg.queue and begun and int(self.filled) >= cfg.queue:
            # Every rank adds its part of the queue, so that all of it counts once.
            part = self.queue[view, collective.rank() :: collective.world_size()]
            logits = torch.cat([logits, self.cosines(part)])
        q = sinkhorn_knopp(logits, cfg.epsilon, iterations=cfg.iterations)
        return q[:mine]

    @torch.no_grad()
    def after_step(self, step: int, total: int) -> None:  # noqa: ARG002
        """Put the step's codes, of all ranks, at the head of the queue."""
        seen, self._codes = self._codes, []
        size = self.settings.queue
        if not seen or not size:
            return
        new = torch.stack(
            [collective.gather(codes) for codes in torch.cat(seen, dim=1)]
        )
        self.queue.copy_(torch.cat([new, self.queue], dim=1)[:, :size])
        self.filled.add_(new.shape[1]).clamp_(max=size)

    def encoder(self) -> nn.Module:
        """Return the encoder; head and prototypes are dropped."""
        return self.student
