"""Entries under `methods:`, resolved through the child process and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..registry.content import Content
from ..registry.describe import Answer, Request, describe
from ..registry.explain import unknown
from ..registry.yamlfile import Document
from ..registry.yamlwords import brief
from ..schema.identity import canonical_json
from ..schema.task import Tier
from .channels import give_channels
from .entries import Chain, ChainBuilder
from .fusion import give_members, member_chains
from .matrix import MethodEntry, TaskEntry
from .model import BenchmarkFile
from .origins import allows_overlap, check_files, trained_on, weights_of
from .tasks import Corpora


def resolve_methods(
    document: Document,
    file: BenchmarkFile,
    content: Content,
    corpora: Corpora,
    tasks: Sequence[TaskEntry],
) -> list[MethodEntry]:
    """Return the method entries that are right; what is wrong is noted."""
    builder = ChainBuilder(document, file.methods, content)
    listed = [chain for name in file.methods if (chain := builder.build(name))]
    if not listed:
        return []
    chains = [*listed, *_earlier(listed, builder)]
    asked = [
        (chain, tier)
        for chain in chains
        for tier in sorted({file.tier, *chain.tiers()}, key=lambda t: t != file.tier)
        if tier == file.tier or not file.rehearsal
    ]
    requests = [_request(chain, tier, cut=file.rehearsal) for chain, tier in asked]
    answer = describe(content, [], requests)
    settings: dict[str, Any] = {}
    failed: set[str] = set()
    for (chain, tier), resolved in zip(asked, answer.resolved, strict=True):
        for loc, sentence in resolved.errors:
            chain.fault(loc, sentence, tier)
            failed.add(chain.name)
        if resolved.settings is not None and tier == file.tier:
            settings[chain.name] = resolved.settings
    entries: dict[str, tuple[Chain, MethodEntry]] = {}
    for chain in chains:
        if chain.stem in answer.failures:
            chain.layers[-1].fault((), answer.failures[chain.stem])
        elif chain.name in settings and chain.name not in failed:
            entry = _entry(chain, settings[chain.name], answer, corpora)
            if entry is not None:
                _check_dims(chain, entry, tasks, corpora)
                entries[chain.name] = chain, _restricted(chain, entry, file, tasks)
    give_channels(entries, tasks, corpora)
    check_files(entries, content)
    for name in list(entries):
        _join(name, entries, ())
    give_members(entries)
    found = [entries[chain.name] for chain in listed if chain.name in entries]
    if not file.rehearsal:  # at the sizes of tier tiny entries may coincide
        _refuse_twins(found)
    return [entry for _, entry in found]


def _request(chain: Chain, tier: Tier, *, cut: bool) -> Request:
    if not cut:
        return Request(chain.stem, tier, chain.overrides(tier))
    of_all, of_tier = chain.cut(tier)
    return Request(chain.stem, tier, of_all, of_tier)


def _earlier(listed: Sequence[Chain], builder: ChainBuilder) -> list[Chain]:
    """Return the chains of stages and members that the file does not list itself."""
    names = {chain.name for chain in listed}
    found: list[Chain] = []
    pending = list(listed)
    while pending:
        chain = pending.pop()
        needed = member_chains(chain, builder)
        asked = chain.said("init")
        if asked is not None and (stage := builder.named(*asked, ("init",))):
            needed.append(stage)
        for each in needed:
            if each.name not in names:
                names.add(each.name)
                found.append(each)
                pending.append(each)
    return found


def _join(
    name: str, entries: dict[str, tuple[Chain, MethodEntry]], seen: tuple[str, ...]
) -> None:
    """Give an entry the entry of its earlier stage; what does not fit is noted."""
    chain, entry = entries[name]
    asked = chain.said("init")
    stage = str(asked[1]) if asked is not None else ""
    if asked is None or stage not in entries or entry.init:
        return
    layer = asked[0]
    if stage in (name, *seen):
        layer.fault(("init",), f"{name} starts from itself: name another method")
        return
    _join(stage, entries, (*seen, name))
    first = entries[stage][1]
    if not (entry.is_trained and first.is_published):
        idle = first.name if entry.is_trained else name
        layer.fault(("init",), f"{idle} is not pretrained: remove 'init'")
        return
    differ = [
        key
        for key in {*entry.encoder, *first.encoder} - {"drop_path"}
        if entry.encoder.get(key) != first.encoder.get(key)
    ]
    differ += ["channels"] if entry.channels != first.channels else []
    if differ:
        layer.fault(
            ("init",),
            f"{name} starts from the encoder of {stage}, and they differ in "
            f"{', '.join(sorted(differ))}: give both the same encoder",
        )
        return
    entries[name] = chain, replace(entry, init=first)


def _entry(
    chain: Chain, settings: Any, answer: Answer, corpora: Corpora
) -> MethodEntry | None:
    about = answer.methods[chain.stem]
    good, corpus = trained_on(chain, about.role, corpora)
    weights = weights_of(chain) if good and about.role == "checkpoint" else None
    if not good or (about.role == "checkpoint" and weights is None):
        return None
    return MethodEntry(
        name=chain.name,
        stem=chain.stem,
        version=about.version,
        role=about.role,
        dims=about.dims,
        kinds=about.kinds,
        settings=settings,
        corpus=corpus,
        weights=weights,
        channels=settings["channels"] if weights is not None else None,
        allow_overlap=allows_overlap(chain),
    )


def _restricted(
    chain: Chain, entry: MethodEntry, file: BenchmarkFile, tasks: Sequence[TaskEntry]
) -> MethodEntry:
    """Return an entry with the protocols and tasks that it restricts itself to."""
    protocols = _only(chain, "protocols", file.protocols)
    chosen = _only(chain, "tasks", file.tasks)
    layer = chain.layers[-1]
    run_with = [
        each
        for task in tasks
        if chosen is None or task.name in chosen
        for each in task.protocols
        if protocols is None or each in protocols
    ]
    if tasks and not run_with and (protocols or chosen):
        key = "protocols" if protocols else "tasks"
        if (found := chain.said(key)) is not None:
            layer = found[0]
        said = (
            f"no task is run with {' or '.join(protocols)}" if protocols else "no task"
        )
        layer.fault((key,), f"{said}: {chain.name} would have no cell")
    return replace(entry, protocols=protocols, tasks=chosen)


def _only(
    chain: Chain, key: str, known: Mapping[str, object]
) -> tuple[str, ...] | None:
    """Return the names under a key of an entry; None where it has none."""
    asked = chain.said(key)
    if asked is None:
        return None
    layer, value = asked
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        wrong = f"{key}: expected a list of {key} of this file"
        layer.fault((key,), f"{wrong}, not {brief(value)}")
        return None
    for index, name in enumerate(names):
        loc = (key, index) if isinstance(value, list) else (key,)
        if not isinstance(name, str) or name not in known:
            layer.fault(loc, unknown(key[:-1], str(name), known))
        elif name in names[:index]:
            layer.fault(loc, f"{key}: {name} stands twice")
    return tuple(name for name in names if name in known)


def _check_dims(
    chain: Chain, entry: MethodEntry, tasks: Sequence[TaskEntry], corpora: Corpora
) -> None:
    """Note where a method cannot use a task's dimensionality."""
    layer = chain.layers[-1]
    for task in tasks:
        if reason := _unfit(entry, task.spec.dims):
            layer.fault(
                (),
                f"{reason}, and task {task.name} is {task.spec.dims}-D: "
                "remove one of them",
            )
    for source in entry.corpus.spec.sources if entry.corpus else ():
        assert entry.corpus is not None
        spec = corpora.data_of(entry.corpus, source)
        kind = "task " if source.task else ""
        if spec is not None and (reason := _unfit(entry, spec.dims)):
            layer.fault(
                (), f"{reason}, and {kind}{source.name} of its corpus is {spec.dims}-D"
            )


