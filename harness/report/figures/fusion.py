"""Heat maps of attention between the encoders of a fusion."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd

from ..findings import Findings
from ..fusion import Fused, fused
from .drawing import Drawing, Sketch
from .style import panels


def sketches(findings: Findings) -> list[Sketch]:
    """Return a figure per task and protocol with a fusion that attends."""
    found = fused(findings.evidence)
    places = dict.fromkeys((one.task, one.protocol) for one in found)
    return [
        Sketch(name, partial(_maps, findings, some, name))
        for place in places
        for some in [[one for one in found if (one.task, one.protocol) == place]]
        for name in ["_".join(("fusion", *place))]
    ]


def _maps(findings: Findings, found: Sequence[Fused], name: str) -> Drawing:
    """Draw a heat map per fusion and label budget, the mean over runs."""
    most = max(len(one.members) for one in found)
    side = 1.9 + 0.35 * most
    figure, axes = panels(len(found), width=side, height=side, across=3)
    image: Any = None
    top = max(float(one.shares.mean(axis=0).max()) for one in found)
    for panel, one in zip(axes, found, strict=True):
        values = one.shares.mean(axis=0)
        image = panel.imshow(values, cmap="viridis", vmin=0, vmax=top)
        ticks = range(len(one.members))
        panel.set_xticks(ticks, one.members, rotation=35, ha="right", fontsize=7)
        panel.set_yticks(ticks, one.members, fontsize=7)
        for i in ticks:
            for j in ticks:
                ink = "black" if values[i, j] > 0.6 * top else "white"
                panel.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center",
                           fontsize=7, color=ink)  # fmt: skip
        label = findings.looks[one.method, one.encoder].label
        panel.set_title(f"{label}, {one.label_budget}", fontsize=8)
        panel.grid(visible=False)
        panel.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=list(axes), shrink=0.75, pad=0.02, label="share")
    bar.outline.set_visible(False)
    figure.supylabel("who looks", fontsize=8)
    figure.supxlabel("at whom", fontsize=8)
    task, protocol = found[0].task, found[0].protocol
    runs = sorted({len(one.shares) for one in found})
    cases = sorted({one.cases for one in found})
    return Drawing(
        family="fusion",
        name=name,
        title="Attention between the encoders of a fusion: "
        f"{findings.heading(task)}, {protocol}",
        caption=(
            "Share of attention that each encoder's vector (row) pays to each (column), "
            f"the mean over {_of(cases)} test cases and {_of(runs)} runs; rows sum to 1."
        ),
        alt=_alt(found),
        figure=figure,
        data=_data(found),
        task=task,
    )


def _of(numbers: Sequence[int]) -> str:
    return " or ".join(map(str, numbers))


def _data(found: Sequence[Fused]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"task": one.task, "protocol": one.protocol, "budget": one.label_budget,
             "method": one.method, "encoder": one.encoder, "looks": looks, "seen": seen,
             "share": one.shares[:, i, j].mean(), "runs": len(one.shares)}
            for one in found
            for i, looks in enumerate(one.members)
            for j, seen in enumerate(one.members)
        ]
    )  # fmt: skip


def _alt(found: Sequence[Fused]) -> str:
    words = []
    for one in found:
        seen = one.shares.mean(axis=(0, 1))
        parts = ", ".join(
            f"{name} {share:.2f}" for name, share in zip(one.members, seen, strict=True)
        )
        words.append(f"{one.method} at {one.label_budget} looks at {parts} on average.")
    return " ".join(words)
