"""Protocols: how an encoder is used (DESIGN 2). One module each.

harness/run/adapt/<name>.py does the work of the protocol <name>.
"""

from __future__ import annotations

from .cluster import Cluster
from .finetune import Finetune
from .frozen_adapter import FrozenAdapter
from .knn import Knn
from .linear_decoder import LinearDecoder
from .linear_probe import LinearProbe
from .patch_probe import PatchProbe
from .settings import ProtocolSettings

__all__ = [
    "EVALUATE_VERSION",
    "PRETRAIN_VERSION",
    "PROTOCOLS",
    "Cluster",
    "Finetune",
    "FrozenAdapter",
    "Knn",
    "LinearDecoder",
    "LinearProbe",
    "PatchProbe",
    "ProtocolSettings",
]

PROTOCOLS: dict[str, type[ProtocolSettings]] = {
    "cluster": Cluster,
    "finetune": Finetune,
    "frozen_adapter": FrozenAdapter,
    "knn": Knn,
    "linear_decoder": LinearDecoder,
    "linear_probe": LinearProbe,
    "patch_probe": PatchProbe,
}

# Raised when the meaning of what the engine does changes, whatever the method or protocol.
PRETRAIN_VERSION = 1
EVALUATE_VERSION = 1
