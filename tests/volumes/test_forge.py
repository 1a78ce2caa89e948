"""Made-up data: every format is read by its own reader, on all sides of its split."""

import numpy as np
import pytest

from harness.schema.task import TaskSpec
from harness.volumes.forge import forge
from harness.volumes.forge.cases import Case, draw
from harness.volumes.formats import list_cases, open_dataset, read_case
from harness.volumes.grid import label_to_cached, plan_grid, turn
from harness.volumes.splits import split

COMMON = {
    "title": "Made up",
    "modality": "CT",
    "cases": 1000,
    "source": {"page": "tests", "licence": "none"},
}
SEGMENTATION = {
    **COMMON,
    "kind": "segmentation",
    "structures": {"organ": 1, "tumour": 2},
    "crop": {"tiny": [16, 16, 16]},
    "preprocess": {
        "spacing": [1.5, 1.5, 2.0],
        "intensity": {"kind": "window", "low": -100, "high": 300},
    },
    "metrics": ["dice"],
}
CLASSES = {
    **COMMON,
    "kind": "classification",
    "target": {"name": "grade", "classes": ["low", "middle", "high"]},
    "crop": {"tiny": [16, 16]},
    "dims": 2,
    "preprocess": {"intensity": {"kind": "window", "low": 0, "high": 255}},
    "metrics": ["auc"],
}
COUNTS = {"kind": "counts", "train": 700, "val": 100, "test": 200}
PUBLISHER = {"kind": "publisher"}


def _csv(**columns):
    return {"kind": "csv", "folder": "d", "columns": columns}


TASKS = {
    "msd": {**SEGMENTATION, "format": {"kind": "msd", "folder": "Task"}},
    "msd with channels and other values": {
        **SEGMENTATION, "channels": ["a", "b"],
        "format": {"kind": "msd", "folder": "Task", "relabel": {4: 2}},
    },
    "nnunet": {
        **SEGMENTATION, "channels": ["a", "b"], "split": COUNTS,
        "format": {"kind": "nnunet", "folder": "Dataset"},
    },
    "csv of volumes": {
        **SEGMENTATION, "split": PUBLISHER, "format": _csv(case="case"),
    },
    "csv of series and contours": {
        **SEGMENTATION,
        "format": {**_csv(case="case"), "segments": {"GTV*": 1, "node": 2}},
    },
    "csv with patterns": {
        **SEGMENTATION, "channels": ["a", "b"],
        "format": _csv(
            case="case",
            image=["{case}/{case}_a.nii.gz", "{case}/{case}_b.nrrd"],
            label="{case}/{case}_seg.nii.gz",
        ),
    },
    "csv of pictures, by hash": {
        **CLASSES, "channels": ["r", "g", "b"],
        "format": _csv(case="id", image=["train/{id}.png"], target="label"),
    },
    "csv whose column has the file's name": {
        **CLASSES, "split": PUBLISHER,
        "format": _csv(case="case", image=["images/{case}"]),
    },
    "csv of numbers": {
        **CLASSES, "split": COUNTS,
        "target": {"name": "age", "classes": ["a", "b", "c"], "edges": [30, 40]},
        "format": _csv(target="age"),
    },
    "pictures": {
        **CLASSES, "split": PUBLISHER,
        "target": {**CLASSES["target"], "values": {"LOW": "low"}},
        "format": {
            "kind": "images", "folder": "x", "pattern": "{split}/{target}/*.png",
        },
    },
    "medmnist": {
        **CLASSES, "split": PUBLISHER, "channels": ["r", "g", "b"],
        "format": {"kind": "medmnist", "file": "medmnist/x.npz"},
    },
    "unlabelled": {
        **COMMON, "kind": "unlabelled", "metrics": [], "split": PUBLISHER,
        "crop": {"tiny": [16, 16, 16]}, "preprocess": SEGMENTATION["preprocess"],
        "format": _csv(case="case"),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", TASKS)
def test_a_made_up_dataset_is_read_by_its_own_reader(name, tmp_path):
    spec = TaskSpec.model_validate(TASKS[name])
    made = forge("made", spec, tmp_path)
    assert made.format.kind == spec.format.kind
    dataset = open_dataset("made", made, [tmp_path])
    cases = list_cases(dataset)
    assert len(cases) == made.cases
    sides = split("made", made, cases)
    for side in (sides.train, sides.val, sides.test):
        assert side
        if spec.target is not None:
            assert {ref.target for ref in side} == {0, 1, 2}
    raw = read_case(dataset, cases[0])
    assert len(raw.image) == len(spec.channels)
    assert raw.image.std() > 0
    if spec.kind == "segmentation":
        assert set(np.unique(raw.label)) == {0, 1, 2}
        volume = abs(np.linalg.det(raw.affine[:3, :3]))
        assert volume == pytest.approx(1.5 * 1.5 * 2.0)


def test_what_lies_there_stays_until_the_task_changes(tmp_path):
    spec = TaskSpec.model_validate(TASKS["msd"])
    first = forge("made", spec, tmp_path)
    image = next((tmp_path / "made/Task/imagesTr").iterdir())
    before = image.stat().st_mtime_ns
    assert forge("made", spec, tmp_path) == first
    assert image.stat().st_mtime_ns == before
    other = spec.model_copy(update={"channels": ("a", "b")})
    forge("made", other, tmp_path)
    assert image.stat().st_mtime_ns > before


def test_two_tasks_of_one_dataset_have_folders_and_voxels_of_their_own(tmp_path):
    spec = TaskSpec.model_validate(TASKS["msd"])
    one, two = (forge(name, spec, tmp_path) for name in ("one", "two"))
    assert one.format.folder != two.format.folder
    images = []
    for name, made in (("one", one), ("two", two)):
        dataset = open_dataset(name, made, [tmp_path])
        images.append(read_case(dataset, list_cases(dataset)[0]).image)
    assert not np.array_equal(*images)


def test_every_fold_has_cases(tmp_path):
    spec = TaskSpec.model_validate(TASKS["csv of volumes"])
    made = forge("made", spec, tmp_path, folds=3)
    cases = list_cases(open_dataset("made", made, [tmp_path]))
    for fold in range(3):
        assert split("made", made, cases, fold, 3).val


@pytest.mark.parametrize("segments", [{}, {"GTV*": 1, "node": 2}])
def test_series_and_contours_say_what_nifti_files_say(tmp_path, segments):
    """Every other case of a table is a DICOM series; the rest are NIfTI files."""
    form = {**_csv(case="case"), "segments": segments}
    spec = TaskSpec.model_validate({**SEGMENTATION, "format": form})
    dataset = open_dataset("made", forge("made", spec, tmp_path), [tmp_path])
    cases = list_cases(dataset)
    series = [ref for ref in cases if (dataset.place / ref.images[0]).is_dir()]
    assert 0 < len(series) < len(cases)
    assert all(ref.label.endswith(".dcm") == bool(segments) for ref in series)
    for ref in series:
        raw = read_case(dataset, ref)
        want = draw("made", spec, Case(ref.case_id, "train", None))
        grid = plan_grid(raw.label.shape, raw.affine, None)
        straight = np.flip(want.label, 0)  # it was written from right to left
        np.testing.assert_array_equal(label_to_cached(raw.label, grid), straight)
        image = turn(raw.image[0], grid)
        assert np.abs(image - np.flip(want.image[0], 0)).max() <= 0.5
