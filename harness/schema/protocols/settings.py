"""What every protocol says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..budget import TaskKind
from ..task import Closed, TaskSpec, Tier


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
