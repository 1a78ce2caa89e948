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


QUERY = "select kind, state, count(*) as n from runs group by all order by all"


def test_query_prints_rows_in_four_formats(run):
    code, out, _ = run("query", QUERY)
    assert code == Exit.DONE
    assert out.splitlines()[:3] == [
        "kind      state   n", "adapt     done    2", "adapt     failed  3",
    ]  # fmt: skip
    assert run("query", QUERY, "--format", "csv")[1].splitlines()[:2] == [
        "kind,state,n", "adapt,done,2",
    ]  # fmt: skip
    assert run("query", QUERY, "--format", "md")[1].splitlines()[:3] == [
        "| kind | state | n |", "| --- | --- | --- |", "| adapt | done | 2 |",
    ]  # fmt: skip
    document = json.loads(run("query", QUERY, "--json")[1])
    assert document["columns"] == ["kind", "state", "n"]
    assert document["rows"][0] == ["adapt", "done", 2]


def test_values_that_json_does_not_know_are_words_or_null(run):
    sql = (
        "select inputs, started, 'nan'::double as x, null as y, scores "
        "from runs, predictions where kind = 'evaluate' limit 1"
    )
    (row,) = json.loads(run("query", sql, "--json")[1])["rows"]
    assert list(row[0]) == ["adapt"]
    assert row[1].startswith("2026-")
    assert row[2:4] == [None, None]
    assert len(row[4]) == 2
    assert run("query", sql)[0] == Exit.DONE


def test_a_mistake_in_sql_is_one_sentence_and_a_usage_error(run):
    code, out, err = run("query", "select nope from runs")
    assert (code, out) == (Exit.USAGE, "")
    assert err.startswith("harness: the query failed: ")
    assert err.count("\n") == 1
    code, out, err = run("query", "drop table runs")
    assert (code, out) == (Exit.USAGE, "")
    assert "this is DROP: results are read only" in err


def test_nodes_go_to_another_folder_and_back(run, results, tmp_path, capsys):
    tar = tmp_path / "nodes.tar"
    code, out, _ = run("export", str(tar))
    assert code == Exit.DONE
    assert out.startswith(f"5 nodes in {tar}, ")
    there = tmp_path / "there"
    for added, already in ((5, 0), (0, 5)):
        assert main(["import", str(tar), "--results", str(there)]) == Exit.DONE
        assert capsys.readouterr().out == (
            f"{added} nodes added, {already} there already, 0 in conflict, 0 refused\n"
        )
    assert set(Store(there).done()) == set(Store(results).done())


def test_export_takes_some_kinds_only(run, tmp_path):
    tar = tmp_path / "scores.tar"
    code, out, _ = run("export", str(tar), "--kinds", "evaluate", "--json")
    assert (code, json.loads(out)["nodes"]) == (Exit.DONE, 2)
    code, _, err = run("export", str(tmp_path / "x.tar"), "--kinds", "evaluation")
    assert code == Exit.USAGE
    assert "--kinds evaluation: expected some of pretrain,adapt,evaluate" in err
    code, _, err = run("export", str(tmp_path / "x.tar"), "--kinds", "analyse")
    assert (code, "nothing of that kind is published" in err) == (Exit.USAGE, True)


def test_import_says_what_it_refused(run, results, tmp_path, capsys):
    key = spoil(results)
    there = tmp_path / "there"
    assert main(["import", str(results), "--results", str(there)]) == Exit.FAILED
    out = capsys.readouterr().out
    assert f"{key} refused: its file cases.parquet has other content" in out
    assert "4 nodes added, 0 there already, 0 in conflict, 1 refused" in out
