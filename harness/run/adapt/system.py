"""A self-contained system: it trains by itself, on the same cases as every method.

What is large or unfinished lies in the node's folder of checkpoints, where the next
attempt finds it, and is removed with it once the node is published. The model that is
published is the system's own, so that an evaluation needs this node alone.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...api import Machine, System, SystemTraining
from ...registry.methods import load_method
from ...schema.errors import DataError
from ...schema.training import TrainingOptions
from ...store.durable import write_bytes
from ...store.records import CHECKPOINTS
from .. import interrupts
from ..checkpoint import read_json, write_json
from ..curves import Curves
from ..data import TaskData
from ..node import Node
from ..predictor import Labels
from .implementation import Implementation
from .predict import ADAPT

MODEL = "model.json"
_CURVES = "curves.json"  # of a training under way, in its draft


def load_system(content: Sequence[str], stem: str, settings: Any) -> System:
    """Return the system of methods/<stem>.py with resolved settings."""
    kind = load_method(content, stem)
    if not issubclass(kind, System):
        msg = f"methods/{stem}.py has the role system and must extend System"
        raise DataError(msg)
    return kind(kind.Settings.model_validate(settings))


def adapt(node: Node) -> None:
    """Compute a system's adapt node: its model, model.json and curves.parquet."""
    data = node.data()
    cases = node.where["cases"]
    train, val = (tuple(data.check(cases[side])) for side in ("train", "val"))
    settings = node.identity["settings"]
    system = load_system(node.where["content"], node.stem, settings["system"])
    draft = _draft(node)
    curves = Curves(node.key, steps=1, per_epoch=1.0)

    def saved() -> None:
        with suppress(OSError):  # as every checkpoint: the training goes on without
            state = json.dumps(curves.state()).encode()
            write_bytes(draft / _CURVES, state)
        interrupts.progress.made = True

    def begins(per_epoch: float, step: int) -> None:
        curves.per_epoch = per_epoch
        if step == 0:
            return
        node.log(f"resumed at step {step}")
        node.attempt.note(resumed_at=step)
        with suppress(OSError, ValueError, KeyError):
            curves.restore(json.loads((draft / _CURVES).read_bytes()))

    node.log(f"{node.stem} trains on {len(train)} cases")
    measured = system.fit(
        SystemTraining(
            spec=data.spec,
            read=data.raw,
            train=train,
            val=val,
            seed=int(node.identity["seeds"]["adapt"]),
            machine=_machine(node),
            draft=draft,
            model=node.attempt.path(MODEL).parent,
            options=TrainingOptions.model_validate(node.where.get("training", {})),
            say=node.log,
            curve=curves.put,
            saved=saved,
            begins=begins,
        )
    )
    node.attempt.note(n_train=len(train), **measured)
    curves.write(node.attempt.path("curves.parquet"))
    about = {
        "key": node.key,
        "system": node.stem,
        "settings": settings,
        "channels": node.where["tasks"][node.task]["channels"],
    }
    write_json(node.attempt.path(MODEL), about)


def _machine(node: Node) -> Machine:
    return Machine(node.device, torch.get_num_threads(), node.attempt.log)


def _draft(node: Node) -> Path:
    """Return this attempt's folder, with what an earlier one has left in it.

    It is renamed: should the earlier one still live, it fails and disturbs nobody.
    """
    folder = node.folder / CHECKPOINTS
    folder.mkdir(parents=True, exist_ok=True)
    mine = folder / f"draft-{node.attempt.id}"
    for old in sorted(folder.glob("draft-*"), reverse=True):
        with suppress(OSError):
            if mine.exists():
                shutil.rmtree(old)
            else:
                old.rename(mine)
    mine.mkdir(exist_ok=True)
    return mine


class SystemPredictor:
    """The model of a system's adapt node, on the device of an evaluate node."""

    def __init__(self, node: Node, data: TaskData) -> None:
        path = node.store.file(str(node.identity["inputs"][ADAPT]), MODEL)
        about = read_json(path)
        settings = about["settings"]["system"]
        system = load_system(node.where["content"], about["system"], settings)
        self._data = data
        folder = tempfile.TemporaryDirectory(prefix="harness-system-")
        opened = system.segmenter(path.parent, Path(folder.name), _machine(node))
        self._segmenter = opened
        # Whoever drops the predictor ends the child process, and then its folder.
        weakref.finalize(self, folder.cleanup)
        weakref.finalize(self, opened.close)

    def class_scores(self, ids: Sequence[str]) -> Tensor:
        """Raise TypeError: systems segment."""
        msg = f"a system segments, so there are no scores of {len(ids)} cases"
        raise TypeError(msg)

    def labels(self, case_id: str) -> tuple[Labels, Labels]:
        """See Predictor."""
        native = self._segmenter.labels(self._data.raw(case_id))
        cached = self._data.cached
        index = cached.index_of(case_id)
        if not self._data.spec.regions:
            return cached.from_native(index, native), native
        return np.stack([cached.from_native(index, mask) for mask in native]), native


IMPLEMENTATION = Implementation(adapt, SystemPredictor, shared=False)
