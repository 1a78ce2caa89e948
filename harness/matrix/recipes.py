"""The recipe of a method, by which methods of several sizes find each other."""

from __future__ import annotations

from ..schema.identity import digest, short
from ..schema.recipes import Recipe
from .matrix import MethodEntry


def recipe_of(method: MethodEntry) -> Recipe | None:
    """Return a method's recipe; None where it has no encoder of its own, or a file's."""
    if "encoder" not in method.settings or method.weights is not None:
        return None
    corpus = method.corpus
    before = None if method.init is None else recipe_of(method.init)
    objective = {
        "work": [method.stem, method.version],
        "settings": {k: v for k, v in method.settings.items() if k != "encoder"},
        "corpus": corpus
        and corpus.spec.model_copy(update={"fraction": None}).model_dump(mode="json"),
        "init": before and before.objective,
    }
    share = 1.0 if corpus is None else corpus.fraction or 1.0
    return Recipe(short(digest(objective)), short(digest(dict(method.encoder))), share)
