"""What cannot be combined, though each entry is right by itself."""

from __future__ import annotations

from ..registry.yamlfile import Document
from ..schema.errors import Mistakes
from .matrix import Matrix, MethodEntry, ProtocolEntry, TaskEntry

_NO_ENCODER = (
    "it trains a network of its own, and this protocol keeps an encoder as it is: list "
    "protocols that train everything, such as finetune, under 'protocols:' in its entry"
)


def check_fits(document: Document, matrix: Matrix) -> None:
    """Raise Mistakes where a protocol cannot use a method's encoder on a task.

    Each method is told of once: what it lacks for one task it lacks for most.
    """
    for method in matrix.methods:
        for task in matrix.tasks:
            reasons = (
                (name, _reason(matrix.protocols[name], method, task))
                for name in matrix.protocols_of(method, task)
            )
            found = next((each for each in reasons if each[1] is not None), None)
            if found is not None:
                name, reason = found
                document.mistake(
                    ("methods", method.name),
                    f"{method.name} is run with {name} on {task.name}: {reason}",
                )
                break
    if document.mistakes:
        raise Mistakes(document.mistakes)


def _reason(
    protocol: ProtocolEntry, method: MethodEntry, task: TaskEntry
) -> str | None:
    if method.role == "fusion" and not protocol.settings.fuses:
        return (
            f"{protocol.base} takes one encoder: run a fusion with finetune ('freeze: "
            "encoder' where what it joins stays as it is)"
        )
    if task.spec.kind not in method.kinds:
        able = " and ".join(f"{kind}s" for kind in method.kinds)
        return (
            f"it can only do {able}, and this is a {task.spec.kind}: list the tasks of "
            f"{method.name} under 'tasks:' in its entry"
        )
    if method.role == "system":
        return None if protocol.settings.trains_all else _NO_ENCODER
    crop = protocol.crop_of(method, task)
    reasons = (
        protocol.settings.unfit(each, task.spec, crop) for each in method.encoders
    )
    return next((reason for reason in reasons if reason is not None), None)
