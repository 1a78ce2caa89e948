"""Entries under `tasks:`, and the corpora that methods are pretrained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from ..registry.content import Content
from ..registry.explain import explain, unknown
from ..registry.merging import merge
from ..registry.taskfile import with_lists
from ..registry.yamlfile import Document, Loc
from ..registry.yamlwords import brief
from ..schema.budget import LabelBudget
from ..schema.corpus import CorpusSource, CorpusSpec
from ..schema.errors import Mistakes, UserError
from ..schema.protocols import PROTOCOLS
from ..schema.task import TaskSpec, Tier
from .budgets import read_budgets
from .entries import Layer, at_tier, check_tiers
from .matrix import Corpus, MethodEntry, ProtocolEntry, TaskEntry
from .model import TASK_OVERRIDES, BenchmarkFile, TaskOptions


class Corpora:
    """Corpora by what the benchmark file calls them, and the tasks they draw on."""

    def __init__(
        self, document: Document, content: Content, file: BenchmarkFile
    ) -> None:
        self.document = document
        self.content = content
        self.tier = file.tier
        self.specs: dict[str, TaskSpec] = {}  # with the overrides of the benchmark file
        self._named: dict[str, Corpus | None] = {}
        self.default = self.read(file.corpus, Layer(document, (), {}), ("corpus",))

    def read(self, value: Any, layer: Layer, loc: Loc) -> Corpus | None:
        """Return the corpus that a file calls `value`; None after noting a mistake."""
        if value is None:
            return None
        if isinstance(value, str):
            return self._corpus_file(value, layer, loc)
        known = self.content.names("tasks")
        if not isinstance(value, list) or not value:
            wrong = "corpus: expected a name in corpora/ or a list of task names"
            layer.fault(loc, f"{wrong}, not {brief(value)}")
            return None
        good = True
        for index, task in enumerate(value):
            if not isinstance(task, str) or task not in known:
                layer.fault((*loc, index), unknown("task", str(task), known))
                good = False
            elif task in value[:index]:
                layer.fault((*loc, index), f"corpus: {task} stands twice")
                good = False
        if not good:
            return None
        sources = tuple(CorpusSource(task=task, cap=None) for task in value)
        title = f"training sides of {', '.join(value)}"
        return Corpus(
            "+".join(value), CorpusSpec(title=title, sources=sources, exclude=())
        )

    def _corpus_file(self, name: str, layer: Layer, loc: Loc) -> Corpus | None:
        if name not in self.content.names("corpora"):
            sentence = unknown("corpus", name, self.content.names("corpora"))
            if name in self.content.names("tasks"):
                sentence = f"{name!r} is a task, not a corpus: write corpus: [{name}]"
            layer.fault(loc, sentence)
            return None
        if name not in self._named:
            self._named[name] = None
            try:
                corpus = Corpus(name, self.content.corpus(name))
            except Mistakes as error:
                self.document.mistakes.extend(error.mistakes)
                return None
            if self._of_its_modality(corpus, layer, loc):
                self._named[name] = corpus
        return self._named[name]

    def _of_its_modality(self, corpus: Corpus, layer: Layer, loc: Loc) -> bool:
        wanted = corpus.spec.modality
        others = [
            f"task {source.task} is {spec.modality}, not {wanted}"
            for source in corpus.spec.sources
            if source.task and wanted
            if (spec := self.task(source.task)) and spec.modality != wanted
        ]
        for other in others:
            layer.fault(loc, f"corpus {corpus.name}: {other}")
        return not others

    def task(self, name: str) -> TaskSpec | None:
        """Return a task that a corpus draws on, as the benchmark file sets it."""
        if name not in self.specs:
            try:
                self.specs[name] = self.content.task(name)
            except Mistakes as error:
                self.document.mistakes.extend(error.mistakes)
                return None
        return self.specs[name]

    def data_of(self, corpus: Corpus, source: CorpusSource) -> TaskSpec | None:
        """Return what a source of a corpus is as a dataset; None after a mistake."""
        preprocess = corpus.spec.preprocess
        if source.volumes is not None:
            assert preprocess is not None  # the schema sees to it
            return source.volumes.spec(preprocess)
        assert source.task is not None
        spec = self.task(source.task)
        if spec is None or preprocess is None:
            return spec
        return spec.model_copy(update={"preprocess": preprocess})

    def used_tasks(self, methods: Iterable[MethodEntry]) -> dict[str, TaskSpec]:
        """Return the dataset of each source that a pretraining draws on, by its name."""
        found = {
            method.corpus.dataset(source): self.data_of(method.corpus, source)
            for method in methods
            if method.corpus is not None
            for source in method.corpus.spec.sources
        }
        return {name: spec for name, spec in sorted(found.items()) if spec is not None}


def resolve_tasks(
    document: Document,
    file: BenchmarkFile,
    content: Content,
    protocols: Mapping[str, ProtocolEntry],
    budgets: tuple[LabelBudget, ...],
    corpora: Corpora,
) -> list[TaskEntry]:
    """Return the task entries that are right; what is wrong is noted."""
    entries = []
    for name, body in file.tasks.items():
        layer = Layer(document, ("tasks", name), body)
        if name not in content.names("tasks"):
            layer.fault((), unknown("task", name, content.names("tasks")))
            continue
        if not check_tiers(layer):
            continue
        own = at_tier(body, file.tier, ("crop",) if file.rehearsal else ())
        options = _options(layer, own)
        spec = _spec(layer, own, content, name, file.tier)
        if spec is None or options is None:
            continue
        corpora.specs[name] = spec
        if file.tier not in spec.crop:
            layer.fault(
                (), f"{name} has no crop for tier {file.tier}: set 'crop: [..]'"
            )
            continue
        chosen = _protocols(layer, options, spec, protocols, file)
        of_task = budgets
        if options.label_budgets is not None:
            of_task = read_budgets(
                document, (*layer.loc, "label_budgets"), options.label_budgets
            )
        crop = spec.crop[file.tier]
        entries.append(TaskEntry(name, spec, crop, chosen, of_task))
    return entries


def _options(layer: Layer, own: Mapping[str, Any]) -> TaskOptions | None:
    allowed = {*TASK_OVERRIDES, *TaskOptions.model_fields, "tiers"}
    for key in own:
        if key in TaskSpec.model_fields and key not in allowed:
            layer.fault((key,), f"{key!r} of a task can only be set in its own file")
        elif key not in allowed:
            layer.fault((key,), unknown("key", key, allowed))
    options = {key: own[key] for key in TaskOptions.model_fields if key in own}
    try:
        return TaskOptions.model_validate(options)
    except ValidationError as error:
        for loc, sentence in explain(error, TaskOptions, options):
            layer.fault(loc, sentence)
        return None


def _spec(
    layer: Layer, own: Mapping[str, Any], content: Content, name: str, tier: Tier
) -> TaskSpec | None:
    """Return the task with the entry's overrides; None after noting mistakes."""
    try:
        plain = content.task(name)
    except UserError as error:
        found = error.mistakes if isinstance(error, Mistakes) else ()
        layer.document.mistakes.extend(found)
        if not found:
            layer.fault((), str(error))
        return None
    overrides = {key: own[key] for key in TASK_OVERRIDES if key in own}
    if not overrides:
        return plain
    if "cases" in overrides and plain.format.kind != "generated":
        layer.fault(("cases",), "'cases' can be changed where data is generated only")
    if isinstance(overrides.get("crop"), list):
        overrides["crop"] = {tier: overrides["crop"]}
    data = merge(content.task_document(name).data, overrides)
    try:
        data = with_lists(data, layer.document.path.parent)
    except UserError as error:
        layer.fault(("split",), str(error))
        return None
    try:
        return TaskSpec.model_validate(data)
    except ValidationError as error:
        # The file is right without the overrides: what is wrong stands in the entry.
        for loc, sentence in explain(error, TaskSpec, data):
            of_tier = ("tiers", tier, *loc[:1])
            inside = (*layer.loc, *of_tier) in layer.document.lines
            layer.fault(("tiers", tier, *loc) if inside else loc, f"{name}: {sentence}")
        return None


