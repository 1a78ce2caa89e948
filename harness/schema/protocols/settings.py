"""What every protocol says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ..budget import TaskKind
from ..task import Closed, TaskSpec, Tier

WindowWeights = Literal["constant", "gaussian"]
WindowPadding = Literal["zero", "edge"]


class ProtocolSettings(Closed):
    """Common ground of all protocols.

    fuses: whether it can train a fusion of several encoders.

    Every default is the published setting (tier `paper`); `tiers` holds what changes
    elsewhere.
    """

    version: ClassVar[int] = 1
    fuses: ClassVar[bool] = False
    kinds: ClassVar[tuple[TaskKind, ...]]
    tiers: ClassVar[dict[Tier, dict[str, Any]]]

    def unfit(
        self, encoder: Mapping[str, Any], task: TaskSpec, crop: tuple[int, ...]
    ) -> str | None:
        """Return why this protocol cannot use an encoder on a task, or None.

        encoder: its resolved settings, `kind` included; task: of one of `kinds`; crop:
        sides of what the networks see, in voxels. The reason names the nearest choice
        that is possible.
        """
        del encoder, task, crop  # most protocols take every encoder
        return None

    @property
    def trains_all(self) -> bool:
        """Whether the whole network is trained, as a self-contained system's is."""
        return False


class SlidingSettings(ProtocolSettings):
    """Common ground of protocols that cover whole volumes with windows."""

    overlap: float = Field(
        0.5, ge=0, lt=1, description="sliding-window inference, test"
    )
    val_overlap: float = Field(0.0, ge=0, lt=1, description="the same in validation")
    # Left out of the settings that an adaptation is identified by: they change nothing
    # that is trained. An evaluation is told of them where they are not the default.
    window_weights: WindowWeights = Field(
        "constant", exclude=True, description="of a window's voxels, test; METHODS 2.11"
    )
    window_padding: WindowPadding = Field(
        "zero", exclude=True, description="around volumes smaller than a window, test"
    )
