"""How alike two fine-tuned networks are."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from .reuse import CKASettings
from .settings import Between


class Similarity(CKASettings):
    """CKA of each layer of one fine-tuned network with each layer of another.

    The two differ in one thing: their label budget, their seed or their method.
    """

    pairs: ClassVar[bool] = True

    between: tuple[Between, ...] = Field(
        ("budgets",), min_length=1, description="what the two networks differ in"
    )
