"""Identity of nodes: canonical JSON, digests and keys (DESIGN 6).

A node's key is the sha256 of the digests of its parts. Each part (settings, data, ...) is
digested on its own, so that a planner of 100,000 cells digests each distinct part once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Literal

FORMAT_VERSION = 1
KEY_DIGITS = 16  # hex digits that name a folder (DESIGN 6)

Kind = Literal["pretrain", "adapt", "evaluate", "analyse"]
JSONValue = (
    str | int | float | bool | None | Sequence["JSONValue"] | Mapping[str, "JSONValue"]
)


def canonical(value: JSONValue) -> JSONValue:
    """Return `value` with numbers in one spelling: a float that is whole becomes an int.

    Raises ValueError for nan and infinities, which have no JSON spelling.
    """
    if isinstance(value, bool) or value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            msg = f"{value} cannot be part of an identity"
            raise ValueError(msg)
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {str(key): canonical(value[key]) for key in sorted(value, key=str)}
    return [canonical(item) for item in value]


def canonical_json(value: JSONValue) -> str:
    """Return the one JSON text of `value`: sorted keys, no spaces, one number spelling."""
    return json.dumps(
        canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True
    )


def digest(value: JSONValue) -> str:
    """Return the sha256 (64 hex digits) of the canonical JSON of `value`."""
    return sha256(canonical_json(value).encode()).hexdigest()


def key_of_digests(
    kind: Kind,
    implementation: str,
    version: int,
    settings: str,
    data: str,
    seeds: str,
    inputs: Mapping[str, str],
) -> str:
    """Return the key (64 hex digits) of a node from the digests of its parts.

    settings, data, seeds: results of `digest`; inputs: {role: key of the input node}.
    """
    roles = sorted(inputs) if len(inputs) > 1 else inputs
    joined = "|".join([f"{role}={inputs[role]}" for role in roles])
    text = (
        f"{FORMAT_VERSION}|{kind}|{implementation}|{version}|"
        f"{settings}|{data}|{seeds}|{joined}"
    )
    return sha256(text.encode()).hexdigest()


def key_of_identity(identity: Mapping[str, JSONValue]) -> str:
    """Return the key of a node from its written identity, the `identity` part of spec.json.

    identity: {kind, implementation, version, settings, data, seeds, inputs}.
    """
    inputs = identity["inputs"]
    version = identity["version"]
    if not isinstance(inputs, Mapping) or not isinstance(version, int):
        msg = "an identity needs a mapping 'inputs' and an integer 'version'"
        raise TypeError(msg)
    return key_of_digests(
        kind=str(identity["kind"]),  # type: ignore[arg-type]
        implementation=str(identity["implementation"]),
        version=version,
        settings=digest(identity["settings"]),
        data=digest(identity["data"]),
        seeds=digest(identity["seeds"]),
        inputs={role: str(key) for role, key in inputs.items()},
    )


def short(key: str) -> str:
    """Return the 16 hex digits of a key that name its folder."""
    return key[:KEY_DIGITS]


def seed_for(key: str, purpose: str) -> int:
    """Return a seed in [0, 2**63) for one purpose of a node.

    One stream per purpose: a new draw for one purpose cannot shift the draws of another.
    """
    return int.from_bytes(sha256(f"{key}:{purpose}".encode()).digest()[:8]) >> 1
