"""Method classes from methods/<stem>.py. Imports torch: for jobs and the child."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from ..api import Method, OwnSettings
from ..schema.errors import UserError
from ..schema.roles import Role
from .explain import unknown
from .modules import load_module
from .yamlfile import shown


def load_method(roots: Sequence[Path | str], stem: str) -> type[Method]:
    """Return the one subclass of Method that methods/<stem>.py defines.

    Raises UserError if the file cannot be imported or does not define exactly one.
    """
    module = load_module(roots, "methods", stem)
    where = shown(Path(str(module.__file__)))
    found = [
        each
        for each in vars(module).values()
        if isinstance(each, type)
        and issubclass(each, Method)
        and each.__module__ == module.__name__
    ]
    if len(found) != 1:
        names = ", ".join(each.__name__ for each in found) or "none"
        msg = f"{where} must define one class that extends Method, found {names}."
        raise UserError(msg)
    method = found[0]
    settings = getattr(method, "Settings", None)
    if not (isinstance(settings, type) and issubclass(settings, OwnSettings)):
        msg = f"{where}: {method.__name__}.Settings must extend MethodSettings."
        raise UserError(msg)
    if method.role not in get_args(Role):
        msg = f"{where}: {unknown('role', str(method.role), get_args(Role))}"
        raise UserError(msg)
    if not isinstance(getattr(method, "version", None), int):
        msg = f"{where}: {method.__name__}.version must be an integer."
        raise UserError(msg)
    return method
