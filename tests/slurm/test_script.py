"""scripts/slurm.py: starting and stopping the private SLURM."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "slurm.py"


def test_without_the_programs_it_names_the_packages(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "_which", lambda _: None)
    with pytest.raises(script.CannotStart, match="packages slurm-wlm and munge"):
        script.up(tmp_path / "s", install=True)
    assert not (tmp_path / "s").exists()


def test_without_root_it_refuses(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "_which", lambda name: f"/usr/sbin/{name}")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(script.CannotStart, match="needs root"):
        script.up(tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.fixture
def able(script, monkeypatch):
    monkeypatch.setattr(script, "_which", lambda name: f"/usr/sbin/{name}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_a_busy_port_is_named(script, able, tmp_path):
    with socket.socket() as busy:
        busy.bind(("", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(script.CannotStart, match=f"port {port} is in use"):
            script.up(tmp_path / "s", port=port)
    assert not (tmp_path / "s").exists()


def test_a_machine_with_a_slurm_of_its_own_is_left_alone(
    script, able, tmp_path, monkeypatch
):
    config = tmp_path / "slurm.conf"
    config.touch()
    monkeypatch.setattr(script, "SYSTEM_CONFIGS", (config,))
    with pytest.raises(script.CannotStart, match="has a SLURM of its own"):
        script.up(tmp_path / "s")
    monkeypatch.setattr(script, "SYSTEM_CONFIGS", ())
    monkeypatch.setattr(script, "_pids_of", lambda _: [4711])
    with pytest.raises(script.CannotStart, match="slurmctld is running already"):
        script.up(tmp_path / "s")


def test_down_ends_exactly_what_up_started(script, controller, free_port, tmp_path):
    """A second private SLURM beside the first, in a folder with a very long name."""
    folder = tmp_path / ("deep" * 30) / "slurm"
    words = [sys.executable, str(SCRIPT)]
    where = ["--dir", str(folder)]
    up = subprocess.run(
        [*words, "up", *where, "--port", str(free_port())],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert up.returncode == 0, up.stderr
    assert f"export SLURM_CONF={folder}/slurm.conf" in up.stdout
    mine = script._running(folder)
    assert sorted(mine) == ["munged", "slurmctld", "slurmd"]
    others = script._running(controller.parent)
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    subprocess.run(
        [shutil.which("sbatch"), "--wrap", "sleep 600", "-o", "/dev/null"],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    again = subprocess.run(
        [*words, "up", *where], capture_output=True, text=True, check=False
    )
    assert again.returncode == 1
    assert "already running" in again.stderr
    down = subprocess.run(
        [*words, "down", *where], capture_output=True, text=True, check=True
    )
    assert down.stdout == "stopped: slurmd, slurmctld, munged\n"
    assert all(script._born(pid) is None for pid in mine.values())
    assert script._running(controller.parent) == others
    down = subprocess.run(
        [*words, "down", *where], capture_output=True, text=True, check=True
    )
    assert down.stdout == "stopped: nothing was running\n"
