"""nnU-Net: the real nnunetv2, which plans, preprocesses, trains and predicts by itself.

Isensee et al. 2021; METHODS 1.22. It reads its folders from environment variables when
it is imported, so it runs in a child process: this file, as a program. Its images are
the files' own voxels turned to RAS; its fingerprint and plans come from the training
cases of the cell alone. Nothing here is a copy of it: epochs and the like are set on the
stock trainer and planner, and the class search behind its variants is never used.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import nibabel as nib
import numpy as np
import torch
from pydantic import Field
from safetensors.torch import load_file, save_file

from harness.api import (
    Child,
    Labels,
    Machine,
    Requests,
    System,
    SystemSettings,
    SystemTraining,
    environment_of,
)
from harness.volumes.grid import Grid, plan_grid, turn, turn_back
from harness.volumes.raw import RawCase

DATASET = "Dataset001_cell"
PLANS = "nnUNetPlans"
WEIGHTS, ABOUT, PLANS_FILE = "weights.safetensors", "about.json", "plans.json"
DATASET_FILE = "dataset.json"
LOADERS = "nnUNet_n_proc_DA"  # an environment variable that it reads whenever it asks


class NnUNetSettings(SystemSettings):
    """What is set on nnU-Net's own planner, trainer and predictor; defaults are its own."""

    configuration: Literal["2d", "3d_fullres"] = Field(
        "3d_fullres", description="of its plans; METHODS 1.22"
    )
    epochs: int = Field(1000, ge=1, description="METHODS 1.22")
    iterations: int = Field(250, ge=1, description="steps per epoch; METHODS 1.22")
    val_iterations: int = Field(
        50, ge=1, description="per epoch, for its curves alone; nnunetv2"
    )
    lr: float = Field(1e-2, gt=0, description="at the start, then poly 0.9; 1.22")
    gpu_memory_gb: float = Field(
        8.0, gt=0, description="that patch and batch are planned for; nnunetv2"
    )
    features: int = Field(
        32, ge=4, description="channels of the first stage; nnunetv2"
    )
    mirroring: bool = Field(
        default=True, description="average over mirrored images in prediction; 1.22"
    )
    step: float = Field(
        0.5, gt=0, le=1, description="of its sliding window, in patches; 1.22"
    )

    tiers: ClassVar[dict[str, dict[str, Any]]] = {
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

    def train(self, work: SystemTraining) -> dict[str, Any]:
        """Write the cases as nnU-Net wants them, and let it train in a child process."""
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
                elif "resumed" in answer:
                    work.resumed(answer["resumed"])
                else:
                    measured: dict[str, Any] = answer["done"]
                    return measured

    def segmenter(self, model: Path, draft: Path, machine: Machine) -> NnUNetSegmenter:
        """Open the model in a child process, which lives until `close`."""
        return NnUNetSegmenter(self.settings, model, draft, machine)


class NnUNetSegmenter:
    """nnU-Net's own sliding window, in a child process; images pass through a folder."""

    def __init__(
        self, settings: SystemSettings, model: Path, draft: Path, machine: Machine
    ) -> None:
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
        """Return uint8 (D, H, W) on the image's own grid."""
        grid = _grid(image)
        path, out = self._draft / "image.npy", self._draft / "labels.npy"
        # nnU-Net's axes are those of SimpleITK: z, y, x.
        np.save(path, turn(image.image, grid).transpose(0, 3, 2, 1))
        spacing = list(grid.spacing[::-1])
        self._child.send(
            {"image": str(path), "spacing": spacing, "labels": str(out)}
        )
        self._child.receive()
        found = np.load(out).transpose(2, 1, 0)
        return np.ascontiguousarray(turn_back(found, grid).astype(np.uint8))

    def close(self) -> None:
        """End the child process."""
        self._child.close()


def _child(folder: Path, machine: Machine) -> Child:
    """Start this file as a program that keeps nnU-Net's folders below `folder`."""
    places = {
        name: str(folder / name)
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    }
    return Child(
        Path(__file__),
        {
            **places,
            **environment_of(machine.threads),
            LOADERS: str(machine.threads),
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
    kind = "CT" if spec.modality.upper().startswith("CT") else "image"
    about = {
        "channel_names": {str(i): kind for i in range(len(spec.channels))},
        "labels": {"background": 0, **spec.structures},
        "numTraining": len(names),
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
    }
    _write_json(folder / DATASET_FILE, about)
    return split


def _write_json(path: Path, value: Any) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(value), encoding="utf-8")
    draft.replace(path)


# -- the program ----------------------------------------------------------------------


def main() -> None:
    """Answer the parent's requests until it closes stdin."""
    parent = Requests()
    predictor: Any = None
    for request in parent:
        try:
            if "train" in request:
                parent.answer(done=_train(request["train"], parent))
            elif "open" in request:
                predictor = _open(request["open"])
                parent.answer(ready=True)
            else:
                image = np.load(request["image"])
                about = {"spacing": request["spacing"]}
                found = predictor.predict_single_npy_array(image, about)
                np.save(request["labels"], found)
                parent.answer(done=True)
        except Exception as error:
            parent.answer(error=f"nnU-Net: {type(error).__name__}: {error}")
            raise


def _train(request: Mapping[str, Any], parent: Requests) -> dict[str, Any]:
    torch.set_num_threads(int(request["threads"]))
    settings = NnUNetSettings.model_validate(request["settings"])
    from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw

    prepared = Path(str(nnUNet_preprocessed)) / DATASET
    if not (prepared / "prepared").exists():
        parent.answer(say="nnU-Net plans and preprocesses")
        raw = Path(str(nnUNet_raw)) / DATASET
        _prepare(raw, prepared, settings, request["split"], int(request["threads"]))
        (prepared / "prepared").touch()
    device = torch.device(request["device"])
    _seed(int(request["seed"]))
    # Loaders in processes of their own feed a GPU; on a CPU they would take its cores.
    # (Its planner cannot do with 0.)
    loaders = int(request["threads"]) - 1 if device.type == "cuda" else 0
    os.environ[LOADERS] = str(loaders)
    trainer = _trainer(prepared, settings, device)
    _follow(trainer, settings, request["options"], parent)
    saved = Path(trainer.output_folder)
    finished = saved / "checkpoint_final.pth"
    latest = next(
        (p for p in (finished, saved / "checkpoint_latest.pth") if p.exists()), None
    )
    trainer.initialize()
    if latest is not None:
        trainer.load_checkpoint(str(latest))
        parent.answer(resumed=trainer.current_epoch * settings.iterations)
    if latest != finished:
        plan = trainer.configuration_manager
        size = " x ".join(map(str, plan.patch_size))
        parent.answer(say=f"nnU-Net trains on patches {size}, batch {plan.batch_size}")
        trainer.run_training()
    _export(trainer, settings, Path(request["model"]))
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else None
    parameters = [p for p in trainer.network.parameters() if p.requires_grad]
    return {
        "trainable_params": sum(p.numel() for p in parameters),
        **({"peak_gpu_mem": peak} if peak else {}),
    }


def _seed(seed: int) -> None:
    """Seed what nnU-Net draws from. Its loaders on a GPU draw from seeds of their own."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the generator that nnU-Net uses
    torch.manual_seed(seed)


def _prepare(
    raw: Path,
    prepared: Path,
    settings: NnUNetSettings,
    split: Mapping[str, Sequence[str]],
    threads: int,
) -> None:
    """Plan from the training cases alone, then preprocess those of both sides."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprint_dataset,
        preprocess_dataset,
    )

    shutil.rmtree(prepared, ignore_errors=True)
    about = json.loads((raw / DATASET_FILE).read_text(encoding="utf-8"))
    channels = range(len(about["channel_names"]))

    def listed(names: Sequence[str]) -> dict[str, Any]:
        return {
            name: {
                "images": [f"imagesTr/{name}_{c:04d}.nii.gz" for c in channels],
                "label": f"labelsTr/{name}.nii.gz",
            }
            for name in names
        }

    _write_json(raw / DATASET_FILE, {**about, "dataset": listed(split["train"])})
    extract_fingerprint_dataset(1, num_processes=threads, show_progress_bar=False)
    _plan(settings)
    everything = list(dict.fromkeys([*split["train"], *split["val"]]))
    _write_json(raw / DATASET_FILE, {**about, "dataset": listed(everything)})
    preprocess_dataset(
        1, PLANS, (settings.configuration,), [threads], show_progress_bar=False
    )
    _write_json(prepared / "splits_final.json", [dict(split)])


def _plan(settings: NnUNetSettings) -> None:
    from nnunetv2.experiment_planning.experiment_planners import (
        default_experiment_planner,
    )

    planner = default_experiment_planner.ExperimentPlanner(1, settings.gpu_memory_gb)
    planner.UNet_base_num_features = settings.features
    planner.plan_experiment()


def _trainer(prepared: Path, settings: NnUNetSettings, device: torch.device) -> Any:
    """Return the stock trainer with the schedule of the settings."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    plans = json.loads((prepared / f"{PLANS}.json").read_text(encoding="utf-8"))
    dataset = json.loads((prepared / DATASET_FILE).read_text(encoding="utf-8"))
    plans["continue_training"] = False  # it asks for it; resuming is done here
    trainer = nnUNetTrainer(plans, settings.configuration, 0, dataset, device)
    trainer.num_epochs = settings.epochs
    trainer.num_iterations_per_epoch = settings.iterations
    trainer.num_val_iterations_per_epoch = settings.val_iterations
    trainer.initial_lr = settings.lr
    return trainer


def _follow(
    trainer: Any, settings: NnUNetSettings, options: Mapping[str, Any], parent: Requests
) -> None:
    """Have the trainer save when it is due, and tell the parent of each epoch."""
    end: Callable[[], None] = trainer.on_epoch_end
    moment, step = time.monotonic(), 0

    def on_epoch_end() -> None:
        nonlocal moment, step
        done = (trainer.current_epoch + 1) * settings.iterations
        every = options["checkpoint_steps"]
        waited = time.monotonic() - moment
        due = waited >= 60 * options["checkpoint_minutes"] or (
            every is not None and done - step >= every
        )
        trainer.save_every = 1 if due else settings.epochs + 1
        trainer._best_ema = math.inf  # 'best' is never used: do not write it
        end()
        values = {
            "loss": ("train", "train_losses"),
            "val_loss": ("val", "val_losses"),
            "pseudo_dice": ("val", "mean_fg_dice"),
        }
        for quantity, (split, key) in values.items():
            value = float(trainer.logger.get_value(key, step=-1))
            if math.isfinite(value):
                parent.answer(curve=[split, done, {quantity: value}])
        if due:
            moment, step = time.monotonic(), done
            parent.answer(saved=True)

    trainer.on_epoch_end = on_epoch_end
    trainer.logger.plot_progress_png = lambda _: None  # the curves are kept elsewhere


def _export(trainer: Any, settings: NnUNetSettings, model: Path) -> None:
    """Write the weights as safetensors beside the plans that they belong to."""
    model.mkdir(parents=True, exist_ok=True)
    state = {
        name: value.detach().cpu().contiguous().clone()
        for name, value in trainer.network.state_dict().items()
    }
    save_file(state, model / WEIGHTS)
    _write_json(model / PLANS_FILE, trainer.plans_manager.plans)
    dataset = {k: v for k, v in trainer.dataset_json.items() if k != "dataset"}
    _write_json(model / DATASET_FILE, dataset)
    axes = trainer.inference_allowed_mirroring_axes
    about = {
        "configuration": settings.configuration,
        "mirroring_axes": None if axes is None else [int(axis) for axis in axes],
    }
    _write_json(model / ABOUT, about)


def _open(request: Mapping[str, Any]) -> Any:
    """Return nnU-Net's predictor with the weights that `_export` wrote."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    torch.set_num_threads(int(request["threads"]))
    settings = NnUNetSettings.model_validate(request["settings"])
    model = Path(request["model"])
    about, plans, dataset = (
        json.loads((model / name).read_text(encoding="utf-8"))
        for name in (ABOUT, PLANS_FILE, DATASET_FILE)
    )
    plans.pop("continue_training", None)
    manager = PlansManager(plans)
    configuration = manager.get_configuration(about["configuration"])
    network = nnUNetTrainer.build_network_architecture(
        manager,
        configuration,
        len(dataset["channel_names"]),
        manager.get_label_manager(dataset).num_segmentation_heads,
        enable_deep_supervision=False,
    )
    weights = load_file(model / WEIGHTS)
    network.load_state_dict(weights)
    device = torch.device(request["device"])
    predictor = nnUNetPredictor(
        tile_step_size=settings.step,
        use_gaussian=True,
        use_mirroring=settings.mirroring,
        perform_everything_on_device=device.type == "cuda",
        device=device,
        allow_tqdm=False,
    )
    axes = about["mirroring_axes"]
    predictor.manual_initialization(
        network.to(device), manager, configuration, [weights], dataset,
        "nnUNetTrainer", None if axes is None else tuple(axes),
    )  # fmt: skip
    return predictor


if __name__ == "__main__":
    main()
