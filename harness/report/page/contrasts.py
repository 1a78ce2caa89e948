"""The headline ranking, and which methods differ from which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ...analyse.compare import Comparison
from ...analyse.ranks import Ranking, ranking
from ...schema.errors import UserError
from ...schema.style import SENTENCES
from ..table import LOWER_IS_BETTER, NAMES, Measure, show
from .account import Account
from .html import Html, el, join
from .parts import Links, Section, column, figures, method_name, notes, several, table

_LISTED = 400  # comparisons that are listed one by one

Pair = tuple[str, str]


def headline(account: Account) -> Section | None:
    """Return mean ranks of each metric with their uncertainty, or why there are none."""
    parts, lead = [], ""
    for metric, _ in account.findings.means():
        try:
            blocks = account.findings.blocks(metric)
            found = ranking(blocks, level=account.findings.evidence.options.level)
        except UserError as reason:
            parts.append(el("p", f"{NAMES[metric]}: {_sentence(reason)}"))
            continue
        if len(found.methods) > 1:
            lead = lead or _lead(account, metric, found)
            parts.append(_ranks(account, metric, found))
    parts.append(figures(account.of_family("ranks")))
    if not any(parts):
        return None
    return Section("ranking", "Who comes first", join(*parts), lead)


def _sentence(reason: UserError) -> str:
    text = str(reason)
    return f"{text[:1].lower()}{text[1:]}."


def _lead(account: Account, metric: Measure, found: Ranking) -> str:
    first = int(np.argmin(found.rank))
    name = account.findings.looks[found.methods[first]].label
    share = found.share[first, 0]
    return (
        f"By {NAMES[metric]} {name} ranks best on average over "
        f"{several(len(found.blocks), 'setting')}; under resampling of cases and seeds "
        f"it comes first in {share:.0%} of draws. {_beaten(account, metric, found)}"
    )


def _beaten(account: Account, metric: Measure, found: Ranking) -> str:
    """Say what corrected tests make of the first place, which a mean rank is not."""
    first = found.methods[int(np.argmin(found.rank))]
    sign = -1 if metric in LOWER_IS_BETTER else 1
    beaten: dict[Pair, int] = defaultdict(int)
    for one in account.findings.comparisons(metric, "all"):
        pair, other = (one.method, one.encoder), (one.other_method, one.other_encoder)
        ahead = sign * (one.difference or 0.0)
        if one.significant and pair == first and ahead > 0:
            beaten[other] += 1
        if one.significant and other == first and ahead < 0:
            beaten[pair] += 1
    others = len(found.methods) - 1
    everywhere = sum(count == len(found.blocks) for count in beaten.values())
    return (
        f"Corrected tests find it better than {everywhere} of {several(others, 'other')} "
        f"in every setting, and than {len(beaten)} in at least one."
    )


def _ranks(account: Account, metric: Measure, found: Ranking) -> Html:
    looks = account.findings.looks
    count = len(found.methods)
    width = max(count - 1, 1)
    rows = []
    for m in np.argsort(found.rank, kind="stable"):
        at = [
            100 * (v - 1) / width for v in (found.low[m], found.high[m], found.rank[m])
        ]
        look = looks[found.methods[m]]
        strip = el(
            "i", class_="strip", aria_hidden="true",
            style=f"--l:{at[0]:.1f}%;--h:{at[1]:.1f}%;--m:{at[2]:.1f}%;--c:{look.colour}",
        )  # fmt: skip
        wins = (found.wins[m].sum() - 0.5) / width
        rows.append(
            el(
                "tr",
                el("th", method_name(looks, found.methods[m]), scope="row"),
                el("td", el("a", f"{found.rank[m]:.2f}", class_="n mean", href="#cells"),
                   el("span", f"[{found.low[m]:.2f}, {found.high[m]:.2f}]", class_="ci"),
                   strip, class_="num", data_v=f"{found.rank[m]:.4f}"),
                el("td", f"{found.share[m, 0]:.0%}", class_="num",
                   data_v=f"{found.share[m, 0]:.4f}"),
                el("td", f"{wins:.0%}", class_="num", data_v=f"{wins:.4f}"),
                data_method=f"{found.methods[m][0]}|{found.methods[m][1]}",
            )
        )  # fmt: skip
    level = account.findings.evidence.options.level
    head = [
        column("method", by="text"), column("mean rank", by="number", class_="num"),
        column("first in draws", by="number", class_="num"),
        column("duels won", by="number", class_="num"),
    ]  # fmt: skip
    grid = table(el("b", f"By {NAMES[metric]}"), head, rows, kind="scores")
    said = [
        f"Mean rank over {several(len(found.blocks), 'setting')} (task, protocol, label "
        f"budget), 1 the best; {level:.0%} interval over draws of cases and seeds, the "
        "tasks taken as given.",
        "Duels won: share of other methods times settings with a worse mean.",
    ]
    fewest = int(account.findings.evidence.layout(metric).groups.seeds.min())
    if fewest < 5:
        said.append(
            f"With {several(fewest, 'seed')} draws vary less than new seeds would: "
            "intervals and shares are too sure of themselves."
        )
    if found.tau is not None:
        said.append(
            f"Stability: Kendall's tau of a draw's ranking with this one is "
            f"{found.tau[0]:.2f} on average, above {found.tau[1]:.2f} in 97.5% of draws."
        )
    said += [f"{text[:1].upper()}{text[1:]}." for text in found.left_out]
    return join(grid, notes(said))


def comparisons(account: Account, links: Links) -> Section | None:
    """Return who differs from whom: all pairs, and each against the baseline."""
    parts = []
    for metric, _ in account.findings.means():
        matrix = _matrix(account, metric)
        listed = _against(account, metric, links)
        if matrix is not None or listed is not None:
            parts.append(join(el("h3", NAMES[metric]), matrix, listed))
    drawings = figures(account.of_family("comparisons"))
    if not parts and not drawings:
        return None
    lead = "A best mean is not a finding; these are the differences that hold up."
    body = join(drawings, *parts)
    return Section("differences", "Which differences hold up", body, lead)


def _matrix(account: Account, metric: Measure) -> Html | None:
    """Return in how many settings the row is significantly better than the column."""
    try:
        found = account.findings.comparisons(metric, "all")
    except UserError:
        return None
    if not found:
        return None
    sign = -1 if metric in LOWER_IS_BETTER else 1
    better: dict[tuple[Pair, Pair], int] = defaultdict(int)
    tested: dict[tuple[Pair, Pair], int] = defaultdict(int)
    for one in found:
        row, col = (one.method, one.encoder), (one.other_method, one.other_encoder)
        known = one.adjusted is not None
        tested[row, col] += known
        tested[col, row] += known
        if one.significant and one.difference:
            ahead = one.difference * sign > 0
            better[(row, col) if ahead else (col, row)] += 1
    looks = account.findings.looks
    pairs = looks.present(pair for both in tested for pair in both)
    rows = [
        el(
            "tr",
            el("th", method_name(looks, row), scope="row"),
            *(
                _duel(better[row, col], tested[row, col], same=row == col)
                for col in pairs
            ),
            data_method=f"{row[0]}|{row[1]}",
        )
        for row in pairs
    ]
    head = [column("better"), *(column(method_name(looks, pair)) for pair in pairs)]
    grid = table(
        "Settings in which the method of the row is significantly better than that of "
        "the column, of those that could be tested",
        head, rows, kind="matrix",
    )  # fmt: skip
    size = max((one.family_size for one in found), default=0)
    return join(
        grid,
        notes(
            [
                f"{SENTENCES[found[0].test][:1].upper()}{SENTENCES[found[0].test][1:]}; "
                f"significant at {found[0].alpha:g} after Holm's correction for {size:,} "
                "tests.",
                *_untested(found),
            ]
        ),
    )


def _untested(found: Sequence[Comparison]) -> list[str]:
    reasons: dict[str, int] = defaultdict(int)
    for one in found:
        if one.adjusted is None:
            reasons[one.sentence] += 1
    return [
        f"{several(count, 'comparison')} without a p-value: {reason}."
        for reason, count in reasons.items()
    ]


def _duel(better: int, tested: int, *, same: bool) -> Html:
    if same:
        return el("td", "·", class_="num same")
    share = better / tested if tested else 0.0
    return el(
        "td", f"{better}/{tested}", class_="num duel", style=f"--s:{100 * share:.0f}%"
    )


def _against(account: Account, metric: Measure, links: Links) -> Html | None:
    """Return each comparison with the baseline: difference, interval, p, effect size."""
    try:
        found = account.findings.comparisons(metric, "baseline")
    except UserError as reason:
        return el("p", f"No baseline: {_sentence(reason)}")
    found = [one for one in found if one.difference is not None]
    if not found:
        return None
    rows = [_row(account, metric, one, links) for one in found[:_LISTED]]
    head = [
        column("task, protocol", by="text"), column("labels", by="text"),
        column("method", by="text"), column("difference", by="number", class_="num"),
        column("p, corrected", by="number", class_="num"),
        column("effect", class_="num"), column("n", by="number", class_="num"),
    ]  # fmt: skip
    bases = ", ".join(dict.fromkeys(one.other_method for one in found))
    grid = table(el("b", f"Against {bases}"), head, rows, kind="scores list")
    said = [
        "Difference: method minus baseline, paired by case and seed. Effect: rank-biserial "
        "correlation over cases, Hedges' g over seeds; their sign is the difference's.",
    ]
    if len(found) > _LISTED:
        said.append(f"The first {_LISTED} of {len(found):,}; tables/ holds all.")
    return join(grid, notes(said))


def _row(account: Account, metric: Measure, one: Comparison, links: Links) -> Html:
    assert one.difference is not None
    pair = (one.method, one.encoder)
    place = (one.task, one.protocol, one.label_budget)
    number = el("b" if one.significant else "span",
                show(one.difference, metric, signed=True), class_="mean")  # fmt: skip
    bounds = None
    if one.low is not None and one.high is not None:
        low, high = (show(v, metric, signed=True) for v in (one.low, one.high))
        bounds = el("span", f"[{low}, {high}]", class_="ci")
    other = links.to("↔", one.other_method, one.other_encoder, *place,
                     label=f"the cells of {one.other_method}")  # fmt: skip
    return el(
        "tr",
        el("td", f"{account.findings.heading(one.task)}, {one.protocol}"),
        el("td", one.label_budget),
        el("th", method_name(account.findings.looks, pair), scope="row"),
        el("td", links.to(number, *pair, *place), " ", other, bounds, class_="num",
           data_v=f"{one.difference:.6g}"),
        el("td", _p(one), class_="num",
           data_v=None if one.adjusted is None else f"{one.adjusted:.4g}"),
        el("td", _effect(one), class_="num"),
        el("td", str(one.n), class_="num", data_v=one.n),
        data_method=f"{pair[0]}|{pair[1]}", data_task=one.task,
        data_protocol=one.protocol, data_budget=one.label_budget,
    )  # fmt: skip


def _p(one: Comparison) -> str:
    text = one.sentence
    return (
        text.removeprefix("p = ").removeprefix("p ")
        if one.adjusted is not None
        else text
    )


def _effect(one: Comparison) -> str:
    for name in ("rank_biserial", "hedges_g"):
        if (effect := one.effects.get(name)) is not None:
            return f"{effect.value:+.2f}"
    return ""
