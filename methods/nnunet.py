"""nnU-Net: the real nnunetv2, which plans, preprocesses, trains and predicts by itself.

Isensee et al. 2021; METHODS 1.22. It reads its folders from environment variables when
it is imported, so it runs in a child process: _nnunet_program.py. Its images are the
files' own voxels turned to RAS; its fingerprint and plans come from the training cases
of the cell alone.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, ClassVar, Literal

import nibabel as nib
import numpy as np
from pydantic import Field

from harness.api import (
    Child,
    Labels,
    Machine,
    OwnSettings,
    System,
    SystemTraining,
    environment_of,
)
from harness.schema.errors import UserError
from harness.schema.task import Tier
from harness.volumes.grid import Grid, plan_grid, turn, turn_back
from harness.volumes.raw import RawCase

DATASET = "Dataset001_cell"
DATASET_FILE = "dataset.json"
PROGRAM = Path(__file__).with_name("_nnunet_program.py")


class NnUNetSettings(OwnSettings):
    """What is set on nnU-Net's own planner, trainer and predictor; defaults are its own."""

    configuration: Literal["2d", "3d_fullres"] = Field(
        "3d_fullres", description="of its plans; METHODS 1.22"
    )
    epochs: int = Field(1000, ge=1, description="METHODS 1.22")
    iterations: int = Field(250, ge=1, description="steps per epoch; METHODS 1.22")
    val_iterations: int = Field(
        50, ge=1, description="per epoch, for its curves alone; nnunetv2"
    )
    lr: float = Field(
        1e-2, gt=0, description="at the start, then poly 0.9; METHODS 1.22"
    )
    gpu_memory_gb: float = Field(
        8.0, gt=0, description="that patch and batch are planned for; nnunetv2"
    )
    features: int = Field(32, ge=4, description="channels of the first stage; nnunetv2")
    mirroring: bool = Field(
        default=True,
        description="average over mirrored images in prediction; METHODS 1.22",
    )
    mirrored_training: bool = Field(
        default=True,
        exclude_if=lambda value: value is True,
        description="mirror images in training; without it, none is mirrored in "
        "prediction (nnunetv2's nnUNetTrainerNoMirroring): for structures that are told "
        "apart by where they lie",
    )
    step: float = Field(
        0.5, gt=0, le=1, description="of its sliding window, in patches; METHODS 1.22"
    )

    tiers: ClassVar[dict[Tier, dict[str, Any]]] = {
        "tiny": {
            "epochs": 1, "iterations": 2, "val_iterations": 1, "gpu_memory_gb": 0.05,
            "features": 4, "mirroring": False, "step": 1.0,
        },
        "small": {
            "epochs": 10, "iterations": 30, "val_iterations": 3, "gpu_memory_gb": 0.5,
            "features": 16,
        },
        "demo": {"epochs": 40, "iterations": 100, "val_iterations": 10},
    }  # fmt: skip


class NnUNet(System):
    """nnU-Net, self-configuring segmentation."""

    Settings = NnUNetSettings
    version = 1

    def fit(self, work: SystemTraining) -> dict[str, Any]:
        """Write the cases as nnU-Net wants them, and let it train in a child process."""
        _check_installed()
        split = _write_cases(work)
        request = {
            "settings": self.settings.model_dump(mode="json"),
            "split": split,
            "seed": work.seed,
            "device": work.machine.device.type,
            "threads": work.machine.threads,
            "model": str(work.model),
            "options": work.options.model_dump(mode="json"),
        }
        with _child(work.draft, work.machine) as child:
            child.send({"train": request})
            while True:
                answer = child.receive()
                if "say" in answer:
                    work.say(answer["say"])
                elif "curve" in answer:
                    work.curve(*answer["curve"])
                elif "saved" in answer:
                    work.saved()
                elif "begins" in answer:
                    work.begins(*answer["begins"])
                else:
                    measured: dict[str, Any] = answer["done"]
                    return measured

    def segmenter(self, model: Path, draft: Path, machine: Machine) -> NnUNetSegmenter:
        """Open the model in a child process, which lives until `close`."""
        return NnUNetSegmenter(self.settings, model, draft, machine)


