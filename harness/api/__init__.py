"""What a method file (methods/*.py) builds on.

A method is one file: a frozen, closed settings model whose every default carries its
source, networks from `harness.nn`, a `loss` that reads like the paper's equations and
`encoder()` to export. Defaults are the published settings; `tiers` holds what changes at
smaller scale.
"""

from ..schema.task import Sides
from .child import Child, ChildFailed, Requests, environment_of
from .crops import ManyCropsSettings
from .distillation import DistillationSettings, MultiCropSettings
from .fusion import FusionSettings
from .method import (
    BaselineSettings,
    Batch,
    Imported,
    LabelledSource,
    Loss,
    Method,
    MethodSettings,
    OwnSettings,
    SupervisedSettings,
    TwoViewSettings,
    build_method,
)
from .resolve import cut, resolve
from .system import (
    Labels,
    Machine,
    Segmenter,
    System,
    SystemTraining,
)

__all__ = [
    "BaselineSettings",
    "Batch",
    "Child",
    "ChildFailed",
    "DistillationSettings",
    "FusionSettings",
    "Imported",
    "LabelledSource",
    "Labels",
    "Loss",
    "Machine",
    "ManyCropsSettings",
    "Method",
    "MethodSettings",
    "MultiCropSettings",
    "OwnSettings",
    "Requests",
    "Segmenter",
    "Sides",
    "SupervisedSettings",
    "System",
    "SystemTraining",
    "TwoViewSettings",
    "build_method",
    "cut",
    "environment_of",
    "resolve",
]
