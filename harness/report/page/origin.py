"""Provenance: which code, machines and data the results come from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ...store.records import Manifest
from .account import Account
from .html import Html, el, join
from .parts import Section, column, notes, table

_READERS = 8  # hides the latency of network disks


def origin(account: Account) -> Section:
    """Return versions, commits, machines and data of every published evaluation."""
    found = account.findings
    keys = list(dict.fromkeys(found.done.evaluate_key))
    manifests = {key: found.published[key] for key in keys}
    folders = [
        found.published.path(key, next(iter(manifest.files))).parent
        for key, manifest in manifests.items()
    ]
    with ThreadPoolExecutor(_READERS) as pool:
        runs = list(pool.map(_read, (folder / "run.json" for folder in folders)))
        specs = list(
            pool.map(_read, (folder.parent.parent / "spec.json" for folder in folders))
        )
    body = join(
        _made_by(runs, manifests.values()),
        _data(account, specs),
        _changed(account),
    )
    return Section("origin", "Where it comes from", body, _lead(manifests.values()))


def _lead(manifests: Iterable[Manifest]) -> str:
    times = sorted(manifest.published for manifest in manifests)
    if not times:
        return "Nothing is published yet."
    return f"Evaluations published from {times[0][:16]} to {times[-1][:16]} UTC."


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):  # the result counts without its record
        return {}
    return found if isinstance(found, dict) else {}


def _made_by(runs: list[Mapping[str, Any]], manifests: Iterable[Manifest]) -> Html:
    facts: dict[str, Counter[str]] = {}

    def count(name: str, value: object) -> None:
        text = str(value) if value not in (None, "") else "not recorded"
        facts.setdefault(name, Counter())[text] += 1

    for run in runs:
        made = run.get("provenance") or {}
        git = made.get("git") or {}
        dirty = " with uncommitted changes" if git.get("dirty") else ""
        commit = git.get("commit")
        count("git commit", f"{commit[:12]}{dirty}" if commit else None)
        count("harness", made.get("harness"))
        count("Python", made.get("python"))
        count("installed packages", (made.get("packages_sha256") or "")[:12])
        count("machine", run.get("host"))
        count("processor", made.get("cpu"))
    for manifest in manifests:
        count("device", manifest.run.get("device"))
    rows = [
        el("tr", el("th", name, scope="row"), el("td", _listed(values)))
        for name, values in facts.items()
    ]
    head = [column("what"), column("values, with the number of evaluations")]
    return table("Made by", head, rows)


def _listed(values: Counter[str]) -> Html:
    shown = [
        join(el("code", text), f" ({count:,})")
        for text, count in values.most_common(12)
    ]
    more = f" and {len(values) - 12} more" if len(values) > 12 else ""
    return join(
        *(join(", " if place else "", one) for place, one in enumerate(shown)), more
    )


def _data(account: Account, specs: list[Mapping[str, Any]]) -> Html:
    seen: dict[str, Counter[tuple[str, str]]] = {}
    sources: dict[str, Mapping[str, Any]] = {}
    for spec in specs:
        task = (spec.get("labels") or {}).get("task")
        data = (spec.get("identity") or {}).get("data") or {}
        if task is None:
            continue
        pair = (str(data.get("fingerprint", ""))[:16], str(data.get("test", ""))[:16])
        seen.setdefault(task, Counter())[pair] += 1
        told = ((spec.get("where") or {}).get("tasks") or {}).get(task) or {}
        sources.setdefault(task, told.get("source") or {})
    rows = []
    for task, pairs in seen.items():
        source = sources[task]
        words = ". ".join(filter(None, [source.get("licence"), source.get("citation")]))
        for (fingerprint, test), count in pairs.most_common():
            rows.append(
                el(
                    "tr",
                    el("th", account.findings.heading(task), scope="row"),
                    el("td", el("code", fingerprint)),
                    el("td", el("code", test)),
                    el("td", f"{count:,}", class_="num"),
                    el("td", words),
                )
            )
    head = [
        column("task"), column("data"), column("test cases"),
        column("evaluations", class_="num"), column("licence and source"),
    ]  # fmt: skip
    return table("Data, by the first 16 digits of their sha256", head, rows)


def _changed(account: Account) -> Html:
    if account.changed is None:
        return join()
    if not account.changed:
        return el(
            "p", "No content file has changed since the results were computed with it."
        )
    return join(
        el("h3", "Code that has changed since"),
        notes([f"{sentence}." for sentence in account.changed]),
    )
