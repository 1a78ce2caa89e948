"""A folder that compares encoders on a person's own data, written and then validated.

What is written is decided from the table alone; every decision stands in the files with
what to change (harness/templates/*.template).
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from uuid import uuid4

import yaml

from ..registry.content import Content
from ..registry.explain import unknown
from ..schema.errors import UserError
from ..volumes.formats import list_cases, open_dataset
from ..volumes.splits import split
from ..volumes.survey import Survey, survey
from .load import load
from .matrix import Matrix

FEW = 60  # cases; below, what a single split tells is mostly luck (chosen here)
_TIERS = ("tiny", "small", "demo", "paper")


def write_benchmark(
    folder: Path, table: Path | None, weights: Sequence[str] = ()
) -> list[Path]:
    """Write the folder whole and return its files, but not one by one its methods.

    table: CSV of the person's cases, see `survey`; None takes synthetic data that comes
    with the package; weights: 'PRESET=FILE' each. Raises UserError, and then leaves
    nothing, for a folder that exists, a table that cannot be used and a preset that does
    not fit.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        msg = f"{folder} exists and is not empty: name a new folder"
        raise UserError(msg)
    found = None if table is None else survey(table)
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    draft = folder.absolute().parent / f".{folder.name}.{uuid4().hex[:8]}"
    draft.mkdir()
    try:
        _copy(_templates() / "methods", draft / "methods")
        (draft / "tasks").mkdir()
        presets = _presets(Content((draft,)), weights)
        for name, text in _files(found, presets).items():
            (draft / name).write_text(text, encoding="utf-8")
        if found is None:
            _copy_sample(draft)
        _check(load(draft / "benchmark.yaml"))  # raises with what does not fit together
        names = [path.relative_to(draft) for path in sorted(draft.glob("*.*"))]
        names += [path.relative_to(draft) for path in sorted(draft.glob("tasks/*"))]
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return [folder / name for name in [*names, Path("methods")]]


def _check(matrix: Matrix) -> None:
    """Raise DataError where the person's cases cannot be listed or divided."""
    for task in matrix.tasks:
        if not task.spec.synthetic:
            dataset = open_dataset(task.name, task.spec, matrix.data_roots)
            split(task.name, task.spec, list_cases(dataset))


def _templates() -> Traversable:
    return resources.files("harness.templates")


def _copy(source: Traversable, folder: Path, only: str = "") -> None:
    """Copy the plain files of a folder of the package whose names begin with `only`."""
    folder.mkdir(exist_ok=True)
    for item in source.iterdir():
        if item.is_file() and item.name.startswith(only) and "." in item.name:
            (folder / item.name).write_bytes(item.read_bytes())


def _copy_sample(draft: Path) -> None:
    """Copy the tasks that the benchmark file names, with what generates them."""
    document = yaml.safe_load((draft / "benchmark.yaml").read_text(encoding="utf-8"))
    for name in document["tasks"]:
        _copy(_templates() / "tasks", draft / "tasks", only=f"{name}.")


def _presets(content: Content, weights: Sequence[str]) -> dict[str, str]:
    found = {}
    for each in weights:
        name, equals, file = each.partition("=")
        path = Path(file).expanduser().absolute()
        if not equals or not path.is_file():
            msg = f"--weights {each}: expected PRESET=FILE, and a file that is there"
            raise UserError(msg)
        if name not in content.names("methods"):
            raise UserError(unknown("method", name, content.names("methods")))
        found[name] = f"{{weights: {json.dumps(str(path))}}}"
        encoder = yaml.safe_load(content.file("methods", name).read_text()).get(
            "encoder"
        )
        if encoder:  # its own baseline: the same network without these weights
            same = f"{{extends: random, encoder: {json.dumps(encoder)}}}"
            found[f"random_{name}"] = same
    return found


def _filled(template: str, values: Mapping[str, object]) -> str:
    text = (_templates() / f"{template}.template").read_text(encoding="utf-8")
    return Template(text).substitute({k: str(v) for k, v in values.items()})


def _files(found: Survey | None, presets: Mapping[str, str]) -> dict[str, str]:
    """Return the text of each file, by its name in the folder."""
    values = _values_of_sample() if found is None else _values(found)
    values["METHODS"] = "\n".join(
        [str(values["METHODS"]), *(f"  {n}: {entry}" for n, entry in presets.items())]
    )
    files = {
        "benchmark.yaml": _filled("benchmark.yaml", values),
        "README.md": _filled("README.md", values),
    }
    if found is not None:
        name = f"tasks/{values['TASK']}.yaml"
        files[name] = _filled("task.yaml", {**values, **_task_values(found)})
    return files


def _baselines(kind: str, dims: int) -> str:
    lines = []
    if dims == 2:
        lines.append("  random: {encoder: {kind: resnet, dims: 2}}   # no pretraining")
    else:
        lines.append(
            "  random: {}          # no pretraining: what every other must beat"
        )
    if kind == "segmentation" and dims == 3:
        comment = "" if importlib.util.find_spec("nnunetv2") else "# "
        lines.append(
            f"  {comment}nnunet: {{protocols: [finetune]}}   # plans for itself"
        )
    return "\n".join(lines)


def _protocols(kind: str) -> tuple[str, str]:
    """Return the block of protocols and their names."""
    if kind == "segmentation":
        return (
            "  finetune: {}                                 # the whole network learns\n"
            "  frozen: {extends: finetune, freeze: encoder}  # the decoder alone does",
            "finetune, frozen",
        )
    return (
        "  linear_probe: {}   # the encoder stays as it is\n"
        "  finetune: {}       # the whole network learns",
        "linear_probe, finetune",
    )


