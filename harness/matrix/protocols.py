"""Entries under `protocols:`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ValidationError

from ..registry.explain import explain, unknown
from ..registry.yamlfile import Document
from ..registry.yamlwords import brief
from ..schema.identity import canonical_json
from ..schema.protocols import PROTOCOLS
from ..schema.task import TIERS, Tier
from .entries import Layer, at_tier, check_tiers
from .matrix import ProtocolEntry
from .model import BenchmarkFile


def resolve_protocols(
    document: Document, file: BenchmarkFile
) -> dict[str, ProtocolEntry]:
    """Return the protocol entries that are right; what is wrong is noted."""
    resolved: dict[str, ProtocolEntry] = {}
    seen: dict[str, str] = {}
    for name, body in file.protocols.items():
        layer = Layer(document, ("protocols", name), body)
        base = body.get("extends", name)
        if not isinstance(base, str) or base not in PROTOCOLS:
            loc = ("extends",) if "extends" in body else ()
            layer.fault(loc, unknown("protocol", _text(base), PROTOCOLS))
            continue
        own = {key: value for key, value in body.items() if key != "extends"}
        own_layer = Layer(document, layer.loc, own)
        entry = _entry(own_layer, name, base, file.tier, cut=file.rehearsal)
        if entry is None:
            continue
        settings = entry.settings.model_dump(mode="json")
        identity = canonical_json([base, settings, entry.crop])
        if identity in seen:
            layer.fault(
                (), f"protocols {seen[identity]} and {name} are the same: remove one"
            )
        seen.setdefault(identity, name)
        resolved[name] = entry
    return resolved


def _text(value: Any) -> str:
    return value if isinstance(value, str) else brief(value)


def _entry(
    layer: Layer, name: str, base: str, tier: Tier, *, cut: bool
) -> ProtocolEntry | None:
    if not check_tiers(layer):
        return None
    model = PROTOCOLS[base]
    own = layer.body.get("tiers")
    mentioned = {each for each in TIERS if isinstance(own, Mapping) and each in own}
    if cut:
        mentioned &= {tier}
    entry = None
    for each in sorted({tier, *mentioned}, key=lambda found: found != tier):
        small = model.tiers.get(each, {})
        data = {**small, **at_tier(layer.body, each, (*small, "crop") if cut else ())}
        crop = _crop(layer, name, data.pop("crop", None), each)
        try:
            settings = model.model_validate(data)
        except ValidationError as error:
            for loc, sentence in explain(error, model, data):
                of_tier = own.get(each) if isinstance(own, Mapping) else None
                inside = isinstance(of_tier, Mapping) and loc and loc[0] in of_tier
                where = ("tiers", each, *loc) if inside else loc
                layer.fault(where, f"{name}: {sentence}")
        else:
            entry = entry or (
                ProtocolEntry(name, base, settings, crop) if each == tier else None
            )
    return entry


def _crop(
    layer: Layer, name: str, value: Any, tier: Tier
) -> tuple[int, ...] | Literal["pretrained"] | None:
    """Return the crop that an entry asks for instead of the task's; None for none."""
    if value is None:
        return None
    if value == "pretrained":
        return "pretrained"
    whole = isinstance(value, list) and all(
        isinstance(side, int) and not isinstance(side, bool) and side > 0
        for side in value
    )
    if whole and len(value) in (2, 3):
        return tuple(value)
    own = layer.body.get("tiers")
    of_tier = own.get(tier) if isinstance(own, Mapping) else None
    inside = isinstance(of_tier, Mapping) and "crop" in of_tier
    layer.fault(
        ("tiers", tier, "crop") if inside else ("crop",),
        f"{name}: crop: expected three sides in voxels (two in 2-D) such as "
        f"[96, 96, 96], or pretrained, not {brief(value)}",
    )
    return None
