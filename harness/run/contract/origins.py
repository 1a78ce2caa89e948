"""What a method owes that learns from labels, or reads a file of weights."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from ...api import LabelledSource
from ...schema.errors import DataError
from ..checkpoint import encoder_state, save_weights
from .subject import Breach, Subject, loss_of


def both_kinds_of_labels_teach(subject: Subject) -> None:
    """Learn a class per image as well as a label per voxel, with a finite loss."""
    for source in (
        LabelledSource("segmentation", 3),
        LabelledSource("classification", 2),
    ):
        taught = replace(subject, source=source)
        method = taught.make()
        loss = loss_of(method, taught.regions(method)).total
        if not loss.isfinite() or not loss.requires_grad:
            msg = f"a {source.kind} source gives no finite loss with a gradient"
            raise Breach(msg)


def reads_a_file_whole_or_not(subject: Subject) -> None:
    """Fill the encoder from a file of its own tensors; refuse one that has half of them."""
    source, method = subject.make(), subject.make()
    changed = {
        name: value + 1
        for name, value in encoder_state(source.encoder()).items()
        if value.is_floating_point()  # a norm's count of batches is no weight
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_weights(path, changed)
        found = method.load(path)
        filled = encoder_state(method.encoder())
        if found.share < 1 or any(
            not torch.equal(filled[n], changed[n]) for n in changed
        ):
            msg = f"a file of its own tensors fills {found.share:.0%} of the encoder"
            raise Breach(msg)
        save_weights(path, dict(list(changed.items())[::2]))
        try:
            subject.make().load(path)
        except DataError:
            return
    msg = "a file with half of the tensors is taken: raise DataError"
    raise Breach(msg)
