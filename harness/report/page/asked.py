"""What was asked, and what of it has run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..table import budget_order
from .account import STATES, Account
from .html import Html, el, join
from .parts import GROUP, Links, Section, column, method_name, notes, several, table

_SIGNS = {
    "done": "", "running": "▷", "pending": "…", "failed": "✕", "blocked": "⊘",
    "lost": "?", "missing": "·",
}  # fmt: skip
_WORDS = {
    "done": "published", "running": "running now", "pending": "queued",
    "failed": "failed", "blocked": "blocked by a failed pretraining",
    "lost": "ended without a word", "missing": "not started",
}  # fmt: skip


def asked(account: Account) -> Section:
    """Return the matrix in words: methods, tasks, protocols, label budgets, seeds."""
    scope = account.findings.scope
    cells = scope.cells
    sizes = {
        "method": cells[["method", "encoder"]].drop_duplicates().shape[0],
        "task": cells.task.nunique(),
        "protocol": cells.protocol.nunique(),
        "label budget": cells.label_budget.nunique(),
        "seed": cells.seed.nunique(),
    }
    folds = cells.fold.nunique()
    counts = [several(size, noun) for noun, size in sizes.items()]
    if folds > 1:
        counts.append(several(folds, "fold"))
    tiers = ", ".join(map(str, cells.tier.dropna().unique())) if "tier" in cells else ""
    lead = f"{', '.join(counts)}: {several(len(cells), 'cell')}"
    lead += f" at tier {tiers}." if tiers else "."
    body = join(_methods(account), _tasks(account), notes(scope.notes), _file(account))
    return Section("asked", "What was asked", body, lead)


def _methods(account: Account) -> Html:
    cells, looks = account.findings.scope.cells, account.findings.looks
    rows = []
    for pair in looks.pairs:
        own = cells[(cells.method == pair[0]) & (cells.encoder == pair[1])]
        pretrainings = own.pretraining_key.dropna().nunique()
        what = (
            several(pretrainings, "pretraining") if pretrainings else "none: baseline"
        )
        rows.append(
            el(
                "tr",
                el("th", method_name(looks, pair), scope="row"),
                el("td", pair[1]),
                el("td", what),
                el("td", f"{len(own):,}", class_="num"),
                data_method=_label(pair),
            )
        )
    head = [
        column("method"), column("encoder"), column("pretraining"),
        column("cells", class_="num"),
    ]  # fmt: skip
    return table(
        "Methods, in the colour and with the marker of every figure", head, rows
    )


def _tasks(account: Account) -> Html:
    scope = account.findings.scope
    rows = []
    for name, own in scope.cells.groupby("task", sort=False):
        facts = scope.tasks[str(name)]
        parts = facts.structures or facts.classes
        found = scope.available.get(str(name), facts.cases)
        cases = (
            f"{found:,}" if found == facts.cases else f"{found:,} of {facts.cases:,}"
        )
        budgets = sorted(own.label_budget.unique(), key=budget_order)
        rows.append(
            el(
                "tr",
                el("th", account.findings.heading(str(name)), scope="row"),
                el(
                    "td",
                    facts.title,
                    el("br"),
                    el("small", facts.kind, ", ", facts.modality),
                    class_="wide",
                ),
                el("td", ", ".join(parts), class_="wide"),
                el("td", ", ".join(dict.fromkeys(own.protocol))),
                el("td", ", ".join(budgets)),
                el("td", ", ".join(facts.metrics)),
                el("td", cases if facts.cases else "", class_="num"),
                data_task=name,
            )
        )
    head = [
        column("task"), column("what it is"), column("structures or classes"),
        column("protocols"), column("label budgets"), column("metrics"),
        column("labelled cases", class_="num"),
    ]  # fmt: skip
    return table("Tasks", head, rows)


def _file(account: Account) -> Html | None:
    if not account.benchmark:
        return None
    return el(
        "details",
        el("summary", "The benchmark file"),
        el("pre", el("code", account.benchmark), tabindex="0"),
    )


def coverage(account: Account, links: Links) -> Section:
    """Return a map of the matrix: what is published of every group, and what is not."""
    counts = account.counts()
    total = sum(counts.values())
    lead = f"{counts['done']:,} of {several(total, 'cell')} published"
    rest = [
        f"{counts[state]:,} {_WORDS[state]}" for state in STATES[1:] if counts[state]
    ]
    lead += f"; {', '.join(rest)}." if rest else "."
    present = [state for state in STATES if counts[state]]
    key = el(
        "p", "Each square is a group of cells that differ in seed and fold only: ",
        *(
            join(el("span", _SIGNS[s] or "n", class_=f"sq {s}"), f" {_WORDS[s]}  ")
            for s in present
        ),
        class_="key",
    )  # fmt: skip
    return Section("ran", "What ran", join(key, _map(account, links)), lead)


def _map(account: Account, links: Links) -> Html:
    cells, looks = account.findings.scope.cells, account.findings.looks
    states = [
        account.state(key, state)
        for key, state in zip(cells.evaluate_key, cells.state, strict=True)
    ]
    grouped: dict[tuple[str, ...], Counter[str]] = {}
    groups = zip(*(cells[name] for name in GROUP), strict=True)
    for group, state in zip(groups, states, strict=True):
        grouped.setdefault(group, Counter())[state] += 1
    rows: list[Html] = []
    for (task, protocol), own in cells.groupby(["task", "protocol"], sort=False):
        budgets = sorted(own.label_budget.unique(), key=budget_order)
        for place, budget in enumerate(budgets):
            head = None
            if not place:
                name = account.findings.heading(task)
                head = el("th", name, el("br"), el("small", protocol),
                          rowspan=len(budgets), scope="rowgroup")  # fmt: skip
            squares = [
                _square(links, grouped.get((*pair, task, protocol, budget)),
                        (*pair, task, protocol, budget))
                for pair in looks.pairs
            ]  # fmt: skip
            rows.append(
                el("tr", head, el("th", budget, scope="row"), *squares, data_task=task,
                   data_protocol=protocol, data_budget=budget)
            )  # fmt: skip
    heads = [column("task, protocol"), column("labels")]
    heads += [
        column(method_name(looks, pair), data_method=_label(pair))
        for pair in looks.pairs
    ]
    planned = account.findings.scope.planned
    caption = "Published of planned cells" if planned else "Published cells"
    return table(caption, heads, rows, kind="map")


def _square(links: Links, counts: Counter[str] | None, group: tuple[str, ...]) -> Html:
    pair = (group[0], group[1])
    if counts is None:
        return el("td", el("span", "not asked", class_="vh"), data_method=_label(pair))
    total = sum(counts.values())
    worst = next(state for state in reversed(STATES) if counts[state])
    bad = next((s for s in ("failed", "lost", "blocked") if counts[s]), worst)
    words = ", ".join(f"{counts[s]} {_WORDS[s]}" for s in STATES if counts[s])
    text = f"{counts['done']}/{total}"
    sign = _SIGNS[bad]
    square = links.to(
        join(text, el("span", sign, aria_hidden="true") if sign else None),
        *group,
        label=f"{', '.join(group)}: {words}",
    )
    return el("td", square, class_=f"sq {bad}", title=words, data_method=_label(pair))


def _label(pair: Sequence[str]) -> str:
    return f"{pair[0]}|{pair[1]}"
