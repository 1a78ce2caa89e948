"""`harness new method` writes what `harness check` and its own test pass."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(bench, capsys, monkeypatch):
    bench.write()
    monkeypatch.chdir(bench.root)

    def run(*words):
        code = main(list(words))
        return code, *capsys.readouterr()

    return run


def test_a_new_method_is_written_checked_and_tested(run, bench):
    code, out, _ = run("new", "method", "denoise_twice")
    assert code == 0
    assert "written: methods/denoise_twice.py" in out
    assert "harness check methods/denoise_twice.py" in out
    for path in ("methods/denoise_twice.py", "tests/methods/test_denoise_twice.py"):
        text = (bench.root / path).read_text()
        assert "NAME" not in text
        assert "CLASS" not in text
        ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
        if ruff:  # what we hand out follows our own rules
            ours = 'lint.isort.known-first-party = ["harness"]'
            config = ["--config", str(ROOT / "pyproject.toml")]
            for command in (["format", "--check"], ["check", "--config", ours]):
                words = [ruff, *command, *config, str(bench.root / path)]
                subprocess.run(words, check=True)
    # The file's own test goes through every clause of the contract, too.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
         "tests/methods/test_denoise_twice.py"],
        cwd=bench.root, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    code, _, err = run("new", "method", "denoise_twice")
    assert code == 2
    assert "method 'denoise_twice' exists" in err


@pytest.mark.parametrize("name", ["2fast", "../up", "Upper", "class", "a-b"])
def test_names_that_cannot_be_modules_are_refused(run, bench, name):
    code, _, err = run("new", "method", name)
    assert code == 2
    assert "is no name for a method" in err
    assert not (bench.root / "tests").exists()


def test_check_reports_each_clause(run, bench):
    (bench.root / "methods" / "mute.py").write_text(
        "from harness.api import BaselineSettings, Method\n"
        "from harness.nn.build import build_encoder\n"
        "class Mute(Method):\n"
        "    '''Nothing.'''\n"
        "    Settings = BaselineSettings\n"
        "    version = 1\n"
        "    role = 'baseline'\n"
        "    def __init__(self, settings, channels, rng):\n"
        "        super().__init__(settings, channels, rng)\n"
        "        import torch\n"
        "        self.extra = torch.nn.Parameter(torch.rand(2))\n"
        "        self.student = build_encoder(settings.encoder, channels, rng)\n"
        "    def encoder(self):\n"
        "        return self.student\n"
    )
    code, out, _ = run("check", "methods/mute.py", "--json")
    assert code == 1
    document = json.loads(out)
    states = {each["code"]: each["state"] for each in document["clauses"]}
    assert states == {"M01": "kept", "M04": "broken", "M10": "kept"}
    code, out, _ = run("check", "mute")
    assert code == 1
    assert "M04  broken  initial weights come from the generator passed in" in out
    assert "extra differs between two methods built from one seed" in out
    assert "hint: call harness.nn.init.initialise" in out
    assert "mute: 3 clauses, 1 clause broken" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["methods/none.py"], "no file methods/none.py"),
        (["tasks/toy.py"], "lies in no folder named methods/"),
        (["nonee"], "nonee"),
        (["random", "--encoder", "swim"], "Did you mean 'swin'?"),
    ],
)
def test_what_cannot_be_checked_is_said(run, bench, words, sentence):
    shutil.copy(ROOT / "methods" / "random.py", bench.root / "methods" / "random.py")
    code, out, err = run("check", *words)
    assert code == 2
    assert sentence in err
    assert not out
