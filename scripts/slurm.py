"""Start and stop a private SLURM on this one machine, for people without a cluster.

    python scripts/slurm.py up [--dir .slurm] [--install]
    python scripts/slurm.py down [--dir .slurm]

Everything lives under one folder: keys, sockets, spool, logs and slurm.conf. Programs
find the controller through SLURM_CONF=<dir>/slurm.conf. `down` ends the processes that
`up` started and no others. Needs root and Debian's slurm-wlm and munge; it refuses,
with one sentence, where it cannot work. Only the standard library is used.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

PACKAGES = ("slurm-wlm", "munge")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "srun")
TEMPLATE = Path(__file__).with_name("slurm.conf.template")
PORT = 6817  # slurmctld's registered port; slurmd takes the next one
SYSTEM_CONFIGS = (Path("/etc/slurm/slurm.conf"), Path("/etc/slurm-llnl/slurm.conf"))
# sun_path of a Unix socket holds 107 bytes; munged adds '.lock' beside its socket.
LONGEST_SOCKET = 100
ENVIRONMENT = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


class CannotStart(Exception):
    """Why a private SLURM cannot run here, in one sentence."""


def up(
    folder: Path,
    *,
    port: int | None = None,
    cpus: int | None = None,
    max_array_size: int = 1001,
    install: bool = False,
) -> Path:
    """Start munged, slurmctld and slurmd under `folder`; return the path of slurm.conf.

    port: of slurmctld (slurmd takes port + 1); naming one allows a second private SLURM
    beside another. cpus: what the node claims to have. Raises CannotStart.
    """
    folder = folder.resolve()
    if alive := _running(folder):
        message = f"already running under {folder}: {', '.join(sorted(alive))}"
        raise CannotStart(message)
    _need_programs(install=install)
    _need_an_empty_place(port)
    for name in ("munge", "state", "spool", "logs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name).chmod(0o755)  # munged refuses folders that others may write to
    wire = _socket_path(folder)
    conf = folder / "slurm.conf"
    text = _conf(folder, wire, port or PORT, cpus or _cores(), max_array_size)
    conf.write_text(text)
    try:
        _start_all(folder, conf, wire)
    except CannotStart:
        down(folder)
        raise
    return conf


def down(folder: Path) -> list[str]:
    """End what `up` started under `folder`; return the names of the programs ended."""
    folder = folder.resolve()
    alive = _running(folder)
    if {"slurmctld", "slurmd"} <= alive.keys():
        _cancel_jobs(folder / "slurm.conf")
    ended = []
    for name in ("slurmd", "slurmctld", "munged"):
        if name in alive:
            _end(alive[name])
            ended.append(name)
    wire = _socket_path(folder)
    if wire.parent != folder / "munge":
        shutil.rmtree(wire.parent, ignore_errors=True)
    (folder / "processes.json").unlink(missing_ok=True)
    # The Makefile follows this file where it exists; it must not point at nothing.
    (folder / "slurm.conf").unlink(missing_ok=True)
    # Job ids and finished jobs of an earlier controller must not return in the next
    # one.
    for name in ("state", "spool"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return ended


def _need_programs(*, install: bool) -> None:
    missing = [name for name in PROGRAMS if not _which(name)]
    if missing and install and os.geteuid() == 0 and _which("apt-get"):
        for command in (
            ["apt-get", "update"],
            ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES],
        ):
            quiet = {**ENVIRONMENT, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(command, env=quiet, stdout=sys.stderr, check=False)
        missing = [name for name in PROGRAMS if not _which(name)]
    if missing:
        message = (
            f"not installed: {', '.join(missing)}; install the Debian packages "
            f"{' and '.join(PACKAGES)} (as root: apt-get install {' '.join(PACKAGES)})"
        )
        raise CannotStart(message)
    if os.geteuid() != 0:
        message = (
            "a private SLURM needs root, because slurmd starts jobs as their users"
        )
        raise CannotStart(message)


def _need_an_empty_place(port: int | None) -> None:
    if port is None:
        for config in SYSTEM_CONFIGS:
            if config.exists():
                message = (
                    f"this machine has a SLURM of its own ({config}); use that one "
                    "with CLUSTER=slurm"
                )
                raise CannotStart(message)
        if pids := _pids_of("slurmctld"):
            message = (
                f"a slurmctld is running already (process {pids[0]}); stop it, or name "
                "another port with --port"
            )
            raise CannotStart(message)
    for number in ((port or PORT), (port or PORT) + 1):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", number))
            except OSError:
                message = f"port {number} is in use; name another with --port"
                raise CannotStart(message) from None


def _socket_path(folder: Path) -> Path:
    wire = folder / "munge" / "socket"
    if len(str(wire)) <= LONGEST_SOCKET:
        return wire
    name = sha256(str(folder).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"slurm-munge-{name}" / "socket"


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _conf(folder: Path, wire: Path, port: int, cpus: int, max_array_size: int) -> str:
    host = socket.gethostname().split(".")[0]
    memory_mb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    return TEMPLATE.read_text(encoding="utf-8").format(
        host=host,
        wire=wire,
        port=port,
        node_port=port + 1,
        folder=folder,
        max_array_size=max_array_size,
        cpus=cpus,
        memory_mb=memory_mb,
    )


def _start_all(folder: Path, conf: Path, wire: Path) -> None:
    key = folder / "munge" / "key"
    if not key.exists():
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
    wire.parent.mkdir(mode=0o755, exist_ok=True)
    private = folder / "munge"
    _start(
        folder,
        ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={wire}",
         f"--pid-file={private}/pid", f"--log-file={folder}/logs/munged.log",
         f"--seed-file={private}/seed"],
    )  # fmt: skip
    _wait(wire.exists, "munged did not open its socket", folder / "logs" / "munged.log")
    _start(folder, ["slurmctld", "-D", "-f", str(conf)])
    log = folder / "logs" / "slurmctld.log"
    _wait(
        lambda: _ask(conf, "scontrol", "ping").returncode == 0,
        "slurmctld does not answer",
        log,
    )
    _start(folder, ["slurmd", "-D", "-f", str(conf)])
    _wait(
        lambda: "idle" in _ask(conf, "sinfo", "-h", "-o", "%t").stdout,
        "the node did not become idle",
        folder / "logs" / "slurmd.log",
    )


def _start(folder: Path, command: list[str]) -> None:
    name = command[0]
    out = os.open(
        folder / "logs" / f"{name}.out", os.O_WRONLY | os.O_CREAT | os.O_APPEND
    )
    null = os.open(os.devnull, os.O_RDONLY)
    # Not subprocess: these processes are meant to outlive this one.
    pid = os.posix_spawn(
        _which(name) or name, command, ENVIRONMENT, setsid=True,
        file_actions=[(os.POSIX_SPAWN_DUP2, source, target)
                      for source, target in ((null, 0), (out, 1), (out, 2))],
    )  # fmt: skip
    os.close(out)
    os.close(null)
    record = folder / "processes.json"
    known = json.loads(record.read_text()) if record.exists() else {}
    known[name] = [pid, _born(pid)]
    record.write_text(json.dumps(known))


def _wait(ready: object, what: str, log: Path, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not ready():  # type: ignore[operator]
        if time.monotonic() > end:
            message = f"{what} within {seconds:.0f} s; see {log}"
            raise CannotStart(message)
        time.sleep(0.1)


def _ask(conf: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env={**ENVIRONMENT, "SLURM_CONF": str(conf)},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def _cancel_jobs(conf: Path, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ids = _ask(conf, "squeue", "-h", "-o", "%A").stdout.split()
        if not ids:
            return
        _ask(conf, "scancel", *sorted(set(ids)))
        time.sleep(0.3)


def _running(folder: Path) -> dict[str, int]:
    """Return {program: process id} of what `up` started and still runs."""
    record = folder / "processes.json"
    if not record.exists():
        return {}
    known: dict[str, list[str | int]] = json.loads(record.read_text())
    return {
        name: int(pid) for name, (pid, born) in known.items() if _born(int(pid)) == born
    }


def _born(pid: int) -> str | None:
    """Return when a process started, in clock ticks; None if it is gone or a zombie.

    A process id alone could belong to another process by the time that `down` runs.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _end(pid: int, seconds: float = 10.0) -> None:
    born = _born(pid)
    for number in (signal.SIGTERM, signal.SIGKILL):
        if born is None or _born(pid) != born:
            break
        os.kill(pid, number)
        end = time.monotonic() + seconds
        while _born(pid) == born and time.monotonic() < end:
            time.sleep(0.05)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # ours where `up` ran in this process