class NnUNetSegmenter:
    """nnU-Net's own sliding window, in a child process; images pass through a folder."""

    def __init__(
        self, settings: OwnSettings, model: Path, draft: Path, machine: Machine
    ) -> None:
        _check_installed()
        draft.mkdir(parents=True, exist_ok=True)
        self._draft = draft
        self._child = _child(draft, machine)
        about = {
            "settings": settings.model_dump(mode="json"),
            "model": str(model),
            "device": machine.device.type,
            "threads": machine.threads,
        }
        try:
            self._child.send({"open": about})
            self._child.receive()
        except BaseException:
            self.close()
            raise

    def labels(self, image: RawCase) -> Labels:
        """Return a label map (D, H, W), or masks (regions, D, H, W), on its own grid."""
        grid = _grid(image)
        path, out = self._draft / "image.npy", self._draft / "labels.npy"
        # nnU-Net's axes are those of SimpleITK: z, y, x.
        np.save(path, turn(image.image, grid).transpose(0, 3, 2, 1))
        spacing = list(grid.spacing[::-1])
        self._child.send({"image": str(path), "spacing": spacing, "labels": str(out)})
        self._child.receive()
        found = np.load(out, allow_pickle=False).swapaxes(-3, -1)
        return np.ascontiguousarray(turn_back(found, grid).astype(np.uint8))

    def close(self) -> None:
        """End the child process."""
        self._child.close()


def _check_installed() -> None:
    if importlib.util.find_spec("nnunetv2") is None:
        msg = "nnunet needs nnunetv2: pip install 'medssl-bench[nnunet]'"
        raise UserError(msg)


def _child(folder: Path, machine: Machine) -> Child:
    """Start the program, which keeps nnU-Net's folders below `folder`."""
    places = {
        name: str(folder / name)
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    }
    return Child(
        PROGRAM,
        {
            **places,
            **environment_of(machine.threads),
            "nnUNet_n_proc_DA": str(machine.threads),
            "nnUNet_def_n_proc": str(machine.threads),
            "nnUNet_compile": "false",
        },
        machine.log,
    )


def _grid(case: RawCase) -> Grid:
    return plan_grid(case.image.shape[1:], case.affine, None)


def _write_cases(work: SystemTraining) -> dict[str, list[str]]:
    """Write images and labels as nnU-Net raw, once; return its names of both sides."""
    folder = work.draft / "nnUNet_raw" / DATASET
    order = [*work.train, *work.val]
    names = {case_id: f"case_{number:05d}" for number, case_id in enumerate(order)}
    split = {
        "train": [names[case_id] for case_id in work.train],
        # Its curves need something to be measured on: the training cases then.
        "val": [names[case_id] for case_id in work.val or work.train],
    }
    if (folder / DATASET_FILE).exists():
        return split
    for kind in ("imagesTr", "labelsTr"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for case_id, name in names.items():
        case = work.read(case_id)
        grid = _grid(case)
        affine = np.diag([*grid.spacing, 1.0])
        assert case.label is not None  # cells are made of labelled cases
        for channel, voxels in enumerate(turn(case.image, grid)):
            path = folder / "imagesTr" / f"{name}_{channel:04d}.nii.gz"
            nib.save(nib.Nifti1Image(voxels, affine), path)
        label = nib.Nifti1Image(turn(case.label, grid), affine)
        nib.save(label, folder / "labelsTr" / f"{name}.nii.gz")
    spec = work.spec
    # 'CT' asks for its global normalisation with clipping, any other word for z-scores.
    kind = "CT" if "CT" in spec.modality.upper().split() else "image"
    regions = dict(zip(spec.regions, map(list, spec.region_values), strict=True))
    about = {
        "channel_names": {str(i): kind for i in range(len(spec.channels))},
        "labels": {"background": 0, **(regions or spec.structures)},
        # It wants an order for painting regions over each other; no painting is used.
        **(
            {"regions_class_order": list(range(1, 1 + len(regions)))} if regions else {}
        ),
        "numTraining": len(names),
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
    }
    # Last, so that it says that everything else is there.
    draft = folder / f"{DATASET_FILE}.draft"
    draft.write_text(json.dumps(about), encoding="utf-8")
    draft.replace(folder / DATASET_FILE)
    return split
