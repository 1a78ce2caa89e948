"""Write docs/results/protocols.md: what the runs of `make protocols` have found so far.

    python scripts/protocols.py --results DIR [--write]

The tables are those of `harness report`, of the seeds of which every cell is published;
before there is such a seed, of all that is there. Without --write they are printed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from blocks import main
from runs import ROOT, Run

DOCUMENT = ROOT / "docs" / "results" / "protocols.md"
# Benchmark file, and the tables that are shown of it.
SHOWN: Mapping[str, Sequence[str]] = {
    "pneumonia": ("auc", "gain-auc"),
    "retina": ("kappa", "gain-kappa"),
    "hippocampus": ("dice", "hd95"),
    "lung_tumour": ("dice", "gain-dice"),
    "glioma": ("dice", "gain-dice"),
}


def document(results: Path) -> dict[str, list[str]]:
    """Return the blocks of the document by the name of their marker."""
    files = {name: ROOT / "examples" / f"protocols_{name}.yaml" for name in SHOWN}
    runs = {name: Run.of(path, results) for name, path in files.items()}
    blocks = {"state": [run.state() for run in runs.values()]}
    return blocks | {name: run.tables(SHOWN[name]) for name, run in runs.items()}


if __name__ == "__main__":
    sys.exit(main(__doc__, DOCUMENT, document))
