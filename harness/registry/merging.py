"""Settings over settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over`; mappings are merged, all else replaced.

    >>> merge({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"y": 5}})
    {'a': {'x': 1, 'y': 5}, 'b': 3}
    >>> merge({"mask": {"kind": "high", "ratio": 0.7}}, {"mask": {"kind": "low"}})
    {'mask': {'kind': 'low', 'ratio': 0.7}}
    >>> merge({"split": {"kind": "hash", "val": 0.1}}, {"split": {"kind": "publisher"}})
    {'split': {'kind': 'publisher'}}
    """
    merged = dict(base)
    for key, value in over.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            # Settings of another `kind` do not mix with those of the old one, which is
            # another model; but for masks, whose kind is a setting beside others.
            same = value.get("kind", before.get("kind")) == before.get("kind")
            mixes = same or key == "mask"
            merged[key] = merge(before, value) if mixes else dict(value)
        else:
            merged[key] = value
    return merged
