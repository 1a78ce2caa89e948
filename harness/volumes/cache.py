"""Preprocessed volumes of one dataset fingerprint, as memory maps that processes share.

A cache folder holds index.json and flat files of all cases one after another:
images.i16 (steps of 1/32767), labels.u8, native.u8 (labels on the files' own grids,
only of cases that were resampled) and points.i16 (voxels of each structure, for crops).
It is written beside its place and renamed, so that it exists whole or not at all;
readers map it read-only, so any number of processes use one copy in memory. Images are
stored as volumes of one layer and come out with two axes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..schema.errors import DataError, UserError
from .build import FILES, FORMAT, INDEX, build_cache
from .grid import Grid, label_to_cached, to_native, turn_back
from .preprocess import STEPS, to_unit

__all__ = ["STEPS", "CachedDataset", "Native", "build_cache", "open_cache"]


@dataclass(frozen=True)
class Native:
    """The file's own grid: where scores are computed.

    label: uint8 (D, H, W) or (rows, columns) in the file's axis order, or None; spacing:
    mm per voxel along those axes; diagonal_mm: the volume's or image's diagonal, the
    charge for a miss.
    """

    label: npt.NDArray[np.uint8] | None
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    diagonal_mm: float


class CachedDataset:
    """Read-only views of a cache folder. Cheap to open and to send to a process.

    Arrays have three axes (D, H, W), or of a 2-D task two, rows and columns.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = _read_index(folder)
        self.fingerprint: str = index["fingerprint"]
        self.channels: int = index["channels"]
        self.dims: int = index.get("dims", 3)
        # What is wrong with cases that were left out, by their ids.
        self.unreadable: dict[str, str] = index.get("unreadable", {})
        self._cases: list[dict[str, Any]] = index["cases"]
        self.case_ids: tuple[str, ...] = tuple(case["id"] for case in self._cases)
        self._positions = {case_id: i for i, case_id in enumerate(self.case_ids)}

    def __len__(self) -> int:
        return len(self.case_ids)

    def __reduce__(self) -> tuple[Any, ...]:
        return (open_cache, (self.folder,))

    def index_of(self, case_id: str) -> int:
        """Return the position of a case. Raises DataError for an unknown id."""
        try:
            return self._positions[case_id]
        except KeyError:
            msg = self.unreadable.get(case_id) or (
                f"case {case_id!r} is not in the cache {self.folder}"
            )
            raise DataError(msg) from None

    def shape(self, i: int) -> tuple[int, ...]:
        """Return the cached (D, H, W), or (rows, columns), of case `i`."""
        return self.grid(i).shape[: self.dims]

    def spacing(self, i: int) -> tuple[float, ...]:
        """Return mm per cached voxel along each axis of case `i`."""
        return self.grid(i).spacing[: self.dims]

    def image(self, i: int) -> npt.NDArray[np.int16]:
        """Return a read-only view (C, *shape) in stored steps; see `to_unit`."""
        shape = (self.channels, *self.shape(i))
        start: int = self._cases[i]["image"]
        return self._images[start : start + prod(shape)].reshape(shape)

    def label(self, i: int) -> npt.NDArray[np.uint8] | None:
        """Return a read-only view on the cached grid, or None."""
        return self._label_at(self._labels, self._cases[i]["label"], self.shape(i))

    def points(self, i: int) -> dict[int, npt.NDArray[np.int16]]:
        """Return {structure: up to 2048 voxels (n, dims) of it} of those present."""
        return {
            int(value): self._points[3 * start : 3 * (start + count)].reshape(-1, 3)[
                :, : self.dims
            ]
            for value, (start, count) in self._cases[i]["points"].items()
        }

    def slices(self, i: int) -> int:
        """Return the file's voxels along the axis of its widest spacing, or its last."""
        grid = self.grid(i)
        axis = max(range(3), key=lambda k: (grid.native_spacing[k], k))
        return grid.native_shape[axis]

    def contents(self, i: int) -> tuple[str, ...]:
        """Return a digest of each channel's voxels; () in caches of older versions."""
        return tuple(self._cases[i].get("contents", ()))

    @staticmethod
    def to_unit(stored: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
        """Map stored steps to float32 in [0, 1]; the error is at most 1.53e-5."""
        return to_unit(stored)

    def grid(self, i: int) -> Grid:
        """Return how the cached grid of case `i` lies to its file's grid."""
        return self._grids[i]

    def native(self, i: int) -> Native:
        """Return the grid and label of the file of case `i`."""
        grid = self.grid(i)
        start = self._cases[i]["native"]
        shape, spacing = (
            grid.native_shape[: self.dims],
            grid.native_spacing[: self.dims],
        )
        label = self._label_at(self._natives, start, shape)
        cached = self._label_at(self._labels, self._cases[i]["label"], grid.shape)
        if label is None and cached is not None:  # only turned: turning back is exact
            label = np.ascontiguousarray(turn_back(cached, grid)).reshape(shape)
        diagonal = float(np.linalg.norm(np.multiply(shape, spacing)))
        return Native(label, shape, spacing, diagonal)

    def to_native(self, i: int, array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Bring a prediction for case `i` to its file's grid, as a label map.

        array: on the cached grid, labels (*shape) or class scores (K, *shape).
        """
        if self.dims == 3:
            return to_native(array, self.grid(i))
        return to_native(array[..., None], self.grid(i))[..., 0]

    def from_native(
        self, i: int, label: npt.NDArray[np.uint8]
    ) -> npt.NDArray[np.uint8]:
        """Bring a label map of case `i` from its file's grid to the cached one."""
        if self.dims == 3:
            return label_to_cached(label, self.grid(i))
        return label_to_cached(label[..., None], self.grid(i))[..., 0]

    @staticmethod
    def _label_at(
        labels: npt.NDArray[np.uint8], start: int | None, shape: tuple[int, ...]
    ) -> npt.NDArray[np.uint8] | None:
        return (
            None
            if start is None
            else labels[start : start + prod(shape)].reshape(shape)
        )

    @cached_property
    def _grids(self) -> list[Grid]:
        return [
            Grid(**{key: tuple(value) for key, value in case["grid"].items()})
            for case in self._cases
        ]

    @cached_property
    def _images(self) -> npt.NDArray[np.int16]:
        return _map(self.folder / FILES["image"], np.int16)

    @cached_property
    def _labels(self) -> npt.NDArray[np.uint8]:
        return _map(self.folder / FILES["label"], np.uint8)

    @cached_property
    def _natives(self) -> npt.NDArray[np.uint8]:
        return _map(self.folder / FILES["native"], np.uint8)

    @cached_property
    def _points(self) -> npt.NDArray[np.int16]:
        return _map(self.folder / FILES["points"], np.int16)


def open_cache(folder: Path) -> CachedDataset:
    """Open a cache folder. Raises DataError if it is missing or damaged."""
    return CachedDataset(folder)


def contents_of(folder: Path) -> dict[str, frozenset[str]] | None:
    """Return the digests of each case's channels; None where there is no cache.

    Of a cache that an older version wrote, cases have none.
    """
    try:
        index = _read_index(folder)
    except DataError:
        return None
    return {case["id"]: frozenset(case.get("contents", ())) for case in index["cases"]}


def _map(path: Path, dtype: type[Any]) -> npt.NDArray[Any]:
    if path.stat().st_size == 0:  # an empty file cannot be mapped
        return np.empty(0, dtype=dtype)
    return np.asarray(np.memmap(path, dtype=dtype, mode="r"))


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX
    try:
        index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if index["format"] > FORMAT:
            msg = f"{path} was written by a newer version of the harness; update it"
            raise UserError(msg)
        sizes: dict[str, int] = index["sizes"]
        whole = index["format"] == FORMAT and _sizes(folder, list(sizes)) == sizes
    except FileNotFoundError:
        msg = (
            f"there is no volume cache in {folder}; run the benchmark again to build it"
        )
        raise DataError(msg) from None
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        msg = f"the volume cache {folder} is damaged; delete this folder and run again"
        raise DataError(msg)
    return index


def _sizes(folder: Path, names: Sequence[str]) -> dict[str, int]:
    return {name: (folder / name).stat().st_size for name in names}
