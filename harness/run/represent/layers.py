"""The layers of a network that analyses name: stem, blocks, merges, decoder levels."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from ...schema.errors import DataError, nearest

# Paths below an encoder and a decoder, and what they are called; the order of the pairs
# is that of a forward pass within a stage.
_ENCODER = (
    (r"stem", "stem"),
    (r"stages\.(\d+)\.blocks\.(\d+)", "stage{0}.block{1}"),
    (r"stages\.(\d+)\.(\d+)", "stage{0}.block{1}"),
    (r"stages\.(\d+)\.merge", "stage{0}.merge"),
    (r"semantic\.blocks\.(\d+)", "semantic.block{0}"),
    (r"blocks\.(\d+)", "block{0}"),
)
_DECODER = ((r"ups\.(\d+)", "decoder.up{0}"), (r"last", "decoder.last"))


def layers_of(
    network: nn.Module, chosen: Sequence[str] = (), *, called: str = "the network"
) -> dict[str, nn.Module]:
    """Return layers by name, in the order of the network's modules.

    network: has an `encoder` and may have a `decoder`; chosen: names of layers, or all;
    called: the network in words. Raises DataError, which tells the nearest name, for a
    name that does not exist.
    """
    found: dict[str, nn.Module] = {}
    for part, rules in (("encoder", _ENCODER), ("decoder", _DECODER)):
        module = getattr(network, part, None)
        if isinstance(module, nn.Module):
            found |= dict(_named(module, rules))
    for name in chosen:
        if name not in found:
            # The nearest first: a list of layers is long, and its end may be cut.
            msg = (
                f"{called} has no layer {name!r}.{nearest(name, list(found))} It has "
                f"{', '.join(found)}"
            )
            raise DataError(msg)
    return {n: m for n, m in found.items() if not chosen or n in chosen}


def encoder_layers(encoder: nn.Module) -> dict[str, nn.Module]:
    """Return the layers of an encoder by name, in the order of its modules."""
    return dict(_named(encoder, _ENCODER))


def _named(
    module: nn.Module, rules: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, nn.Module]]:
    for path, part in module.named_modules():
        for pattern, name in rules:
            if match := re.fullmatch(pattern, path):
                numbers = (int(digits) + 1 for digits in match.groups())
                yield name.format(*numbers), part
                break


@contextmanager
def reading(
    layers: dict[str, nn.Module], take: Callable[[str, Tensor], None]
) -> Iterator[None]:
    """Hand what each layer puts out to `take` in every forward pass inside.

    Of a layer that returns several things the first counts: its tokens.
    """

    def hook(name: str) -> Callable[..., None]:
        def read(_module: nn.Module, _args: object, output: object) -> None:
            value = output[0] if isinstance(output, tuple) else output
            if isinstance(value, Tensor):
                take(name, value.detach())

        return read

    handles = [
        layer.register_forward_hook(hook(name)) for name, layer in layers.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
