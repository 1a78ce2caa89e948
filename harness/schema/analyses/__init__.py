"""Analyses: what is measured on trained networks beside their scores. One module each.

harness/run/represent/<name>.py does the work of the analysis <name>.
"""

from __future__ import annotations

from .attention import Attention
from .attention_maps import AttentionMaps
from .embedding import Embedding
from .pca import Pca
from .reuse import Reuse
from .settings import AnalysisSettings
from .similarity import Similarity
from .transfer import Transfer

__all__ = [
    "ANALYSES", "AnalysisSettings", "Attention", "AttentionMaps", "Embedding", "Pca",
    "Reuse", "Similarity", "Transfer",
]  # fmt: skip

ANALYSES: dict[str, type[AnalysisSettings]] = {
    "attention": Attention,
    "attention_maps": AttentionMaps,
    "embedding": Embedding,
    "pca": Pca,
    "reuse": Reuse,
    "similarity": Similarity,
    "transfer": Transfer,
}
