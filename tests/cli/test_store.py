"""`harness collect` and `harness verify` on a results folder alone."""

import json
import shutil
from pathlib import Path

import pytest

from harness.cli import main
from harness.schema.errors import Exit
from harness.store import Store

WRITTEN = Path(__file__).parents[1] / "store" / "written" / "aac7597"


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where there is no benchmark file
    return shutil.copytree(WRITTEN, tmp_path / "results")


@pytest.fixture
def run(results, capsys):
    def command(*words):
        code = main([*words, "--results", str(results)])
        out, err = capsys.readouterr()
        return code, out, err

    return command


def spoil(results, name="cases.parquet"):
    (path,) = results.glob(f"nodes/*/*/attempts/*/{name}")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return path.parts[-4]


def test_collect_says_what_it_did_and_does_nothing_twice(run):
    code, out, _ = run("collect")
    assert code == Exit.DONE
    assert out.startswith("5 nodes collected, 5 of them new: 12 rows, ")
    code, out, _ = run("collect", "--json")
    document = json.loads(out)
    assert (code, document["added"], document["nodes"]) == (Exit.DONE, 0, 5)
    code, out, _ = run("collect", "--afresh", "--json")
    assert json.loads(out)["snapshot"] != document["snapshot"]
    assert json.loads(out)["added"] == 5


def test_collect_leaves_out_what_is_damaged(run, results):
    key = spoil(results)
    code, out, _ = run("collect")
    assert code == Exit.FAILED
    assert f"{key} left out: its published file cases.parquet has other content" in out
    assert "4 nodes collected" in out
    code, out, _ = run("collect", "--json", "--afresh")
    assert [one["key"][:16] for one in json.loads(out)["left_out"]] == [key]


def test_verify_says_how_to_mend_and_set_aside_does_it(run, results):
    key = spoil(results)
    code, out, _ = run("verify")
    assert code == Exit.FAILED
    assert f"{key}: its published file cases.parquet has other content" in out
    assert "5 nodes published, 1 damaged" in out
    assert "harness verify --set-aside has them computed again" in out
    assert Store(results).is_done(key)
    code, out, _ = run("verify", "--set-aside")
    assert code == Exit.FAILED
    assert "1 node set aside: run again to compute what lacks" in out
    assert not Store(results).is_done(key)
    code, out, _ = run("verify", "--json")
    assert code == Exit.DONE
    assert json.loads(out) == {"published": 4, "problems": [], "set_aside": []}


def test_verify_looks_at_what_is_collected(run, results):
    run("collect")
    (path,) = results.glob("snapshots/*/cases.parquet")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    code, out, _ = run("verify", "--set-aside")
    assert code == Exit.FAILED
    place = path.relative_to(results)
    assert f"{place}: it has other content than was collected: `harness collect" in out
    assert "5 nodes published, 0 damaged" in out


def test_a_folder_that_is_not_there_is_refused(tmp_path, capsys):
    assert main(["collect", "--results", str(tmp_path / "none")]) == Exit.USAGE
    assert "none is no folder: name a results folder" in capsys.readouterr().err
