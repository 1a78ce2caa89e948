"""Tasks over made-up folders, and what their listings say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.schema.errors import DataError
from harness.volumes.formats import list_cases, open_dataset

CSV = {"kind": "csv", "folder": "made"}
NPZ = {"kind": "medmnist", "file": "made.npz"}
RAW = {"kind": "nnunet", "folder": "made"}
PAIR = {"dims": 2, "channels": ["t1", "t2"], "crop": {"tiny": [8, 8]},
        "structures": {"all": 1}}  # fmt: skip
GRADES = {"name": "grade", "classes": ["benign", "malignant"]}


def classed(make_spec, cases, form, **changes):
    base = {
        "kind": "classification", "structures": {}, "metrics": ["auc"],
        "target": GRADES, "dims": 2, "crop": {"tiny": [8, 8]},
    }  # fmt: skip
    return make_spec(cases, format=form, **{**base, **changes})


def picture(path: Path, value=100, colour=False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((9, 7, 3) if colour else (9, 7), value, np.uint8)
    pixels[0, 0] = 0
    Image.fromarray(pixels).save(path)


def listed(root, spec):
    dataset = open_dataset("made", spec, [root])
    return dataset, list_cases(dataset)


def fault(root, spec) -> str:
    with pytest.raises(DataError) as caught:
        listed(root, spec)
    return str(caught.value)


def bare(make_spec, cases, form, **changes):
    base = {
        "kind": "unlabelled",
        "structures": {},
        "metrics": [],
        "crop": {},
        "dims": 2,
    }
    return make_spec(cases, format=form, **{**base, **changes})


def write_npz(root, shape=(28, 28), labels=1, **changes):
    rng = np.random.default_rng(0)
    arrays = {}
    for side, count in (("train", 5), ("val", 2), ("test", 3)):
        arrays[f"{side}_images"] = rng.integers(0, 256, (count, *shape), np.uint8)
        arrays[f"{side}_labels"] = rng.integers(0, 2, (count, labels), np.uint8)
    np.savez_compressed(root / "made.npz", **{**arrays, **changes})
    return arrays
