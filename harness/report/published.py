"""The scope of a results folder alone: whatever is published there, by its labels.

A benchmark file says which cells were wanted. Without one, or with one that has changed
since, results are still readable: each evaluation carries its labels, and beside it lies
the specification of its task as of then.
"""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..analyse.scores import is_pretrained
from ..schema.errors import UserError
from ..schema.identity import digest
from ..store import Manifest, Store
from ..store.durable import write_bytes
from .analysed import analyses_of_store
from .scope import CELLS, MORE, Scope, TaskFacts
from .table import budget_order

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN_MISSING = (
    "Read from the results folder without a benchmark file: cells that were planned and "
    "are missing are not known."
)
_KEPT, _KEPT_FORMAT = "settings.json", 1  # raised when what is digested changes
_READERS = 8  # hides the latency of network disks
_GROUP = ("method", "encoder", "task", "protocol", "label_budget")


def scope_of_store(store: Store, filters: Sequence[str] = ()) -> Scope:
    """Take every published evaluation that the filters allow.

    Results of one cell under several settings stay apart: the latest keep the method's
    name, earlier ones get a name with six digits of what sets them apart. Raises
    UserError where nothing is published, a filter names what is not there, or results
    of several tiers would be mixed.
    """
    import pandas as pd

    done = store.done()
    found = list(done.of_kind("evaluate"))
    if not found:
        msg = (
            f"{store.root} holds no published evaluation: harness status says what "
            "failed or is missing, harness run starts it"
        )
        raise UserError(msg)
    kept = _filtered(found, filters)
    specs = _Specs(store, done)
    settings = specs.settings_of([key for key, _ in kept])
    rows = [
        {
            **{name: manifest.labels.get(name) for name in CELLS},
            "tier": manifest.labels.get("tier"),
            "overlap": manifest.labels.get("overlap"),
            "recipe": manifest.labels.get("recipe"),
            "pretrained_on": manifest.labels.get("pretrained_on"),
            "adapt_key": specs.adapt_of(key),
            "evaluate_key": key,
            "state": "done",
            "settings": own,
            "published": manifest.published,
        }
        for (key, manifest), own in zip(kept, settings, strict=True)
    ]
    cells = pd.DataFrame.from_records(rows)
    _one_tier(cells, store.root)
    cells, notes = _apart(_ordered(cells))
    return Scope(
        name=store.root.name or "results",
        cells=cells[[*CELLS, *MORE]],
        tasks=specs.tasks(cells),
        planned=False,
        notes=(UNKNOWN_MISSING, *notes),
        beside=Path.cwd(),
        analyses=analyses_of_store(store, done, cells),
    )


def _filtered(
    found: list[tuple[str, Manifest]], filters: Sequence[str]
) -> list[tuple[str, Manifest]]:
    if not any(filters):
        return found
    # Imported here: it brings what reads benchmark files, which takes a quarter second.
    from ..matrix.filters import FIELDS, parse_filter

    wanted = parse_filter(filters)
    for field in FIELDS:
        wanted.check(field, {m.labels.get(field) for _, m in found})
    kept = [
        (key, manifest)
        for key, manifest in found
        if all(wanted.allows(field, manifest.labels.get(field)) for field in FIELDS)
    ]
    if not kept:
        msg = (
            f"--filter: none of the {len(found):,} published evaluations has all of "
            f"{', '.join(filters)}"
        )
        raise UserError(msg)
    return kept


def _one_tier(cells: pd.DataFrame, root: Path) -> None:
    tiers = sorted(map(str, cells.tier.dropna().unique()))
    if len(tiers) > 1:
        msg = (
            f"{root} holds results of the tiers {', '.join(tiers)}, which must not be "
            f"mixed: keep one with --filter tier={tiers[-1]}"
        )
        raise UserError(msg)


def _ordered(cells: pd.DataFrame) -> pd.DataFrame:
    """Sort by task, method and rising label budget; each once, the latest first."""
    order = {text: budget_order(text) for text in cells.label_budget.unique()}
    cells = cells.sort_values("published", ascending=False, kind="stable")
    columns = [*_GROUP, "fold", "seed", "subset_seed", "pretraining_seed", "settings"]
    cells = cells.drop_duplicates(columns)
    cells = cells.assign(_budget=cells.label_budget.map(order))
    # Methods without a pretraining first: they are what the others are compared with.
    cells = cells.assign(_trained=is_pretrained(cells))
    by = [
        "task",
        "protocol",
        "_trained",
        "method",
        "encoder",
        "_budget",
        "fold",
        "seed",
    ]
    return cells.sort_values(by, kind="stable").drop(columns=["_budget", "_trained"])


