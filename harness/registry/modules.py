"""Importing content modules (tasks.<name>, methods.<name>) from the roots and nowhere else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from ..schema.errors import UserError
from .yamlfile import shown


class ShadowedPackage(UserError):
    """A module of the same name from somewhere else would be imported instead of ours."""


_entered: list[str] = []  # roots that this module has put on sys.path


def load_module(roots: Sequence[Path | str], kind: str, name: str) -> ModuleType:
    """Import `<kind>.<name>` from the content roots.

    Raises ShadowedPackage if Python finds it elsewhere, and UserError if no root has it or if
    its import fails, with the error's own words.
    """
    folders = [str(Path(root).resolve()) for root in roots]
    homes = [Path(root) / kind for root in folders]
    path = next((home / f"{name}.py" for home in homes if (home / f"{name}.py").is_file()), None)
    if path is None:
        looked = ", ".join(shown(home) for home in homes)
        msg = f"no file {name}.py in {looked}."
        raise UserError(msg)
    _enter(folders, kind)
    module = _import(f"{kind}.{name}", path, kind, [str(home) for home in homes])
    origin = getattr(module, "__file__", None)
    if origin is None or Path(origin).resolve() != path.resolve():
        raise _shadowed(f"{kind}.{name}", origin, path)
    return module


def _enter(folders: Sequence[str], kind: str) -> None:
    """Put the roots first on sys.path and forget modules of roots used before."""
    if _entered != list(folders):
        for old in _entered:
            while old in sys.path:
                sys.path.remove(old)
        for module in [each for each in sys.modules if each.split(".")[0] == kind]:
            if _from(sys.modules[module], _entered):
                del sys.modules[module]
        _entered[:] = folders
    for folder in reversed(folders):
        if folder in sys.path:
            sys.path.remove(folder)
        sys.path.insert(0, folder)
    importlib.invalidate_caches()


def _from(module: ModuleType, folders: Sequence[str]) -> bool:
    places = [getattr(module, "__file__", None) or ""]
    places += list(getattr(module, "__path__", ()))
    return any(place.startswith(folder + "/") for place in places for folder in folders)


def _import(full: str, path: Path, kind: str, homes: Sequence[str]) -> ModuleType:
    try:
        package = importlib.import_module(kind)
        if not any(place in homes for place in getattr(package, "__path__", ())):
            raise _shadowed(kind, getattr(package, "__file__", None), path)
        for home in homes:
            if home not in package.__path__:  # a root beside one with __init__.py
                package.__path__.append(home)
        return importlib.import_module(full)
    except UserError:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # content may raise anything, SystemExit included
        words = str(error).splitlines()[0] if str(error) else ""
        msg = (
            f"{shown(path)} could not be imported: {type(error).__name__}"
            f"{': ' + words if words else ''}{_where(error, path)}."
        )
        raise UserError(msg) from error


def _where(error: BaseException, path: Path) -> str:
    """Return the line of the content file that the error came through."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None and not isinstance(error, SyntaxError):
        if Path(trace.tb_frame.f_code.co_filename) == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" (line {line})" if line else ""


def _shadowed(full: str, origin: object, path: Path) -> ShadowedPackage:
    return ShadowedPackage(
        f"Python finds the module {full} at {origin or 'an unknown place'} instead of "
        f"{shown(path)}: uninstall that package or remove it from PYTHONPATH."
    )
