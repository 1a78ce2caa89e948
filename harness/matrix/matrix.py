"""A validated matrix: everything that cells are made of, resolved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..registry.content import Content
from ..registry.weights import Weights
from ..schema.analyses import AnalysisSettings
from ..schema.budget import LabelBudget, TaskKind
from ..schema.claims import StatedClaim
from ..schema.corpus import CorpusSource, CorpusSpec
from ..schema.protocols import ProtocolSettings
from ..schema.roles import PUBLISHED, TRAINED, Role
from ..schema.task import Sides, TaskSpec, Tier
from ..schema.training import Keep, TrainingOptions
from .profiles import Profile


@dataclass(frozen=True)
class Corpus:
    """A corpus with the name that tables show."""

    name: str
    spec: CorpusSpec

    def dataset(self, source: CorpusSource) -> str:
        """Return the name under which the data of a source are listed and cached.

        Where the corpus does not take them as a task does, they go by a name of their own.
        """
        own = source.volumes is not None or self.spec.preprocess is not None
        return f"{source.name}@{self.name}" if own else source.name

    @property
    def datasets(self) -> tuple[str, ...]:
        """The names of the data of all sources."""
        return tuple(self.dataset(source) for source in self.spec.sources)

    @property
    def label(self) -> str:
        """What tables show: the name, and its share where it is not the whole."""
        share = self.spec.fraction
        return self.name if share is None else f"{self.name}:{100 * share:.4g}%"

    @property
    def fraction(self) -> float | None:
        """The share of its sources that it holds; None for what its file says."""
        return self.spec.fraction


def task_of(dataset: str) -> str:
    """Return the task, or the name of the volumes, that a dataset of a corpus is of."""
    return dataset.partition("@")[0]


@dataclass(frozen=True)
class MethodEntry:
    """One entry under methods: its implementation and its resolved settings (JSON).

    corpus: what it is trained on (of a supervised method: its labelled source); init:
    the stage whose encoder pretraining starts from; members: whose encoders it joins;
    allow_overlap: whether what it is trained on may share patients with a task;
    channels: what its encoder is made for, None for as many as each task has; kinds: of
    tasks that it can do.
    """

    name: str
    stem: str
    version: int
    role: Role
    dims: tuple[int, ...]
    kinds: tuple[TaskKind, ...]
    settings: Mapping[str, Any]
    corpus: Corpus | None
    init: MethodEntry | None = None
    members: tuple[MethodEntry, ...] = ()
    allow_overlap: bool = False
    channels: int | None = None
    weights: Weights | None = None  # the file of an imported encoder

    @property
    def is_published(self) -> bool:
        """Whether it has pretrain nodes of its own."""
        return self.role in PUBLISHED

    @property
    def is_trained(self) -> bool:
        """Whether pretraining seeds make a difference to it."""
        return self.role in TRAINED or any(each.is_trained for each in self.members)

    protocols: tuple[str, ...] | None = None  # the only ones it is run with; none: all
    tasks: tuple[str, ...] | None = None  # the only ones it is run on; none: all

    @property
    def encoder(self) -> Mapping[str, Any]:
        """The resolved settings of the encoder, `kind` included."""
        encoder: Mapping[str, Any] = self.settings["encoder"]
        return encoder

    @property
    def encoders(self) -> tuple[Mapping[str, Any], ...]:
        """The settings of its encoder, or of those that it joins; none of a system."""
        if "encoder" in self.settings:
            return (self.encoder,)
        return tuple(each.encoder for each in self.members)

    def channels_on(self, task: TaskEntry) -> int:
        """Return how many channels its encoder takes on a task: the task's, or one."""
        return self.channels or len(task.spec.channels)

    @property
    def encoder_kind(self) -> str:
        """What the column `encoder` of the tables shows: 'resnet+vit' of a fusion."""
        kinds = dict.fromkeys(str(each["kind"]) for each in self.encoders)
        return "+".join(kinds) or "none"


@dataclass(frozen=True)
class ProtocolEntry:
    """One entry under protocols: `base` is the protocol that it sets.

    crop: what its networks see, where it is not the task's; 'pretrained': what the
    method's encoder was pretrained on, where it has been.
    """

    name: str
    base: str
    settings: ProtocolSettings
    crop: tuple[int, ...] | Literal["pretrained"] | None = None

    def crop_of(self, method: MethodEntry, task: TaskEntry) -> tuple[int, ...]:
        """Return the sides that networks of a method see on a task, in voxels."""
        if self.crop == "pretrained":
            return tuple(method.settings.get("crop") or task.crop)
        return self.crop or task.crop


