"""`knn`: the nearest training cases vote (METHODS 2.8)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from ..budget import TaskKind
from ..task import Tier
from .settings import ProtocolSettings


class Knn(ProtocolSettings):
    """Train nothing: cases with alike image vectors vote, the more alike the more.

    No paper of the five specifies it; numbers are the convention of DINO and AttMask.
    The k that is best on validation is used: for one k, and for a report of the usual
    k = 20 beside the best, write an entry `knn20: {extends: knn, k: [20]}`.
    """

    version: ClassVar[int] = 1
    kinds: ClassVar[tuple[TaskKind, ...]] = ("classification",)

    k: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (10, 20, 100, 200),
        min_length=1,
        description="neighbours that vote; at most as many as there are cases",
    )
    temperature: float = Field(0.07, gt=0, description="a vote is exp(cosine / this)")

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {"tiny": {}, "small": {}, "demo": {}}

    @model_validator(mode="after")
    def _says_each_once(self) -> Knn:
        if len(set(self.k)) < len(self.k):
            msg = f"k: a value stands twice in {list(self.k)}"
            raise ValueError(msg)
        return self
