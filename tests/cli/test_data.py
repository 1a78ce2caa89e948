"""`harness data`: ls, check and fetch."""

import json

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
    assert code == 1
    assert out.endswith("organs: 20 cases read, 2 at fault\n")
    assert "case000003" in out
    assert "case000013" in out


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
