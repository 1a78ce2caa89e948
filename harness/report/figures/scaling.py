"""Score against the size of the corpus or of the encoder, a line per method."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd

from ..findings import Findings
from ..scaling import Axis, Sizes, sizes_of
from ..table import DIGITS, LOWER_IS_BETTER, NAMES, Table, budget_order
from .drawing import Drawing, NothingToDraw, Sketch
from .style import legend, panels, share_y

_PANELS = 12  # of one figure: task, protocol and label budget
_AXES: dict[Axis, tuple[str, str]] = {
    "corpus": ("cases pretrained on", "corpus"),
    "encoder": ("parameters of the encoder", "encoder"),
}


def sketches(findings: Findings) -> list[Sketch]:
    """Return a figure per metric and axis along which a method has two sizes."""
    if not len(findings.done):
        return []
    found = []
    for axis in _AXES:
        sizes = sizes_of(findings.evidence, axis)
        for metric, table in findings.means() if sizes.families else ():
            name = f"{metric}_by_{axis}_size"
            draw = partial(size_curves, findings, table, axis, sizes, name)
            found.append(Sketch(name, draw))
    return found


def size_curves(
    findings: Findings, table: Table, axis: Axis, sizes: Sizes, name: str
) -> Drawing:
    """Draw means with their intervals over the logarithm of a size."""
    rows = [
        {
            "task": e.task, "protocol": e.protocol, "budget": e.budget,
            "line": sizes.families[e.method], "encoder": e.encoder,
            "method": e.method, "size": sizes.of[e.method],
            "mean": e.mean, "low": e.low, "high": e.high,
            "cases": e.cases, "seeds": e.seeds,
        }
        for block in table.blocks()
        for e in block.entries.values()
        if e.mean is not None and e.method in sizes.families
    ]  # fmt: skip
    if not rows:
        msg = (
            f"{name}: no {NAMES[table.metric]} of a method of two sizes has a value yet"
        )
        raise NothingToDraw(msg)
    data = pd.DataFrame(rows)
    places = list(data.groupby(["task", "protocol", "budget"], sort=False))
    places.sort(key=lambda item: (*item[0][:2], budget_order(item[0][2])))
    shown = places[:_PANELS]
    figure, axes = panels(len(shown))
    several = data.protocol.nunique() > 1
    for panel, ((task, protocol, budget), own) in zip(axes, shown, strict=True):
        _panel(panel, own, findings)
        via = f", {protocol}" if several else ""
        panel.set_title(f"{findings.heading(task)}{via}\n{budget}")
        panel.set_xlabel(_AXES[axis][0])
    share_y(axes)
    better = "lower" if table.metric in LOWER_IS_BETTER else "higher"
    axes[0].set_ylabel(f"{NAMES[table.metric]}, {better} is better")
    pairs = findings.looks.present(zip(data.line, data.encoder, strict=True))
    legend(figure, [findings.looks[pair] for pair in pairs])
    left = len(places) - len(shown)
    more = f" {left} more settings are in the table." if left else ""
    return Drawing(
        family="scaling",
        name=name,
        title=f"{NAMES[table.metric]} by size of the {_AXES[axis][1]}",
        caption=(
            f"Mean {NAMES[table.metric]} over {_AXES[axis][0]}, logarithmic. Points of a "
            "line differ in nothing else; lines are set apart sideways. Bars: "
            f"{table.level:.0%} intervals over cases and seeds of each point alone; the "
            f"table has the slope, paired.{more}"
        ),
        alt=_alt(data, table),
        figure=figure,
        data=data,
    )


def _panel(axes: Any, data: pd.DataFrame, findings: Findings) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xscale("log", base=2)
    lines = list(data.groupby(["line", "encoder"], sort=False))
    step = (data["size"].max() / data["size"].min()) ** 0.012
    for number, (pair, some) in enumerate(lines):
        look, own = findings.looks[pair], some.sort_values("size")
        x = own["size"] * step ** (number - (len(lines) - 1) / 2)
        low = own.low.astype(float).fillna(own["mean"])
        high = own.high.astype(float).fillna(own["mean"])
        axes.vlines(x, low, high, color=look.colour, linewidth=0.9)
        axes.plot(
            x, own["mean"], color=look.colour, marker=look.marker,
            linestyle=look.dashes,
        )  # fmt: skip
    axes.xaxis.set_major_locator(FixedLocator(_apart(sorted(set(data["size"])))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: _short(size)))


def _apart(sizes: list[float], least: float = 1.3) -> list[float]:
    """Return sizes of which each is `least` times the one before: labels need room."""
    kept: list[float] = []
    for size in sizes:
        if not kept or size >= least * kept[-1]:
            kept.append(size)
    return kept


def _short(size: float) -> str:
    """Return a size as axes show it.

    >>> _short(48), _short(2400), _short(64_700_000)
    ('48', '2.4k', '64.7M')
    """
    for unit, text in ((1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{size / unit:.3g}{text}"
    return f"{size:.3g}"


def _alt(data: pd.DataFrame, table: Table) -> str:
    digits = DIGITS[table.metric]
    sentences = []
    groups = data.groupby(["task", "budget", "line"], sort=False)
    for (task, budget, line), own in groups:
        steps = ", ".join(
            f"{row.mean:.{digits}f} at {_short(row.size)}"
            for row in own.sort_values("size")[["size", "mean"]].itertuples()
        )
        sentences.append(f"{task} at {budget}, {line}: {steps}.")
    return " ".join(sentences[:12])
