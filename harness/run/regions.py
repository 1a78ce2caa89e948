"""Regions of a corpus, or of a labelled source, that a pretraining is minimised on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..api import Batch, LabelledSource, MethodSettings, SupervisedSettings
from ..schema.errors import DataError
from ..volumes.crops import Crops, CropSampler
from .data import TaskData
from .node import Node

Source = tuple[TaskData, list[str]]  # data, ids of the cases to draw from


class Drawn(NamedTuple):
    """A share of a batch, and the cases of the whole batch."""

    batch: Batch
    ids: tuple[str, ...]


def open_sources(node: Node) -> list[Source]:
    """Open what a pretrain node is trained on."""
    rules = node.identity["data"]
    planned = rules["sources"]
    listed = node.where["cases"]["sources"]
    opened = []
    for source, ids in zip(planned, listed, strict=True):
        data = node.open(str(source["task"]), str(source["fingerprint"]))
        split = "channels" in rules
        if not split and data.cached.channels != node.identity["settings"]["channels"]:
            msg = (
                f"task {data.name!r} has {data.cached.channels} channels, other than the "
                "first source of the corpus: pretrain on sources with equal channels"
            )
            raise DataError(msg)
        found = data.readable(ids["cases"], node.log)
        kept = _kept(data, found, rules)
        if len(kept) < len(found):
            node.log(
                f"{data.name}: {len(kept)} of {len(found)} cases by the corpus's rules"
            )
        opened.append((data, kept))
    opened = [(data, ids) for data, ids in opened if ids]
    if not opened:
        msg = (
            "no volume of the corpus is left by its min_slices and exclude_content: "
            "leave out fewer"
        )
        raise DataError(msg)
    return opened


def _kept(data: TaskData, ids: list[str], rules: Mapping[str, Any]) -> list[str]:
    """Return the ids whose voxels a corpus takes by its rules."""
    fewest = int(rules.get("min_slices", 1))
    excluded = frozenset(rules.get("exclude_content", ()))
    if fewest == 1 and not excluded:
        return ids
    cached = data.cached
    places = {case_id: cached.index_of(case_id) for case_id in ids}
    return [
        case_id
        for case_id, i in places.items()
        if cached.slices(i) >= fewest and excluded.isdisjoint(cached.contents(i))
    ]


class Regions:
    """Draws regions from all sources; every case is equally likely.

    labels: what the labels are that come with them, where the method learns from labels
    (of one source); its SupervisedSettings say how many regions show a structure.
    one_channel: each region is of one channel of its case, drawn anew.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        settings: MethodSettings,
        labels: LabelledSource | None,
        *,
        one_channel: bool = False,
    ) -> None:
        self._sources = sources
        self._labels = labels
        voxels = labels is not None and labels.kind == "segmentation"
        foreground = 0.0
        if voxels and isinstance(settings, SupervisedSettings):
            foreground = settings.foreground
        self._samplers = [
            CropSampler(
                data.cached,
                ids,
                settings.region,
                foreground,
                labels=voxels,
                one_channel=one_channel,
            )
            for data, ids in sources
        ]
        self._shares = torch.tensor([float(len(ids)) for _, ids in sources])
        self.cases = int(self._shares.sum())

    def sample(self, count: int, part: slice, rng: torch.Generator) -> Drawn:
        """Draw `count` regions and return those of `part`, (n, C, *size)."""
        source = torch.multinomial(self._shares, count, replacement=True, generator=rng)
        start, stop, _ = part.indices(count)
        parts: list[Crops] = []
        labels: list[Tensor] = []
        ids: list[str] = []
        first = 0
        for index, sampler in enumerate(self._samplers):
            n = int((source == index).sum())
            if n:
                mine = slice(max(0, start - first), max(0, stop - first))
                parts.append(sampler.sample(n, rng, mine))
                ids += parts[-1].drawn
                if self._labels is not None:
                    labels.append(self._labels_of(index, parts[-1]))
            first += n
        batch = Batch(
            torch.cat([part.images for part in parts]),
            tuple(case_id for part in parts for case_id in part.case_ids),
            torch.cat(labels) if labels else None,
        )
        return Drawn(batch, tuple(ids))

    def _labels_of(self, index: int, crops: Crops) -> Tensor:
        """Return the labels of some regions: of their voxels, or a class for each."""
        if crops.labels is not None:
            return crops.labels
        data, _ = self._sources[index]
        return torch.tensor([data.target(case_id) for case_id in crops.case_ids])


def on_device(batch: Batch, device: torch.device) -> Batch:
    """Return a batch with its tensors on a device."""
    labels = None if batch.labels is None else batch.labels.to(device)
    return Batch(batch.volumes.to(device), batch.case_ids, labels)
