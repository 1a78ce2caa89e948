"""`harness data`: ls, check and fetch."""

import json

import nibabel as nib
import numpy as np
import pytest

from harness.cli import main


@pytest.fixture
def run(bench, capsys, monkeypatch):
    bench.write()
    monkeypatch.chdir(bench.root)

    def run(*words):
        code = main(list(words))
        return code, *capsys.readouterr()

    return run


PAINTED = """    import numpy as np
    from harness.volumes.raw import RawCase
    image = np.zeros((1, 4, 4, 4), np.float32)
    image[0, 0, 0, 0] = {value}
    return RawCase(image, np.zeros((4, 4, 4), np.uint8), np.eye(4))"""


def paint(bench, value):
    text = (bench.root / "tasks/toy.py").read_text()
    painted = PAINTED.format(value=value)
    bench.add("tasks/toy.py", text.replace("    raise NotImplementedError", painted))


def test_ls_shows_every_task_and_volumes_of_corpora(run, bench):
    bench.add(
        "corpora/own.yaml",
        "title: o\npreprocess: {intensity: {kind: percentiles}}\nsources: [{volumes: "
        "{name: scans, modality: CT, format: {kind: csv, folder: scans}, cases: 9, "
        "source: {page: p, licence: own, size: 3 GB, how: ask for them}}}]",
    )
    code, out, _ = run("data", "ls", "--json")
    assert code == 0
    rows = {row["task"]: row for row in json.loads(out)}
    assert {*["organs", "nodules", "absent", "slices", "pairs"], "scans@own"} == set(
        rows
    )
    assert rows["absent"]["state"] == "missing"
    assert rows["slices"]["state"] == "generated"
    assert rows["slices"]["cases"] is None  # not of the benchmark: not listed
    scans = rows["scans@own"]
    assert [scans[key] for key in ("state", "licence", "size", "fetch", "how")] == [
        "missing", "own", "3 GB", "no", "ask for them",
    ]  # fmt: skip
    code, out, _ = run("data", "ls")
    head, *lines = out.splitlines()
    assert head.split()[:2] == ["task", "state"]
    assert head.split()[-2:] == ["licence", "page"]
    assert len(lines) == 6


def test_ls_says_how_large_what_is_there_is(run, bench):
    folder = bench.root / "data" / "Task00_Absent"
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "imagesTr" / "a.nii").write_bytes(b"0" * 3000)
    (folder / "dataset.json").write_bytes(b"0" * 1000)
    _, out, _ = run("data", "ls", "--json")
    row = next(row for row in json.loads(out) if row["task"] == "absent")
    assert (row["state"], row["size"]) == ("present", "4 kB")


def test_ls_needs_no_benchmark_file(run, bench):
    (bench.root / "benchmark.yaml").unlink()
    code, out, _ = run("data", "ls", "--json")
    assert code == 0
    assert {row["cases"] for row in json.loads(out)} == {None}


def test_volumes_of_a_corpus_are_fetched_and_checked_by_their_name(run, bench):
    bench.add(
        "corpora/own.yaml",
        "title: o\npreprocess: {intensity: {kind: percentiles}}\nsources: [{volumes: "
        "{name: scans, modality: none, format: {kind: generated, generator: toy}, "
        "channels: [a], cases: 20, source: {page: p, licence: l, how: ask for them}}}]",
    )
    paint(bench, "1")
    code, out, _ = run("data", "check", "scans@own")
    assert (code, out.splitlines()[-1]) == (0, "scans@own: 20 cases read, 0 at fault")
    code, _, err = run("data", "fetch", "scans@own")
    assert (code, err.strip()) == (2, "harness: ask for them")
    code, _, err = run("data", "check", "scan@own")
    assert code == 2
    assert "unknown source of own 'scan'. Did you mean 'scans'?" in err


