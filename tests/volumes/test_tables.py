"""Tables of cases; images of no task, and files that cannot be read."""

from __future__ import annotations

import pytest

from harness.run.data import TaskData
from harness.schema.errors import DataError
from harness.volumes.cache import build_cache, open_cache
from harness.volumes.formats import read_case
from harness.volumes.splits import split

from .listed import (
    CSV,
    NPZ,
    RAW,
    bare,
    classed,
    fault,
    listed,
    picture,
    write_npz,
)

ROWS = """image,target,patient,split
png/0.png,benign,ann,train
png/1.png,malignant,ann,Training
png/2.png,1,bob,valid
png/3.png,0,cleo,test
"""


def test_a_table_says_everything(table, make_spec):
    root = table(ROWS)
    dataset, cases = listed(root, classed(make_spec, 4, CSV))
    assert [ref.case_id for ref in cases] == [f"png_{n}" for n in range(4)]
    assert [ref.target for ref in cases] == [0, 1, 1, 0]
    assert [ref.group_id for ref in cases] == ["ann", "ann", "bob", "cleo"]
    assert [ref.side for ref in cases] == ["train", "train", "val", "test"]
    raw = read_case(dataset, cases[2])
    assert raw.image.shape == (1, 9, 7)
    assert raw.image.max() == 52
    # other software's tables: a mark at the start, semicolons, spaces, empty lines
    other = "\ufeff" + ROWS.replace(",", " ; ") + "\n;;;\n"
    assert listed(table(other), classed(make_spec, 4, CSV))[1] == cases


def test_columns_by_other_names_and_paths_made_of_them(table, make_spec):
    root = table("id_code,diagnosis\n0,2\n1,0\n", "meta/train.csv")
    columns = {"case": "id_code", "image": ["../png/{id_code}.png"]}
    form = {**CSV, "file": "meta/train.csv",
            "columns": {**columns, "target": "diagnosis"}}  # fmt: skip
    target = {"name": "g", "classes": ["none", "mild", "bad"], "ordinal": True}
    said = fault(root, classed(make_spec, 2, form, target=target))
    assert "meta/train.csv:2: ../png/0.png lies outside" in said.replace(
        "meta/../png", "../png"
    )
    table("id_code,diagnosis\n0,2\n1,0\n", "train.csv")
    form["file"] = "train.csv"
    form["columns"]["image"] = ["png/{id_code}.png"]
    _, cases = listed(root, classed(make_spec, 2, form, target=target))
    assert [(ref.case_id, ref.target) for ref in cases] == [("0", 2), ("1", 0)]


def test_values_edges_and_cases_that_are_left_out(table, make_spec):
    root = table(
        "image,target\npng/0.png,19.5\npng/1.png,40\npng/2.png,61\npng/3.png,\n"
    )
    ages = {"name": "age", "classes": ["young", "middle", "old"], "edges": [40, 60]}
    said = fault(root, classed(make_spec, 4, CSV, target=ages))
    assert "cases.csv:5: says no class under 'target'" in said
    assert "'values: {\"\": null}'" in said
    ages["values"] = {"": None, "61": "young"}
    _, cases = listed(root, classed(make_spec, 3, CSV, target=ages))
    assert [ref.target for ref in cases] == [0, 1, 0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            ROWS.replace("benign,ann", "bening,ann"),
            "cases.csv:2: 'bening' under 'target' is none of the classes benign, "
            "malignant. Did you mean 'benign'?",
        ),
        (ROWS.replace("valid", "holdout"), "cases.csv:4: 'holdout' under 'split' is no"),
        (ROWS.replace("png/3", "png/9"), "png/9.png: listed in"),
        (ROWS.replace("png/3.png", ""), "cases.csv:5: column 'image' names no file"),
        (ROWS.replace("png/3.png", "/etc/passwd"), "/etc/passwd lies outside of"),
        (ROWS.replace("image", "picture"), "has no column 'image'; add it, or say"),
        (ROWS.replace("target", "class"), "has no column 'target'; add it, or say"),
        (ROWS + "png/4.png,1\n", "cases.csv:6: has 2 fields, not 4"),
        (ROWS + "png/0.png,0,ann,train\n", "lists case 'png_0' more than once"),
        (ROWS.replace("split", "target"), "column 'target' stands twice"),
        ("image,target\n", "needs a line with names of columns and a line per case"),
        ("", "needs a line with names of columns"),
        ("image,target\n'\0', 1\n", "cases.csv"),
    ],
)  # fmt: skip
def test_faults_of_a_table(table, make_spec, text, said):
    count = max(1, text.count("\n") - 1)
    assert said in fault(table(text), classed(make_spec, count, CSV))


def test_all_faults_of_a_table_are_told_at_once(table, make_spec):
    text = ROWS.replace("benign", "good").replace("test", "hidden")
    said = fault(table(text), classed(make_spec, 4, CSV))
    assert "has 2 faults" in said
    assert "cases.csv:2" in said
    assert "cases.csv:5" in said


