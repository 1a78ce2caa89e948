"""Weights that others trained: read without pickle, renamed, resized, counted.

A file holds tensors under the names of another code base. A layout (see layouts) and
rules (regular expressions) turn them into ours; a position embedding of another grid is
resized, an input convolution of another number of channels is averaged or repeated; what
fits is counted, and too little is refused (DESIGN 5).
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from ..schema.errors import DataError

Rule = tuple[str, str]

# Where training scripts put the network inside a checkpoint.
CONTAINERS = ("state_dict", "model", "teacher", "network_weights", "model_state_dict")
_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True)
class Fit:
    """What became of a file's tensors.

    matched: names of ours that are filled; missing: ours that are not; unused: theirs
    that no rule gave a place; notes: what was resized, one sentence each; shapes: of
    all their tensors.
    """

    state: dict[str, Tensor]
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def check_share(self, least: float, module: nn.Module, where: str) -> None:
        """Raise DataError unless the file fills this share of the module's tensors.

        where: what the file is called. Of what is missing the first is named, with the
        unused tensor of the file whose name is nearest.
        """
        if self.share >= least:
            return
        name = self.missing[0]
        shape = tuple(module.state_dict()[name].shape)
        near = get_close_matches(name, self.unused, n=1, cutoff=0.0)
        hint = f"; the nearest that has no place is {near[0]}" if near else ""
        if near:
            hint += f" {self.shapes[near[0]]}"
        msg = (
            f"{where} fills {len(self.matched)} of the encoder's "
            f"{len(self.matched) + len(self.missing)} tensors ({self.share:.1%}), and "
            f"{least:.0%} are asked for: {name} {shape} is missing{hint}. Correct "
            "'layout', 'strip', 'rules' or the encoder's settings"
        )
        raise DataError(msg)

    @property
    def share(self) -> float:
        """The share of our tensors that the file fills, 0 to 1."""
        return len(self.matched) / max(1, len(self.matched) + len(self.missing))


def read_tensors(path: Path, inside: str | None = None) -> dict[str, Tensor]:
    """Read the tensors of a .safetensors file or of a torch checkpoint.

    inside: where in a checkpoint the network lies ('teacher', 'model.backbone'); without
    it the usual places are tried. Pickled objects beside tensors are never executed.
    Raises DataError, naming the file, for one that is missing, damaged, or needs that.
    """
    if not path.is_file():
        msg = f"no checkpoint {path}: download it there, or correct 'weights'"
        raise DataError(msg)
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        with warnings.catch_warnings():
            # (a warning about the pickle protocol comes before the refusal)
            warnings.simplefilter("ignore", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        msg = (
            f"{path} holds objects beside tensors, which are not loaded, since loading "
            "could run code: save its state_dict alone, best as .safetensors"
        )
        raise DataError(msg) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        first = str(error).strip().splitlines()[:1] or [type(error).__name__]
        msg = f"{path} cannot be read as a checkpoint: {first[0]}"
        raise DataError(msg) from error
    return _tensors(content, inside, path)


def _tensors(content: Any, inside: str | None, path: Path) -> dict[str, Tensor]:
    places = inside.split(".") if inside else []
    for place in places:
        if not isinstance(content, Mapping) or place not in content:
            have = ", ".join(map(str, list(content)[:8])) if content else "nothing"
            msg = f"{path} has no {place!r} at its level ({have}): correct 'inside'"
            raise DataError(msg)
        content = content[place]
    while not inside and isinstance(content, Mapping):
        nested = [name for name in CONTAINERS if isinstance(content.get(name), Mapping)]
        if not nested:
            break
        content = content[nested[0]]
    if isinstance(content, Mapping):
        found = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
        if found:
            return found
    msg = f"{path} holds no tensors by name: say with 'inside' where they are"
    raise DataError(msg)


def fit(theirs: Mapping[str, Tensor], module: nn.Module) -> Fit:
    """Fit tensors that have our names to those of `module`.

    Our mask token counts as no tensor of the encoder. Raises DataError where one has a
    shape that cannot be resized.
    """
    wanted = {
        name: value
        for name, value in module.state_dict().items()
        if not name.endswith(("mask_token", "num_batches_tracked"))
    }
    state: dict[str, Tensor] = {}
    unused: list[str] = []
    notes: list[str] = []
    for name, tensor in theirs.items():
        if name not in wanted:
            unused.append(name)
            continue
        state[name], note = _resized(name, tensor, wanted[name])
        notes += [note] if note else []
    missing = sorted(wanted.keys() - state.keys())
    return Fit(
        state, tuple(sorted(state)), tuple(missing), tuple(unused), tuple(notes),
        {name: tuple(tensor.shape) for name, tensor in theirs.items()},
    )  # fmt: skip


def stripped(
    theirs: Mapping[str, Tensor], prefixes: Sequence[str], rules: Sequence[Rule]
) -> dict[str, Tensor]:
    """Take prefixes off the names that begin with them, in order, then apply rules.

    rules: (pattern, replacement) of re.sub; a name that becomes empty is dropped. Raises
    DataError for two tensors of one name.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in theirs.items():
        short = name
        for prefix in prefixes:
            short = short.removeprefix(prefix)
        for pattern, replacement in rules:
            short = re.sub(pattern, replacement, short)
        if not short:
            continue
        if short in found:
            msg = f"two tensors become {short}, one of them {name}: strip less"
            raise DataError(msg)
        found[short] = tensor
    return found


