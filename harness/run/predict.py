"""The model of a published cell on images that no task lists.

The images are read, checked and preprocessed as the task's own were, all of them before
the first is predicted; what a cell's evaluation predicts with predicts here.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch

from ..schema.cases import CaseRef
from ..schema.errors import UserError
from ..schema.task import TaskSpec
from ..store import Store
from ..volumes.cache import build_cache, open_cache
from ..volumes.dataset import Dataset
from ..volumes.folder import open_folder
from ..volumes.save import save_segmentation
from .adapt.implementation import implementation
from .adapt.predict import ADAPT
from .cores import allowed_cores
from .data import TaskData
from .node import Node
from .predictor import Predictor
from .ranks import Bystander, device

ABOUT = "about.json"
SCORES = "scores.csv"
Progress = Callable[[int, int], None]


class _Visit(Bystander):
    """Stands for an attempt where nothing is published; logs into a folder."""

    def __init__(self, folder: Path) -> None:
        self.id, self._folder = "predict", folder

    @property
    def log(self) -> Path:
        """Where a child process of a system prints."""
        return self._folder / "log.txt"

    def path(self, name: str) -> Path:
        """Return where a file may be written that is not kept."""
        return self._folder / name


def predict(
    store: Store,
    key: str,
    images: Path,
    out: Path,
    *,
    reading: Progress | None = None,
    predicting: Progress | None = None,
) -> list[str]:
    """Predict every image of a folder; return the names of what was written in `out`.

    reading, predicting: called with what is done and all there is; key: of the cell's
    evaluation, which need not be published, as its adaptation must
    be. Segmentations: CASE.nii.gz with the values of about.json, or one mask for each
    region, CASE_REGION.nii.gz (PNG for 2-D). Classifications: scores.csv. Raises
    UserError, having written nothing, for a model that is not there, an image that
    cannot be used and a folder `out` that is not empty.
    """
    torch.set_num_threads(allowed_cores())
    spec = store.spec(key)
    adapt = str(spec["identity"]["inputs"][ADAPT])
    _check_model(store, adapt)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        msg = f"{out} exists and is not empty: name a new folder for the predictions"
        raise UserError(msg)
    task = TaskSpec.model_validate(spec["where"]["tasks"][spec["labels"]["task"]])
    dataset, cases = open_folder(images, task)
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    draft = out.absolute().parent / f".{out.name}.{uuid4().hex[:8]}"
    draft.mkdir()
    try:
        data = _prepared(task, dataset, cases, draft / "cache", reading)
        node = Node(store, spec, _Visit(draft), device())
        name = str(store.spec(adapt)["identity"]["implementation"])
        predictor = implementation(name).predictor(node, data)
        found = draft / "found"
        found.mkdir()
        write = _segment if task.kind == "segmentation" else _classify
        names = write(found, data, predictor, predicting)
        del predictor  # before its folder goes
        _write_about(found, spec, adapt, task)
        if out.exists():
            out.rmdir()
        found.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return [*names, ABOUT]


def _check_model(store: Store, adapt: str) -> None:
    """Raise UserError unless the weights of a cell are there."""
    manifest = store.manifest(adapt)
    if manifest is not None and "model.safetensors" in manifest.removed:
        msg = (
            f"the weights of {adapt[:16]} were not kept: set 'keep: {{adapt: best}}' in "
            "the benchmark file, and run the cell anew in another results folder"
        )
        raise UserError(msg)
    store.file(adapt, "model.json")


def _prepared(
    task: TaskSpec,
    dataset: Dataset,
    cases: list[CaseRef],
    folder: Path,
    reading: Progress | None,
) -> TaskData:
    build_cache(dataset, cases, folder, reading, workers=min(4, allowed_cores()))
    refs = {ref.case_id: ref for ref in cases}
    return TaskData(dataset.name, task, open_cache(folder), refs, dataset)


def _segment(
    folder: Path, data: TaskData, predictor: Predictor, progress: Progress | None
) -> list[str]:
    written = []
    for number, (case_id, ref) in enumerate(data.refs.items(), start=1):
        _, native = predictor.labels(case_id)
        paths = save_segmentation(
            folder, case_id, native, tuple(data.spec.regions), data.raw(case_id).affine,
            data.dataset.place / ref.images[0],
        )  # fmt: skip
        written += [path.name for path in paths]
        if progress is not None:
            progress(number, len(data.refs))
    return written


def _classify(
    folder: Path, data: TaskData, predictor: Predictor, progress: Progress | None
) -> list[str]:
    assert data.spec.target is not None
    ids = list(data.refs)
    scores = predictor.class_scores(ids)
    classes = data.spec.target.classes
    with (folder / SCORES).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["case", "class", *(f"score_{name}" for name in classes)])
        for case_id, row in zip(ids, scores.tolist(), strict=True):
            best = classes[row.index(max(row))]
            table.writerow([case_id, best, *(f"{value:.6f}" for value in row)])
    if progress is not None:
        progress(len(ids), len(ids))
    return [SCORES]


def _write_about(
    folder: Path, spec: Mapping[str, Any], adapt: str, task: TaskSpec
) -> None:
    labels = spec["labels"]
    about: dict[str, Any] = {
        "model": adapt,
        "cell": {
            name: labels.get(name)
            for name in ("method", "encoder", "task", "protocol", "label_budget",
                         "fold", "seed", "pretraining_seed")
        },
    }  # fmt: skip
    if task.regions:
        about["regions"] = list(task.scored)
    elif task.structures:
        about["structures"] = task.structures
    text = json.dumps(about, indent=1) + "\n"
    (folder / ABOUT).write_text(text, encoding="utf-8")
