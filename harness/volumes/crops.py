"""Random crops of cached volumes, cut from the memory maps in this process.

No loader processes: cutting a 32^3 crop takes less time than sending it to another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..schema.errors import DataError
from .cache import STEPS, CachedDataset


@dataclass(frozen=True)
class Crops:
    """images: float32 (n, C, *size) in [0, 1]; labels: uint8 (n, *size), or None.

    case_ids: of these crops; drawn: of all crops of the draw that they are a part of.
    """

    images: Tensor
    labels: Tensor | None
    case_ids: tuple[str, ...]
    drawn: tuple[str, ...]


class CropSampler:
    """Draw crops of one size from some cases of a cache, with replacement.

    ids: cases to draw from, as likely as `weights` says, else each equally. foreground:
    probability that a crop is centred near a voxel of a structure, each structure of the
    case equally likely; the others lie anywhere inside. A volume smaller than `size` is
    padded with 0 on both sides. labels=False spares reading label maps. one_channel: a
    crop is of one channel of its case, each equally likely.
    """

    def __init__(
        self,
        cached: CachedDataset,
        ids: Sequence[str],
        size: Sequence[int],
        foreground: float = 0.0,
        *,
        labels: bool = True,
        one_channel: bool = False,
        weights: Sequence[float] | None = None,
    ) -> None:
        if not ids:
            msg = "crops need at least one case"
            raise DataError(msg)
        if len(size) != cached.dims:
            msg = (
                f"a crop of {len(size)} sides cannot be cut from {cached.dims}-D cases"
            )
            raise DataError(msg)
        self.size = tuple(size)
        self.foreground = foreground
        self.one_channel = one_channel
        self._ids = tuple(ids)
        sums = None if weights is None else np.cumsum(weights)
        self._shares = None if sums is None else sums / sums[-1]
        positions = [cached.index_of(case_id) for case_id in ids]
        self._images = [cached.image(i) for i in positions]
        found = [cached.label(i) for i in positions] if labels else []
        self._labels = [label for label in found if label is not None]
        if self._labels and len(self._labels) < len(found):
            msg = "some of these cases have labels and some have none"
            raise DataError(msg)
        self._points = [
            list(cached.points(i).values()) if foreground > 0 else [] for i in positions
        ]

    def sample(self, n: int, rng: torch.Generator, part: slice = slice(None)) -> Crops:
        """Draw `n` crops and return them, or a part of them, on the CPU.

        The draw depends on nothing but `rng`, a CPU generator, which advances by the
        same amount whatever is drawn. part: which of the n are cut; the others cost
        nothing.
        """
        count = 4 + len(self.size) + self.one_channel  # decisions of a crop
        draws = torch.rand((n, count), generator=rng, dtype=torch.float64).numpy()
        chosen = self._cases(draws[:, 0])
        drawn = tuple(self._ids[i] for i in chosen)
        draws, chosen, n = draws[part], chosen[part], len(drawn[part])
        # Empty, not zeros, and scaled while copying: memory traffic is what crops cost.
        channels = 1 if self.one_channel else self._images[0].shape[0]
        images = np.empty((n, channels, *self.size), dtype=np.float32)
        labels = np.zeros((n, *self.size), dtype=np.uint8) if self._labels else None
        for k, i in enumerate(chosen):
            volume = self._images[i]
            if self.one_channel:
                channel = int(draws[k, -1] * len(volume))
                volume = volume[channel : channel + 1]
            source, there = self._place(i, volume.shape[1:], draws[k])
            out = images[k][(slice(None), *there)]
            if out.size < images[k].size:
                images[k] = 0
            np.divide(volume[(slice(None), *source)], np.float32(STEPS), out=out)
            if labels is not None:
                labels[k][there] = self._labels[i][source]
        return Crops(
            torch.from_numpy(images),
            None if labels is None else torch.from_numpy(labels),
            drawn[part],
            drawn,
        )

    def _cases(self, draws: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Return which case each draw, in [0, 1), stands for."""
        if self._shares is not None:
            found: npt.NDArray[np.int64] = self._shares.searchsorted(
                draws, side="right"
            )
            return found
        found = np.minimum((draws * len(self._ids)).astype(int), len(self._ids) - 1)
        return found

    def _place(
        self, i: int, shape: Sequence[int], draw: npt.NDArray[np.float64]
    ) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Return what to cut from the volume and where it goes in the crop."""
        centre = None
        if draw[1] < self.foreground and self._points[i]:
            structures = self._points[i]
            voxels = structures[int(draw[2] * len(structures))]
            centre = voxels[int(draw[3] * len(voxels))]
        source, there = [], []
        for axis, (have, want) in enumerate(zip(shape, self.size, strict=True)):
            room = max(0, have - want)
            if centre is None:
                start = int(draw[4 + axis] * (room + 1))
            else:  # the voxel falls within the middle half of the crop
                shift = int((draw[4 + axis] - 0.5) * (want // 2))
                start = min(max(int(centre[axis]) - want // 2 + shift, 0), room)
            pad = max(0, want - have) // 2
            taken = min(have, want)
            source.append(slice(start, start + taken))
            there.append(slice(pad, pad + taken))
        return tuple(source), tuple(there)
