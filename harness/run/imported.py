"""A pretrain node without training: an encoder read from a file that others made."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..api import BaselineSettings, Method, build_method
from ..schema.errors import DataError
from . import ranks
from .checkpoint import encoder_state, save_weights, write_json
from .node import Node
from .outputs import save_outputs
from .streams import Streams

_ENGINE = ("engine",)  # what the identity has beside the method's own settings


def import_encoder(node: Node, kind: type[Method]) -> None:
    """Read the file that a method names, and publish its encoder like a trained one.

    Writes encoder.safetensors, encoder.json and, where the file has heads that are kept,
    outputs.safetensors. Raises DataError for a file that is missing, is no longer the
    one that was planned with, or does not fit.
    """
    settings = dict(node.identity["settings"])
    channels = int(settings["channels"])
    own = kind.Settings.model_validate(
        {name: value for name, value in settings.items() if name not in _ENGINE}
    )
    assert isinstance(own, BaselineSettings)  # it has an encoder, as its role says
    path = Path(str(node.where["weights"]))
    _check(path, str(node.identity["data"]["weights"]))
    rng = Streams.of_pretraining(node.key).rng("init")
    method = build_method(kind, own, channels, rng, None)
    found = method.load(path)
    for note in found.notes:
        node.log(note)
    if found.notes:
        node.attempt.note(warnings=list(found.notes))
    node.log(f"{path.name}: {found.share:.1%} of the encoder's tensors filled")
    if not ranks.leads():
        return
    digest = save_weights(
        node.attempt.path("encoder.safetensors"), encoder_state(method.encoder())
    )
    write_json(
        node.attempt.path("encoder.json"),
        {
            "key": node.key,
            "method": node.stem,
            "encoder": own.encoder.model_dump(mode="json"),
            "channels": channels,
            "preprocess": {},
            "corpus": {"file": path.name, **node.identity["data"]},
            "matched": found.share,
            "notes": list(found.notes),
            "outputs": save_outputs(node, found.outputs),
            "sha256": digest,
        },
    )


def _check(path: Path, expected: str) -> None:
    if not path.is_file():
        msg = f"no checkpoint {path}: put the file there, or plan again without it"
        raise DataError(msg)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        msg = (
            f"{path} has changed since this was planned (sha256 {found[:16]}, not "
            f"{expected[:16]}): run again, so that it is planned with the file as it is"
        )
        raise DataError(msg)
