"""Files of made-up cases, one writer per format of harness/schema/formats.py."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...schema.formats import (
    Columns,
    CsvFormat,
    ImagesFormat,
    MedmnistFormat,
    MsdFormat,
    NnunetFormat,
)
from ...schema.task import Target, TaskSpec
from .cases import Case, Voxels
from .dicom import write_contours, write_series

Made = Sequence[tuple[Case, Voxels]]
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_ITK = (".nrrd", ".mha", ".mhd")


def _msd(spec: TaskSpec, made: Made, root: Path) -> None:
    assert isinstance(spec.format, MsdFormat)
    folder = root / spec.format.folder
    entries = []
    for case, voxels in made:
        image, label = (f"{part}/{case.id}.nii.gz" for part in ("imagesTr", "labelsTr"))
        single = voxels.image[0] if len(voxels.image) == 1 else None
        whole = np.moveaxis(voxels.image, 0, -1) if single is None else single
        _volume(folder / image, whole, voxels.spacing)
        _label(folder / label, spec, voxels, spec.format.relabel)
        entries.append({"image": f"./{image}", "label": f"./{label}"})
    _json(folder / "dataset.json", {"training": entries, "test": []})


def _nnunet(spec: TaskSpec, made: Made, root: Path) -> None:
    form = spec.format
    assert isinstance(form, NnunetFormat)
    folder = root / form.folder
    for case, voxels in made:
        for channel, image in enumerate(voxels.image):
            name = f"{case.id}_{channel:04d}.nii.gz"
            _volume(folder / "imagesTr" / name, image, voxels.spacing)
        if voxels.label is not None:
            _label(
                folder / "labelsTr" / f"{case.id}.nii.gz", spec, voxels, form.relabel
            )
    content = {
        "channel_names": {str(i): name for i, name in enumerate(spec.channels)},
        "labels": {"background": 0, **spec.structures},
        "numTraining": len(made),
        "file_ending": ".nii.gz",
    }
    _json(folder / "dataset.json", content)
    if form.file is not None:
        first = form.columns.case or "case"
        _table(
            folder / form.file, spec, form.columns, made, lambda case: {first: case.id}
        )


def _medmnist(spec: TaskSpec, made: Made, root: Path) -> None:
    assert isinstance(spec.format, MedmnistFormat)
    arrays: dict[str, npt.NDArray[np.uint8]] = {}
    for side in ("train", "val", "test"):
        mine = [(case, voxels) for case, voxels in made if case.side == side]
        images = np.stack([_bytes(voxels.image) for _, voxels in mine])
        grey = images.shape[1] == 1
        images = images[:, 0] if grey else np.moveaxis(images, 1, -1)
        width = 1 + (spec.format.column or 0)
        targets = [[case.target or 0] * width for case, _ in mine]
        arrays[f"{side}_images"] = images
        arrays[f"{side}_labels"] = np.array(targets, np.uint8)
    path = root / spec.format.file
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)  # type: ignore[arg-type]


def _csv(spec: TaskSpec, made: Made, root: Path) -> None:
    form = spec.format
    assert isinstance(form, CsvFormat)
    folder, columns = (root / form.folder / form.file).parent, form.columns
    suffix = ".nii.gz" if spec.dims == 3 else ".png"
    series = _as_series(spec, made)

    def row(case: Case) -> dict[str, str]:
        fields = [name for each in columns.image for name in _fields(each)]
        named = dict.fromkeys(
            [
                *([columns.case] if columns.case else []),
                *fields,
                *_fields(columns.label),
            ],
            case.id,
        )
        bare = [each for each in columns.image if _fields(each) and "." not in each]
        if bare:  # the column has the file's name, ending and all
            named = dict.fromkeys(named, case.id + suffix)
        for number, each in enumerate(columns.image):
            if not _fields(each):
                ending = "" if case.id in series else suffix
                named[each] = f"images/{case.id}_{number}{ending}"
        if spec.kind == "segmentation" and not _fields(columns.label):
            drawn = form.segments and case.id in series
            named[columns.label] = f"labels/{case.id}{'.dcm' if drawn else suffix}"
        return named

    for case, voxels in made:
        named = row(case)
        paths = [_path(each, named) for each in columns.image]
        if len(paths) == 1:
            _image(folder / paths[0], voxels.image, voxels.spacing)
        else:
            for path, channel in zip(paths, voxels.image, strict=True):
                _image(folder / path, channel[None], voxels.spacing)
        if voxels.label is not None:
            place = folder / _path(columns.label, named)
            if place.suffix == ".dcm":
                names = {
                    value: name.replace("*", "1")
                    for name, value in form.segments.items()
                }
                write_contours(place, voxels.label, voxels.spacing, names)
            else:
                _label(place, spec, voxels, form.relabel)
    _table(root / form.folder / form.file, spec, columns, made, row)


def _as_series(spec: TaskSpec, made: Made) -> set[str]:
    """Return the cases that are written as DICOM series: every other CT of a table.

    Where a column names whole files: such tables name NIfTI files and series alike.
    """
    assert isinstance(spec.format, CsvFormat)
    bare = not any(map(_fields, spec.format.columns.image))
    if not bare or spec.dims == 2 or spec.modality != "CT" or len(spec.channels) > 1:
        return set()
    return {case.id for case, _ in made[::2]}


def _images(spec: TaskSpec, made: Made, root: Path) -> None:
    form = spec.format
    assert isinstance(form, ImagesFormat)
    for case, voxels in made:
        words = {
            "target": _class(spec.target, case.target),
            "split": case.side,
            "patient": case.id,
            "case": case.id,
        }
        path = form.pattern
        for field, word in words.items():
            path = path.replace(f"{{{field}}}", word)
        path = path.replace("*", case.id)
        if not path.lower().endswith(_PICTURES):
            path += ".png"
        _image(root / form.folder / path, voxels.image, voxels.spacing)


WRITERS: dict[str, Callable[[TaskSpec, Made, Path], None]] = {
    "csv": _csv,
    "images": _images,
    "medmnist": _medmnist,
    "msd": _msd,
    "nnunet": _nnunet,
}


def _table(
    path: Path,
    spec: TaskSpec,
    columns: Columns,
    made: Made,
    row: Callable[[Case], dict[str, str]],
) -> None:
    lines = []
    for case, _ in made:
        line = {**row(case), columns.patient: case.id, columns.split: case.side}
        if spec.target is not None:
            line[columns.target] = _class(spec.target, case.target)
        lines.append(line)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)


def _class(target: Target | None, index: int | None) -> str:
    """Return what a table says of a class: a value, a number between edges, its name."""
    if target is None or index is None:
        return ""
    if target.edges:
        return str(target.edges[0] - 1 if index == 0 else target.edges[index - 1] + 0.5)
    for value, name in target.values.items():
        if name == target.classes[index]:
            return value
    return target.classes[index]


def _fields(template: str) -> list[str]:
    return re.findall(r"\{([^{}]*)\}", template)


def _path(template: str, named: dict[str, str]) -> str:
    if not _fields(template):
        return named[template]
    return re.sub(r"\{([^{}]*)\}", lambda found: named[found[1]], template)


def _label(path: Path, spec: TaskSpec, voxels: Voxels, relabel: dict[int, int]) -> None:
    """Write a label map with the values that the dataset's own files have."""
    assert voxels.label is not None
    in_file = {ours: theirs for theirs, ours in relabel.items() if ours}
    label = voxels.label
    for ours, theirs in in_file.items():
        label = np.where(voxels.label == ours, theirs, label).astype(np.uint8)
    if spec.dims == 2:
        _picture(path, label[None])
    else:
        _volume(path, label, voxels.spacing)