@dataclass(frozen=True)
class TaskEntry:
    """One entry under tasks, with the protocols and budgets that it is run with."""

    name: str
    spec: TaskSpec
    crop: Sides
    protocols: tuple[str, ...]
    budgets: tuple[LabelBudget, ...]


@dataclass(frozen=True)
class AnalysisEntry:
    """One entry under analyses: `base` is the analysis that it sets.

    methods, tasks, protocols, budgets: the cells it looks at; None: all.
    """

    name: str
    base: str
    settings: AnalysisSettings
    methods: frozenset[str] | None = None
    tasks: frozenset[str] | None = None
    protocols: frozenset[str] | None = None
    budgets: frozenset[str] | None = None

    def takes(self, method: str, task: str, protocol: str, budget: str) -> bool:
        """Tell whether the analysis looks at cells of this kind."""
        asked = (
            (self.methods, method),
            (self.tasks, task),
            (self.protocols, protocol),
            (self.budgets, budget),
        )
        return all(names is None or name in names for names, name in asked)


@dataclass(frozen=True)
class Matrix:
    """Methods x tasks x protocols x budgets x folds x seeds, filters applied.

    corpus_tasks: specification of every task that a corpus draws on.
    pretraining_seeds: 'paired' takes the adaptation seed of each cell. clusters: what
    jobs ask for, by profile; training, keep: how they train and what they leave on
    disk. claims, style: what a report is to check and how. None of these is part of
    what is computed.
    """

    path: Path
    title: str
    tier: Tier
    content: Content
    data_roots: tuple[Path, ...]
    methods: tuple[MethodEntry, ...]
    protocols: Mapping[str, ProtocolEntry]
    tasks: tuple[TaskEntry, ...]
    corpus_tasks: Mapping[str, TaskSpec]
    seeds: tuple[int, ...]
    pretraining_seeds: tuple[int, ...] | Literal["paired"]
    subset_draw: Literal["fixed", "per_seed"]
    folds: int
    chosen_folds: tuple[int, ...]
    training: TrainingOptions
    keep: Keep
    chosen_pretraining_seeds: tuple[int, ...] | None = None
    clusters: Mapping[str, Profile] = field(default_factory=dict)
    claims: tuple[StatedClaim, ...] = ()
    style: str | None = None
    analyses: tuple[AnalysisEntry, ...] = ()

    def pretraining_seeds_of(
        self, method: MethodEntry, seed: int
    ) -> tuple[int | None, ...]:
        """Return the pretraining seeds of a method's cells with an adaptation seed."""
        if not method.is_trained:
            return (None,)
        all_seeds = (
            (seed,) if self.pretraining_seeds == "paired" else self.pretraining_seeds
        )
        chosen = self.chosen_pretraining_seeds
        return tuple(each for each in all_seeds if chosen is None or each in chosen)

    def protocols_of(self, method: MethodEntry, task: TaskEntry) -> tuple[str, ...]:
        """Return the protocols that a method is run with on a task."""
        if method.tasks is not None and task.name not in method.tasks:
            return ()
        if method.protocols is None:
            return task.protocols
        return tuple(each for each in task.protocols if each in method.protocols)

    def subset_seed(self, seed: int) -> int:
        """Return the seed that draws the label subset of a cell."""
        return seed if self.subset_draw == "per_seed" else 0

    @property
    def stages(self) -> Mapping[str, MethodEntry]:
        """Every method by name, with earlier stages and members that are not listed."""
        return with_earlier(self.methods)

    @property
    def specs(self) -> Mapping[str, TaskSpec]:
        """The specification of every task, and of those that corpora draw on."""
        return {**self.corpus_tasks, **{task.name: task.spec for task in self.tasks}}

    @property
    def results(self) -> Path:
        """The default results folder: beside methods/ and tasks/."""
        return self.content.roots[0] / "results"


def with_earlier(methods: Iterable[MethodEntry]) -> dict[str, MethodEntry]:
    """Return methods by name, with the stages and members that they are made from."""
    found: dict[str, MethodEntry] = {}
    for method in methods:
        pending = [method]
        while pending:
            entry = pending.pop(0)
            found.setdefault(entry.name, entry)
            pending += [*([entry.init] if entry.init else []), *entry.members]
    return found
