"""DVME: the image vectors of several pretrained encoders, joined by attention.

Dynamic Visual Meta-Embedding (Truong et al. 2021; METHODS 1.21). Its members are other
methods of the matrix: `dvme: {of: [simclr, swav, dino]}`. The head is harness.nn.fusion.
"""

from __future__ import annotations

from typing import ClassVar

from harness.api import FusionSettings, Method
from harness.schema.budget import TaskKind
from harness.schema.roles import Role


class DVME(Method):
    """Project each encoder's vector, attend between the projections, classify."""

    Settings = FusionSettings
    encoders: ClassVar[tuple[str, ...]] = ()
    dims: ClassVar[tuple[int, ...]] = (2, 3)
    version: ClassVar[int] = 1
    role: ClassVar[Role] = "fusion"
    kinds: ClassVar[tuple[TaskKind, ...]] = ("classification",)  # of image vectors
