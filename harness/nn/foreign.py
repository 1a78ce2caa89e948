"""Weights that others trained: read without pickle, renamed, resized, counted.

A file holds tensors under the names of another code base. Rules (regular expressions)
turn them into ours; a position embedding of another grid is resized, an input convolution
of another number of channels is averaged or repeated; what fits is counted, and too
little is refused (DESIGN 5).
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    that no rule gave a place; notes: what was resized, one sentence each.
    """

    state: dict[str, Tensor]
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())

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
        msg = f"no checkpoint {path}: download it there, or correct 'path'"
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


def fit(theirs: Mapping[str, Tensor], module: nn.Module, rules: Sequence[Rule]) -> Fit:
    """Rename `theirs` by all rules, in order, and fit them to the tensors of `module`.

    A rule is (pattern, replacement) of re.sub; a name that becomes empty is dropped. Our
    mask token counts as no tensor of the encoder. Raises DataError where two of their
    tensors get one name, or one has a shape that cannot be resized.
    """
    wanted = {
        name: value
        for name, value in module.state_dict().items()
        if not name.endswith(("mask_token", "num_batches_tracked"))
    }
    state: dict[str, Tensor] = {}
    unused: list[str] = []
    notes: list[str] = []
    origin: dict[str, str] = {}
    for name, tensor in theirs.items():
        ours = name
        for pattern, replacement in rules:
            ours = re.sub(pattern, replacement, ours)
        if not ours:
            continue
        if ours not in wanted:
            unused.append(name)
            continue
        if ours in origin:
            msg = (
                f"{origin[ours]} and {name} both become {ours}: make the rules stricter"
            )
            raise DataError(msg)
        origin[ours] = name
        state[ours], note = _resized(ours, tensor, wanted[ours])
        notes += [note] if note else []
    missing = sorted(wanted.keys() - state.keys())
    return Fit(state, tuple(sorted(state)), tuple(missing), tuple(unused), tuple(notes))


def _resized(name: str, tensor: Tensor, like: Tensor) -> tuple[Tensor, str]:
    """Return the tensor in the shape of ours, and what was done to it."""
    tensor = tensor.to(like.dtype)
    if tensor.shape == like.shape:
        return tensor, ""
    if tensor.numel() == like.numel() and name != "positions":
        return tensor.reshape(like.shape), ""
    if name == "positions":
        return _positions(tensor, like)
    if name == "stem.weight" and tensor.shape[2:] == like.shape[2:]:
        return _input_channels(tensor, like)
    msg = (
        f"{name} has shape {tuple(tensor.shape)} in the checkpoint and "
        f"{tuple(like.shape)} here: set the encoder's settings to those it was trained with"
    )
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
