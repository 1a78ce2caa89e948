"""Entries under `analyses:`: what is measured on the networks of which cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, ValidationError

from ..registry.explain import explain, unknown
from ..registry.yamlfile import Document
from ..registry.yamlwords import brief
from ..schema.analyses import ANALYSES
from ..schema.budget import LabelBudget
from ..schema.task import Closed, Tier
from .entries import Layer, at_tier, check_tiers
from .matrix import AnalysisEntry, MethodEntry, TaskEntry
from .model import BenchmarkFile, Names


class Chosen(Closed):
    """The cells that an analysis looks at; None: all."""

    methods: Names | None = None
    tasks: Names | None = None
    protocols: Names | None = None
    label_budgets: tuple[Any, ...] | None = Field(None, min_length=1)


def resolve_analyses(
    document: Document,
    file: BenchmarkFile,
    methods: Sequence[MethodEntry],
    tasks: Sequence[TaskEntry],
) -> list[AnalysisEntry]:
    """Return the analysis entries that are right; what is wrong is noted."""
    entries = []
    for name, body in file.analyses.items():
        layer = Layer(document, ("analyses", name), body)
        base = body.get("extends", name)
        if not isinstance(base, str) or base not in ANALYSES:
            loc = ("extends",) if "extends" in body else ()
            text = base if isinstance(base, str) else brief(base)
            layer.fault(loc, unknown("analysis", text, ANALYSES))
            continue
        if not check_tiers(layer):
            continue
        entry = _entry(layer, name, base, file, methods, tasks)
        if entry is not None:
            _check_encoders(layer, entry, methods)
            entries.append(entry)
    if entries and file.keep.adapt != "best":
        document.mistake(
            ("keep",),
            f"analyses look at adapted networks, and keep: {{adapt: {file.keep.adapt}}} "
            "removes them: set it to best",
        )
    return entries


def _entry(
    layer: Layer,
    name: str,
    base: str,
    file: BenchmarkFile,
    methods: Sequence[MethodEntry],
    tasks: Sequence[TaskEntry],
) -> AnalysisEntry | None:
    model = ANALYSES[base]
    small = model.tiers.get(file.tier, {})
    body = at_tier(layer.body, file.tier, small if file.rehearsal else ())
    body.pop("extends", None)
    asked = {key: body.pop(key) for key in Chosen.model_fields if key in body}
    chosen = _chosen(layer, asked, file, methods, tasks)
    try:
        settings = model.model_validate({**small, **body})
    except ValidationError as error:
        for loc, sentence in explain(error, model, body):
            layer.fault(_where(layer, file.tier, loc), f"{name}: {sentence}")
        return None
    return None if chosen is None else AnalysisEntry(name, base, settings, **chosen)


def _where(
    layer: Layer, tier: Tier, loc: tuple[str | int, ...]
) -> tuple[str | int, ...]:
    tiers = layer.body.get("tiers")
    own = tiers.get(tier) if isinstance(tiers, Mapping) else None
    inside = isinstance(own, Mapping) and loc and loc[0] in own
    return ("tiers", tier, *loc) if inside else loc


def _chosen(
    layer: Layer,
    asked: Mapping[str, Any],
    file: BenchmarkFile,
    methods: Sequence[MethodEntry],
    tasks: Sequence[TaskEntry],
) -> dict[str, frozenset[str] | None] | None:
    """Return which cells an entry asks for, by field; None after noting a mistake."""
    try:
        chosen = Chosen.model_validate(dict(asked))
    except ValidationError as error:
        for loc, sentence in explain(error, Chosen, asked):
            layer.fault(loc, sentence)
        return None
    known = {
        "methods": [method.name for method in methods] or list(file.methods),
        "tasks": [task.name for task in tasks] or list(file.tasks),
        "protocols": list(file.protocols),
    }
    found: dict[str, frozenset[str] | None] = {}
    good = True
    for field, names in known.items():
        words = getattr(chosen, field)
        for index, word in enumerate(words or ()):
            if word not in names:
                layer.fault((field, index), unknown(field[:-1], word, names))
                good = False
        found[field] = None if words is None else frozenset(words)
    budgets: set[str] = set()
    of_tasks = {str(budget) for task in tasks for budget in task.budgets}
    for index, value in enumerate(chosen.label_budgets or ()):
        try:
            budget = str(LabelBudget.parse(value))
        except ValueError as error:
            layer.fault(("label_budgets", index), str(error))
            good = False
            continue
        if of_tasks and budget not in of_tasks:
            sentence = unknown("label budget", budget, sorted(of_tasks))
            layer.fault(("label_budgets", index), sentence)
            good = False
        budgets.add(budget)
    found["budgets"] = frozenset(budgets) if chosen.label_budgets else None
    return found if good else None


def _check_encoders(
    layer: Layer, entry: AnalysisEntry, methods: Sequence[MethodEntry]
) -> None:
    """Note a method whose encoder cannot be analysed so, where it is asked for."""
    for method in methods:
        if entry.methods is not None and method.name not in entry.methods:
            continue
        reason = _unfit(entry, method)
        if reason is not None:
            fitting = [one.name for one in methods if _unfit(entry, one) is None]
            hint = f": say 'methods: [{', '.join(fitting)}]'" if fitting else ""
            layer.fault(
                ("methods",) if entry.methods is not None else (),
                f"{entry.name} of {method.name}: {reason}{hint}",
            )
            return


def _unfit(entry: AnalysisEntry, method: MethodEntry) -> str | None:
    if method.role in ("fusion", "system"):
        return f"a {method.role} has no single encoder to look into"
    return entry.settings.unfit(method.encoder)