def _pids_of(name: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text().strip().startswith(name):
                found.append(int(path.parent.name))
        except OSError:
            continue  # it ended while we looked
    return found


def _which(name: str) -> str | None:
    return shutil.which(name, path=ENVIRONMENT["PATH"])


def main(arguments: list[str] | None = None) -> int:
    """Run `up` or `down`; return 0, or 1 with one sentence on stderr."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("action", choices=["up", "down"])
    parser.add_argument("--dir", type=Path, default=Path(".slurm"), help="its folder")
    parser.add_argument("--port", type=int, help=f"of slurmctld (default {PORT})")
    parser.add_argument("--cpus", type=int, help="CPUs that the node offers")
    parser.add_argument(
        "--install", action="store_true", help="install missing packages when root"
    )
    options = parser.parse_args(arguments)
    if options.action == "down":
        ended = down(options.dir)
        print(f"stopped: {', '.join(ended) or 'nothing was running'}")  # noqa: T201
        return 0
    try:
        conf = up(
            options.dir, port=options.port, cpus=options.cpus, install=options.install
        )
    except CannotStart as problem:
        print(f"slurm-up: {problem}", file=sys.stderr)  # noqa: T201
        return 1
    print(f"SLURM runs. For this shell: export SLURM_CONF={conf}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
