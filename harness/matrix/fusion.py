"""Methods that join the encoders of others: `of: [simclr, dino]` (METHODS 1.21)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..registry.yamlwords import brief
from .entries import Chain, ChainBuilder, Layer
from .matrix import MethodEntry

KEY = "of"
Entries = dict[str, tuple[Chain, MethodEntry]]


def member_chains(chain: Chain, builder: ChainBuilder) -> list[Chain]:
    """Return the chains of the methods that an entry joins; mistakes are noted."""
    asked = chain.said(KEY)
    if asked is None:
        return []
    layer, value = asked
    if not isinstance(value, list) or len(value) < 2:
        wrong = f"{KEY}: expected the names of two methods or more"
        layer.fault((KEY,), f"{wrong}, not {brief(value)}")
        return []
    found = []
    for index, name in enumerate(value):
        if name in value[:index]:
            layer.fault((KEY, index), f"{KEY}: {brief(name)} stands twice")
        elif (member := builder.named(layer, name, (KEY, index))) is not None:
            found.append(member)
    return found


def give_members(entries: Entries) -> None:
    """Give every fusion the entries that it joins; what does not fit is noted."""
    for name, (chain, entry) in entries.items():
        asked = chain.said(KEY)
        if entry.role != "fusion":
            if asked is not None:
                asked[0].fault((KEY,), f"{name} joins no other methods: remove {KEY!r}")
            continue
        if asked is None:
            chain.layers[-1].fault(
                (), f"{name} joins the encoders of other methods: set '{KEY}: [A, B]'"
            )
            continue
        members = _members(asked[0], asked[1], name, entries)
        entries[name] = chain, replace(entry, members=members)


def _members(
    layer: Layer, names: Any, name: str, entries: Entries
) -> tuple[MethodEntry, ...]:
    known: Sequence[Any] = names if isinstance(names, list) else ()
    found: list[MethodEntry] = []
    for index, each in enumerate(known):
        if not isinstance(each, str) or each not in entries:
            continue  # noted where it was asked for
        member = entries[each][1]
        if member.is_published:
            found.append(member)
            continue
        layer.fault(
            (KEY, index),
            f"{name} joins pretrained encoders, and {each} is not pretrained: remove it",
        )
    dims = {int(each.encoder.get("dims", 3)): each.name for each in found}
    if len(dims) > 1:
        told = " and ".join(f"{each} is {count}-D" for count, each in dims.items())
        layer.fault((KEY,), f"{name} joins encoders of one dimensionality: {told}")
    return tuple(found)
