"""Write requirements.lock: one exact version of every package of every extra.

Local version labels (torch's '+cpu') and hashes are left out, so that a line resolves
to whichever build of torch the machine's package index offers. Run through `make lock`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINNED = ("torch==2.13.0",)  # the version that the project is developed on
HEADER = """\
# Exact versions of everything `make setup` installs. Written by `make lock`; do not edit.
# torch carries no local version, so CPU and CUDA builds both satisfy it (README).
"""


def main() -> int:
    """Resolve pyproject.toml with all extras and write the lock."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed",
            "--quiet", "--report", str(report), *PINNED, f"{ROOT}[dev,nnunet,cluster]",
        ]  # fmt: skip
        subprocess.run(command, check=True)
        installs = json.loads(report.read_text())["install"]
    lines = set()
    for item in installs:
        name = item["metadata"]["name"]
        if name != "medssl-bench":
            version = item["metadata"]["version"].split("+")[0]
            lines.add(f"{name}=={version}")
    text = HEADER + "\n".join(sorted(lines, key=str.lower)) + "\n"
    (ROOT / "requirements.lock").write_text(text)
    sys.stdout.write(f"requirements.lock: {len(lines)} packages\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
