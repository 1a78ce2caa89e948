"""Entries under `methods:`: what they extend, their tiers, where each setting is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..registry.content import Content
from ..registry.explain import unknown
from ..registry.merging import merge
from ..registry.yamlfile import Document, Loc, read_yaml
from ..registry.yamlwords import brief
from ..schema.task import TIERS, Tier

RESERVED = (
    "extends", "tiers", "corpus", "init", "protocols", "tasks", "source", "allow_overlap",
    "weights", "sha256", "about",
    "input_channels", "of",
)  # fmt: skip
MAX_CHAIN = 16


@dataclass(frozen=True)
class Layer:
    """The settings that one entry or variant file adds, and where they stand."""

    document: Document
    loc: Loc
    body: Mapping[str, Any]

    def fault(self, loc: Loc, message: str) -> None:
        """Note a mistake at `loc` below this layer."""
        self.document.mistake((*self.loc, *loc), message)


@dataclass
class Chain:
    """An entry with what it extends, the base first."""

    name: str
    stem: str
    layers: list[Layer] = field(default_factory=list)

    def overrides(self, tier: Tier) -> dict[str, Any]:
        """Return the settings of all layers at a tier, later over earlier ones."""
        merged: dict[str, Any] = {}
        for _, part in self._parts(tier):
            merged = merge(merged, _with_kind(part))
        return merged

    def cut(self, tier: Tier) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the settings of all layers: for every tier, and for this one alone."""
        parts: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        for (_, prefix), part in self._parts(tier):
            mine = parts[bool(prefix) and prefix[-2:] == ("tiers", tier)]
            merged = merge(mine, _with_kind(part))
            mine.clear()
            mine.update(merged)
        return parts

    def said(self, key: str) -> tuple[Layer, Any] | None:
        """Return the last layer that has one of RESERVED, and what it says."""
        found = [layer for layer in self.layers if layer.body.get(key) is not None]
        return (found[-1], found[-1].body[key]) if found else None

    def tiers(self) -> set[Tier]:
        """Return the tiers that any layer has settings for."""
        return {
            tier
            for layer in self.layers
            for tier in TIERS
            if isinstance(_tiers(layer).get(tier), Mapping)
        }

    def fault(self, loc: Loc, message: str, tier: Tier) -> None:
        """Note a mistake in the setting at `loc` where the setting stands."""
        best: tuple[int, Layer, Loc] | None = None
        for (layer, prefix), part in self._parts(tier):
            depth = _depth(part, loc)
            if depth and (best is None or depth >= best[0]):
                best = (depth, layer, prefix)
        if best is None:
            self.layers[-1].fault((), f"{self.name}: {message}")
        else:
            best[1].fault((*best[2], *loc), message)

    def _parts(
        self, tier: Tier
    ) -> Iterable[tuple[tuple[Layer, Loc], Mapping[str, Any]]]:
        for layer in self.layers:
            yield (
                (layer, ()),
                {k: v for k, v in layer.body.items() if k not in RESERVED},
            )
            of_tier = _tiers(layer).get(tier)
            if isinstance(of_tier, Mapping):
                yield (layer, ("tiers", tier)), of_tier


def _tiers(layer: Layer) -> Mapping[str, Any]:
    tiers = layer.body.get("tiers")
    return tiers if isinstance(tiers, Mapping) else {}


def _with_kind(settings: Mapping[str, Any]) -> dict[str, Any]:
    encoder = settings.get("encoder")
    if isinstance(encoder, str):
        return {**settings, "encoder": {"kind": encoder}}
    return dict(settings)


def _depth(data: Any, loc: Loc) -> int:
    depth = 0
    for part in loc:
        if isinstance(data, Mapping) and part in data:
            data, depth = data[part], depth + 1
        else:
            break
    return depth


