"""Writing label maps on the grids of the images that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from PIL import Image

from .files import suffix


def save_segmentation(
    folder: Path,
    name: str,
    found: npt.NDArray[np.uint8],
    regions: Sequence[str],
    affine: npt.NDArray[np.float64],
    like: Path | None = None,
) -> list[Path]:
    """Write a label map (*sides), or masks (regions, *sides) as NAME_REGION each."""
    if not regions:
        return [save_labels(folder, name, found, affine, like)]
    return [
        save_labels(folder, f"{name}_{region}", mask, affine, like)
        for region, mask in zip(regions, found, strict=True)
    ]


def save_labels(
    folder: Path,
    name: str,
    label: npt.NDArray[np.uint8],
    affine: npt.NDArray[np.float64],
    like: Path | None = None,
) -> Path:
    """Write a label map (*sides), in its file's axis order, and return the path.

    A volume becomes NAME.nii.gz with `affine` (indices to mm in R, A, S), an image
    NAME.png. like: the file it was made of; of a NIfTI file, which an image may be too,
    the shape and the codes and units of its header are kept, so that every viewer lays
    one over the other.
    """
    stored = like is not None and suffix(like.name) in (".nii", ".nii.gz")
    if label.ndim == 2 and not stored:
        path = folder / f"{name}.png"
        Image.fromarray(label, mode="L").save(path)
        return path
    path = folder / f"{name}.nii.gz"
    if label.ndim == 2:
        label = label[..., None]  # one layer, as NIfTI has images
    image = nib.Nifti1Image(label, affine)
    if stored:
        header = nib.load(like).header
        image.header.set_xyzt_units(*header.get_xyzt_units())
        image.set_sform(*_coded(header.get_sform(coded=True), affine))
        image.set_qform(*_coded(header.get_qform(coded=True), affine))
    nib.save(image, path)
    return path


def _coded(
    stored: tuple[npt.NDArray[np.float64] | None, int], affine: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], int]:
    """Return a form of a header; where it had none, the affine under its code 0."""
    form, code = stored
    return (affine if form is None else form), int(code)