def _image(
    path: Path,
    image: npt.NDArray[np.float32],
    spacing: tuple[float, ...],
) -> None:
    """Write channels (C, *shape) as one file of the kind that its name says."""
    if path.name.lower().endswith(_PICTURES):
        _picture(path, _bytes(image))
    elif not path.suffix:
        write_series(path, image[0], spacing)
    else:
        _volume(path, np.squeeze(np.moveaxis(image, 0, -1)), spacing)


def _bytes(image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    low, high = float(image.min()), float(image.max())
    unit: npt.NDArray[np.float32] = (image - low) / max(high - low, 1e-6)
    return np.rint(unit * 255).astype(np.uint8)


def _picture(path: Path, channels: npt.NDArray[np.uint8]) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    flat = channels[0] if len(channels) == 1 else np.moveaxis(channels, 0, -1)
    Image.fromarray(flat).save(path)


def _volume(
    path: Path, array: npt.NDArray[np.generic], spacing: tuple[float, ...]
) -> None:
    """Write a volume whose first axis runs from right to left, which readers turn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.lower().endswith(_ITK):
        import SimpleITK

        image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.T))
        image.SetSpacing(list(spacing))
        image.SetDirection((1, 0, 0, 0, -1, 0, 0, 0, 1))  # L, P, S: as the affine below
        SimpleITK.WriteImage(image, str(path))
        return
    import nibabel

    affine = np.diag([-spacing[0], spacing[1], spacing[2], 1.0])
    nibabel.save(nibabel.Nifti1Image(array, affine), path)


def _json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
