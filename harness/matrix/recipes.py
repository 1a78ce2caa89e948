"""The recipe of a method, by which methods of several sizes find each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..schema.identity import digest, short
from ..schema.recipes import Recipe
from ..schema.task import TaskSpec
from .matrix import MethodEntry


def recipe_of(method: MethodEntry) -> Recipe | None:
    """Return a method's recipe; None where it has no encoder of its own, or a file's."""
    if "encoder" not in method.settings or method.weights is not None:
        return None
    corpus = method.corpus
    before = None if method.init is None else recipe_of(method.init)
    objective: dict[str, Any] = {
        "work": [method.stem, method.version],
        "settings": {k: v for k, v in method.settings.items() if k != "encoder"},
        "init": before and before.objective,
    }
    whole: dict[str, Any] = {
        "own": corpus
        and corpus.spec.model_copy(update={"fraction": None}).model_dump(mode="json"),
        "init": before and before.corpus,
    }
    return Recipe(
        short(digest(objective)),
        short(digest(whole)),
        short(digest(dict(method.encoder))),
        1.0 if corpus is None else corpus.fraction or 1.0,
    )


def modality_of(method: MethodEntry, tasks: Mapping[str, TaskSpec]) -> str | None:
    """Return what a method was pretrained on, as 'CT' or 'CT+MRI'; None if unknown.

    tasks: by name, those that corpora draw on. Earlier stages count.
    """
    found: set[str] = set()
    stage: MethodEntry | None = method
    while stage is not None:
        for source in stage.corpus.spec.sources if stage.corpus else ():
            if source.volumes is not None:
                found.add(source.volumes.modality)
            elif source.name in tasks:
                found.add(tasks[source.name].modality)
        stage = stage.init
    return "+".join(sorted(found)) or None