def test_a_named_column_that_is_not_there(table, make_spec):
    form = {**CSV, "columns": {"target": "diagnose"}}
    root = table(ROWS.replace("target", "diagnosis"))
    assert (
        "has no column 'diagnose' for target, but image, diagnosis, patient, split. "
        in (fault(root, classed(make_spec, 4, form)))
    )
    (root / "made" / "cases.csv").unlink()
    assert "cases.csv is missing: it lists the cases" in fault(
        root, classed(make_spec, 4, CSV)
    )


def test_a_patient_on_both_sides_of_a_split(table, make_spec):
    root = table(ROWS.replace("1.png,malignant,ann,Training", "1.png,1,ann,test"))
    spec = classed(make_spec, 4, CSV, split={"kind": "publisher"})
    _, cases = listed(root, spec)
    with pytest.raises(DataError, match=r"patient 'ann' is both in \w+ and in \w+"):
        split("made", spec, cases)


def test_grey_and_colour(table, make_spec):
    root = table("image,target\npng/0.png,0\ncolour.png,1\n")
    picture(root / "made" / "colour.png", [9, 9, 9], colour=True)
    dataset, cases = listed(root, classed(make_spec, 2, CSV))
    assert read_case(dataset, cases[0]).image.shape == (1, 9, 7)  # grey, kept in colour
    picture(root / "made" / "colour.png", [9, 19, 29], colour=True)
    with pytest.raises(
        DataError, match=r"colour.png: is in colour, but .* one channel"
    ):
        read_case(dataset, cases[0])
    colours = classed(make_spec, 2, CSV, channels=["red", "green", "blue"])
    dataset, cases = listed(root, colours)
    assert read_case(dataset, cases[0]).image[:, 1, 1].tolist() == [9, 19, 29]
    with pytest.raises(DataError, match=r"png/0.png: has 2 dimensions .* 3 channels"):
        read_case(dataset, cases[1])


def test_images_of_no_task(raw_folder, make_spec, tmp_path):
    arrays = write_npz(tmp_path)
    _, cases = listed(tmp_path, bare(make_spec, 10, NPZ))
    assert len(cases) == sum(
        len(arrays[f"{s}_labels"]) for s in ("train", "val", "test")
    )
    (raw_folder / "made" / "cases.csv").write_text("image\nimagesTr/b_0001.png\n")
    named = {"kind": "images", "folder": "made", "pattern": "imagesTr/*_0000.png"}
    for form, count in ((CSV, 1), (named, 2), (NPZ, 10)):
        dataset, cases = listed(tmp_path, bare(make_spec, count, form))
        assert all(ref.target is None and ref.label is None for ref in cases)
        assert read_case(dataset, cases[0]).label is None
    pair = bare(make_spec, 2, RAW, channels=["a", "b"])
    dataset, cases = listed(raw_folder, pair)
    assert read_case(dataset, cases[1]).label is None


def test_unreadable_files_are_refused_or_listed_and_left_out(table, make_spec):
    root = table("image\n" + "".join(f"png/{n}.png\n" for n in range(6)))
    spoilt = [root / "made" / "png" / f"{n}.png" for n in (1, 4)]
    for path in spoilt:
        path.write_bytes(path.read_bytes()[:40])
    spec = bare(make_spec, 6, CSV)
    dataset, cases = listed(root, spec)
    with pytest.raises(DataError) as caught:
        build_cache(dataset, cases, root / "cache" / "a")
    assert "has 2 faults" in str(caught.value)
    assert all(f"png/{path.name}: " in str(caught.value) for path in spoilt)
    assert not (root / "cache").exists()

    skips = bare(make_spec, 6, CSV, skip_unreadable=True)
    dataset, cases = listed(root, skips)
    for workers in (1, 3):
        build_cache(dataset, cases, root / "cache" / str(workers), workers=workers)
        cached = open_cache(root / "cache" / str(workers))
        assert sorted(cached.unreadable) == ["png_1", "png_4"]
        assert cached.case_ids == ("png_0", "png_2", "png_3", "png_5")
    refs = {ref.case_id: ref for ref in cases}
    told: list[str] = []
    data = TaskData("made", skips, cached, refs, dataset)
    assert data.readable(list(refs), told.append) == list(cached.case_ids)
    assert told[0] == "2 of 6 cases of made cannot be read:"
    assert told[1].startswith("  left out: png/1.png: not a readable picture")
    strict = TaskData("made", spec, cached, refs, dataset)
    with pytest.raises(DataError, match=r"png/4.png: not a readable picture"):
        data.check(["png_0", "png_4"])
    with pytest.raises(DataError, match=r"png/4.png: not a readable picture"):
        strict.readable(["png_0", "png_4"], told.append)
    for number in range(6):
        (root / "made" / "png" / f"{number}.png").write_bytes(b"")
    dataset, cases = listed(root, skips)
    with pytest.raises(DataError, match="has 6 faults"):
        build_cache(dataset, cases, root / "cache" / "none")
