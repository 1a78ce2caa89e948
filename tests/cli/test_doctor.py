"""`harness doctor` on a machine without SLURM."""

import json

import pytest

from harness.cli import main
from harness.schema.errors import Exit


@pytest.fixture
def run(bench, capsys, monkeypatch, tmp_path):
    bench.write()
    monkeypatch.setenv("PATH", str(tmp_path))

    def command(*words):
        code = main(["doctor", *words])
        out, err = capsys.readouterr()
        return code, out, err

    return command


def test_one_line_for_each_thing(run, bench):
    code, out, _ = run("-b", str(bench.path))
    assert code == Exit.DONE
    lines = out.splitlines()
    assert all(line.split()[0] in {"ok", "warn"} for line in lines[:-1])
    names = [line[6:].partition(":")[0] for line in lines[:-1]]
    assert names[:3] == ["Python", "packages", "GPU"]
    assert {"data root", "results folder", "hard links", "SLURM"} <= set(names)
    assert lines[-1].endswith("to think about, 0 failed")
    assert not (bench.root / "results").exists()


def test_json_is_one_document(run, bench):
    _, out, _ = run("-b", str(bench.path), "--json")
    found = {one["name"]: one for one in json.loads(out)}
    assert found["SLURM"]["grade"] == "ok"
    assert set(found["Python"]) == {"name", "grade", "said", "advice"}


def test_without_a_benchmark_the_rest_is_looked_at(run, bench, tmp_path):
    missing = str(tmp_path / "none.yaml")
    code, out, _ = run("-b", missing, "--results", str(tmp_path / "results"))
    assert code == Exit.DONE
    assert f"warn  benchmark: {missing} is not here" in out
    assert "ok    hard links" in out


def test_a_broken_benchmark_fails_with_its_first_mistake(run, bench):
    bench.path.write_text("methods: {plan: }\n")
    code, out, _ = run("-b", str(bench.path), "--results", str(bench.root / "results"))
    assert code == Exit.FAILED
    line = next(line for line in out.splitlines() if "benchmark:" in line)
    assert line.startswith("fail  benchmark: ")
    assert line.endswith("`harness validate`")


def test_missing_data_is_a_warning(run, bench):
    bench.write(
        "tier: tiny\nmethods: {plain: }\nprotocols: {finetune: }\ntasks: [absent]\n"
        "label_budgets: [100%]\nseeds: [0]\n"
    )
    code, out, _ = run("-b", str(bench.path))
    assert code == Exit.DONE
    assert "warn  data of absent:" in out
    assert "`harness data fetch absent`" in out
