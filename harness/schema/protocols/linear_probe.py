"""`linear_probe`: a linear layer on frozen features, the best of a grid (METHODS 2.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from ..budget import TaskKind
from ..task import TaskSpec, Tier
from .layers import too_few_layers
from .settings import ProtocolSettings

Rate = Annotated[float, Field(gt=0)]

# METHODS 2.5 and 6 #17: the rates of the paper, and those of its code, which are for a
# batch of 256 and are scaled to the batch that is used.
PAPER_RATES = (
    1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.3, 0.5,
)  # fmt: skip
CODE_RATES = (
    1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1,
)  # fmt: skip
CODE_BLOCKS, CODE_BATCH = (1, 4), 256

_SHORT: dict[str, Any] = {
    "lr": (1e-3, 1e-2, 1e-1, 0.5), "blocks": (1,), "average": (False,),
}  # fmt: skip


class LinearProbe(ProtocolSettings):
    """Train a linear layer for each point of a grid, together; validation chooses one.

    Points are a learning rate and an input: the image vectors of the last n blocks side
    by side (class tokens), with or without the mean token of the last one after them. Of
    an encoder without a class token at its end the image vectors are means already: those
    of its last n maps, and `average` makes no difference (chosen here).
    """

    version: ClassVar[int] = 2
    kinds: ClassVar[tuple[TaskKind, ...]] = ("classification",)

    steps: int = Field(12_500, ge=1)
    batch: int = Field(32, ge=1)
    lr: tuple[Rate, ...] = Field(PAPER_RATES, min_length=1)
    blocks: tuple[Annotated[int, Field(ge=1, le=4)], ...] = Field(
        (1, 2, 3, 4), min_length=1, description="how many of the last layers are joined"
    )
    average: tuple[bool, ...] = Field(
        (False, True), min_length=1, description="whether the mean token follows"
    )
    code_grid: bool = Field(
        default=False,
        description="rates and blocks of the released code in place of the paper's: "
        "1e-5 to 0.1, times batch / 256, and 1 or 4 blocks (METHODS 6 #17)",
    )
    standardise: bool = Field(
        default=True,
        description="features by mean and deviation of the training cases, since their "
        "scales differ between encoders; chosen here, 3DINO has them as they are",
    )
    output: str | None = Field(
        None,
        exclude_if=lambda name: name is None,  # what is not used is no part of a key
        description="a linear head that the method keeps by this name, such as "
        "'contrast': its codes are the only input, and the rates the only grid "
        "(METHODS 2.5, Swin)",
    )
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {"steps": 20, **_SHORT, "blocks": (1, 2), "average": (False, True)},
        "small": {"steps": 1000, **_SHORT},
        "demo": {"steps": 1000},
    }

    @model_validator(mode="after")
    def _says_each_once(self) -> LinearProbe:
        for name in ("lr", "blocks", "average"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                msg = f"{name}: a value stands twice in {list(values)}"
                raise ValueError(msg)
        return self

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates of the grid."""
        if not self.code_grid:
            return self.lr
        return tuple(rate * self.batch / CODE_BATCH for rate in CODE_RATES)

    @property
    def joined(self) -> tuple[int, ...]:
        """How many of the last layers are joined, at each point of the grid."""
        if self.output is not None:
            return (1,)
        return CODE_BLOCKS if self.code_grid else self.blocks

    def unfit(
        self, encoder: Mapping[str, Any], task: TaskSpec, crop: tuple[int, ...]
    ) -> str | None:
        """Return why the encoder has too few layers, or None."""
        del task, crop
        return too_few_layers(encoder, max(self.joined), "blocks")
