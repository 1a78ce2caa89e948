"""The child process in which nnunetv2 runs; methods/nnunet.py is its parent.

Nothing here is a copy of nnU-Net: epochs and the like are set on its stock planner and
trainer. The class search behind its trainer variants is never used: it imports modules
that need timm and torchvision, which do not import beside every build of torch.
"""

from __future__ import annotations

import json
import math
import os
import random
import resource
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from harness.api import Requests

DATASET = "Dataset001_cell"
PLANS = "nnUNetPlans"
PREPARED = "prepared"  # an empty file that says that preprocessing is whole
WEIGHTS, ABOUT, PLANS_FILE = "model.safetensors", "about.json", "plans.json"
DATASET_FILE = "dataset.json"
LOADERS = "nnUNet_n_proc_DA"  # an environment variable that it reads whenever it asks

_OURS = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)

Settings = Mapping[str, Any]  # resolved settings of methods/nnunet.py


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


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
                np.save(request["labels"], _predict(predictor, request))
                parent.answer(done=True)
        except Exception as error:
            parent.answer(error=f"nnU-Net: {type(error).__name__}: {error}")
            raise


def _train(request: Mapping[str, Any], parent: Requests) -> dict[str, Any]:
    torch.set_num_threads(int(request["threads"]))
    settings: Settings = request["settings"]
    from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw

    prepared = Path(str(nnUNet_preprocessed)) / DATASET
    if not (prepared / PREPARED).exists():
        parent.answer(say="nnU-Net plans and preprocesses")
        raw = Path(str(nnUNet_raw)) / DATASET
        _prepare(raw, prepared, settings, request["split"], int(request["threads"]))
        (prepared / PREPARED).touch()
    device = torch.device(request["device"])
    _seed(int(request["seed"]))
    # Loaders in processes of their own feed a GPU; on a CPU they would take its cores.
    # (Its planner cannot do with 0.)
    loaders = int(request["threads"]) - 1 if device.type == "cuda" else 0
    os.environ[LOADERS] = str(loaders)
    trainer = _trainer(prepared, settings, device)
    _follow(trainer, settings, request["options"], parent)
    saved = Path(trainer.output_folder)
    finished, latest = (
        saved / f"checkpoint_{name}.pth" for name in ("final", "latest")
    )
    found = next((path for path in (finished, latest) if path.exists()), None)
    trainer.initialize()
    if found is not None:
        trainer.load_checkpoint(str(found))
    plan = trainer.configuration_manager
    per_epoch = len(request["split"]["train"]) / plan.batch_size
    parent.answer(begins=[per_epoch, trainer.current_epoch * settings["iterations"]])
    if found != finished:
        size = " x ".join(map(str, plan.patch_size))
        parent.answer(say=f"nnU-Net trains on patches {size}, batch {plan.batch_size}")
        trainer.run_training()
    _export(trainer, settings, Path(request["model"]))
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else None
    parameters = [p for p in trainer.network.parameters() if p.requires_grad]
    used = [resource.getrusage(who).ru_maxrss for who in _OURS]
    return {
        "trainable_params": sum(p.numel() for p in parameters),
        "peak_mem_bytes": max(used) * (1 if sys.platform == "darwin" else 1024),
        **({"peak_gpu_mem": peak} if peak else {}),
    }


def _seed(seed: int) -> None:
    """Seed what nnU-Net draws from. Its loaders on a GPU draw from seeds of their own."""
    random.seed(seed)  # noqa: TID251 - it takes no generators
    np.random.seed(seed)  # noqa: NPY002 - the generator that nnU-Net uses
    torch.manual_seed(seed)  # noqa: TID251


def _prepare(
    raw: Path,
    prepared: Path,
    settings: Settings,
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
    for folder in (raw, prepared):  # the planner has made a copy in the latter
        _write_json(folder / DATASET_FILE, {**about, "dataset": listed(everything)})
    preprocess_dataset(
        1, PLANS, (settings["configuration"],), [threads], show_progress_bar=False
    )
    _write_json(prepared / "splits_final.json", [dict(split)])


def _plan(settings: Settings) -> None:
    from nnunetv2.experiment_planning.experiment_planners import (
        default_experiment_planner,
    )

    planner = default_experiment_planner.ExperimentPlanner(1, settings["gpu_memory_gb"])
    planner.UNet_base_num_features = settings["features"]
    planner.plan_experiment()


def _trainer(prepared: Path, settings: Settings, device: torch.device) -> Any:
    """Return the stock trainer with the schedule of the settings."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    plans = json.loads((prepared / f"{PLANS}.json").read_text(encoding="utf-8"))
    dataset = json.loads((prepared / DATASET_FILE).read_text(encoding="utf-8"))
    plans["continue_training"] = False  # it asks for it; resuming is done here
    trainer = nnUNetTrainer(plans, settings["configuration"], 0, dataset, device)
    trainer.num_epochs = settings["epochs"]
    trainer.num_iterations_per_epoch = settings["iterations"]
    trainer.num_val_iterations_per_epoch = settings["val_iterations"]
    trainer.initial_lr = settings["lr"]
    if not settings.get("mirrored_training", True):
        _without_mirroring(trainer)
    return trainer


def _without_mirroring(trainer: Any) -> None:
    """Mirror no axis, as nnUNetTrainerNoMirroring, in training and in prediction."""
    geometry = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size

    def unmirrored() -> tuple[Any, Any, Any, None]:
        rotation, flat, initial_patch, _ = geometry()
        trainer.inference_allowed_mirroring_axes = None
        return rotation, flat, initial_patch, None

    trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size = unmirrored


def _follow(
    trainer: Any, settings: Settings, options: Mapping[str, Any], parent: Requests
) -> None:
    """Have the trainer save when it is due, and tell the parent of each epoch."""
    end: Callable[[], None] = trainer.on_epoch_end
    moment, step = time.monotonic(), 0

    def on_epoch_end() -> None:
        nonlocal moment, step
        done = (trainer.current_epoch + 1) * settings["iterations"]
        every = options["checkpoint_steps"]
        waited = time.monotonic() - moment
        due = waited >= 60 * options["checkpoint_minutes"] or (
            every is not None and done - step >= every
        )
        trainer.save_every = 1 if due else settings["epochs"] + 1
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


def _export(trainer: Any, settings: Settings, model: Path) -> None:
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
        "configuration": settings["configuration"],
        "mirroring_axes": None if axes is None else [int(axis) for axis in axes],
    }
    _write_json(model / ABOUT, about)


def _predict(predictor: Any, request: Mapping[str, Any]) -> Any:
    """Return a label map, or masks of regions where the model is trained on regions."""
    image = np.load(request["image"], allow_pickle=False)
    about = {"spacing": request["spacing"]}
    if not predictor.label_manager.has_regions:
        return predictor.predict_single_npy_array(image, about)
    _, scores = predictor.predict_single_npy_array(
        image, about, save_or_return_probabilities=True
    )
    return (scores > 0.5).astype(np.uint8)


def _open(request: Mapping[str, Any]) -> Any:
    """Return nnU-Net's predictor with the weights that `_export` wrote."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    torch.set_num_threads(int(request["threads"]))
    settings: Settings = request["settings"]
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
        tile_step_size=settings["step"],
        use_gaussian=True,
        use_mirroring=settings["mirroring"],
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
