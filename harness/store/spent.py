"""What attempts have cost: seconds and GPU-hours, of those that were killed as well."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from .records import HEARTBEAT


def wall_s(record: Mapping[str, Any], folder: Path) -> float | None:
    """Return how long an attempt ran, in seconds; to its last sign of life if killed.

    folder: the attempt's. None where neither its end nor its heartbeat is known, or
    where the clocks of hosts disagree.
    """
    if record.get("wall_s") is not None:
        return float(record["wall_s"])
    try:
        started = datetime.fromisoformat(record["started"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return None
    with contextlib.suppress(OSError):
        seconds = (folder / HEARTBEAT).stat().st_mtime - started
        return round(seconds, 3) if seconds >= 0 else None
    return None


def gpu_hours(record: Mapping[str, Any], folder: Path) -> float | None:
    """Return the GPU-hours of an attempt; 0 on a CPU, None where nobody knows.

    An attempt that ended before it noted them held one GPU from its start.
    """
    measured = record.get("measured") or {}
    if measured.get("gpu_h") is not None:
        return float(measured["gpu_h"])
    seconds, device = wall_s(record, folder), measured.get("device")
    if device is None or seconds is None:
        return None
    return 0.0 if device == "cpu" else seconds / 3600


def before(records: Iterable[tuple[Mapping[str, Any], Path]]) -> dict[str, Any]:
    """Return what a node's earlier attempts cost together: {} if there were none.

    The attempt that publishes keeps it in its manifest, so that the cost of 10,000 nodes
    is known without reading the record of every attempt.
    """
    found = list(records)
    if not found:
        return {}
    return {
        "earlier": {
            "attempts": len(found),
            "wall_s": round(sum(wall_s(*one) or 0.0 for one in found), 3),
            "gpu_h": sum(gpu_hours(*one) or 0.0 for one in found),
        }
    }
