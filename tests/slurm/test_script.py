"""scripts/slurm.py: starting and stopping the private SLURM."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import slurm_accounting
from slurm_daemons import born, wait

SCRIPT = Path(__file__).parents[2] / "scripts" / "slurm.py"


def test_without_the_programs_it_names_the_packages(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "which", lambda _: None)
    with pytest.raises(script.CannotStart, match="packages slurm-wlm and munge"):
        script.up(tmp_path / "s", install=True)
    assert not (tmp_path / "s").exists()


def test_without_root_it_refuses(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "which", lambda name: f"/usr/sbin/{name}")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(script.CannotStart, match="needs root"):
        script.up(tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.fixture
def able(script, monkeypatch):
    monkeypatch.setattr(script, "which", lambda name: f"/usr/sbin/{name}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_a_busy_port_is_named(script, able, tmp_path):
    with socket.socket() as busy:
        busy.bind(("", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(script.CannotStart, match=f"port {port} is in use"):
            script.up(tmp_path / "s", script.Site(port=port))
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
    monkeypatch.setattr(script, "pids_of", lambda _: [4711])
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
    mine = script.Daemons(folder).running()
    assert sorted(mine) == ["munged", "slurmctld", "slurmd"]
    others = script.Daemons(controller.parent).running()
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
    assert all(born(pid) is None for pid in mine.values())
    assert script.Daemons(controller.parent).running() == others
    down = subprocess.run(
        [*words, "down", *where], capture_output=True, text=True, check=True
    )
    assert down.stdout == "stopped: nothing was running\n"


def test_several_nodes_with_gpus_and_a_partition_that_preempts(
    script, free_port, tmp_path, monkeypatch
):
    site = script.Site(
        port=free_port(3), nodes=2, cpus=2, gpus=2, preemption=True, max_job_count=77
    )
    conf = script.up(tmp_path / "s", site)
    try:
        daemons = script.Daemons(tmp_path / "s")
        assert {"slurmd.node1", "slurmd.node2"} <= daemons.running().keys()
        nodes = script.ask(conf, "sinfo", "-h", "-N", "-p", "main", "-o", "%N %G %c")
        assert nodes.stdout.splitlines() == ["node1 gpu:2 2", "node2 gpu:2 2"]
        config = script.ask(conf, "scontrol", "show", "config").stdout
        assert "MaxJobCount             = 77" in config
        out = tmp_path / "out"
        job = [
            "sbatch",
            "-W",
            "-w",
            "node2",
            "--gpus=1",
            "-p",
            "urgent",
            "-o",
            str(out),
        ]
        text = "echo $SLURMD_NODENAME $CUDA_VISIBLE_DEVICES"
        assert script.ask(conf, *job, "--wrap", text).returncode == 0
        assert out.read_text() == "node2 0\n"
        daemons.end("slurmctld", signal.SIGKILL)
        assert not script.answers(conf)
        daemons.restart("slurmctld")
        wait(lambda: script.answers(conf), "not restarted", tmp_path)
    finally:
        assert set(script.down(tmp_path / "s")) >= {"slurmd.node1", "slurmd.node2"}


def test_accounting_remembers_how_a_job_ended(script, free_port, tmp_path):
    if missing := [one for one in slurm_accounting.PROGRAMS if not script.which(one)]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    site = script.Site(port=free_port(4), accounting=True)
    conf = script.up(tmp_path / "s", site)
    try:
        job = ["sbatch", "-W", "-o", "/dev/null", "--wrap", "exit 3"]
        assert script.ask(conf, *job).returncode == 3
        words = ["sacct", "-n", "-X", "-P", "-o", "JobID,State,ExitCode"]
        ended = script.ask(conf, *words, "-S", "now-1hour").stdout
        assert ended == "1|FAILED|3:0\n"
    finally:
        assert {"slurmdbd", "mariadbd"} <= set(script.down(tmp_path / "s"))
