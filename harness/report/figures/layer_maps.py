"""Maps of CKA: every layer of one network with every layer of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..alignment import layer_order
from ..findings import Findings
from ..table import budget_order
from .alignment import Compared, compared
from .drawing import Drawing, NothingToDraw, Sketch
from .style import panels

_ACROSS = 4
# By what two networks differ in: of the title, of the rows and of the columns.
_WORDS = {
    "": ("Before and after fine-tuning", "before fine-tuning", "after fine-tuning"),
    "label_budget": (
        "Few labels and many",
        "with these labels",
        "with the most labels",
    ),
}


class LayerMap(NamedTuple):
    """values: CKA (rows, columns), nan where a layer is constant."""

    values: np.ndarray
    rows: list[str]
    columns: list[str]


def map_sketches(findings: Findings, kind: str) -> list[Sketch]:
    """Return a figure of all pairs of layers per task, protocol and thing compared."""
    return [
        Sketch(name, partial(_maps, findings, kind, place, name))
        for place in compared(findings, kind)
        if place.between in _WORDS
        for name in [place.name(kind, "maps")]
    ]


def _maps(findings: Findings, kind: str, place: Compared, name: str) -> Drawing:
    """Draw a map per method, for the smallest and the largest label budget."""
    shown = _shown(findings, kind, place)
    if not shown:
        msg = f"{name}: no published analysis keeps its map of layers"
        raise NothingToDraw(msg)
    data = _data(shown).assign(task=place.task, protocol=place.protocol)
    shown = on_all_layers(shown)
    layers = len(next(iter(shown.values())).rows)
    side = min(3.4, 1.3 + 0.1 * layers)
    across = min(_ACROSS, len({pair for _, pair in shown}))
    # Names of layers stand below the lowest row alone.
    height = side + 0.9 * across / len(shown)
    figure, axes = panels(len(shown), width=side, height=height, across=across)
    figure.set_layout_engine("compressed")  # squares leave no gaps
    image: Any = None
    for panel, ((budget, pair), each) in zip(axes, shown.items(), strict=True):
        image = _panel(panel, each)
        panel.set_title(f"{findings.looks[pair].label}, {budget}", fontsize=8.5)
    bar = figure.colorbar(image, ax=axes, shrink=0.75, pad=0.02, label="CKA")
    bar.outline.set_visible(False)
    title, down, along = _WORDS[place.between]
    figure.supylabel(down, fontsize=9)
    figure.supxlabel(along, fontsize=9)
    return Drawing(
        family=kind,
        name=name,
        title=f"{title}, every layer with every other: "
        f"{findings.heading(place.task)}, {place.protocol}",
        caption=(
            "CKA of every pair of layers, mean over seeds and folds, from 0 (unrelated) "
            "to 1 (the same up to rotation and scale); values below 0 have the colour of "
            "0. On the diagonal a layer meets itself; blank is what is constant, or no "
            "layer of a network."
        ),
        alt=_alt(data),
        figure=figure,
        task=place.task,
        data=data,
    )


def _shown(
    findings: Findings, kind: str, place: Compared
) -> dict[tuple[str, tuple[str, str]], LayerMap]:
    """Return mean maps by label budget, the smallest and the largest, and method."""
    nodes = findings.evidence.features.nodes(kind)
    between = nodes.against.fillna("").str.partition("=")[0]
    nodes = nodes[
        (nodes.analysis == place.analysis)
        & (nodes.task == place.task)
        & (nodes.protocol == place.protocol)
        & (between == place.between)
    ]
    order = sorted(nodes.label_budget.unique(), key=budget_order)
    pairs = findings.looks.present(zip(nodes.method, nodes.encoder, strict=True))
    shown = {}
    for budget, pair in product(dict.fromkeys((order[0], order[-1])), pairs):
        own = nodes[
            (nodes.label_budget == budget)
            & (nodes.method == pair[0])
            & (nodes.encoder == pair[1])
        ]
        found = [one for key in own.key if (one := _map_of(findings, key)) is not None]
        if found:
            shown[budget, pair] = _mean(found)
    return shown


def _map_of(findings: Findings, key: str) -> LayerMap | None:
    try:
        arrays = findings.evidence.features.arrays(key, "cka.npz")
    except KeyError:
        return None
    names = (list(map(str, arrays[side])) for side in ("rows", "columns"))
    return LayerMap(arrays["cka"], *names)


def _mean(found: Sequence[LayerMap]) -> LayerMap:
    """Return the mean of the maps that have the layers of the first."""
    first = found[0]
    same = [one.values for one in found if one[1:] == first[1:]]
    return first._replace(values=np.mean(same, axis=0))


def on_all_layers(
    shown: Mapping[tuple[str, tuple[str, str]], LayerMap],
) -> dict[tuple[str, tuple[str, str]], LayerMap]:
    """Return maps with the rows and columns of all: panels share the names of axes."""
    rows, columns = (
        sorted({name for names in some for name in names}, key=layer_order)
        for some in (
            [each.rows for each in shown.values()],
            [each.columns for each in shown.values()],
        )
    )
    whole = {}
    for key, each in shown.items():
        values = np.full((len(rows), len(columns)), np.nan)
        down = [rows.index(name) for name in each.rows]
        along = [columns.index(name) for name in each.columns]
        values[np.ix_(down, along)] = each.values
        whole[key] = LayerMap(values, rows, columns)
    return whole


def _panel(axes: Any, each: LayerMap) -> Any:
    image = axes.imshow(each.values, cmap="viridis", vmin=0, vmax=1, origin="lower")
    small = 7 if len(each.rows) <= 20 else 5.5
    axes.set_xticks(range(len(each.columns)), each.columns, rotation=90, fontsize=small)
    axes.set_yticks(range(len(each.rows)), each.rows, fontsize=small)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.label_outer()
    return image


def _data(shown: dict[tuple[str, tuple[str, str]], LayerMap]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"method": pair[0], "encoder": pair[1], "budget": budget, "row": row,
             "column": column, "cka": each.values[i, j]}
            for (budget, pair), each in shown.items()
            for i, row in enumerate(each.rows)
            for j, column in enumerate(each.columns)
        ]
    )  # fmt: skip


def _alt(data: pd.DataFrame) -> str:
    means = data.groupby(["method", "budget"], sort=False).cka.mean()
    return "Mean CKA over all pairs of layers: " + "; ".join(
        f"{method} at {budget} {value:.2f}" for (method, budget), value in means.items()
    )
