"""What a corpus file (corpora/*.yaml) may say."""

from __future__ import annotations

from pydantic import Field

from .closed import Closed


class CorpusSource(Closed):
    """The training side of a task, without its labels; at most `cap` cases of it."""

    task: str
    cap: int | None = Field(None, ge=1)


class CorpusSpec(Closed):
    """The unlabelled volumes that a method is pretrained on."""

    title: str
    sources: tuple[CorpusSource, ...] = Field(min_length=1)
    exclude: tuple[str, ...] = Field((), description="case ids left out")
