"""Training curves as TensorBoard event files, written here: no package is needed.

An event file is a sequence of records (length, checksum, bytes, checksum); the bytes are
an Event message in protocol buffers' encoding (tensorflow/core/util/event.proto and
tensorflow/core/framework/summary.proto).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schema.identity import short
from ..store.frames import Results
from .files import write_bytes

if TYPE_CHECKING:
    import pandas as pd

_POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), reflected
_MASK = 0xA282EAD8  # added to a rotated checksum, so that checksums of checksums differ


def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (_POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _table()


def checksum(data: bytes) -> int:
    """Return the masked CRC-32C of some bytes.

    >>> hex(checksum(b"123456789"))
    '0xc78ab0e5'
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return b"".join(
        [
            length,
            struct.pack("<I", checksum(length)),
            data,
            struct.pack("<I", checksum(data)),
        ]
    )


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, data: bytes) -> bytes:
    """Return a length-delimited field."""
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


def version_event(at: float) -> bytes:
    """Return the event that begins a file. at: seconds since 1970."""
    return b"\x09" + struct.pack("<d", at) + _field(3, b"brain.Event:2")


def scalar_event(tag: str, value: float, *, step: int, at: float) -> bytes:
    """Return the event of one value under a tag. at: seconds since 1970."""
    named = _field(1, tag.encode()) + b"\x15" + struct.pack("<f", value)
    head = b"\x09" + struct.pack("<d", at) + b"\x10" + _varint(step)
    return head + _field(5, _field(1, named))


def event_file(start: float, rows: Iterable[tuple[str, int, float, float]]) -> bytes:
    """Return the bytes of a file. rows: tag, step, seconds since `start`, value."""
    records = [_record(version_event(start))]
    for tag, step, seconds, value in rows:
        records.append(_record(scalar_event(tag, value, step=step, at=start + seconds)))
    return b"".join(records)


def export_curves(
    results: Results, folder: Path, only: Mapping[str, Any] | None = None
) -> Iterator[Path]:
    """Write the curves of every training into a run of its own; yield the files.

    A run is folder/METHOD/TASK/PROTOCOL/BUDGET/fold-seed-key, or, of a pretraining,
    folder/METHOD/pretraining/seed-key. only: labels to keep, as of Results. A file that
    is there already is replaced. Raises UserError where nothing can be written.
    """
    curves = results.curves(**(only or {}))
    for key, own in curves.groupby("key", observed=True, sort=True):
        known = own.dropna(subset=["value"]).sort_values("step", kind="stable")
        path = folder / _run(str(key), own.iloc[0])
        path /= f"events.out.tfevents.{short(str(key))}"
        seconds = known.wall_s.fillna(0.0)
        tags = known.split.astype(str) + "/" + known.quantity.astype(str)
        rows = zip(tags, known.step, seconds, known.value, strict=True)
        write_bytes(path, event_file(_start(results, str(key)), rows))
        yield path


def _run(key: str, labels: pd.Series) -> Path:
    """Return the folder of a run, relative. Names cannot lead out of it."""
    if not isinstance(labels.task, str):
        seed = f"seed{labels.pretraining_seed}-{key[:8]}"
        return Path(_safe(labels.method), "pretraining", seed)
    parts = (labels.method, labels.task, labels.protocol, labels.label_budget)
    last = f"fold{labels.fold}-seed{labels.seed}-{key[:8]}"
    return Path(*map(_safe, parts), last)


def _safe(name: object) -> str:
    return re.sub(r"[^A-Za-z0-9._=%+-]", "_", str(name)).lstrip(".") or "_"


def _start(results: Results, key: str) -> float:
    """Return when a training began, in seconds since 1970, from its manifest."""
    manifest = results.manifest(key)
    ended = datetime.fromisoformat(manifest.published).timestamp()
    return ended - float(manifest.run.get("wall_s") or 0.0)
