"""From a benchmark file to a Matrix, with all mistakes of the file at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..registry.content import SAFE_NAME, Content, find_content
from ..registry.explain import explain
from ..registry.yamlfile import Document, read_yaml
from ..registry.yamlwords import brief
from ..schema.errors import Mistakes, UserError
from ..schema.style import style
from ..schema.task import Tier
from .analyses import resolve_analyses
from .budgets import read_budgets
from .claims import Names, read_claims
from .clusters import check_shared
from .filters import Filter, parse_filter
from .fits import check_fits
from .fractions import at_fractions
from .matrix import Matrix, MethodEntry, TaskEntry, with_earlier
from .methods import resolve_methods
from .model import BenchmarkFile
from .protocols import resolve_protocols
from .tasks import Corpora, resolve_tasks

MAX_CELLS = 2_000_000
_ENTRIES = ("methods", "protocols", "tasks")


def load(
    path: Path,
    *,
    filters: Sequence[str] = (),
    tier: Tier | None = None,
    rehearsal: bool = False,
) -> Matrix:
    """Read, validate and resolve a benchmark file.

    filters: as parse_filter reads them; tier: instead of the file's own; rehearsal: at
    tier tiny, and of the file only what that leaves open. Raises Mistakes with
    everything wrong in the file, or UserError where there is nothing to point at.
    """
    chosen = parse_filter(filters)
    document = read_yaml(path)
    file = _checked(document)
    if tier is not None:
        file = file.model_copy(update={"tier": tier})
    if rehearsal:
        file = file.rehearsed()
    content = _content(document, file)
    _check_names(document, file)
    check_shared(document, file.clusters, file.methods, file.tasks)
    budgets = read_budgets(document, ("label_budgets",), file.label_budgets)
    corpora = Corpora(document, content, file)
    protocols = resolve_protocols(document, file)
    tasks = resolve_tasks(document, file, content, protocols, budgets, corpora)
    methods = resolve_methods(document, file, content, corpora, tasks)
    methods = at_fractions(document, methods, file.corpus_fractions)
    claims = read_claims(document, file.claims, Names.of(file, tasks))
    analyses = resolve_analyses(document, file, methods, tasks)
    _check_style(document, file)
    if document.mistakes:
        raise Mistakes(document.mistakes)
    matrix = Matrix(
        path=path.absolute(),
        title=file.title,
        tier=file.tier,
        content=content,
        data_roots=data_roots(path, file.roots, content),
        methods=tuple(methods),
        protocols=protocols,
        tasks=tuple(tasks),
        corpus_tasks=corpora.used_tasks(with_earlier(methods).values()),
        seeds=file.seeds,
        pretraining_seeds=file.pretraining_seeds,
        subset_draw=file.subset_draw,
        folds=file.folds,
        chosen_folds=tuple(range(file.folds)),
        clusters=file.clusters,
        training=file.training,
        keep=file.keep,
        claims=claims,
        style=file.style,
        analyses=tuple(analyses),
    )
    check_fits(document, matrix)
    _check_size(document, matrix)
    return filtered(matrix, chosen)


def _checked(document: Document) -> BenchmarkFile:
    """Return the file as a model; what is wrong is noted and read as if absent."""
    data = document.data
    for _ in range(
        8
    ):  # each round removes at least one part; errors rarely need a second
        try:
            return BenchmarkFile.model_validate(data)
        except ValidationError as error:
            found = explain(error, BenchmarkFile, data)
        for loc, sentence in found:
            document.mistake(loc, sentence)
            data = {key: value for key, value in data.items() if key != loc[0]}
    raise Mistakes(document.mistakes)


def _check_style(document: Document, file: BenchmarkFile) -> None:
    try:
        if file.style is not None:
            style(file.style)
    except UserError as error:
        document.mistake(("style",), f"style: {error}")


def _content(document: Document, file: BenchmarkFile) -> Content:
    folder = document.path.absolute().parent
    try:
        content = find_content(
            document.path, [folder / Path(each).expanduser() for each in file.content]
        )
        for kind in ("methods", "tasks", "corpora"):
            content.names(kind)  # a clash of names shows here
    except (UserError, RuntimeError, ValueError, OSError) as error:
        # RuntimeError: '~nobody'; ValueError and OSError: impossible paths
        if not document.mistakes and isinstance(error, UserError):
            raise
        document.mistake(("content",), f"content: {error}")
        raise Mistakes(document.mistakes) from None
    return content


def _check_names(document: Document, file: BenchmarkFile) -> None:
    for kind in _ENTRIES:
        if not getattr(file, kind) and not _noted(document, kind):
            loc = (kind,) if kind in document.data else ()
            document.mistake(loc, f"'{kind}' is missing: name at least one")
        for name in getattr(file, kind):
            if not SAFE_NAME.match(name):
                document.mistake(
                    (kind, name),
                    f"{brief(name)} is not a name: expected letters, digits, '.', '_' "
                    "and '-', beginning with a letter or digit, 64 at most",
                )
    for key in ("seeds", "pretraining_seeds"):
        seen: set[object] = set()
        values = getattr(file, key)
        for index, value in enumerate(() if isinstance(values, str) else values):
            if value in seen:
                document.mistake((key, index), f"{key}: {value} stands twice")
            seen.add(value)


def _noted(document: Document, key: str) -> bool:
    """Tell whether a mistake has been noted already for a top-level key."""
    return any(each.message.startswith(f"{key}:") for each in document.mistakes)


def data_roots(path: Path, own: Sequence[str], content: Content) -> tuple[Path, ...]:
    """Return where data is looked for: own roots, MEDSSL_DATA, data/ of the home.

    own: as the benchmark file at `path` names them, relative to its folder.
    """
    folder = path.absolute().parent
    # expanduser of os.path leaves '~nobody' as it is, where that of Path raises
    roots = [folder / os.path.expanduser(each) for each in own]  # noqa: PTH111
    given = os.environ.get("MEDSSL_DATA", "").split(os.pathsep)
    roots += [Path(each).absolute() for each in given if each]
    roots.append(content.roots[0] / "data")
    return tuple(dict.fromkeys(roots))


def _check_size(document: Document, matrix: Matrix) -> None:
    cells = 0
    for method in matrix.methods:
        shared = isinstance(matrix.pretraining_seeds, str) or not method.is_trained
        draws = 1 if shared else len(matrix.pretraining_seeds)
        per_draw = sum(
            len(matrix.protocols_of(method, task)) * len(task.budgets)
            for task in matrix.tasks
        )
        cells += per_draw * draws * len(matrix.seeds) * matrix.folds
    if cells > MAX_CELLS:
        document.mistake((), f"{cells} cells are more than the {MAX_CELLS} allowed")
        raise Mistakes(document.mistakes)


def filtered(matrix: Matrix, chosen: Filter) -> Matrix:
    """Return the part of a matrix that a filter keeps. UserError if it is empty."""
    if not chosen.keep and not chosen.drop:
        return matrix
    pretraining = matrix.pretraining_seeds
    known_pretraining = matrix.seeds if isinstance(pretraining, str) else pretraining
    chosen.check("method", [each.name for each in matrix.methods])
    chosen.check("encoder", [each.encoder_kind for each in matrix.methods])
    chosen.check("task", [each.name for each in matrix.tasks])
    chosen.check("protocol", matrix.protocols)
    chosen.check("label_budget", [b for each in matrix.tasks for b in each.budgets])
    chosen.check("fold", matrix.chosen_folds)
    chosen.check("seed", matrix.seeds)
    chosen.check("pretraining_seed", known_pretraining)
    chosen.check("tier", [matrix.tier])
    tasks = (_filtered_task(each, chosen) for each in matrix.tasks)
    kept = {
        "methods": tuple(each for each in matrix.methods if _keeps(each, chosen)),
        "tasks": tuple(each for each in tasks if each.protocols and each.budgets),
        "seeds": tuple(each for each in matrix.seeds if chosen.allows("seed", each)),
        "chosen_folds": tuple(
            f for f in matrix.chosen_folds if chosen.allows("fold", f)
        ),
    }
    if not all(kept.values()):
        msg = "--filter: no cell of the matrix is left."
        raise UserError(msg)
    seeds = tuple(s for s in known_pretraining if chosen.allows("pretraining_seed", s))
    return _replaced(matrix, {**kept, "chosen_pretraining_seeds": seeds})


def _replaced(matrix: Matrix, changes: Mapping[str, Any]) -> Matrix:
    return Matrix(**{**vars(matrix), **changes})


def _keeps(method: MethodEntry, chosen: Filter) -> bool:
    return chosen.allows("method", method.name) and chosen.allows(
        "encoder", method.encoder_kind
    )


def _filtered_task(task: TaskEntry, chosen: Filter) -> TaskEntry:
    allowed = chosen.allows("task", task.name)
    protocols = [p for p in task.protocols if allowed and chosen.allows("protocol", p)]
    budgets = [b for b in task.budgets if chosen.allows("label_budget", b)]
    return TaskEntry(task.name, task.spec, task.crop, tuple(protocols), tuple(budgets))
