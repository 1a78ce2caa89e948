"""What a method file (methods/*.py) builds on.

A method is one file: a frozen, closed settings model whose every default carries its
source, networks from `harness.nn`, a `loss` that reads like the paper's equations and
`encoder()` to export. Defaults are the published settings; `tiers` holds what changes at
smaller scale.
"""

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
    Sides,
    SupervisedSettings,
    TwoViewSettings,
    build_method,
)
from .resolve import cut, resolve

__all__ = [
    "BaselineSettings",
    "Batch",
    "DistillationSettings",
    "FusionSettings",
    "Imported",
    "LabelledSource",
    "Loss",
    "ManyCropsSettings",
    "Method",
    "MethodSettings",
    "MultiCropSettings",
    "OwnSettings",
    "Sides",
    "SupervisedSettings",
    "TwoViewSettings",
    "build_method",
    "cut",
    "resolve",
]
