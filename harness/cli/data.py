"""`harness data`: what data the tasks have (ls), whether it is sound (check), fetch."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..schema.errors import DataError, Exit, UserError
from .lidc import add_lidc
from .options import (
    BENCHMARK,
    add_command,
    add_workers,
    global_options,
    open_content,
    open_matrix,
)
from .output import columns, counted, emit_json, progress_line, say, size

if TYPE_CHECKING:
    from ..matrix.matrix import MethodEntry
    from ..registry.content import Content
    from ..schema.task import TaskSpec
    from ..volumes.inspection import Inspected

SHOWN_FAULTS = 50


def add_parser(commands: Any) -> None:
    """Add the command."""
    command = add_command(commands, "data", "list, check or fetch the data of tasks")
    parts = command.add_subparsers(dest="data_command", metavar="WHAT", required=True)

    def add(name: str, text: str, handler: Any) -> argparse.ArgumentParser:
        below = [global_options(top_level=False)]
        part: argparse.ArgumentParser = parts.add_parser(
            name, help=text, description=text, parents=below
        )
        part.set_defaults(handler=handler)
        return part

    add(
        "ls",
        "list the data of all tasks: source, licence, size, present or not",
        data_ls,
    )
    part = add("check", "read every case of a task and report every fault", data_check)
    part.add_argument("task", metavar="TASK")
    add_workers(part)
    text = "download what a task's publisher offers openly, or a method's weights"
    part = add("fetch", text, data_fetch)
    part.add_argument(
        "task", metavar="TASK", help="a task, or a method of the benchmark"
    )
    part.add_argument(
        "--to", type=Path, metavar="DIR",
        help="folder to fetch into (default: data_root of the benchmark file, "
        "MEDSSL_DATA, or data/ beside tasks/)",
    )  # fmt: skip
    add_lidc(add)


class _Known(NamedTuple):
    """What commands can name: content, data roots, and what a benchmark file sets.

    Without a benchmark file there are no specs and methods.
    """

    content: Content
    roots: tuple[Path, ...]
    specs: dict[str, TaskSpec]
    methods: Mapping[str, MethodEntry]

    def spec(self, name: str) -> TaskSpec:
        """Return a dataset as the benchmark sets it, or as its own file does.

        The volumes of a corpus are called NAME@CORPUS, as `data ls` shows them.
        """
        from ..registry.explain import unknown

        if name in self.specs:
            return self.specs[name]
        source, _, corpus = name.partition("@")
        if not corpus:
            return self.content.task(name)
        volumes = dict(_volumes(self.content, corpus))
        if name not in volumes:
            found = [_task_of(each) for each in volumes]
            raise UserError(unknown(f"source of {corpus}", source, found))
        return volumes[name]


def _task_of(dataset: str) -> str:
    from ..matrix.matrix import task_of

    return task_of(dataset)


def _volumes(content: Content, corpus: str) -> Iterator[tuple[str, TaskSpec]]:
    """Yield the datasets of a corpus that belong to no task."""
    from ..matrix.matrix import Corpus

    spec = content.corpus(corpus)
    for source in spec.sources:
        if source.volumes is not None and spec.preprocess is not None:
            name = Corpus(corpus, spec).dataset(source)
            yield name, source.volumes.spec(spec.preprocess)


def _known(args: argparse.Namespace) -> _Known:
    from ..matrix.load import data_roots

    if not args.benchmark.exists() and args.benchmark == BENCHMARK:
        content = open_content(args)
        return _Known(content, data_roots(args.benchmark, (), content), {}, {})
    matrix = open_matrix(args)
    return _Known(
        matrix.content, matrix.data_roots, dict(matrix.specs), dict(matrix.stages)
    )


def data_check(args: argparse.Namespace) -> Exit:
    """Read every case, report every fault and what the cases are like."""
    from ..volumes.formats import list_cases, open_dataset
    from ..volumes.inspection import inspect, twins
    from ..volumes.splits import split

    known = _known(args)
    spec = known.spec(args.task)
    generator = known.content.generator(spec)
    dataset = open_dataset(args.task, spec, known.roots, generator)
    dataset = replace(dataset, noted=[])
    cases = list_cases(dataset)
    found = inspect(
        dataset,
        cases,
        workers=args.workers,
        progress=progress_line("checked", "case"),
    )
    listed_wrong = [*(dataset.noted or ())]
    faults = listed_wrong + [each.fault for each in found if each.fault is not None]
    sides: dict[str, str] = {}
    try:
        if spec.kind != "unlabelled" and not listed_wrong:
            parts = split(_task_of(args.task), spec, cases)
            for side in ("train", "val", "test"):
                sides |= {ref.case_id: side for ref in getattr(parts, side)}
    except DataError as error:
        faults.append(str(error))
    notes = [_twin_note(group, sides) for group in twins(found)]
    if not faults:
        seen = {value for each in found for value in each.structures}
        notes += [
            f"structure {name!r} (label {value}) is in no case"
            for name, value in spec.structures.items()
            if value not in seen
        ]
    if args.json:
        about = [
            {
                "case": each.ref.case_id, "fault": each.fault, "shape": each.shape,
                "spacing": each.spacing, "values": each.values,
                "structures": each.structures, "contents": each.contents,
            }
            for each in found
        ]  # fmt: skip
        emit_json(
            {
                "task": args.task, "cases": len(cases), "faults": faults,
                "notes": notes, "found": about,
            }
        )  # fmt: skip
        return Exit.USAGE if faults else Exit.DONE
    for lines in (faults, [f"note: {note}" for note in notes]):
        for line in lines[:SHOWN_FAULTS]:
            say(line)
        if len(lines) > SHOWN_FAULTS:
            say(f"... and {len(lines) - SHOWN_FAULTS} more")
    _describe(found)
    say(f"{args.task}: {counted(len(cases), 'case')} read, {len(faults)} at fault")
    return Exit.USAGE if faults else Exit.DONE


def _twin_note(group: Sequence[str], sides: Mapping[str, str]) -> str:
    """Say that cases are one image, and whether that leaks."""
    on = {sides.get(case_id) for case_id in group} - {None}
    leak = ", on different sides of the split" if len(on) > 1 else ""
    return f"{', '.join(group)} have equal voxels and are not of one patient{leak}"


def _describe(found: Sequence[Inspected]) -> None:
    """Say between which bounds the readable cases lie."""
    good = [each for each in found if each.fault is None]
    if not good:
        return
    for name, rows in (
        ("voxels", [each.shape for each in good]),
        ("mm per voxel", [each.spacing for each in good]),
    ):
        bounds = [f"{min(axis):g} to {max(axis):g}" for axis in zip(*rows, strict=True)]
        say(f"{name} along each axis of the files: {', '.join(bounds)}")
    low, high = min(each.values[0] for each in good), max(e.values[1] for e in good)
    say(f"values from {low:g} to {high:g}")


def data_fetch(args: argparse.Namespace) -> Exit:
    """Download a task's files or a method's weights, or say where to get them."""
    from ..registry.weights import fetch_weights
    from ..volumes.fetch import fetch

    known = _known(args)
    method = known.methods.get(args.task)
    weights = method.weights if method is not None else None
    root = args.to if args.to is not None else known.roots[0]
    live = sys.stderr.isatty()

    def show(path: Path, done: int, total: int | None) -> None:
        if live:
            of = f" of {size(total)}" if total else ""
            sys.stderr.write(f"\r{path.name}: {size(done)}{of}      ")

    if weights is not None:
        paths = [fetch_weights(weights, show)]
    else:
        paths = fetch(known.spec(args.task), root, show)
    if live:
        sys.stderr.write("\n")
    if args.json:
        emit_json({"task": args.task, "files": [str(path) for path in paths]})
    else:
        for path in paths:
            say(str(path))
    return Exit.DONE


def data_ls(args: argparse.Namespace) -> Exit:
    """List the data of all tasks and corpora; sides of those of the benchmark.

    `split` is the digest of which case is on which side: equal digests, equal splits.
    Only the datasets of the benchmark are listed case by case.
    """
    known = _known(args)
    specs = dict(known.specs)
    for name in known.content.names("tasks"):
        specs.setdefault(name, known.content.task(name))
    for name in known.content.names("corpora"):
        for dataset, spec in _volumes(known.content, name):
            specs.setdefault(dataset, spec)
    rows = [_row(name, spec, known) for name, spec in specs.items()]
    if args.json:
        emit_json(rows)
    else:
        head = [key for key in rows[0] if key not in _DETAILS]
        shown = [[("-" if row[k] is None else row[k]) for k in head] for row in rows]
        columns(head, shown)
    return Exit.DONE


_DETAILS = ("note", "how", "folder", "split")


def _on_disk(place: Path) -> int:
    """Return the bytes of a file, or of all files below a folder."""
    files = place.rglob("*") if place.is_dir() else [place]
    return sum(each.stat().st_size for each in files if each.is_file())


def _row(name: str, spec: TaskSpec, known: _Known) -> dict[str, Any]:
    """Return the row of a dataset; of the benchmark's, its cases and sides too."""
    from ..volumes.formats import list_cases, open_dataset
    from ..volumes.splits import split

    row: dict[str, Any] = {
        "task": name, "state": "present", "kind": spec.kind, "modality": spec.modality,
        "cases": None, "declared": spec.cases,
        "train": None, "val": None, "test": None, "split": None,
        "size": spec.source.size or None, "fetch": "yes" if spec.source.files else "no",
        "licence": spec.source.licence, "page": spec.source.page,
        "how": spec.source.how or None, "folder": None, "note": None,
    }  # fmt: skip
    try:
        generator = known.content.generator(spec)
        dataset = open_dataset(name, spec, known.roots, generator)
    except DataError as error:
        return row | {"state": "missing", "note": str(error)}
    if dataset.root is not None:
        row["folder"] = str(dataset.root)
        row["size"] = row["size"] or size(_on_disk(dataset.root))
    row["state"] = "generated" if generator is not None else "present"
    if name not in known.specs:
        return row
    try:
        cases = list_cases(dataset)
        row["cases"] = len(cases)
        if spec.kind == "unlabelled":
            return row
        sides = split(_task_of(name), spec, cases)
    except DataError as error:
        return row | {"state": "wrong", "note": str(error)}
    return row | {
        "train": len(sides.train), "val": len(sides.val), "test": len(sides.test),
        "split": sides.digest[:16],
    }  # fmt: skip
