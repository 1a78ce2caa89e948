"""What a private SLURM is like, and the slurm.conf that says so."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

import slurm_accounting

TEMPLATE = Path(__file__).with_name("slurm.conf.template")
PORT = 6817  # slurmctld's registered port


@dataclass(frozen=True)
class Site:
    """What the private SLURM is like. The defaults are those of SLURM, or of a laptop.

    port: of slurmctld; the daemons of the nodes, slurmdbd and MariaDB take the next
    ones. Naming one allows a second private SLURM beside another; None: 6817.
    nodes: several are several slurmd, called node1, node2, ...; one is called as this
    host. cpus: what each node claims to have (None: what this process may use).
    gpus: GPUs that each node claims, with files of ours as their devices.
    preemption: adds the partition `urgent`, whose jobs requeue those of `main`.
    grace_s: seconds between the signal and the end of a preempted job.
    cred_expire_s: how long a requeued job waits at least, and the life of a credential.
    """

    port: int | None = None
    nodes: int = 1
    cpus: int | None = None
    gpus: int = 0
    max_array_size: int = 1001
    max_job_count: int = 10_000
    min_job_age_s: int = 300
    slurmd_timeout_s: int = 300
    kill_wait_s: int = 5
    cred_expire_s: int = 120
    preemption: bool = False
    grace_s: int = 30
    accounting: bool = False

    @property
    def first_port(self) -> int:
        """The port of slurmctld."""
        return self.port or PORT

    @property
    def accounting_port(self) -> int:
        """The port of slurmdbd; MariaDB takes the next one."""
        return self.first_port + self.nodes + 1

    @property
    def ports(self) -> range:
        """Every port that it takes."""
        return range(
            self.first_port, self.accounting_port + (2 if self.accounting else 0)
        )

    def daemon_of(self, number: int) -> str:
        """Return the name of the daemon of node `number`, from 1."""
        return "slurmd" if self.nodes == 1 else f"slurmd.node{number}"


def host() -> str:
    """Return this machine's name as SLURM takes it."""
    return socket.gethostname().split(".")[0]


def configuration(folder: Path, wire: Path, site: Site) -> str:
    """Return slurm.conf, and write gres.conf beside it where nodes claim GPUs."""
    memory_mb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    text = TEMPLATE.read_text(encoding="utf-8").format(
        host=host(), wire=wire, port=site.first_port, folder=folder,
        max_array_size=site.max_array_size, max_job_count=site.max_job_count,
        min_job_age_s=site.min_job_age_s, slurmd_timeout_s=site.slurmd_timeout_s,
        kill_wait_s=site.kill_wait_s, cred_expire_s=site.cred_expire_s,
    )  # fmt: skip
    cpus = site.cpus or len(os.sched_getaffinity(0))
    claims = f"CPUs={cpus} RealMemory={memory_mb} State=UNKNOWN"
    if site.gpus:
        text += "GresTypes=gpu\n"
        claims += f" Gres=gpu:{site.gpus}"
        devices = [folder / f"gpu{number}" for number in range(site.gpus)]
        for device in devices:
            if not device.exists():
                os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))  # a null
        lines = "".join(f"Name=gpu File={device}\n" for device in devices)
        (folder / "gres.conf").write_text(lines)
    for number in range(1, site.nodes + 1):
        name = host() if site.nodes == 1 else f"node{number}"
        where = f"NodeHostname={host()} NodeAddr=127.0.0.1"
        port = site.first_port + number
        text += f"NodeName={name} {where} Port={port} {claims}\n"
    main = "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP"
    if site.preemption:
        text += "PreemptType=preempt/partition_prio\nPreemptMode=REQUEUE\n"
        text += f"{main} PriorityTier=1 GraceTime={site.grace_s}\n"
        text += "PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP "
        text += "PriorityTier=10 PreemptMode=OFF\n"
    else:
        text += f"{main}\n"
    if site.accounting:
        text += slurm_accounting.CONF.format(port=site.accounting_port, wire=wire)
    return text


def free_port(count: int = 2) -> int:
    """Return a port that is free just now, together with the ones after it."""
    while True:
        with contextlib.ExitStack() as held:
            first = held.enter_context(socket.socket())
            first.bind(("", 0))
            port = int(first.getsockname()[1])
            try:
                for number in range(port + 1, port + count):
                    held.enter_context(socket.socket()).bind(("", number))
            except (OSError, OverflowError):
                continue
            return port