def _values_of_sample() -> dict[str, object]:
    """Return the values of a folder without a table; its data come with the package."""
    block, names = _protocols("segmentation")
    text = (_templates() / "sample.template").read_text(encoding="utf-8")
    return {
        **yaml.safe_load(text),
        "METHODS": _baselines("segmentation", 3), "PROTOCOLS": block, "NAMES": names,
        "BUDGETS": "label_budgets: [5-shot, 100%]\nseeds: [0, 1]",
    }  # fmt: skip


def _values(found: Survey) -> dict[str, object]:
    block, names = _protocols(found.kind)
    few = found.cases < FEW and not found.split
    folder = found.path.absolute().parent
    return {
        "TITLE": folder.name, "TASK": _name(folder.name), "CASES": found.cases,
        "DATA_ROOT": f"data_root: {json.dumps(str(folder.parent))}\n",
        "METHODS": _baselines(found.kind, found.dims), "PROTOCOLS": block,
        "NAMES": names, "BUDGETS": _budgets(found, few=few), "ADVICE": _advice(found),
    }  # fmt: skip


def _name(text: str) -> str:
    """Return a name for a task file: letters, digits and _, a letter first."""
    name = re.sub(r"\W+", "_", text.lower(), flags=re.ASCII).strip("_")
    return name if name[:1].isalpha() else f"task_{name}"


def _budgets(found: Survey, *, few: bool) -> str:
    shots = 5 if found.kind == "segmentation" else min(5, max(1, found.fewest // 3))
    lines = [f"label_budgets: [{shots}-shot, 100%]"]
    if few:
        lines += [
            "seeds: [0, 1]",
            "folds: 3   # few cases: the training side is validated in three ways",
        ]
    else:
        lines.append("seeds: [0, 1, 2]")
    return "\n".join(lines)


def _advice(found: Survey) -> str:
    tested = _sizes(found)[1]
    if found.split:
        return "The table's own column `split` says what is trained and tested on."
    patients = (
        "" if found.patients < found.cases else
        " The table names no patients, or each case has its own: if a patient stands in "
        "it twice, add a column `patient`, or scores will be too good."
    )  # fmt: skip
    return (
        f"{tested} of {found.cases} cases are for the test, the same for every method. "
        "With so few, intervals are wide, and a table may well say that nothing can be "
        f"told apart: then that is the finding.{patients}"
    )


def _sizes(found: Survey) -> tuple[int, int]:
    """Return how many cases validate and test."""
    smallest = 1 if found.cases < 10 else 2
    if found.kind == "classification":
        smallest = max(smallest, len(found.classes))
    return (
        max(smallest, round(0.15 * found.cases)),
        max(smallest, round(0.25 * found.cases)),
    )


def _task_values(found: Survey) -> dict[str, object]:
    validated, tested = _sizes(found)
    split = f"{{kind: counts, val: {validated}, test: {tested}}}"
    if (
        found.split
    ):  # a share of the patients to train on validates, if none are named to
        split = "{kind: publisher" + ("}" if found.validated else ", val: 0.15}")
    columns = [f"image: {json.dumps(list(found.columns))}"]
    columns += ["case: case"] if found.case else []
    folder, file = map(json.dumps, (found.path.absolute().parent.name, found.path.name))
    metrics = "dice, hd95" if found.kind == "segmentation" else "auc"
    return {
        "SOURCE": found.path.absolute(), "KIND": found.kind, "DIMS": found.dims,
        "MODALITY": "CT" if found.is_ct else "unknown   # MRI, US, ...: for tables",
        "CHANNELS": ", ".join(map(json.dumps, found.channels)),
        "FORMAT": f"  kind: csv\n  folder: {folder}\n  file: {file}\n"
        f"  columns: {{{', '.join(columns)}}}{_relabel(found)}",
        "LABELS": _labels(found), "PREPROCESS": _preprocess(found),
        "CROP": _crop(found), "SPLIT": split,
        "METRICS": metrics,
    }  # fmt: skip


def _relabel(found: Survey) -> str:
    """Label values of a task are 1 to n: map those of the files where they are not."""
    pairs = {value: number for number, value in enumerate(found.values, 1)}
    named = {value: number for value, number in pairs.items() if value != number}
    if not named:
        return ""
    return f"\n  relabel: {{{', '.join(f'{a}: {b}' for a, b in named.items())}}}"


def _labels(found: Survey) -> str:
    if found.kind == "segmentation":
        lines = [f"  label_{value}: {n}" for n, value in enumerate(found.values, 1)]
        return "structures:   # give them their names\n" + "\n".join(lines)
    names = ", ".join(json.dumps(name) for name in found.classes)
    rest = ', values: {"": null}' if found.unclassed else ""  # without one: left out
    return f"target: {{name: target, classes: [{names}]{rest}}}"


def _preprocess(found: Survey) -> str:
    low, high = (round(value / 10) * 10 for value in found.window)
    intensity = (
        f"{{kind: window, low: {low}, high: {high}}}   # HU, of your images: narrow it"
        if found.is_ct and low < high
        else "{kind: percentiles, low: 0.5, high: 99.5}"
    )
    lines = [f"  intensity: {intensity}"]
    if found.kind == "classification":
        size = [64] * found.dims
        lines.insert(0, f"  size: {size}   # whole images: raise it for small findings")
    elif found.spacing is not None:
        lines.insert(0, f"  spacing: {list(found.spacing)}   # mm, the median of yours")
    return "\n".join(lines)


def _crop(found: Survey) -> str:
    sides = dict(zip(_TIERS, (32, 32, 64, 96), strict=True))
    if found.kind == "classification":
        sides = {tier: 32 if tier == "tiny" else 64 for tier in _TIERS}
    each = (f"{tier}: {[side] * found.dims}" for tier, side in sides.items())
    return "{" + ", ".join(each) + "}"
