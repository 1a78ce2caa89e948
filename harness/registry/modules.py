"""Importing content modules (tasks.<name>, methods.<name>) from the roots only."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from ..schema.errors import UserError
from .yamlfile import shown


class ShadowedPackage(UserError):
    """A module of the same name from somewhere else stands where ours should."""


def load_module(roots: Sequence[Path | str], kind: str, name: str) -> ModuleType:
    """Import `<kind>.<name>` from the content roots.

    The package `<kind>` is made here with the roots' folders as its only places, so
    that an installed package of that name is never looked into. Raises ShadowedPackage
    if such a one is loaded already, and UserError if no root has the file or if its
    import fails.
    """
    homes = [Path(root).resolve() / kind for root in roots]
    path = next(
        (home / f"{name}.py" for home in homes if (home / f"{name}.py").is_file()), None
    )
    if path is None:
        looked = ", ".join(shown(home) for home in homes)
        msg = f"no file {name}.py in {looked}."
        raise UserError(msg)
    _prepare(kind, [str(home) for home in homes if home.is_dir()], path)
    module = _import(f"{kind}.{name}", path)
    origin = getattr(module, "__file__", None)
    if origin is None or Path(origin).resolve() != path:
        raise _shadowed(module.__name__, origin, path)
    return module


def _prepare(kind: str, homes: list[str], path: Path) -> None:
    """See to it that sys.modules[kind] looks into `homes` and nowhere else."""
    present = sys.modules.get(kind)
    if present is not None:
        places = list(getattr(present, "__path__", ()))
        if places == homes:
            return
        if not places or not all(_is_content(Path(place)) for place in places):
            origin = getattr(present, "__file__", None) or ", ".join(places)
            raise _shadowed(kind, origin, path)
        # Another checkout's content: forget it, its users keep what they have imported.
        for loaded in [each for each in sys.modules if each.split(".")[0] == kind]:
            del sys.modules[loaded]
    package = ModuleType(kind)
    package.__path__ = homes
    sys.modules[kind] = package
    importlib.invalidate_caches()


def _is_content(home: Path) -> bool:
    """Tell whether a package folder is content of a checkout (or of one deleted)."""
    return not home.exists() or all(
        (home.parent / k).is_dir() for k in ("methods", "tasks")
    )


def _import(full: str, path: Path) -> ModuleType:
    try:
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
