"""What a task file (tasks/*.yaml) may say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .budget import TaskKind
from .closed import Closed as Closed
from .splits import CountsSplit, HashSplit, ListedSplit, PublisherSplit

Tier = Literal["tiny", "small", "demo", "paper"]
TIERS: tuple[Tier, ...] = ("tiny", "small", "demo", "paper")
Metric = Literal["dice", "hd95", "auc", "kappa"]
Triple = Annotated[tuple[int, int, int], Field(description="voxels along each axis")]


class MsdFormat(Closed):
    """A Medical Segmentation Decathlon folder: dataset.json, imagesTr, labelsTr."""

    kind: Literal["msd"]
    folder: str = Field(description="folder name below the data root")


class GeneratedFormat(Closed):
    """Cases made from a seed by tasks/<generator>.py."""

    kind: Literal["generated"]
    generator: str = Field(description="stem of the .py file in tasks/")
    seed: int = 0
    settings: dict[str, int | float | str | bool] = Field(
        default_factory=dict, description="keyword arguments of the generator"
    )


class Window(Closed):
    """Map [low, high] (raw units, HU for CT) linearly to [0, 1] and clip."""

    kind: Literal["window"] = "window"
    low: float
    high: float

    @model_validator(mode="after")
    def _rising(self) -> Window:
        if not self.low < self.high:
            msg = f"intensity window needs low < high, not {self.low} and {self.high}"
            raise ValueError(msg)
        return self


class Percentiles(Closed):
    """Map the case's own percentiles [low, high] (0 to 100) linearly to [0, 1] and clip."""

    kind: Literal["percentiles"] = "percentiles"
    low: float = Field(0.5, ge=0, lt=100)
    high: float = Field(99.5, gt=0, le=100)

    @model_validator(mode="after")
    def _rising(self) -> Percentiles:
        if not self.low < self.high:
            msg = f"percentiles need low < high, not {self.low} and {self.high}"
            raise ValueError(msg)
        return self


class Preprocess(Closed):
    """From a file's voxels to what networks see. Orientation is always canonical RAS."""

    spacing: tuple[float, float, float] | None = Field(
        None, description="mm along R, A, S; none keeps each case's own"
    )
    intensity: Window | Percentiles = Field(discriminator="kind")


class SourceFile(Closed):
    """One file of a dataset on the publisher's site.

    sha256 or md5 only where the publisher prints one, with `digest_page` naming where.
    `verified` is the date on which somebody fetched it with this harness, or 'never'.
    """

    url: str
    path: str = Field(description="where it lies below the data root")
    unpack: Literal["no", "tar", "zip"] = "no"
    sha256: str | None = None
    md5: str | None = None
    digest_page: str | None = None
    verified: str = "never"

    @model_validator(mode="after")
    def _digest_is_cited(self) -> SourceFile:
        if (self.sha256 or self.md5) and not self.digest_page:
            msg = f"the digest of {self.url} needs digest_page, the page that prints it"
            raise ValueError(msg)
        return self


class Source(Closed):
    """Where a dataset comes from and under which terms."""

    page: str
    licence: str
    citation: str = ""
    files: tuple[SourceFile, ...] = ()
    how: str = Field("", description="how to get it where it cannot be fetched")


class Target(Closed):
    """What a classification task predicts. Kappa is quadratic where `ordinal`."""

    name: str
    classes: tuple[str, ...] = Field(min_length=2)
    ordinal: bool = False


class TaskSpec(Closed):
    """A downstream dataset with its split, structures, metrics and preprocessing."""

    title: str
    kind: TaskKind
    version: int = Field(
        1, ge=1, description="raise when the meaning of scores changes"
    )
    modality: str
    synthetic: bool = False
    dims: Literal[2, 3] = 3
    channels: tuple[str, ...] = ("image",)
    format: MsdFormat | GeneratedFormat = Field(discriminator="kind")
    cases: int = Field(ge=1, description="labelled cases of the complete dataset")
    allow_partial: bool = False
    structures: dict[str, int] = Field(
        default_factory=dict, description="label value of each structure, 1..n"
    )
    target: Target | None = None
    preprocess: Preprocess
    crop: dict[Tier, Triple] = Field(description="training crop at each tier, voxels")
    split: HashSplit | PublisherSplit | CountsSplit | ListedSplit = Field(
        default_factory=HashSplit, discriminator="kind"
    )
    metrics: tuple[Metric, ...]
    source: Source

    @model_validator(mode="after")
    def _is_whole(self) -> TaskSpec:
        if self.kind == "segmentation":
            values = sorted(self.structures.values())
            if values != list(range(1, len(values) + 1)) or not values:
                msg = "structures need the label values 1, 2, ... n without gaps"
                raise ValueError(msg)
            allowed = {"dice", "hd95"}
        else:
            if self.target is None:
                msg = "a classification task needs 'target' with its classes"
                raise ValueError(msg)
            allowed = {"auc", "kappa"}
        if not self.metrics or not set(self.metrics) <= allowed:
            msg = (
                f"metrics of a {self.kind} task are among {', '.join(sorted(allowed))}"
            )
            raise ValueError(msg)
        return self

    @property
    def classes(self) -> int:
        """Outputs of a network: structures plus background, or target classes."""
        if self.target is not None:
            return len(self.target.classes)
        return len(self.structures) + 1
