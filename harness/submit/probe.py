"""The test job of `harness doctor`: what a node of the cluster sees, as one JSON file.

    python -m harness.submit.probe FOLDER

FOLDER was made by the doctor, below the results folder, and holds a token: a node that
can read it and whose answer the doctor reads shares the file system.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import sys
import time
from pathlib import Path

from .. import __version__
from ..provenance import driver_gpus
from ..store.durable import create_exclusively

TOKEN, ANSWER = "token", "answer.json"


def look(folder: Path) -> dict[str, object]:
    """Return what this process sees."""
    return {
        "token": (folder / TOKEN).read_text(),
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "harness": __version__,
        "gpus": list(driver_gpus()),
        "visible_gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "free_bytes": shutil.disk_usage(folder).free,
        "time": time.time(),
    }


if __name__ == "__main__":
    here = Path(sys.argv[1])
    create_exclusively(here / ANSWER, json.dumps(look(here)).encode())