def _resized(name: str, tensor: Tensor, like: Tensor) -> tuple[Tensor, str]:
    """Return the tensor in the shape of ours, and what was done to it."""
    if like.is_floating_point():
        _check_numbers(name, tensor)
    tensor = tensor.to(like.dtype)
    if tensor.shape == like.shape:
        return tensor, ""
    if name == "positions":
        return _positions(tensor, like)
    if tensor.squeeze().shape == like.squeeze().shape:  # (1, 1, C), say, for (C)
        return tensor.reshape(like.shape), ""
    kernel = (*tensor.shape[:1], *tensor.shape[2:])
    if name == "stem.weight" and kernel == (*like.shape[:1], *like.shape[2:]):
        return _input_channels(tensor, like)
    msg = (
        f"{name} has shape {tuple(tensor.shape)} in the checkpoint and "
        f"{tuple(like.shape)} here: set the encoder's settings to those it was trained with"
    )
    raise DataError(msg)


def _check_numbers(name: str, tensor: Tensor) -> None:
    """Raise DataError for weights that are no real numbers, or not finite."""
    if not tensor.is_floating_point():
        msg = (
            f"{name} holds {str(tensor.dtype).removeprefix('torch.')}, not real numbers: "
            "name a checkpoint that was not quantised"
        )
        raise DataError(msg)
    if not tensor.is_meta and not tensor.isfinite().all():
        msg = f"{name} holds NaN or infinite numbers: name a checkpoint that is sound"
        raise DataError(msg)


def _positions(tensor: Tensor, like: Tensor) -> tuple[Tensor, str]:
    """Resize (1, N, C) or (1, C, *grid) to ours, (1, C, *grid), linearly."""
    dims = like.ndim - 2
    if tensor.ndim == 3:  # tokens in a row: a cube (square) of them
        side = round(tensor.shape[1] ** (1 / dims))
        if side**dims != tensor.shape[1]:
            msg = (
                f"positions: {tensor.shape[1]} of them form no cube or square of {dims} "
                "axes: a class token's may be among them, which a rule should split off"
            )
            raise DataError(msg)
        tensor = tensor.transpose(1, 2).reshape(1, -1, *[side] * dims)
    if tensor.shape[1] != like.shape[1]:
        msg = (
            f"positions have {tensor.shape[1]} channels in the checkpoint and "
            f"{like.shape[1]} here: set the encoder's width to that"
        )
        raise DataError(msg)
    if tensor.shape == like.shape:
        return tensor, ""
    old, new = tuple(tensor.shape[2:]), tuple(like.shape[2:])
    resized = functional.interpolate(
        tensor, size=new, mode=_MODES[dims], align_corners=False
    )
    return resized, f"positions resized from {old} to {new}, linearly"


def _input_channels(tensor: Tensor, like: Tensor) -> tuple[Tensor, str]:
    """Give every input channel the mean of theirs, scaled so that sums stay (2.9)."""
    old, new = tensor.shape[1], like.shape[1]
    mean = tensor.mean(dim=1, keepdim=True) * old / new
    note = f"the input convolution was made for {old} channels: averaged for {new}"
    return mean.expand_as(like).clone(), note
