"""Building a cache folder: every case checked, all faults told, published whole."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import numpy as np

from ..schema.cases import CaseRef
from ..schema.errors import DataError, UserError
from .faults import gathered
from .formats import Dataset, fingerprint, read_case
from .preprocess import Prepared, prepare

FORMAT = 1
INDEX = "index.json"
FILES = {
    "image": "images.i16",
    "label": "labels.u8",
    "native": "native.u8",
    "points": "points.i16",
}
_ABANDONED_S = 24 * 3600  # a build that has not written for a day is dead
Progress = Callable[[int, int], None]


def build_cache(
    dataset: Dataset,
    cases: Sequence[CaseRef],
    folder: Path,
    progress: Progress | None = None,
    workers: int = 1,
) -> None:
    """Preprocess `cases` once into `folder`, or return at once if it is there whole.

    progress: called with (cases done, cases in all); workers: threads that read cases.
    Two processes may build at once: the first to finish is kept, both succeed.
    Raises DataError with all faults of the cases; then nothing is left on disk. Where the
    dataset says skip_unreadable, the cache lists what is wrong with cases instead.
    """
    mark = fingerprint(dataset, cases)
    if _is_whole(folder, mark):
        return
    made = [p for p in (folder.parent, *folder.parent.parents) if not p.exists()]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        building = _new_folder(folder)
        try:
            _write(dataset, cases, building, mark, progress, max(1, workers))
            _publish(building, folder, mark)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    except BaseException as error:
        for parent in made:  # innermost first; another process may have used it by now
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            msg = (
                f"no space left in {folder.parent} for the volumes of {dataset.name!r}: "
                "free some, or choose another folder with --results"
            )
            raise UserError(msg) from error
        raise


def _is_whole(folder: Path, mark: str) -> bool:
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return (
            index["format"] == FORMAT
            and index["fingerprint"] == mark
            and all((folder / n).stat().st_size == s for n, s in index["sizes"].items())
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _new_folder(folder: Path) -> Path:
    """Make a hidden folder beside `folder`. Who may read it is left to the user's umask."""
    new = folder.parent / f".{folder.name}.{uuid4().hex}"
    new.mkdir()
    return new


def _remove_abandoned(folder: Path) -> None:
    """Delete what killed builds of this folder left behind."""
    for old in folder.parent.glob(f".{folder.name}.*"):
        newest = max((p.stat().st_mtime for p in (old, *old.iterdir())), default=0.0)
        if time.time() - newest > _ABANDONED_S:
            shutil.rmtree(old, ignore_errors=True)


def _publish(building: Path, folder: Path, mark: str) -> None:
    """Rename into place; keep what another process has published meanwhile."""
    for _ in range(3):
        try:
            building.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        else:
            return
        if _is_whole(folder, mark):
            return
        # Damaged or of another format: out of the way, then try again.
        aside = _new_folder(folder)
        folder.rename(aside / "damaged")
        shutil.rmtree(aside, ignore_errors=True)
    msg = f"the volume cache {folder} cannot be replaced; delete it and run again"
    raise UserError(msg)


def _write(
    dataset: Dataset,
    cases: Sequence[CaseRef],
    building: Path,
    mark: str,
    progress: Progress | None,
    workers: int,
) -> None:
    entries: list[dict[str, Any]] = []
    faults: dict[str, str] = {}  # by case
    skips = dataset.spec.skip_unreadable
    streams = {kind: (building / name).open("wb") for kind, name in FILES.items()}
    try:
        for done, (ref, result) in enumerate(
            _prepared(dataset, cases, workers), start=1
        ):
            if isinstance(result, DataError):
                faults[ref.case_id] = str(result)
            elif skips or not faults:  # once one is at fault the rest is only checked
                entries.append(_append(streams, ref, result))
            if progress is not None:
                progress(done, len(cases))
        if faults and not (skips and entries):
            raise gathered(dataset.name, [*faults.values()])
        for stream in streams.values():
            stream.flush()
            os.fsync(stream.fileno())
    finally:
        for stream in streams.values():
            stream.close()
    index = {
        "format": FORMAT,
        "fingerprint": mark,
        "channels": len(dataset.spec.channels),
        "dims": dataset.spec.dims,
        "sizes": {name: (building / name).stat().st_size for name in FILES.values()},
        "cases": entries,
        "unreadable": faults,
    }
    with (building / INDEX).open("w", encoding="utf-8") as file:
        json.dump(index, file)
        file.flush()
        os.fsync(file.fileno())


def _prepared(
    dataset: Dataset, cases: Sequence[CaseRef], workers: int
) -> Iterator[tuple[CaseRef, Prepared | DataError]]:
    """Yield the cases in order; at most `workers` + 1 volumes are in memory."""

    def work(ref: CaseRef) -> Prepared | DataError:
        try:
            raw = read_case(dataset, ref)
            return prepare(raw, dataset.spec.preprocess, ref.case_id)
        except DataError as error:
            return error

    if workers == 1:
        for ref in cases:
            yield ref, work(ref)
        return
    with ThreadPoolExecutor(workers) as pool:  # reading and numpy release the lock
        waiting: deque[tuple[CaseRef, Future[Prepared | DataError]]] = deque()
        for ref in cases:
            waiting.append((ref, pool.submit(work, ref)))
            if len(waiting) > workers:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()


def _append(
    streams: Mapping[str, BinaryIO], ref: CaseRef, case: Prepared
) -> dict[str, Any]:
    """Append one case to the files and return its entry of the index."""
    entry: dict[str, Any] = {
        "id": ref.case_id,
        "grid": asdict(case.grid),
        "image": streams["image"].tell() // 2,
        "label": None if case.label is None else streams["label"].tell(),
        "native": None if case.native is None else streams["native"].tell(),
        "points": {},
        "contents": list(case.contents),
    }
    _put(streams["image"], case.image)
    if case.label is not None:
        _put(streams["label"], case.label)
    if case.native is not None:
        _put(streams["native"], case.native)
    for value, places in case.points.items():
        entry["points"][str(value)] = [streams["points"].tell() // 6, len(places)]
        _put(streams["points"], places)
    return entry


def _put(stream: BinaryIO, array: np.ndarray[Any, Any]) -> None:
    stream.write(np.ascontiguousarray(array).data)
