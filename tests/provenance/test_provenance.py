import json
import os
import platform
import shutil
import subprocess
import sys
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import pytest

from harness import __version__, provenance


@pytest.fixture(autouse=True)
def forget():
    provenance._git.cache_clear()
    yield
    provenance._git.cache_clear()


def git(folder, *arguments):
    identity = [
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "-c",
        "init.defaultBranch=m",
    ]
    program = shutil.which("git")
    done = subprocess.run(
        [program, "-C", folder, *identity, *arguments],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout


@pytest.fixture
def checkout(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "a.py").write_text("a = 1\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def test_it_is_json_and_says_what_made_a_result():
    made_by = provenance.collect(seeds={"adapt": 3})
    assert json.loads(json.dumps(made_by)) == made_by
    assert made_by["harness"] == __version__
    assert made_by["python"] == platform.python_version()
    assert made_by["packages"]["pyarrow"] == version("pyarrow")
    assert made_by["packages"]["pytest-timeout"] == version("pytest-timeout")
    assert list(made_by["packages"]) == sorted(made_by["packages"])
    assert made_by["seeds"] == {"adapt": 3}
    assert made_by["cpu"]
    assert made_by["cpus"] >= 1
    assert "password" not in str(made_by["command"])


def test_a_clean_checkout(checkout):
    made_by = provenance.collect(checkout=checkout)
    commit = git(checkout, "rev-parse", "HEAD").strip()
    assert made_by["git"] == {"commit": commit, "dirty": False, "diff_sha256": None}


def test_changes_are_hashed(checkout):
    (checkout / "a.py").write_text("a = 2\n")
    found = provenance.collect(checkout=checkout)["git"]
    diff = git(checkout, "diff", "--binary", "HEAD")
    assert found["dirty"] is True
    assert found["diff_sha256"] == sha256(diff.encode()).hexdigest()
    provenance._git.cache_clear()
    (checkout / "a.py").write_text("a = 3\n")
    other = provenance.collect(checkout=checkout)["git"]
    assert other["diff_sha256"] not in {None, found["diff_sha256"]}


def test_new_files_make_a_checkout_dirty(checkout):
    (checkout / "new.py").write_text("")
    found = provenance.collect(checkout=checkout)["git"]
    assert (found["dirty"], found["diff_sha256"]) == (True, None)


def test_asking_git_writes_nothing(checkout):
    index = checkout / ".git" / "index"
    os.utime(checkout / "a.py", (1, 1))  # git would note that the contents are the same
    before = (index.read_bytes(), index.stat().st_mtime_ns)
    provenance.collect(checkout=checkout)
    assert (index.read_bytes(), index.stat().st_mtime_ns) == before


def test_outside_a_checkout_or_without_git(tmp_path, monkeypatch):
    nothing = {"commit": None, "dirty": None, "diff_sha256": None}
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.collect(checkout=tmp_path)["git"] == nothing
    provenance._git.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.collect()["git"] == nothing


def test_a_git_that_hangs_is_left(tmp_path, monkeypatch):
    program = "git"

    def hang(*_, **named):
        raise subprocess.TimeoutExpired(program, named["timeout"])

    monkeypatch.setattr(provenance.subprocess, "run", hang)
    assert provenance.collect(checkout=tmp_path)["git"]["commit"] is None


def test_sources_are_hashed_without_their_place(tmp_path):
    path = tmp_path / "methods" / "a.py"
    path.parent.mkdir()
    path.write_bytes(b"abc")
    found = provenance.hash_sources([path, tmp_path / "methods" / "gone.py"])
    assert found == {
        "methods/a.py": sha256(b"abc").hexdigest(),
        "methods/gone.py": None,
    }
    assert provenance.collect([path])["sources"]["methods/a.py"]


def test_slurm_ids(monkeypatch):
    for name in list(os.environ):
        if name.startswith("SLURM"):
            monkeypatch.delenv(name)
    assert provenance.collect()["slurm"] == {}
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "10")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert provenance.collect()["slurm"] == {
        "job": "12", "array_job": "10", "array_task": "2", "restart": "1",
    }  # fmt: skip


def test_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert provenance.collect()["threads"]["OMP_NUM_THREADS"] == "3"


class FakeCuda:
    """What an imported torch would answer."""

    @staticmethod
    def is_available():
        return True

    @staticmethod
    def device_count():
        return 2

    @staticmethod
    def get_device_name(index):
        return f"GPU {index}"


class FakeTorch:
    """A torch with two GPUs."""

    cuda = FakeCuda

    @staticmethod
    def get_num_threads():
        return 5


def test_an_imported_torch_is_asked(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", FakeTorch)
    made_by = provenance.collect()
    assert made_by["gpus"] == ["GPU 0", "GPU 1"]
    assert made_by["threads"]["torch"] == 5


def test_torch_is_not_imported_for_it():
    code = (
        "import sys; from harness import provenance; provenance.collect(); "
        "print('torch' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


def test_git_and_packages_are_asked_once(monkeypatch):
    provenance.collect()
    monkeypatch.setattr(provenance.subprocess, "run", None)
    assert provenance.collect()["packages"]
