"""Writing the files of a report: each appears whole."""

from __future__ import annotations

from pathlib import Path

from ..schema.errors import UserError


def write_text(path: Path, text: str) -> None:
    """Write a file of a report whole. Raises UserError where it cannot be written."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file of a report whole. Raises UserError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.draft")
        draft.write_bytes(data)
        draft.replace(path)
    except OSError as error:
        msg = (
            f"{path} cannot be written ({error.strerror}): choose another folder with "
            "--out"
        )
        raise UserError(msg) from error
