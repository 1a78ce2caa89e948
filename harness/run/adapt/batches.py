"""Labelled batches of a fine-tuning: crops from the subset, augmented on the device."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import torch
from torch import Tensor

from ...nn.draws import my_rows, rows
from ...schema.protocols import Finetune
from ...volumes.augment import augment
from ...volumes.crops import CropSampler
from ...volumes.grid import SAME_SPACING
from ..data import TaskData
from ..node import Node
from ..streams import Streams


class Batches:
    """Draws batches with replacement, so that any budget fills any batch.

    Segmentation: a share of the crops is centred on a structure; labels are voxels.
    Classification: crops lie anywhere in the volume; labels are the cases' classes, each
    as likely as the others where the protocol is `balanced`.
    """

    def __init__(
        self,
        data: TaskData,
        ids: list[str],
        crop: tuple[int, ...],
        protocol: Finetune,
        streams: Streams,
        device: torch.device,
    ) -> None:
        self._voxels = data.spec.kind == "segmentation"
        self._data, self._protocol, self._device = data, protocol, device
        self._sampler = CropSampler(
            data.cached, ids, crop, protocol.foreground if self._voxels else 0.0,
            labels=self._voxels,
            weights=_balancing(data, ids) if protocol.balanced else None,
        )  # fmt: skip
        self._spacing = _least_equal(data, ids)
        self.generators = {
            "order": streams.rng("order"),
            "augmentation": streams.rng("augmentation", device),
        }

    def draw(self) -> tuple[Tensor, Tensor, tuple[str, ...]]:
        """Return a share of the next batch, and the case ids of the whole of it.

        Images (B, C, *crop); labels (B, *crop) or (B,).
        """
        cfg = self._protocol
        crops = self._sampler.sample(cfg.batch, self.generators["order"], my_rows())
        labels = crops.labels if self._voxels else None
        images, labels = augment(
            crops.images.to(self._device),
            None if labels is None else labels.to(self._device),
            self.generators["augmentation"],
            flip=cfg.flip, rotate=cfg.rotate, scale_shift=cfg.scale_shift,
            spacing=self._spacing, rows=rows,
        )  # fmt: skip
        if labels is None:
            classes = [self._data.target(case_id) for case_id in crops.case_ids]
            labels = torch.tensor(classes, device=self._device)
        return images, labels, crops.drawn


def _balancing(data: TaskData, ids: list[str]) -> list[float]:
    """Return weights of cases with which every class that is there is drawn equally."""
    classes = [data.target(case_id) for case_id in ids]
    counts = Counter(classes)
    return [1 / counts[each] for each in classes]


def _least_equal(data: TaskData, ids: list[str]) -> tuple[float, ...]:
    """Return the spacing of the case that allows quarter turns in fewest planes."""

    def unequal(spacing: tuple[float, ...]) -> int:
        return sum(abs(a / b - 1) >= SAME_SPACING for a, b in combinations(spacing, 2))

    found = {data.cached.spacing(data.cached.index_of(case_id)) for case_id in ids}
    return max(sorted(found), key=unequal)


def case_image(data: TaskData, case_id: str, node: Node) -> Tensor:
    """Return a whole volume (C, D, H, W), or image, in [0, 1] on the node's device."""
    stored = data.cached.image(data.cached.index_of(case_id))
    return torch.from_numpy(data.cached.to_unit(stored)).to(node.device)
