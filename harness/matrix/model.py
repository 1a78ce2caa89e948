"""What a benchmark file may say, key by key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr

from ..schema.task import Closed, Tier
from ..schema.training import Keep, TrainingOptions
from .clusters import Profiles

MAX_LIST = 1000  # seeds or budgets; far beyond use, and keeps products countable
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
Share = str | int | float


def _named(value: Any) -> Any:
    """Read `[a, b]`, `a` or `{a: , b: {...}}` as a mapping of names to settings."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        if len(set(value)) < len(value):
            msg = "a name stands twice in the list"
            raise ValueError(msg)
        return {name: {} for name in value}
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        msg = "expected 'name: settings' lines or a list of names"
        raise ValueError(msg)
    named = {}
    for name, settings in value.items():
        if settings is not None and not isinstance(settings, Mapping):
            msg = f"expected settings ('key: value' pairs) or nothing after {name!r}"
            raise ValueError(msg)
        named[name] = dict(settings or {})
    return named


def _listed(value: Any) -> Any:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return [value]
    return value


def _seeds(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        msg = f"expected a list of seeds such as [0, 1, 2], not the number {value}"
        raise ValueError(msg)
    return value


def _once(values: tuple[float, ...]) -> tuple[float, ...]:
    if len(set(values)) < len(values):
        msg = "a fraction stands twice in the list"
        raise ValueError(msg)
    return values


Named = Annotated[dict[str, dict[str, Any]], BeforeValidator(_named)]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Seeds = Annotated[
    tuple[Seed, ...], BeforeValidator(_seeds), Field(min_length=1, max_length=MAX_LIST)
]

Fractions = Annotated[
    tuple[Annotated[float, Field(gt=0, le=1)], ...],
    BeforeValidator(_listed),
    AfterValidator(_once),
    Field(max_length=20),
]


def _pairing(value: Any) -> Any:
    if isinstance(value, str):
        if value == "paired":
            return value
        msg = f"expected 'paired' or a list of seeds such as [0], not {value[:40]!r}"
        raise ValueError(msg)
    return _seeds(value)


class BenchmarkFile(Closed):
    """The top level of a benchmark file."""

    title: str = ""
    tier: Tier = "small"
    content: Names = ()
    data_root: str | None = None
    data_roots: Names = ()
    corpus: Any = Field(None, description="a name in corpora/, or a list of task names")
    corpus_fractions: Fractions = Field(
        (), description="pretrain on these nested shares of the corpus, 1 for all of it"
    )
    methods: Named = Field(default_factory=dict)
    protocols: Named = Field(default_factory=dict)
    tasks: Named = Field(default_factory=dict)
    analyses: Named = Field(default_factory=dict)
    label_budgets: Annotated[
        tuple[Any, ...], BeforeValidator(_listed), Field(max_length=MAX_LIST)
    ] = ("100%",)
    seeds: Seeds = (0,)
    pretraining_seeds: Annotated[
        Literal["paired"] | Seeds, BeforeValidator(_pairing)
    ] = (0,)
    subset_draw: Literal["fixed", "per_seed"] = "fixed"
    folds: int = Field(1, ge=1, le=20)
    claims: Annotated[
        tuple[Any, ...], BeforeValidator(_listed), Field(max_length=MAX_LIST)
    ] = ()
    style: str | None = Field(None, description="of a report's statistics")
    clusters: Profiles = Field(default_factory=dict)
    training: TrainingOptions = TrainingOptions()
    keep: Keep = Keep()

    # Set by a rehearsal, never in a file: sizes are those of the tier.
    _rehearsal: bool = PrivateAttr(default=False)

    @property
    def roots(self) -> tuple[str, ...]:
        """The folders that it names as data roots."""
        return (*([self.data_root] if self.data_root else []), *self.data_roots)

    @property
    def rehearsal(self) -> bool:
        """Whether sizes and lengths are to be the tier's, whatever the file says."""
        return self._rehearsal

    def rehearsed(self) -> BenchmarkFile:
        """Return the file as a rehearsal reads it: at tier tiny, cut to its sizes."""
        file = self.model_copy(update={"tier": "tiny"})
        file._rehearsal = True
        return file


class TaskOptions(Closed):
    """What a benchmark file may say of a task beside changes to the task's file."""

    protocols: Names | None = None
    label_budgets: Annotated[tuple[Any, ...], BeforeValidator(_listed)] | None = None


# Of a task file, what a benchmark may change: never what the scores mean.
TASK_OVERRIDES = (
    "allow_partial", "cases", "crop", "format", "metrics", "preprocess", "split",
)  # fmt: skip
