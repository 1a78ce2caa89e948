"""What pictures of single runs share: a figure per task, each method's first run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import numpy as np

from ..findings import Findings
from .drawing import Drawing, Sketch

# analysis, task, variant and the figure's name
_Draw = Callable[[Findings, str, str, str, str], Drawing]


class FirstRun(NamedTuple):
    """A method, (name, encoder), and the arrays that its first run keeps."""

    pair: tuple[str, str]
    arrays: dict[str, np.ndarray]


def by_task(
    findings: Findings, kind: str, variants: Iterable[str], draw: _Draw
) -> list[Sketch]:
    """Return a figure per variant of each entry and task of an analysis."""
    nodes = findings.evidence.features.nodes(kind)
    places = dict.fromkeys(zip(nodes.analysis, nodes.task, strict=True))
    return [
        Sketch(name, partial(draw, findings, *place, variant, name))
        for place in places
        for variant in variants
        for name in ["_".join([*place, variant])]
    ]


def first_runs(
    findings: Findings, kind: str, analysis: str, task: str, file: str
) -> list[FirstRun]:
    """Return each method's arrays in a file of its analysis, of its first fold and seed."""
    features = findings.evidence.features
    nodes = features.nodes(kind)
    nodes = nodes[(nodes.analysis == analysis) & (nodes.task == task)]
    found = []
    for pair in findings.looks.present(zip(nodes.method, nodes.encoder, strict=True)):
        own = nodes[(nodes.method == pair[0]) & (nodes.encoder == pair[1])]
        one = own.sort_values(["fold", "seed"], kind="stable").iloc[0]
        found.append(FirstRun(pair, features.arrays(one.key, file)))
    return found
