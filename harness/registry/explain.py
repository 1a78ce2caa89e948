"""Validation errors as sentences: what was expected, the nearest valid name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ..schema.errors import nearest
from .yamlfile import Document, Loc
from .yamlwords import brief

Model = TypeVar("Model", bound=BaseModel)


def explain(
    error: ValidationError, model: type[BaseModel], data: Any
) -> list[tuple[Loc, str]]:
    """Return (location in `data`, sentence) of each error of validating `data`."""
    found: dict[tuple[Loc, str], None] = {}
    for item in error.errors(include_url=False):
        loc = _in_data(item["loc"], item["type"], data)
        found[loc, _sentence(item, loc, model)] = None
    return list(found)


def _in_data(loc: Loc, kind: str, data: Any) -> Loc:
    """Return `loc` without names of union branches, which the data does not have."""
    kept: list[str | int] = []
    for part in loc:
        if isinstance(data, Mapping) and part in data:
            data = data[part]
        elif isinstance(data, (list, tuple)) and isinstance(part, int):
            data = data[part] if part < len(data) else None
        elif not (kind == "missing" and part is loc[-1]):
            continue
        kept.append(part)
    return tuple(kept)


def _sentence(item: Any, loc: Loc, model: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in loc) or "the file"
    kind, message, context = item["type"], item["msg"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return unknown("key", str(loc[-1]), _known(item["loc"], model))
    if kind == "missing":
        return f"'{where}' is missing"
    if kind == "union_tag_not_found":
        return f"'{where}' needs the key {context['discriminator']}"
    if kind == "union_tag_invalid":
        tags, given = context["expected_tags"], brief(context["tag"])
        return f"{where}: expected {context['discriminator']} to be {tags}, not {given}"
    if kind in ("value_error", "assertion_error"):
        said = message.split(", ", 1)[-1]
        return f"{where}: {said}" if loc else said
    message = message.replace("Input should be ", "expected ")
    message = message.replace("a valid dictionary", "'key: value' pairs")
    message = message.replace("an instance of", "")
    hint = ""
    if kind == "literal_error" and isinstance(item["input"], str):
        words = context["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        hint = nearest(item["input"], words).rstrip("?")
    return (
        f"{where}: {message[:1].lower()}{message[1:]}, not {brief(item['input'])}"
        + (f".{hint}?" if hint else "")
    )


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence for an unknown name, with the nearest known one or all.

    >>> unknown("method", "smti", ["simmim", "smit"])
    "unknown method 'smti'. Did you mean 'smit'?"
    """
    words = sorted(known)
    hint = nearest(name[:200], words)
    if not hint and words:
        shown = ", ".join(words[:12]) + (", ..." if len(words) > 12 else "")
        hint = f" Known: {shown}."
    return f"unknown {kind} {brief(name)}.{hint}"


def _known(loc: Loc, model: type[BaseModel]) -> list[str]:
    """Return the keys allowed beside the last part of `loc`."""
    models = [model]
    for part in loc[:-1]:
        inner = [
            each.model_fields[str(part)].annotation
            for each in models
            if _has(each, part)
        ]
        if inner:
            models = [found for annotation in inner for found in _models(annotation)]
        elif narrowed := [each for each in models if _tagged(each, part)]:
            models = narrowed
    return sorted({name for each in models for name in each.model_fields})


def _has(model: type[BaseModel], part: str | int) -> bool:
    return isinstance(part, str) and part in model.model_fields


def _tagged(model: type[BaseModel], part: str | int) -> bool:
    """Tell whether `part` names this branch of a union: its class or its tag."""
    return model.__name__ == part or any(
        get_origin(each.annotation) is Literal and part in get_args(each.annotation)
        for each in model.model_fields.values()
    )


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def validated(model: type[Model], document: Document) -> Model | None:
    """Return the document as a model, or None after noting its mistakes."""
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        for loc, sentence in explain(error, model, document.data):
            document.mistake(loc, sentence)
        return None