def _unfit(entry: MethodEntry, dims: int) -> str | None:
    """Return why a method cannot use data of a dimensionality, or None."""
    if dims not in entry.dims:
        able = " and ".join(f"{each}-D" for each in entry.dims)
        return f"method {entry.name} works on {able} volumes"
    have = {int(each.get("dims", 3)) for each in entry.encoders} - {dims}
    if have:
        return (
            f"method {entry.name} has an encoder for {have.pop()}-D data (set 'encoder: "
            f"{{dims: {dims}}}' in an entry of its own)"
        )
    return None


def _refuse_twins(entries: Sequence[tuple[Chain, MethodEntry]]) -> None:
    seen: dict[str, str] = {}
    for chain, entry in entries:
        if entry.role == "baseline":
            identity = canonical_json(["encoder", dict(entry.encoder), entry.channels])
        else:
            spec = entry.corpus.spec if entry.corpus else None
            corpus = spec.model_dump(mode="json", exclude={"title"}) if spec else None
            earlier = [each.name for each in (entry.init, *entry.members) if each]
            held = entry.weights
            file = (held.sha256 or str(held.path)) if held is not None else None
            identity = canonical_json(
                [entry.stem, dict(entry.settings), corpus, earlier, file]
            )
        if identity in seen:
            chain.layers[-1].fault(
                (),
                f"methods {seen[identity]} and {entry.name} are the same: they resolve "
                "to equal settings; remove one",
            )
        seen.setdefault(identity, entry.name)
