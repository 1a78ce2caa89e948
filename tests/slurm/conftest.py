import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUB = str(ROOT / "tests" / "submit")
if STUB not in sys.path:
    sys.path.insert(0, STUB)  # stub_runner: imported by tests and by jobs by this name
ARRAY_SIZE = 3  # small, so that a few jobs need several arrays


SCRIPTS = str(ROOT / "scripts")
if SCRIPTS not in sys.path:
    sys.path.append(SCRIPTS)  # slurm: the script that starts a private SLURM


@pytest.fixture(scope="session")
def script():
    import slurm

    return slurm


@pytest.fixture
def free_port(script):
    from slurm_site import free_port

    return free_port


@pytest.fixture(scope="session")
def controller(script, tmp_path_factory):
    """A private SLURM of four CPUs; the path of its slurm.conf."""
    import slurm_site

    folder = tmp_path_factory.mktemp("slurm")
    site = script.Site(port=slurm_site.free_port(), cpus=4, max_array_size=ARRAY_SIZE)
    try:
        conf = script.up(folder, site)
    except script.CannotStart as reason:
        pytest.skip(f"no private SLURM here: {reason}")
    yield conf
    script.down(folder)


@pytest.fixture
def slurm(controller, monkeypatch):
    """The environment of a user of the private SLURM; ends with an empty queue."""
    monkeypatch.setenv("SLURM_CONF", str(controller))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{STUB}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield controller
    subprocess.run(["scancel", "--me"], check=False)


@pytest.fixture
def workshop(tmp_path):
    from stub_runner import Workshop

    return Workshop(tmp_path / "results")


@pytest.fixture
def queue():
    """Ask squeue for chosen fields of every job: a list of tuples."""

    def ask(fields="%i|%j|%T|%k|%E"):
        text = subprocess.run(
            ["squeue", "-h", "-r", "-o", fields],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        return [tuple(line.split("|")) for line in text.splitlines()]

    return ask


@pytest.fixture
def drained(queue):
    """Wait until no job is queued."""

    def wait(seconds=40):
        end = time.monotonic() + seconds
        while queue():
            assert time.monotonic() < end, f"still queued: {queue()}"
            time.sleep(0.1)

    return wait


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slurm)