def test_check_notes_equal_images_and_structures_that_do_not_occur(run, bench):
    paint(bench, "1 + int(case.case_id[-1])")
    code, out, _ = run("data", "check", "organs")
    lines = out.splitlines()
    assert code == 0
    assert "note: case000000, case000010 have equal voxels" in lines[0]
    assert "different sides" not in out  # sides follow the last digit
    assert "note: structure 'big' (label 1) is in no case" in lines
    assert "voxels along each axis of the files: 4 to 4, 4 to 4, 4 to 4" in lines
    assert "values from 0 to 10" in lines
    assert lines[-1] == "organs: 20 cases read, 0 at fault"


def test_check_says_where_equal_images_leak(run, bench):
    paint(bench, "1 + int(case.case_id[-1]) // 5")
    _, out, _ = run("data", "check", "organs", "--workers", "2")
    assert "on different sides of the split" in out


def test_check_gives_the_digests_that_a_corpus_may_exclude(run, bench):
    paint(bench, "1 + int(case.case_id[-2:])")
    _, out, _ = run("data", "check", "organs", "--json")
    found = json.loads(out)["found"]
    assert len({each["contents"][0] for each in found}) == 20
    assert {len(each["contents"][0]) for each in found} == {32}
    assert {tuple(each["shape"]) for each in found} == {(4, 4, 4)}


def test_ls_counts_sides_and_names_the_split(run):
    code, out, _ = run("data", "ls", "--json")
    assert code == 0
    rows = {row["task"]: row for row in json.loads(out)}
    organs = rows["organs"]
    assert (organs["train"], organs["val"], organs["test"]) == (12, 4, 4)
    assert len(organs["split"]) == 16
    assert organs["split"] != rows["nodules"]["split"]


def test_check_reports_every_case_at_fault(run, bench):
    bench.add(
        "tasks/toy.py",
        (bench.root / "tasks/toy.py").read_text().replace(
            "    raise NotImplementedError",
            "    import numpy as np\n"
            "    from harness.volumes.raw import RawCase\n"
            "    image = np.zeros((1, 4, 4, 4), np.float32)\n"
            "    if case.case_id.endswith('3'):\n"
            "        image[0, 0, 0, 0] = np.nan\n"
            "    return RawCase(image, np.zeros((4, 4, 4), np.uint8), np.eye(4))",
        ),
    )  # fmt: skip
    code, out, _ = run("data", "check", "organs")
    assert code == 2
    assert out.endswith("organs: 20 cases read, 2 at fault\n")
    assert "case000003" in out
    assert "case000013" in out


def test_check_reads_on_where_the_listing_is_at_fault(run, bench):
    folder = bench.root / "data" / "scans"
    folder.mkdir(parents=True)
    nib.save(nib.Nifti1Image(np.eye(4)[..., None], np.eye(4)), folder / "0.nii")
    (folder / "1.nii").write_bytes(b"broken")
    rows = "image,target\n0.nii,0\n1.nii,1\n2.nii,0\n3.nii,7\n"
    (folder / "cases.csv").write_text(rows)
    bench.add(
        "tasks/scans.yaml",
        "title: s\nkind: classification\nmodality: CT\nchannels: [CT]\ncases: 4\n"
        "format: {kind: csv, folder: scans}\ntarget: {name: t, classes: [a, b]}\n"
        "preprocess: {intensity: {kind: percentiles}}\ncrop: {tiny: [8, 8, 8]}\n"
        "metrics: [auc]\nsource: {page: p, licence: l}\n",
    )
    code, out, err = run("data", "check", "scans")
    assert (code, "Traceback" in err) == (2, False)
    assert "cases.csv:5: '7' under 'target' is none of the classes a, b." in out
    assert "2.nii: listed in" in out
    assert "1.nii: not a readable NIfTI file" in out
    assert "has 3 of the 4 cases that the task declares" in out
    assert out.endswith("scans: 2 cases read, 4 at fault\n")


def test_check_of_an_unknown_or_absent_task(run):
    code, _, err = run("data", "check", "organ")
    assert code == 2
    assert "organ" in err
    code, _, err = run("data", "check", "absent")
    assert code == 2
    assert "Task00_Absent" in err


def test_there_is_nothing_to_fetch_of_generated_data(run, bench):
    code, out, err = run("data", "fetch", "organs")
    assert (code, out) == (2, "")
    assert "there is no file to fetch" in err
    assert not (bench.root / "data").exists()
