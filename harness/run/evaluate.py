"""An evaluate node: a model's predictions of the test cases, scored case by case."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..metrics import regions
from ..metrics.overlap import dice
from ..metrics.surface import hd95
from ..schema.scores import Score
from ..schema.task import TaskSpec
from ..store.tables import build, write_table
from ..volumes.cache import Native
from ..volumes.save import save_segmentation
from .adapt.implementation import implementation
from .adapt.predict import ADAPT
from .data import TaskData
from .keep import keep_of
from .node import Node
from .predictor import Labels, Predictor
from .slices import planes_of, shown_cases, worst_cases, write_slices

_Metric = Callable[[Labels, Labels, int, Native], list[Score]]
_METRICS: dict[str, _Metric] = {
    "dice": lambda pred, truth, classes, _: dice(pred, truth, classes),
    "hd95": lambda pred, truth, classes, native: hd95(
        pred, truth, classes, native.spacing
    ),
}


def evaluate(node: Node) -> None:
    """Compute an evaluate node into its attempt's folder.

    Segmentation: cases.parquet and slices.npz. Classification: predictions.parquet, of
    validation cases too, since thresholds are chosen there.
    """
    data = node.data()
    adapt = node.store.spec(str(node.identity["inputs"][ADAPT]))
    name = str(adapt["identity"]["implementation"])
    own = implementation(name)
    predictor = own.predictor(node, data)
    node.log(f"evaluating {len(node.where['cases']['test'])} test cases")
    if data.spec.kind == "segmentation":
        _segmentation(node, data, predictor)
    else:
        _classification(node, data, predictor)
    own.keeps(node, data, predictor)


def _segmentation(node: Node, data: TaskData, predictor: Predictor) -> None:
    settings = node.identity["settings"]
    ids = data.check(node.where["cases"]["test"])
    rows: list[dict[str, Any]] = []
    kept: dict[str, Labels] = {}
    chosen = shown_cases(ids)
    means: dict[str, float] = {}
    for case_id in ids:
        small, native_pred = predictor.labels(case_id)
        if keep_of(node).predictions:
            _save(node, data, case_id, native_pred)
        found = _score(node, data, case_id, native_pred, settings["metrics"])
        rows += found
        values = [row["value"] for row in found if row["metric"] == "dice"]
        means[case_id] = float(np.mean([v for v in values if v is not None] or [1.0]))
        kept[case_id] = small
        _forget(kept, means, chosen)
    write_table(
        node.attempt.path("cases.parquet"),
        build("cases", {name: [row[name] for row in rows] for name in rows[0]}),
    )
    worst = worst_cases(means, chosen)
    planes = {
        case_id: planes_of(*_layers(data, case_id, kept[case_id]))
        for case_id in [*chosen, *worst]
    }
    write_slices(node.attempt.path("slices.npz"), planes, worst)


def _save(node: Node, data: TaskData, case_id: str, pred: Labels) -> None:
    """Write a prediction below predictions/, under the case's number and id."""
    plain = re.sub(
        r"[^A-Za-z0-9-]+", "-", case_id
    )  # a path may say more than a file can
    images = data.refs[case_id].images
    like = data.dataset.place / images[0] if images else None
    number = node.where["cases"]["test"].index(case_id)
    name = f"{number:05d}_{plain}"
    folder = node.attempt.path(f"predictions/{name}").parent
    affine = data.raw(case_id).affine
    save_segmentation(folder, name, pred, tuple(data.spec.regions), affine, like)


def _forget(
    kept: dict[str, Labels], means: Mapping[str, float], chosen: Sequence[str]
) -> None:
    """Drop predictions that will not be shown: memory must not grow with cases."""
    needed = {*chosen, *worst_cases(means, chosen)}
    for case_id in set(kept) - needed:
        del kept[case_id]


def _score(
    node: Node,
    data: TaskData,
    case_id: str,
    pred: Labels,
    metrics: Sequence[str],
) -> list[dict[str, Any]]:
    """Return the rows of one case for cases.parquet, in the order of `scored`."""
    native = data.cached.native(data.cached.index_of(case_id))
    assert native.label is not None  # listing and cache have checked it
    rows = []
    for metric in metrics:
        scores = _scores(_METRICS[metric], data.spec, pred, native.label, native)
        for structure, score in zip(data.spec.scored, scores, strict=True):
            rows.append(
                {
                    "key": node.key,
                    "case_id": case_id,
                    "group_id": data.refs[case_id].group_id,
                    "structure": structure,
                    "metric": metric,
                    "value": score.value,
                    "reason": score.reason,
                    "diagonal_mm": native.diagonal_mm,
                }
            )
    return rows


def _scores(
    metric: _Metric, spec: TaskSpec, pred: Labels, truth: Labels, native: Native
) -> list[Score]:
    if not spec.regions:
        return metric(pred, truth, spec.classes, native)
    found = regions.masks(truth, spec.region_values)
    return regions.each(lambda p, t: metric(p, t, 2, native), pred, found)


def _layers(
    data: TaskData, case_id: str, pred: Labels
) -> tuple[Labels, Labels, Labels]:
    """Return image (its first channel, 0 to 255), truth and prediction of a case."""
    index = data.cached.index_of(case_id)
    truth = data.cached.label(index)
    assert truth is not None  # listing and cache have checked it
    unit = data.cached.to_unit(data.cached.image(index)[0])
    image = np.rint(unit * 255).astype(np.uint8)
    if not data.spec.regions:
        return image, np.asarray(truth), pred
    wanted = regions.masks(truth, data.spec.region_values)
    return image, regions.painted(wanted), regions.painted(pred)


def _classification(node: Node, data: TaskData, predictor: Predictor) -> None:
    rows: list[dict[str, Any]] = []
    for side in ("val", "test"):
        ids = data.check(node.where["cases"][side])
        if not ids:
            continue
        for case_id, scores in zip(ids, predictor.class_scores(ids), strict=True):
            rows.append(
                {
                    "key": node.key,
                    "split": side,
                    "case_id": case_id,
                    "group_id": data.refs[case_id].group_id,
                    "y_true": data.target(case_id),
                    "scores": scores.tolist(),
                }
            )
    write_table(
        node.attempt.path("predictions.parquet"),
        build("predictions", {name: [row[name] for row in rows] for name in rows[0]}),
    )
