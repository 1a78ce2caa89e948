"""Segmentations beside each other: image, truth and what every method predicts.

They are images of patients unless the task is synthetic, so a report shows them only
where it is asked to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from ...schema.errors import UserError
from ..findings import Findings, Place, of_place
from .drawing import Drawing, NothingToDraw, Sketch
from .style import INK, MUTED, bare, panels

_CASES = 4
_AXIAL = 2  # the plane across the third axis: from below, in RAS orientation
_ALPHA = 0.55

Slice = dict[str, np.ndarray]  # image, truth and pred, (H, W) uint8


def sketches(findings: Findings) -> list[Sketch]:
    """Return a figure per segmentation task and protocol."""
    return [
        Sketch(name, partial(segmentations, findings, place, name))
        for place in findings.places("dice")
        for name in [f"segmentations_{place.task}_{place.protocol}"]
    ]


@dataclass(frozen=True)
class _Shown:
    """One method's slices and scores of the cases that all methods keep."""

    pair: tuple[str, str]
    seed: int
    slices: Mapping[str, Slice]
    dice: Mapping[str, float]


def read_slices(path: Path) -> dict[str, Slice]:
    """Return the axial slice of each case that is the same for every method.

    Raises UserError for a file that is damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            names, worst = arrays["case_ids"], arrays["is_worst"]
            return {
                str(case): {
                    layer: _upright(arrays, number, layer)
                    for layer in ("image", "truth", "pred")
                }
                for number, case in enumerate(names)
                if not worst[number]
            }
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        msg = f"{path} cannot be read: run harness verify"
        raise UserError(msg) from error


def _upright(arrays: Mapping[str, np.ndarray], number: int, layer: str) -> np.ndarray:
    """Return the axial slice of a volume with the front up, or the one of an image."""
    axial = f"{number}_{_AXIAL}_{layer}"
    if axial in arrays:  # its rows run to the right and its columns to the front
        return np.rot90(arrays[axial])
    return arrays[f"{number}_0_{layer}"]


def segmentations(findings: Findings, place: Place, name: str) -> Drawing:
    """Draw cases (rows): image, truth, and the prediction of each method's first seed."""
    budgets = findings.budgets(place)
    shown = _shown(findings, of_place(findings.done, place, budgets[-1]))
    if not shown:
        msg = f"{name}: no finished cell keeps slices"
        raise NothingToDraw(msg)
    cases = [c for c in shown[0].slices if all(c in one.slices for one in shown)]
    cases = cases[:_CASES]
    if not cases:
        msg = f"{name}: the methods keep no case in common"
        raise NothingToDraw(msg)
    figure, axes = panels(
        len(cases) * (2 + len(shown)), width=1.45, height=1.55, across=2 + len(shown)
    )
    structures = findings.scope.tasks[place.task].structures
    for row, case in enumerate(cases):
        own = axes[row * (2 + len(shown)) : (row + 1) * (2 + len(shown))]
        _row(own, case, shown, findings, first=row == 0)
    _legend(figure, structures)
    synthetic = findings.scope.tasks[place.task].synthetic
    whose = "Generated images." if synthetic else "These are images of patients."
    rows = [
        {"case": case, "method": one.pair[0], "encoder": one.pair[1], "seed": one.seed,
         "dice": one.dice.get(case)}
        for case in cases for one in shown
    ]  # fmt: skip
    return Drawing(
        family="images",
        name=name,
        title=f"Segmentations: {findings.heading(place.task)}, {place.protocol}, "
        f"{budgets[-1]}",
        caption=(
            f"{whose} Cases chosen by a hash of their ids, the same for every method; "
            "the axial slice with the most truth; each method's first seed. Above each "
            "prediction: Dice of the whole case, mean over structures."
        ),
        alt=f"Axial slices of {len(cases)} cases with truth and predictions. "
        + "; ".join(
            f"{one.pair[0]}: {', '.join(_dice(one, case) for case in cases)}"
            for one in shown
        ),
        figure=figure,
        data=pd.DataFrame(rows).assign(
            task=place.task, protocol=place.protocol, budget=budgets[-1]
        ),
        task=place.task,
        private=not synthetic,
    )


def _shown(findings: Findings, cells: pd.DataFrame) -> list[_Shown]:
    """Return the slices of each method's cell with the smallest fold and seed."""
    looks = findings.looks
    found = []
    for pair in looks.present(zip(cells.method, cells.encoder, strict=True)):
        own = cells[(cells.method == pair[0]) & (cells.encoder == pair[1])]
        cell = own.sort_values(["fold", "seed"], kind="stable").iloc[0]
        try:
            path = findings.file(cell.evaluate_key, "slices.npz")
        except KeyError:
            continue
        charge = findings.evidence.policy("dice").charge
        scores = findings.evidence.reader.case_scores(
            [cell.evaluate_key], metric="dice", charge=charge
        )
        known = scores[scores.score.notna()]
        dice = dict(zip(known.case_id, known.score.astype(float), strict=True))
        found.append(_Shown(pair, int(cell.seed), read_slices(path), dice))
    return found


def _row(
    axes: Sequence[Any],
    case: str,
    shown: Sequence[_Shown],
    findings: Findings,
    *,
    first: bool,
) -> None:
    source = shown[0].slices[case]
    titles = ["image", "truth"] if first else ["", ""]
    for panel, title, labels in zip(
        axes, titles, [None, source["truth"]], strict=False
    ):
        _picture(panel, source["image"], labels, title)
    axes[0].set_ylabel(case, fontsize=7, color=MUTED)
    for panel, one in zip(axes[2:], shown, strict=True):
        name = f"{findings.looks[one.pair].label}\n" if first else ""
        own = one.slices[case]
        _picture(panel, own["image"], own["pred"], f"{name}{_dice(one, case)}")


def _dice(one: _Shown, case: str) -> str:
    value = one.dice.get(case)
    return "no Dice" if value is None else f"Dice {value:.3f}"


def _picture(
    axes: Any, image: np.ndarray, labels: np.ndarray | None, title: str
) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    if labels is not None:
        shades = _shades(int(labels.max(initial=0)))
        tint = np.zeros((*labels.shape, 4))
        for value, shade in enumerate(shades, start=1):
            tint[labels == value] = (*shade, _ALPHA)
        axes.imshow(tint, interpolation="nearest")
    bare(axes, title)


def _shades(count: int) -> list[tuple[float, float, float]]:
    import seaborn

    colours = seaborn.color_palette("colorblind")
    return [colours[place % len(colours)] for place in range(count)]


def _legend(figure: Any, structures: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(color=shade, alpha=0.8, label=structure)
        for structure, shade in zip(structures, _shades(len(structures)), strict=True)
    ]
    figure.legend(
        handles=handles, loc="outside lower left", ncols=min(6, max(len(handles), 1)),
        labelcolor=INK, fontsize=8,
    )  # fmt: skip
