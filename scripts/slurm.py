"""Start and stop a private SLURM on this one machine, for people without a cluster.

    python scripts/slurm.py up [--dir .slurm] [--install] [--nodes 2] [--accounting]
    python scripts/slurm.py down [--dir .slurm]

Everything lives under one folder: keys, sockets, spool, logs and slurm.conf. Programs
find the controller through SLURM_CONF=<dir>/slurm.conf. `down` ends the processes that
`up` started and no others. Needs root and Debian's slurm-wlm and munge; it refuses,
with one sentence, where it cannot work. Only the standard library is used.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import slurm_accounting
from slurm_daemons import (
    ENVIRONMENT,
    CannotStart,
    Daemons,
    answers,
    ask,
    pids_of,
    wait,
    which,
)
from slurm_site import PORT, Site, configuration

PACKAGES = ("slurm-wlm", "munge")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "srun")
SYSTEM_CONFIGS = (Path("/etc/slurm/slurm.conf"), Path("/etc/slurm-llnl/slurm.conf"))
# sun_path of a Unix socket holds 107 bytes; munged adds '.lock' beside its socket.
LONGEST_SOCKET = 100


def up(folder: Path, site: Site | None = None, *, install: bool = False) -> Path:
    """Start the daemons of a site under `folder`; return the path of slurm.conf.

    Raises CannotStart, and then nothing runs.
    """
    site = site or Site()
    folder = folder.resolve()
    daemons = Daemons(folder)
    if alive := daemons.running():
        message = f"already running under {folder}: {', '.join(sorted(alive))}"
        raise CannotStart(message)
    _need_programs(site, install=install)
    _need_an_empty_place(site)
    for name in ("munge", "state", "spool", "logs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name).chmod(0o755)  # munged refuses folders that others may write to
    wire = _socket_path(folder)
    conf = folder / "slurm.conf"
    conf.write_text(configuration(folder, wire, site))
    try:
        _start_all(daemons, conf, wire, site)
    except CannotStart:
        down(folder)
        raise
    return conf


def down(folder: Path) -> list[str]:
    """End what `up` started under `folder`; return the names of the programs ended."""
    folder = folder.resolve()
    daemons = Daemons(folder)
    alive = daemons.running()
    if {name.partition(".")[0] for name in alive} >= {"slurmctld", "slurmd"}:
        _cancel_jobs(folder / "slurm.conf")
    for name in reversed(list(alive)):
        daemons.end(name)
    wire = _socket_path(folder)
    if wire.parent != folder / "munge":
        shutil.rmtree(wire.parent, ignore_errors=True)
    daemons.forget()
    # The Makefile follows this file where it exists; it must not point at nothing.
    (folder / "slurm.conf").unlink(missing_ok=True)
    # Job ids and finished jobs of an earlier controller must not return in the next
    # one.
    for name in ("state", "spool", "database"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return list(reversed(list(alive)))


def _need_programs(site: Site, *, install: bool) -> None:
    programs, packages = PROGRAMS, PACKAGES
    if site.accounting:
        programs += slurm_accounting.PROGRAMS
        packages += slurm_accounting.PACKAGES
    missing = [name for name in programs if not which(name)]
    if missing and install and os.geteuid() == 0 and which("apt-get"):
        for command in (
            ["apt-get", "update"],
            ["apt-get", "install", "-y", "--no-install-recommends", *packages],
        ):
            quiet = {**ENVIRONMENT, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(command, env=quiet, stdout=sys.stderr, check=False)
        missing = [name for name in programs if not which(name)]
    if missing:
        message = (
            f"not installed: {', '.join(missing)}; install the Debian packages "
            f"{' and '.join(packages)} (as root: apt-get install {' '.join(packages)})"
        )
        raise CannotStart(message)
    if os.geteuid() != 0:
        message = (
            "a private SLURM needs root, because slurmd starts jobs as their users"
        )
        raise CannotStart(message)


def _need_an_empty_place(site: Site) -> None:
    if site.port is None:
        for config in SYSTEM_CONFIGS:
            if config.exists():
                message = (
                    f"this machine has a SLURM of its own ({config}); use that one "
                    "with CLUSTER=slurm"
                )
                raise CannotStart(message)
        if pids := pids_of("slurmctld"):
            message = (
                f"a slurmctld is running already (process {pids[0]}); stop it, or name "
                "another port with --port"
            )
            raise CannotStart(message)
    for number in site.ports:
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


def _start_all(daemons: Daemons, conf: Path, wire: Path, site: Site) -> None:
    folder = daemons.folder
    key = folder / "munge" / "key"
    if not key.exists():
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
    wire.parent.mkdir(mode=0o755, exist_ok=True)
    private = folder / "munge"
    daemons.start(
        "munged",
        ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={wire}",
         f"--pid-file={private}/pid", f"--log-file={folder}/logs/munged.log",
         f"--seed-file={private}/seed"],
    )  # fmt: skip
    wait(wire.exists, "munged did not open its socket", folder / "logs" / "munged.log")
    if site.accounting:
        slurm_accounting.start(daemons, wire, site.accounting_port)
    daemons.start("slurmctld", ["slurmctld", "-D", "-f", str(conf)])
    wait(
        lambda: answers(conf), "slurmctld does not answer",
        folder / "logs" / "slurmctld.log",
    )  # fmt: skip
    for number in range(1, site.nodes + 1):
        one = [] if site.nodes == 1 else ["-N", f"node{number}"]
        daemons.start(site.daemon_of(number), ["slurmd", "-D", *one, "-f", str(conf)])
    wait(
        lambda: (
            ask(conf, "sinfo", "-h", "-N", "-p", "main", "-o", "%t").stdout.split()
            == ["idle"] * site.nodes
        ),
        "the nodes did not become idle",
        folder / "logs",
    )


def _cancel_jobs(conf: Path, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ids = ask(conf, "squeue", "-h", "-o", "%F").stdout.split()
        if not ids:
            return
        ask(conf, "scancel", *sorted(set(ids)))
        time.sleep(0.3)


def main(arguments: list[str] | None = None) -> int:
    """Run `up` or `down`; return 0, or 1 with one sentence on stderr."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("action", choices=["up", "down"])
    parser.add_argument("--dir", type=Path, default=Path(".slurm"), help="its folder")
    parser.add_argument("--port", type=int, help=f"of slurmctld (default {PORT})")
    parser.add_argument("--cpus", type=int, help="CPUs that each node offers")
    parser.add_argument("--nodes", type=int, default=1, help="how many (default 1)")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs that nodes claim")
    parser.add_argument(
        "--preemption", action="store_true", help="add a partition that preempts"
    )
    parser.add_argument(
        "--accounting", action="store_true", help="with slurmdbd and MariaDB"
    )
    parser.add_argument(
        "--install", action="store_true", help="install missing packages when root"
    )
    options = parser.parse_args(arguments)
    if options.action == "down":
        ended = down(options.dir)
        print(f"stopped: {', '.join(ended) or 'nothing was running'}")  # noqa: T201
        return 0
    site = Site(
        port=options.port, cpus=options.cpus, nodes=options.nodes, gpus=options.gpus,
        preemption=options.preemption, accounting=options.accounting,
    )  # fmt: skip
    try:
        conf = up(options.dir, site, install=options.install)
    except CannotStart as problem:
        print(f"slurm-up: {problem}", file=sys.stderr)  # noqa: T201
        return 1
    print(f"SLURM runs. For this shell: export SLURM_CONF={conf}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