class ChainBuilder:
    """Follows `extends` through the entries of a file and the content folders."""

    def __init__(
        self,
        document: Document,
        entries: Mapping[str, Mapping[str, Any]],
        content: Content,
    ) -> None:
        self.document = document
        self.entries = entries
        self.content = content
        self.known = content.names("methods")

    def build(self, name: str) -> Chain | None:
        """Return the chain of an entry, or None after noting what is wrong with it."""
        return self._entry(name, ())

    def named(self, asker: Layer, name: Any, loc: Loc) -> Chain | None:
        """Return the chain of the method that `loc` of a layer names, or None.

        An entry of the file goes before a method of the content folders. What is wrong
        with it is noted where it is asked for.
        """
        if not isinstance(name, str):
            wrong = f"{loc[0]}: expected the name of a method, not {brief(name)}"
            asker.fault(loc, wrong)
            return None
        if name in self.entries:
            return self._entry(name, ())
        if name not in self.known:
            known = {*self.known, *self.entries}
            asker.fault(loc, unknown("method", name, known))
            return None
        chain = self._content(name, asker, ())
        here = Layer(asker.document, (*asker.loc, *loc), {})
        return chain and Chain(name, chain.stem, [*chain.layers, here])

    def _entry(self, name: str, seen: tuple[str, ...]) -> Chain | None:
        layer = Layer(self.document, ("methods", name), self.entries[name])
        if not check_tiers(layer) or not _once(layer, name, seen):
            return None
        seen = (*seen, name)
        if "extends" not in layer.body:
            base = self._content(name, layer, seen)
        elif (target := _target(layer)) is None:
            return None
        elif target in self.entries and target != name:
            base = self._entry(target, seen)
        else:
            base = self._content(target, layer, seen)
        return base and Chain(name, base.stem, [*base.layers, layer])

    def _content(self, name: str, asker: Layer, seen: tuple[str, ...]) -> Chain | None:
        if name not in self.known:
            self._unknown(name, asker)
            return None
        path = self.content.file("methods", name)
        if path.suffix == ".py":
            return Chain(name, name, [])
        label = f"methods/{name}.yaml"
        if not _once(asker, label, seen):
            return None
        document = read_yaml(path)
        # Mistakes of variant files are reported together with those of the benchmark
        # file.
        self.document.mistakes.extend(document.mistakes)
        document.mistakes = self.document.mistakes
        layer = Layer(document, (), document.data)
        if not check_tiers(layer):
            return None
        if "extends" not in layer.body:
            layer.fault((), "a variant needs 'extends: <method>'")
            return None
        target = _target(layer)
        base = target and self._content(target, layer, (*seen, label))
        return Chain(name, base.stem, [*base.layers, layer]) if base else None

    def _unknown(self, name: str, asker: Layer) -> None:
        extends = "extends" in asker.body
        known = {*self.known, *(self.entries if extends else ())} - {name}
        sentence = unknown("method", name, known)
        if not extends:
            sentence += " A variant under a new name needs 'extends: <method>'."
        asker.fault(("extends",) if extends else (), sentence)


def _once(layer: Layer, label: str, seen: tuple[str, ...]) -> bool:
    if label in seen:
        circle = " extends ".join([*seen[seen.index(label) :], label])
        layer.fault(
            ("extends",), f"{brief(circle, 200)}: a circle; name another method"
        )
        return False
    if len(seen) >= MAX_CHAIN:
        layer.fault(("extends",), f"extends a chain of more than {MAX_CHAIN} methods")
        return False
    return True


def _target(layer: Layer) -> str | None:
    target = layer.body["extends"]
    if isinstance(target, str):
        return target
    wrong = f"extends: expected the name of a method, not {brief(target)}"
    layer.fault(("extends",), wrong)
    return None


def check_tiers(layer: Layer) -> bool:
    """Note what is wrong with the `tiers` of an entry; tell whether nothing is."""
    if "tiers" not in layer.body or layer.body["tiers"] is None:
        return True
    tiers = layer.body["tiers"]
    if not isinstance(tiers, Mapping):
        layer.fault(("tiers",), "tiers: expected a mapping of tier to settings")
        return False
    good = True
    for tier, settings in tiers.items():
        if tier not in TIERS:
            layer.fault(("tiers", tier), unknown("tier", tier, TIERS))
            good = False
        elif settings is not None and not isinstance(settings, Mapping):
            layer.fault(("tiers", tier), f"tiers.{tier}: expected settings")
            good = False
        elif settings:
            for key in [key for key in RESERVED if key in settings]:
                layer.fault(
                    ("tiers", tier, key), f"{key!r} cannot differ between tiers"
                )
                good = False
    return good


def at_tier(
    body: Mapping[str, Any], tier: Tier, without: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the settings of an entry with those of its `tiers` merged in.

    without: settings that count only where they are meant for the tier.
    """
    left_out = {"tiers", *without}
    own = {key: value for key, value in body.items() if key not in left_out}
    tiers = body.get("tiers")
    of_tier = tiers.get(tier) if isinstance(tiers, Mapping) else None
    return merge(own, of_tier) if isinstance(of_tier, Mapping) else own
