"""Analyses: what is measured on trained networks beside their scores. One module each.

harness/run/represent/<name>.py does the work of the analysis <name>.
"""

from __future__ import annotations

from .attention import Attention
from .embedding import Embedding
from .pca import Pca
from .reuse import Reuse
from .settings import AnalysisSettings
from .similarity import Similarity
from .transfer import Transfer

__all__ = [
    "ANALYSES", "AnalysisSettings", "Attention", "Embedding", "Pca", "Reuse",
    "Similarity", "Transfer",
]  # fmt: skip

ANALYSES: dict[str, type[AnalysisSettings]] = {
    "attention": Attention,
    "embedding": Embedding,
    "pca": Pca,
    "reuse": Reuse,
    "similarity": Similarity,
    "transfer": Transfer,
}
