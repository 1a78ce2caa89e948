"""What a corpus file (corpora/*.yaml) may say."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from .closed import Closed
from .formats import Format
from .task import Preprocess, Source, TaskSpec


class Volumes(Closed):
    """Images of no task, all of which may be pretrained on.

    cases: how many there are; fewer need allow_partial.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    modality: str
    format: Format
    dims: Literal[2, 3] = 3
    channels: tuple[str, ...] = ("image",)
    cases: int = Field(ge=1)
    allow_partial: bool = False
    skip_unreadable: bool = False
    overlaps: dict[str, str] = Field(
        default_factory=dict, description="tasks that hold some of its images, and why"
    )
    source: Source

    def spec(self, preprocess: Preprocess) -> TaskSpec:
        """Return them as a dataset without labels."""
        return TaskSpec(
            title=self.name,
            kind="unlabelled",
            modality=self.modality,
            dims=self.dims,
            channels=self.channels,
            format=self.format,
            cases=self.cases,
            allow_partial=self.allow_partial,
            skip_unreadable=self.skip_unreadable,
            preprocess=preprocess,
            crop={},
            metrics=(),
            overlaps=self.overlaps,
            source=self.source,
        )


class CorpusSource(Closed):
    """The training side of a task without its labels, or images of no task.

    What is left out is chosen by a hash of (seed, id): the same whatever else there is,
    so that a smaller choice lies within a larger one. patients: at most so many;
    per_patient: at most so many images of each; fraction: the share of the images that
    are left then; cap: at most so many of them.
    """

    task: str | None = None
    volumes: Volumes | None = None
    patients: int | None = Field(None, ge=1)
    per_patient: int | None = Field(None, ge=1)
    fraction: float | None = Field(None, gt=0, le=1)
    cap: int | None = Field(None, ge=1)
    seed: int | None = Field(None, description="none: a hash of the id alone")

    @model_validator(mode="after")
    def _one(self) -> CorpusSource:
        if (self.task is None) == (self.volumes is None):
            msg = "a source names a 'task', or 'volumes' of no task"
            raise ValueError(msg)
        return self

    @property
    def name(self) -> str:
        """The task, or the name of the volumes."""
        if self.volumes is not None:
            return self.volumes.name
        assert self.task is not None  # one of them is there
        return self.task


class CorpusSpec(Closed):
    """The unlabelled images that a method is pretrained on.

    modality: what every source must be of; preprocess: in place of the sources' own;
    channels: 'split' draws one channel of a case at a time, as an image of one channel;
    min_slices: thinner volumes are left out, counted along the axis of the widest
    spacing; exclude_content: digests of voxels, as `harness data check` prints them;
    fraction: the share of each source (of a smaller corpus, nested in a larger one);
    allow_missing: sources that are not there are left out;
    allow_overlap: whether it may hold test cases of a task; then its cells are marked.
    """

    title: str
    modality: str | None = None
    preprocess: Preprocess | None = None
    channels: Literal["together", "split"] = "together"
    sources: tuple[CorpusSource, ...] = Field(min_length=1)
    min_slices: int | None = Field(None, ge=2)
    fraction: float | None = Field(None, gt=0, le=1)
    exclude: tuple[str, ...] = Field((), description="case ids left out")
    exclude_content: tuple[str, ...] = ()
    allow_missing: bool = False
    allow_overlap: bool = False

    @model_validator(mode="after")
    def _is_whole(self) -> CorpusSpec:
        names = [source.name for source in self.sources]
        if twice := sorted({each for each in names if names.count(each) > 1}):
            msg = f"sources: {twice[0]} stands twice"
            raise ValueError(msg)
        if self.preprocess is None and (
            bare := [each.name for each in self.sources if each.volumes is not None]
        ):
            msg = (
                f"sources: {bare[0]} is of no task: say how to 'preprocess' the corpus"
            )
            raise ValueError(msg)
        for source in self.sources:
            found = source.volumes
            if found and self.modality not in (None, found.modality):
                msg = f"sources: {found.name} is {found.modality}, not {self.modality}"
                raise ValueError(msg)
        return self
