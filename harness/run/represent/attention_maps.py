"""Analysis `attention_maps`: where the class token looks, and whether masks lie there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...metrics.maps import auc_inside, top_inside, top_weights
from ...schema.analyses import AttentionMaps
from ...schema.task import TaskSpec
from ..data import TaskData
from ..measured import Measured, write_features
from ..networks import Adapted
from ..node import Node
from .class_maps import maps_of
from .networks import Crop, after, batches, before, settings_of, shape_of

Maps = npt.NDArray[np.float32]  # (maps, *sides) of one crop, the mean over heads first
Mask = npt.NDArray[np.bool_]
State = Literal["before", "after"]
Labels = npt.NDArray[np.uint8]
SCORES = ("attention_auc", "attention_top_inside", "attention_top_mass")
OF_MASKS = SCORES[:2]


def analyse(node: Node) -> None:
    """Write features.parquet, and attention_maps.npz: scores by case, and slices.

    attention_maps.npz: `cases` (n,); `inside` (n,), the mask's share of the crop, nan
    without a mask; STATE.SCORE (n, maps), the mean over heads first, then each head, nan
    where undefined; `structures` (S,), what the task is scored on, with
    `inside.structures` and STATE.SCORE.structures (n, S), of the mean over heads; of the
    first cases I_AXIS_image, I_AXIS_mask and STATE.I_AXIS, the slices across an axis,
    8 bit, but maps in 16-bit floats, 1 being even attention.

    Raises DataError.
    """
    settings, sides = settings_of(node), shape_of(node).crop
    assert isinstance(settings, AttentionMaps)
    data = node.data()
    ids = data.check(node.where["cases"]["test"])
    crops = crops_about_structures(data, ids, sides, settings.samples)
    labels = [label_of(data, crop, sides) for crop in crops]
    masks = [None if label is None else label > 0 for label in labels]
    inside = [np.nan if m is None else float(m.mean()) for m in masks]
    structures = structures_of(data.spec)
    parts = [structure_masks(label, structures) for label in labels]
    arrays: dict[str, Any] = {
        "cases": np.array([crop.case_id for crop in crops], dtype=np.str_),
        "inside": np.array(inside),
        "structures": np.array(list(structures), dtype=np.str_),
        "inside.structures": np.array([[m.mean() for m in some] for some in parts]),
    }
    rows: list[Measured] = []
    planes: list[tuple[int, ...]] = []
    networks: dict[State, Adapted] = {"before": before(node), "after": after(node)}
    for state, network in networks.items():
        scores, of_parts, place = [], [], 0
        for x in batches(node, data, crops, sides, settings.batch):
            found = maps_of(
                network, x, block=settings.block, rollout=settings.of == "rollout"
            ).cpu().numpy()  # fmt: skip
            for image, maps in zip(x[:, 0].cpu().numpy(), found, strict=True):
                scores.append(scores_of(maps, masks[place]))
                of_parts.append([_of_mean(maps, mask) for mask in parts[place]])
                if place < settings.pictures:
                    if state == "before":  # both states are cut in the same places
                        planes.append(planes_of(maps[0], masks[place]))
                    arrays |= slices_of(
                        state, place, planes[place], image, maps[0], masks[place]
                    )
                place += 1
        table = np.array(scores)  # (n, scores, maps)
        for number, name in enumerate(SCORES):
            arrays[f"{state}.{name}"] = table[:, number]
            rows += _rows(state, name, table[:, number])
        by_part = np.array(of_parts).reshape(len(crops), len(structures), len(OF_MASKS))
        for number, name in enumerate(OF_MASKS):
            arrays[f"{state}.{name}.structures"] = by_part[..., number]
            rows += _rows_of_structures(state, name, by_part[..., number], structures)
    known = [share for share in inside if not np.isnan(share)]
    if known:
        mean = float(np.mean(known))
        rows.append(Measured("mask", "attention_chance", mean, len(known)))
    write_features(node, rows)
    np.savez_compressed(node.attempt.path("attention_maps.npz"), **arrays)


def crops_about_structures(
    data: TaskData, ids: Sequence[str], sides: Sequence[int], count: int
) -> list[Crop]:
    """Return one crop of each of at most `count` cases, the same for every network.

    The first by a hash of their ids; in the middle of what is labelled, or of the volume
    where nothing is.
    """
    found = []
    for case_id in sorted(ids, key=lambda one: sha256(one.encode()).digest())[:count]:
        index = data.cached.index_of(case_id)
        size, label = data.cached.shape(index), data.cached.label(index)
        middle = [(n - 1) / 2 for n in size]
        if label is not None and label.any():
            middle = [float(axis.mean()) for axis in np.nonzero(label)]
        start = tuple(
            int(np.clip(round(at - (side - 1) / 2), 0, max(0, n - side)))
            for at, side, n in zip(middle, sides, size, strict=True)
        )
        found.append(Crop(case_id, start))
    return found


def label_of(data: TaskData, crop: Crop, sides: Sequence[int]) -> Labels | None:
    """Return the label values of a crop, 0 where it is padded; None without labels."""
    label = data.cached.label(data.cached.index_of(crop.case_id))
    if label is None:
        return None
    box = tuple(
        slice(at, at + side) for at, side in zip(crop.start, sides, strict=True)
    )
    part = label[box]
    whole = np.zeros(tuple(sides), dtype=np.uint8)
    whole[tuple(slice(n) for n in part.shape)] = part
    return whole


def structures_of(spec: TaskSpec) -> dict[str, tuple[int, ...]]:
    """Return the label values of each structure or region that a task is scored on."""
    if spec.regions:
        return dict(zip(spec.scored, spec.region_values, strict=True))
    return {name: (spec.structures[name],) for name in spec.scored}


def structure_masks(
    label: Labels | None, structures: Mapping[str, Sequence[int]]
) -> list[Mask]:
    """Return where each structure is; an empty mask each for a crop without labels."""
    if label is None:
        return [np.zeros(1, dtype=np.bool_) for _ in structures]
    return [np.isin(label, list(values)) for values in structures.values()]


def _of_mean(maps: Maps, mask: Mask) -> list[float]:
    """Return OF_MASKS of the mean map, nan where a structure is not in the crop."""
    found = scores_of(maps[:1], mask if mask.any() else None)
    return [score[0] for score in found[: len(OF_MASKS)]]


def scores_of(maps: Maps, mask: Mask | None) -> list[list[float]]:
    """Return each of SCORES for each map, nan where undefined."""
    found = [
        (
            None if mask is None else auc_inside(one, mask),
            None if mask is None else top_inside(one, mask),
            float((top_weights(one) * one).sum() / one.sum()),
        )
        for one in maps
    ]
    return [
        [np.nan if value is None else value for value in column]
        for column in zip(*found, strict=True)
    ]


def _rows(state: State, name: str, values: npt.NDArray[np.float64]) -> list[Measured]:
    """Return means over cases of each map (columns), n being the cases that count."""
    rows = []
    for number, column in enumerate(values.T):
        known = column[~np.isnan(column)]
        if len(known):
            which = f"head{number}" if number else "mean"
            mean = float(known.mean())
            rows.append(Measured(f"{state}.{which}", name, mean, len(known)))
    return rows


def _rows_of_structures(
    state: State,
    name: str,
    values: npt.NDArray[np.float64],
    structures: Iterable[str],
) -> Iterator[Measured]:
    """Yield means over cases of each structure (columns), n being those that have it."""
    for structure, column in zip(structures, values.T, strict=True):
        known = column[~np.isnan(column)]
        if len(known):
            layer = f"{state}.mean.{structure}"
            yield Measured(layer, name, float(known.mean()), len(known))


def planes_of(values: Maps, mask: Mask | None) -> tuple[int, ...]:
    """Return where to cut each axis: the mask's centre of mass, else the map's highest."""
    if mask is not None and mask.any():
        return tuple(round(float(axis.mean())) for axis in np.nonzero(mask))
    highest = np.unravel_index(int(values.argmax()), values.shape)
    return tuple(int(at) for at in highest)


def slices_of(
    state: State, place: int, planes: Sequence[int], image: Maps, values: Maps,
    mask: Mask | None,
) -> dict[str, npt.NDArray[Any]]:  # fmt: skip
    """Return the slices of a case across each axis, an image itself under axis 0."""
    found: dict[str, npt.NDArray[Any]] = {}
    axes = range(len(planes)) if len(planes) == 3 else (0,)
    for axis in axes:
        name = f"{place}_{axis}"

        def cut(whole: Any, axis: int = axis) -> Any:
            return whole if len(planes) == 2 else np.take(whole, planes[axis], axis)

        relative = cut(values) / values.mean()
        found[f"{state}.{name}"] = relative.astype(np.float16)
        found[f"{name}_image"] = np.rint(cut(image).clip(0, 1) * 255).astype(np.uint8)
        if mask is not None:
            found[f"{name}_mask"] = cut(mask).astype(np.uint8)
    return found
