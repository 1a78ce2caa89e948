"""Weights on disk: safetensors beside a JSON that says what they are (DESIGN 5)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

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


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write what weights are, readable."""
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read such a file."""
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def load_weights(module: nn.Module, path: Path) -> None:
    """Load every tensor of `module` from `path`.

    Raises DataError with the share that fits where a name or shape of the module is
    missing or the file holds a tensor that the module does not know.
    """
    have = load_file(path)
    want = module.state_dict()
    fits = [n for n in want if n in have and have[n].shape == want[n].shape]
    strange = sorted(have.keys() - want.keys())
    if len(fits) < len(want) or strange:
        lacking = sorted(want.keys() - set(fits))
        example = f"; {lacking[0]} is missing or has another shape" if lacking else ""
        extra = f"; {strange[0]} is not known" if strange else ""
        msg = (
            f"{path.name} fits {len(fits)} of the encoder's {len(want)} tensors "
            f"({100 * len(fits) / max(1, len(want)):.1f} %), and all must fit"
            f"{example}{extra}"
        )
        raise DataError(msg)
    module.load_state_dict(have)
