"""Rehearse the four published benchmarks; with --write, note how it went.

python scripts/rehearse.py [--write docs/results/rehearsals.md] [--results DIR]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MATRICES = ("dagman", "dino3d", "transferability", "nine_methods")
HEAD = """\
# Rehearsals of the published benchmarks

Written by `make rehearse`; do not edit. Each matrix of papers/ is run with every dataset
replaced by a few made-up cases of the same format, imported weights by made-up ones, and
every length cut to tier tiny. Scores mean nothing; a part has passed if it ran. A figure is
'empty' where its protocol has nothing to draw, as convergence of what is validated once.

Last run: {date}.

| matrix | parts | passed | failed | empty figures | minutes |
|---|---|---|---|---|---|
"""


def rehearse(paper: str, results: Path) -> tuple[list[dict[str, Any]], float]:
    """Return the parts of a matrix with their states, and the minutes they took."""
    began = time.monotonic()
    done = subprocess.run(
        [
            sys.executable, "-m", "harness", "-b", str(ROOT / f"papers/{paper}.yaml"),
            "--results", str(results), "--json", "rehearse",
        ],
        stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    minutes = (time.monotonic() - began) / 60
    parts: list[dict[str, Any]] = json.loads(done.stdout) if done.stdout else []
    return parts, minutes


def main() -> int:
    """Rehearse all; return 1 if any part failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="page to write")
    parser.add_argument("--results", type=Path, help="folder; none: a new one")
    args = parser.parse_args()
    lines, faults = [], []
    with tempfile.TemporaryDirectory() as fresh:
        for paper in MATRICES:
            parts, minutes = rehearse(paper, args.results or Path(fresh))
            states = Counter(part["state"] for part in parts)
            bad = [part for part in parts if part["state"] == "failed"]
            if not parts:
                faults.append(f"- {paper}: did not run")
            faults += [
                f"- {paper}: {p['kind']} {p['name']}: {p['reason']}" for p in bad
            ]
            line = (
                f"| {paper} | {len(parts)} | {states['passed']} | {len(bad)} | "
                f"{states['empty']} | {minutes:.1f} |"
            )
            sys.stdout.write(f"{line}\n")
            lines.append(line)
    if args.write is not None:
        text = HEAD.format(date=datetime.now(UTC).date().isoformat()) + "\n".join(lines)
        if faults:
            text += "\n\nFailed:\n\n" + "\n".join(faults)
        args.write.write_text(f"{text}\n", encoding="utf-8")
    sys.stdout.write("".join(f"{fault}\n" for fault in faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