def _apart(cells: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Rename the methods of results under earlier settings; say which."""
    latest = cells.groupby([*_GROUP, "settings"], dropna=False).published.max()
    latest = latest.reset_index().sort_values("published", ascending=False)
    first = latest.drop_duplicates(list(_GROUP)).set_index(list(_GROUP)).settings
    own = cells.set_index(list(_GROUP)).index.map(first)
    other = (cells.settings.to_numpy() != own.to_numpy()).nonzero()[0]
    if not len(other):
        return cells, []
    names = cells.method.to_numpy(dtype=object).copy()
    told: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in other:
        settings = cells.settings.iat[row]
        told[names[row], cells.task.iat[row]].add(settings[:6])
        names[row] = f"{names[row]} ({settings[:6]})"
    notes = [
        f"{method} on {task} has results under several settings: the latest keep the "
        f"name, earlier ones carry six digits of theirs ({', '.join(sorted(some))})."
        for (method, task), some in told.items()
    ]
    return cells.assign(method=names), notes


class _Specs:
    """Reads spec.json files, and keeps what it made of them: identities never change."""

    def __init__(self, store: Store, done: Mapping[str, Manifest]) -> None:
        self._store = store
        self._done = done
        self._of_adapt: dict[str, str] = {}
        self._known = _read_kept(store)

    def settings_of(self, keys: Sequence[str]) -> list[str]:
        """Return digests of what results depend on beside their labels."""
        new = [key for key in keys if key not in self._known]
        if new:
            size = -(-len(new) // _READERS)
            parts = [new[at : at + size] for at in range(0, len(new), size)]
            with ThreadPoolExecutor(_READERS) as pool:
                for found in pool.map(self._read_all, parts):
                    self._known.update(found)
            _keep(self._store, self._known)
        return [self._known[key][0] if key in self._known else "" for key in keys]

    def adapt_of(self, key: str) -> str | None:
        """Return the key of the adaptation that an evaluation is of, if it is known."""
        return self._known[key][1] if key in self._known else None

    def _read_all(self, keys: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return settings and adaptation of evaluations; lost specifications miss."""
        found = {}
        for key in keys:
            spec = self._read(key)
            if spec is not None:
                identity = spec["identity"]
                adapt = str(identity.get("inputs", {}).get("adapt", ""))
                found[key] = digest([_meaning(identity), self._adapt(adapt)]), adapt
        return found

    def _adapt(self, key: str) -> str:
        found = self._of_adapt.get(key)
        if found is None:
            spec = self._read(key) if key else None
            identity = spec["identity"] if spec else {}
            encoder = str(identity.get("inputs", {}).get("encoder", ""))
            parts = [_meaning(identity), self._adapt(encoder) if encoder else ""]
            found = self._of_adapt[key] = digest(parts)
        return found

    def _read(self, key: str) -> dict[str, Any] | None:
        try:
            return self._store.spec(key)
        except UserError:
            return None

    def tasks(self, cells: pd.DataFrame) -> dict[str, TaskFacts]:
        """Return what the latest result of each task says of it."""
        facts = {}
        for name, own in cells.groupby("task", sort=False):
            keys = list(own.sort_values("published").evaluate_key)[::-1]
            told = (self._where(key, str(name)) for key in keys)
            known = next((one for one in told if one), None)
            files = self._done[keys[0]].files
            facts[str(name)] = TaskFacts.of(known) if known else _by_files(files)
        return facts

    def _where(self, key: str, task: str) -> Mapping[str, Any] | None:
        spec = self._read(key) or {}
        found: Mapping[str, Any] | None = (
            spec.get("where", {}).get("tasks", {}).get(task)
        )
        return found


def _read_kept(store: Store) -> dict[str, tuple[str, str]]:
    """Return what an earlier report found out, from the cache; {} without one."""
    try:
        document = json.loads((store.cache / _KEPT).read_bytes())
        if document["format"] != _KEPT_FORMAT:
            return {}
        return {str(key): (str(s), str(a)) for key, (s, a) in document["nodes"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _keep(store: Store, known: Mapping[str, tuple[str, str]]) -> None:
    document = {"format": _KEPT_FORMAT, "nodes": known}
    data = json.dumps(document, separators=(",", ":")).encode()
    with contextlib.suppress(OSError):  # a reader may lack the right to write
        store.cache.mkdir(parents=True, exist_ok=True)
        write_bytes(store.cache / _KEPT, data, sync=False)


def _by_files(files: Iterable[str]) -> TaskFacts:
    """Tell what a task scores from what was published, where no specification is left."""
    if "predictions.parquet" in set(files):
        return TaskFacts("", "classification", ("auc", "kappa"))
    return TaskFacts("", "segmentation", ("dice", "hd95"))


def _meaning(identity: Mapping[str, Any]) -> list[Any]:
    """Return the parts of an identity that seeds, folds and budgets do not change."""
    data = identity.get("data", {})
    kept = ("fingerprint", "sources")
    return [
        identity.get("implementation"),
        identity.get("version"),
        identity.get("settings"),
        {name: data[name] for name in kept if name in data},
    ]
