"""The child process that imports methods/*.py, and so torch, and describes them.

`python -m harness.registry.child` reads a request from stdin and writes the answer, one
JSON document, to the file named by its argument: a method file may print what it likes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from ..api import BaselineSettings, Method, cut, resolve
from ..schema.errors import UserError
from .explain import explain, unknown
from .methods import load_method


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return {methods: {stem: description}, entries: [{settings} or {errors}]}.

    request: {roots, stems, entries: [{stem, tier, overrides}]}.
    """
    classes: dict[str, type[Method]] = {}
    methods: dict[str, dict[str, Any]] = {}
    for stem in request["stems"]:
        try:
            classes[stem] = load_method(request["roots"], stem)
        except UserError as error:
            methods[stem] = {"failure": str(error)}
        else:
            methods[stem] = _described(classes[stem])
    entries = [
        _resolved(classes[entry["stem"]], entry) if entry["stem"] in classes else {}
        for entry in request["entries"]
    ]
    faults = [
        _fault(classes[file["stem"]], file) if file["stem"] in classes else None
        for file in request["files"]
    ]
    return {"methods": methods, "entries": entries, "files": faults}


def _described(method: type[Method]) -> dict[str, Any]:
    text = (method.__doc__ or "").strip()
    return {
        "title": text.splitlines()[0] if text else "",
        "version": method.version,
        "encoders": list(method.encoders),
        "dims": list(method.dims),
        "kinds": list(method.kinds),
        "role": method.role,
        "settings": {
            name: field.description or ""
            for name, field in method.Settings.model_fields.items()
        },
    }


def _resolved(method: type[Method], entry: dict[str, Any]) -> dict[str, Any]:
    overrides = entry["overrides"]
    if "cut" in entry:
        overrides = cut(method.Settings, entry["tier"], overrides, entry["cut"])
    if "encoder" in overrides and not method.encoders:
        sentence = f"{entry['stem']} has no encoder of its own: remove 'encoder'"
        return {"errors": [[["encoder"], sentence]]}
    encoder = overrides.get("encoder")
    kind = encoder.get("kind") if isinstance(encoder, dict) else encoder
    if isinstance(kind, str) and kind not in method.encoders:
        stem = entry["stem"]
        sentence = unknown("encoder", kind, method.encoders) + f" {stem} cannot use it."
        if kind in method.unfit:
            sentence = f"{stem} cannot use a {kind}: {method.unfit[kind]}"
        return {"errors": [[["encoder"], sentence]]}
    if isinstance(encoder, str):
        overrides = {**overrides, "encoder": {"kind": encoder}}
    try:
        settings = resolve(method.Settings, entry["tier"], overrides)
    except ValidationError as error:
        sentences = explain(error, method.Settings, overrides)
        return {"errors": [[list(loc), sentence] for loc, sentence in sentences]}
    except Exception as error:  # a rule of the method's own that is not a validator
        return {"errors": [[[], f"{type(error).__name__}: {error}"]]}
    return {"settings": settings.model_dump(mode="json")}


def _fault(method: type[Method], file: dict[str, Any]) -> str | None:
    """Read a file of weights as its node will; return what is wrong with it, if any."""
    settings = method.Settings.model_validate(file["settings"])
    assert isinstance(settings, BaselineSettings)  # it has an encoder to fill
    generator = torch.Generator().manual_seed(0)
    try:
        method(settings, file["channels"], generator).load(Path(file["path"]))
    except UserError as error:
        return str(error)
    return None


def main() -> None:
    """Answer the request on stdin."""
    request = json.load(sys.stdin)
    Path(sys.argv[1]).write_text(json.dumps(answer(request)), encoding="utf-8")


if __name__ == "__main__":
    main()
