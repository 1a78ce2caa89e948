"""Linear heads on pooled features that an encoder keeps by name (DESIGN 5).

A contrastive head, say, whose codes a probe reads in place of the features themselves.
They lie beside encoder.safetensors, which stays the encoder alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..schema.errors import DataError, nearest
from ..store import Store
from .node import Node

FILE = "outputs.safetensors"


def save_outputs(node: Node, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Write heads, {'NAME.weight': (width, pooled), 'NAME.bias': (width,)}, if any.

    Returns what encoder.json says of them: {name: {width, reads}}.
    """
    if tensors:
        plain = {n: v.detach().to("cpu").contiguous() for n, v in tensors.items()}
        save_file(plain, node.attempt.path(FILE))
    return {
        name.removesuffix(".weight"): {"width": value.shape[0], "reads": "pooled"}
        for name, value in tensors.items()
        if name.endswith(".weight")
    }


def named_output(store: Store, key: str, name: str) -> nn.Linear:
    """Return a head of a published pretrain node, on the CPU.

    It maps `Features.pooled` (B, pooled) to (B, width). Raises DataError where the node
    has none of that name.
    """
    kept = FILE in store.done()[key].files
    held = load_file(store.file(key, FILE)) if kept else {}
    if f"{name}.weight" not in held:
        names = sorted({each.rpartition(".")[0] for each in held})
        have = f"it has {', '.join(names)}" if names else "it keeps none"
        msg = f"{key[:16]} has no output {name!r}: {have}.{nearest(name, names)}"
        raise DataError(msg)
    weight, bias = held[f"{name}.weight"], held.get(f"{name}.bias")
    head = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    head.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))
    return head


def tensors_of(heads: Mapping[str, nn.Linear]) -> dict[str, Tensor]:
    """Return the tensors of heads by name, as `save_outputs` takes them."""
    return {
        f"{name}.{part}": value
        for name, head in heads.items()
        for part, value in head.state_dict().items()
    }
