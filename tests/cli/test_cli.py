"""The command line: help, options on either side, JSON, exit codes, sentences."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main


@pytest.fixture
def run(bench, capsys, monkeypatch):
    """Run a command beside the benchmark file; return (exit code, stdout, stderr)."""
    bench.write()
    monkeypatch.chdir(bench.root)

    def run(*arguments):
        code = main(list(arguments))
        out, err = capsys.readouterr()
        assert "\x1b" not in out, "no colour when piped"
        return code, out, err

    return run


def _tree(root):
    return sorted(
        str(path) for path in root.rglob("*") if "__pycache__" not in str(path)
    )


def test_validate_says_what_the_file_holds(run):
    code, out, err = run("validate")
    assert (code, err) == (0, "")
    assert out == (
        "benchmark.yaml is valid: 3 methods, 2 tasks, 2 protocols, 2 seeds, tier tiny.\n"
    )


def test_mistakes_are_sentences_and_exit_code_2(run, bench):
    bench.write(
        "tier: tiny\nmethods: [plane]\nprotocols: [finetune]\ntasks: [organs]\n"
    )
    code, out, err = run("validate")
    assert (code, out) == (2, "")
    assert err.startswith("harness: benchmark.yaml:2: unknown method 'plane'. Did you")
    code, out, err = run("validate", "--json")
    assert code == 2
    (mistake,) = json.loads(out)["mistakes"]
    assert (mistake["file"], mistake["line"]) == ("benchmark.yaml", 2)
    assert err


@pytest.mark.parametrize(
    "command", [["validate"], ["plan"], ["ls", "cells"], ["data", "ls"]]
)
def test_a_missing_benchmark_file_is_one_sentence(run, command):
    code, out, err = run(*command, "-b", "nowhere.yaml")
    assert (code, out) == (2, "")
    assert err == (
        "harness: nowhere.yaml does not exist: name a benchmark file with -b FILE.\n"
    )


def test_plan_counts_and_writes_nothing(run, bench):
    run("plan")  # the content modules leave bytecode behind
    before = _tree(bench.root)
    code, out, err = run("plan", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    counts = {k: document[k] for k in ("cells", "done", "todo", "pretrainings")}
    assert counts == {"cells": 24, "done": 0, "todo": 24, "pretrainings": 2}
    assert document["naive_pretrainings"] == 16
    assert document["results"] == str(bench.root / "results")
    code, out, _ = run("plan", "--cost")
    assert "24 cells at tier tiny" in out
    assert "2 pretrainings in all, 0 done, 2 to do" in out
    assert "(one for each cell would be 16)" in out
    assert "cost: about" in out
    assert "  pretrain (2 nodes): " in out
    assert "are assumed to take 0.05 s per training step and 0.1 s per test" in out
    line = next(one for one in out.splitlines() if one.startswith("pretrain  masked"))
    assert line.split()[2:4] == ["-", "1"]
    assert line.endswith("assumptions")
    code, out, _ = run("plan", "--cost", "--json")
    costs = json.loads(out)["costs"]
    assert sum(each["nodes"] for each in costs) == 50
    assert sum(each["hours"] for each in costs) == pytest.approx(
        json.loads(out)["cost"]["hours"], abs=0.01
    )
    assert _tree(bench.root) == before


def test_plan_tells_what_data_is_missing(run, bench):
    bench.write(bench.path.read_text().replace("nodules: {p", "absent: {}\n  nodules: {p")
                .replace("absent: {}", "absent: {protocols: [finetune]}"))  # fmt: skip
    code, out, _ = run("plan")
    assert code == 0
    assert "missing data: the data of task 'absent' is missing (looked for " in out
    code, out, _ = run("data", "ls", "--json")
    states = {row["task"]: row["state"] for row in json.loads(out)}
    assert states == {
        "absent": "missing",
        "nodules": "generated",
        "organs": "generated",
        "pairs": "generated",
        "slices": "generated",
    }
    code, out, _ = run("data", "ls")
    assert out.splitlines()[0].split()[:4] == ["task", "state", "kind", "modality"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--json", "--filter", "method=masked", "ls", "cells", "--filter", "seed=0"],
        ["ls", "--json", "cells", "--filter", "seed=0,method=masked"],
        ["ls", "cells", "--json", "--filter", "seed=0", "--filter", "method=masked"],
    ],
)
def test_options_stand_before_or_after_the_command(run, arguments):
    code, out, _ = run(*arguments)
    rows = json.loads(out)
    assert code == 0
    assert len(rows) == 4
    assert {(row["method"], row["seed"], row["state"]) for row in rows} == {
        ("masked", 0, "todo")
    }


def test_the_benchmark_and_results_options_hold_on_either_side(run, bench, tmp_path):
    other = bench.root / "other.yaml"
    other.write_text(bench.path.read_text().replace("seeds: [0, 1]", "seeds: [0]"))
    options = ["-b", str(other), "--results", str(tmp_path / "r"), "--json"]
    for arguments in (["plan", *options], [*options, "plan"]):
        document = json.loads(run(*arguments)[1])
        assert document["cells"] == 12
        assert document["results"] == str(tmp_path / "r")
        assert document["benchmark"] == str(other)


def test_ls_shows_the_content(run):
    names = {
        what: [row["name"] for row in json.loads(run("ls", what, "--json")[1])]
        for what in ("methods", "tasks", "corpora")
    }
    assert names == {
        "methods": ["broken", "flat", "joined", "masked", "masked_hard", "plain"],
        "tasks": ["absent", "nodules", "organs", "pairs", "slices"],
        "corpora": ["toys"],
    }
    rows = json.loads(run("ls", "methods", "--json")[1])
    assert "could not be imported" in rows[0]["title"]
    assert rows[3]["settings"].keys() >= {"mask_ratio", "lr"}
    assert rows[4]["extends"] == "masked"
    head, *lines = run("ls", "methods")[1].splitlines()
    assert head.split()[:3] == ["name", "extends", "role"]
    assert lines[3].split()[:3] == ["masked", "-", "pretrained"]


def test_ls_of_content_needs_no_benchmark_file(run, bench):
    bench.path.unlink()
    assert run("ls", "corpora")[1].splitlines()[1].split()[0] == "toys"
    code, _, err = run("ls", "methods", "-b", "nowhere.yaml")
    assert (code, "does not exist" in err) == (2, True)


def test_a_filter_that_names_nothing_is_refused(run):
    code, out, err = run("plan", "--filter", "method=maskd")
    assert (code, out) == (2, "")
    assert err == "harness: --filter: unknown method 'maskd'. Did you mean 'masked'?\n"


def test_a_results_folder_of_a_newer_format_is_refused(run, bench):
    bench.add("results/format.json", '{"format": 99}')
    code, out, err = run("plan", "--json")
    assert code == 2
    assert "error" in json.loads(out)
    assert "99" in err
    assert "Traceback" not in err


def test_wrong_usage_ends_with_2(run, capsys):
    for arguments in ([], ["nonsense"], ["ls"], ["plan", "--nonsense"], ["data"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "usage: harness" in capsys.readouterr().err


def _python(*arguments, **options):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True, text=True, check=False, **options,
    )  # fmt: skip


def test_help_imports_nothing_heavy():
    program = (
        "import sys\n"
        "from harness.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'monai', 'pandas', 'pydantic', 'numpy', 'yaml', 'duckdb',"
        " 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = _python("-c", program)
    assert done.returncode == 0, done.stderr
    for command in ("validate", "ls", "plan", "data"):
        assert f"\n    {command} " in done.stdout
    for option in ("--benchmark", "--results", "--filter", "--json"):
        assert option in done.stdout


def test_planning_never_imports_torch(folder):
    folder.write()
    program = (
        "import sys\n"
        "from harness.cli import main\n"
        "assert main(['plan', '--json']) == 0\n"
        "assert main(['ls', 'cells', '--json']) == 0\n"
        "assert main(['data', 'ls', '--json']) == 0\n"
        "assert not {'torch', 'monai', 'pandas'} & set(sys.modules)\n"
    )
    done = _python(
        "-c", program, cwd=folder.root, env={**os.environ, "PYTHONPATH": _root()}
    )
    assert done.returncode == 0, done.stderr


def _root() -> str:
    import harness

    return str(Path(harness.__file__).parents[1])


def test_a_reader_that_goes_away_gives_no_traceback(folder):
    folder.write()
    program = f"{sys.executable} -m harness ls tasks | true"
    done = subprocess.run(
        program, shell=True, cwd=folder.root, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": _root()}, check=False,
    )  # fmt: skip
    assert done.stderr == ""


def test_a_terminal_without_unicode_gets_its_table(folder):
    path = folder.root / "tasks/organs.yaml"
    path.write_text(path.read_text().replace("title: Organs", "title: Ørgans Σ"))
    done = _python(
        "-m", "harness", "ls", "tasks", cwd=folder.root,
        env={**os.environ, "PYTHONPATH": _root(), "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "rgans" in done.stdout
