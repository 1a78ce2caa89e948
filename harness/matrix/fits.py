"""What cannot be combined, though each entry is right by itself."""

from __future__ import annotations

from ..nn.settings import doublings
from ..registry.yamlfile import Document
from ..schema.errors import Mistakes
from .matrix import Matrix, MethodEntry


def check_fits(document: Document, matrix: Matrix) -> None:
    """Raise Mistakes where a method's encoder cannot be adapted as its cells ask for."""
    for method in matrix.methods:
        decoded = [
            (task.name, protocol)
            for task in matrix.tasks
            for protocol in matrix.protocols_of(method, task)
            if task.spec.kind == "segmentation"
            and matrix.protocols[protocol].base == "finetune"
        ]
        if decoded and (reason := _undecodable(method)):
            task, protocol = decoded[0]
            document.mistake(
                ("methods", method.name),
                f"{method.name} is run with {protocol} on {task}: {reason}",
            )
    if document.mistakes:
        raise Mistakes(document.mistakes)


def _undecodable(method: MethodEntry) -> str | None:
    """Return why no convolutional decoder fits a method's encoder, or None."""
    if method.encoder_kind != "vit":
        return None
    try:
        doublings(int(method.encoder["patch"]))
    except ValueError as error:
        return str(error)
    return None
