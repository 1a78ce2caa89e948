"""Weights on disk: safetensors beside a JSON that says what they are (DESIGN 5)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..schema.errors import DataError


def save_weights(path: Path, state: Mapping[str, Tensor]) -> str:
    """Write tensors as safetensors and return the file's sha256."""
    save_file(
        {name: value.detach().to("cpu").contiguous() for name, value in state.items()},
        path,
    )
    with path.open("rb") as file:
        digest = sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def encoder_state(encoder: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of an encoder that mean something outside its pretraining.

    The mask token does not (METHODS 1.27).
    """
    return {
        name: value
        for name, value in encoder.state_dict().items()
        if not name.endswith("mask_token")
    }


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write what weights are, readable."""
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read such a file."""
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def load_weights(module: nn.Module, path: Path, expected: Mapping[str, Tensor]) -> None:
    """Load the tensors `expected` of `module` (its state, or a part of it) from `path`.

    Raises DataError with the share that fits where one is missing or has another shape,
    or where the file holds a tensor that is not expected, and for a damaged file.
    """
    try:
        have = load_file(path)
    except SafetensorError as error:
        msg = (
            f"{path} is damaged, its weights cannot be read ({error}): harness verify "
            "--set-aside has it made again"
        )
        raise DataError(msg) from error
    fits = {n for n in expected if n in have and have[n].shape == expected[n].shape}
    faults = [
        f"{n} is missing or has another shape" for n in sorted(expected.keys() - fits)
    ]
    faults += [f"{n} is not known" for n in sorted(have.keys() - expected.keys())]
    if faults:
        share = 100 * len(fits) / max(1, len(expected))
        msg = (
            f"{path.name} fits {len(fits)} of the network's {len(expected)} tensors "
            f"({share:.1f} %), and all must fit: {faults[0]}"
        )
        raise DataError(msg)
    module.load_state_dict(have, strict=False)