def _protocols(
    layer: Layer,
    options: TaskOptions,
    spec: TaskSpec,
    protocols: Mapping[str, ProtocolEntry],
    file: BenchmarkFile,
) -> tuple[str, ...]:
    """Return the protocols of a task, which must fit its kind."""
    named = options.protocols is not None
    chosen = options.protocols if options.protocols is not None else tuple(protocols)
    if named and not chosen:
        layer.fault(("protocols",), "protocols: name at least one")
    kept: dict[str, None] = {}
    for index, each in enumerate(chosen):
        loc: Loc = ("protocols", index) if named else ()
        if each not in protocols:
            if each not in file.protocols:  # else its own entry has the mistake
                extra = " Add it under protocols." if each in PROTOCOLS else ""
                layer.fault(loc, unknown("protocol", each, file.protocols) + extra)
        elif spec.kind not in protocols[each].settings.kinds:
            kinds = " and ".join(protocols[each].settings.kinds)
            hint = "" if named else "; say which protocols it takes: 'protocols: [..]'"
            layer.fault(
                loc,
                f"protocol {each} is for {kinds} tasks, and {layer.loc[-1]} is a "
                f"{spec.kind} task{hint}",
            )
        elif each in kept:
            layer.fault(loc, f"protocols: {each} stands twice")
        elif isinstance(crop := protocols[each].crop, tuple) and len(crop) != spec.dims:
            layer.fault(
                loc,
                f"protocol {each} has a crop of {len(crop)} sides, and "
                f"{layer.loc[-1]} is {spec.dims}-D",
            )
        kept[each] = None
    return tuple(kept)
