"""The accounting of a private SLURM: MariaDB and slurmdbd under the same folder."""

from __future__ import annotations

import secrets
import socket
import subprocess
from pathlib import Path

from slurm_daemons import ENVIRONMENT, CannotStart, Daemons, wait

PACKAGES = ("slurmdbd", "mariadb-server")
PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db")
DBD = """\
AuthType=auth/munge
AuthInfo=socket={wire}
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
LogFile={folder}/logs/slurmdbd.log
PidFile={folder}/state/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database_port}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm_acct
"""
# Appended to slurm.conf. The 'password' of a munge connection is munge's socket.
CONF = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={wire}
"""


def start(daemons: Daemons, wire: Path, port: int) -> None:
    """Start MariaDB on port + 1 and slurmdbd on `port`; raises CannotStart."""
    folder = daemons.folder
    data = folder / "database"
    password = secrets.token_hex(16)
    _make_database(data, folder / "logs" / "mariadb-install.log")
    first = data / "first.sql"
    first.write_text(
        f"CREATE USER 'slurm'@'127.0.0.1' IDENTIFIED BY '{password}';\n"
        "GRANT ALL ON slurm_acct.* TO 'slurm'@'127.0.0.1';\n"
    )
    daemons.start(
        "mariadbd",
        ["mariadbd", "--no-defaults", "--user=root", f"--datadir={data}",
         f"--socket={data}/socket", f"--pid-file={data}/pid", "--skip-name-resolve",
         "--bind-address=127.0.0.1", f"--port={port + 1}", f"--init-file={first}",
         f"--log-error={folder}/logs/mariadbd.log", "--innodb-buffer-pool-size=64M",
         "--innodb-flush-log-at-trx-commit=2"],
    )  # fmt: skip
    wait(
        (data / "pid").exists, "mariadbd did not start",
        folder / "logs" / "mariadbd.log",
    )  # fmt: skip
    conf = folder / "slurmdbd.conf"
    conf.touch(mode=0o600)  # slurmdbd refuses one that others may read
    conf.write_text(
        DBD.format(
            wire=wire, port=port, database_port=port + 1, folder=folder,
            password=password,
        )
    )  # fmt: skip
    # slurmdbd takes no path of its configuration: it lies beside that of SLURM.
    daemons.start(
        "slurmdbd", ["env", f"SLURM_CONF={folder}/slurm.conf", "slurmdbd", "-D"]
    )
    log = folder / "logs" / "slurmdbd.log"
    wait(lambda: _listens(port), "slurmdbd does not answer", log, 60)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _make_database(data: Path, log: Path) -> None:
    data.mkdir(exist_ok=True)
    with log.open("wb") as out:
        done = subprocess.run(
            ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}",
             "--auth-root-authentication-method=normal", "--skip-test-db"],
            env=ENVIRONMENT, stdout=out, stderr=out, timeout=120, check=False,
        )  # fmt: skip
    if done.returncode:
        message = f"mariadb-install-db failed; see {log}"
        raise CannotStart(message)
