"""What a task file (tasks/*.yaml) may say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .budget import TaskKind
from .closed import Closed as Closed
from .formats import Format
from .splits import CountsSplit, HashSplit, ListedSplit, PublisherSplit

Tier = Literal["tiny", "small", "demo", "paper"]
TIERS: tuple[Tier, ...] = ("tiny", "small", "demo", "paper")
_MOST_STRUCTURES = 255  # a label map has 8 bits
Metric = Literal["dice", "hd95", "auc", "kappa"]
Sides = Annotated[
    tuple[int, int] | tuple[int, int, int],
    Field(description="voxels along each axis: two of an image, three of a volume"),
]


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
    """From a file's voxels to what networks see.

    Axes of a volume are canonical, R, A, S; those of an image are its rows and columns.
    """

    spacing: tuple[float, float] | tuple[float, float, float] | None = Field(
        None, description="mm along each axis; none keeps each case's own"
    )
    size: Sides | None = Field(
        None,
        description="every case is resized to these voxels, whatever its spacing",
        exclude_if=lambda size: size is None,  # what is not used is not part of a key
    )
    intensity: Window | Percentiles = Field(discriminator="kind")

    @model_validator(mode="after")
    def _one_grid(self) -> Preprocess:
        if self.size is not None and self.spacing is not None:
            msg = "set 'spacing' or 'size', not both: each decides the voxels of a case"
            raise ValueError(msg)
        return self


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
    size: str = Field("", description="about how much there is to download")


class Target(Closed):
    """What a classification task predicts. Kappa is quadratic where `ordinal`.

    A table may give a class by its name or its number from 0, or by what `values` says
    of it (none: cases of this value are left out), or by a number that `edges` cut
    into classes, each from its edge on.
    """

    name: str
    classes: tuple[str, ...] = Field(min_length=2)
    ordinal: bool = False
    values: dict[str, str | None] = Field(default_factory=dict)
    edges: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _agrees(self) -> Target:
        names = set(self.values.values()) - {None}
        if unknown := sorted(str(name) for name in names - set(self.classes)):
            msg = f"values: {unknown[0]!r} is none of the classes"
            raise ValueError(msg)
        if self.edges and (
            len(self.edges) != len(self.classes) - 1
            or list(self.edges) != sorted(set(self.edges))
        ):
            msg = (
                f"edges: {len(self.classes)} classes need {len(self.classes) - 1} "
                "rising numbers between them"
            )
            raise ValueError(msg)
        return self


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
    format: Format
    cases: int = Field(ge=1, description="labelled cases of the complete dataset")
    allow_partial: bool = False
    skip_unreadable: bool = Field(
        default=False, description="pretraining leaves out cases that cannot be read"
    )
    structures: dict[str, int] = Field(
        default_factory=dict, description="label value of each structure, 1..n"
    )
    regions: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="unions of structures, which may overlap, in place of the structures",
    )
    target: Target | None = None
    preprocess: Preprocess
    crop: dict[Tier, Sides] = Field(description="training crop at each tier, voxels")
    split: HashSplit | PublisherSplit | CountsSplit | ListedSplit = Field(
        default_factory=HashSplit, discriminator="kind"
    )
    metrics: tuple[Metric, ...]
    overlaps: dict[str, str] = Field(
        default_factory=dict,
        description="other datasets that are known to hold some of its images, and why",
    )
    source: Source

    @model_validator(mode="after")
    def _is_whole(self) -> TaskSpec:
        if self.kind == "unlabelled":
            if self.structures or self.target or self.metrics:
                msg = "unlabelled data have no structures, target or metrics"
                raise ValueError(msg)
            return self
        if self.kind == "segmentation":
            values = sorted(self.structures.values())
            if values != list(range(1, len(values) + 1)) or not values:
                msg = "structures need the label values 1, 2, ... n without gaps"
                raise ValueError(msg)
            if len(values) > _MOST_STRUCTURES:
                msg = f"{len(values)} structures: label maps hold {_MOST_STRUCTURES}"
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

    @model_validator(mode="after")
    def _regions_are_known(self) -> TaskSpec:
        for name, parts in self.regions.items():
            if not parts or len(set(parts)) < len(parts):
                msg = f"region {name!r} needs the names of its structures, each once"
                raise ValueError(msg)
            if unknown := [part for part in parts if part not in self.structures]:
                msg = f"region {name!r}: {unknown[0]!r} is none of the structures"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _sides_fit(self) -> TaskSpec:
        given = {f"crop at tier {tier}": crop for tier, crop in self.crop.items()}
        for name, sides in {
            **given,
            "spacing": self.preprocess.spacing,
            "size": self.preprocess.size,
        }.items():
            if sides is not None and len(sides) != self.dims:
                msg = f"{name} has {len(sides)} sides, and the task is {self.dims}-D"
                raise ValueError(msg)
        return self

    @property
    def classes(self) -> int:
        """Outputs of a network: target classes, regions, or structures and background."""
        if self.target is not None:
            return len(self.target.classes)
        return len(self.regions) or len(self.structures) + 1

    @property
    def scored(self) -> tuple[str, ...]:
        """Names of what a segmentation is scored on: regions, or structures by value."""
        if self.regions:
            return tuple(self.regions)
        return tuple(sorted(self.structures, key=self.structures.__getitem__))

    @property
    def region_values(self) -> tuple[tuple[int, ...], ...]:
        """Label values of each region, in the order of `scored`."""
        return tuple(
            tuple(sorted(self.structures[part] for part in parts))
            for parts in self.regions.values()
        )
