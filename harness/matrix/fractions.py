"""`corpus_fractions`: each pretraining on nested parts of its corpus, as a factor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..registry.yamlfile import Document
from .matrix import Corpus, MethodEntry


def at_fractions(
    document: Document, methods: Sequence[MethodEntry], fractions: Sequence[float]
) -> list[MethodEntry]:
    """Return the entries with one for each fraction in place of each that is pretrained.

    The whole corpus keeps the entry's name, a tenth of it is NAME.10pct; its earlier
    stages are pretrained on as much. Methods that are not self-supervised stay as they
    are. A name that is taken is noted as a mistake.
    """
    if not fractions:
        return list(methods)
    names = {method.name for method in methods}
    found: list[MethodEntry] = []
    for method in methods:
        if method.role != "pretrained":
            found.append(method)
            continue
        for fraction in fractions:
            entry = _at(method, fraction)
            if entry.name != method.name and entry.name in names:
                document.mistake(
                    ("methods", entry.name),
                    f"{entry.name} is what corpus_fractions calls {method.name} on "
                    f"{fraction:.4g} of its corpus: rename it",
                )
            found.append(entry)
    return found


def _at(method: MethodEntry, fraction: float) -> MethodEntry:
    if fraction == 1 or method.corpus is None:
        return method
    spec = method.corpus.spec
    share = fraction * (spec.fraction or 1)
    return replace(
        method,
        name=f"{method.name}.{100 * fraction:.10g}pct",
        corpus=Corpus(method.corpus.name, spec.model_copy(update={"fraction": share})),
        init=None if method.init is None else _at(method.init, fraction),
    )
