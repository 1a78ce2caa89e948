"""How image vectors lie: distances of classes, and planes of t-SNE and UMAP."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from ...analyse.estimate import POSITIVE, SHARE, clipped, over_runs
from ...schema.errors import UserError
from ..evidence import Evidence
from ..figures.planes import sketches
from ..representation import LABELS, block, estimated
from ..sheet import Column, Row, Sheet, Value
from . import View

KIND = "embedding"
_QUANTITIES = (
    ("intra", "intra-class distance"), ("inter", "inter-class distance"),
    ("silhouette", "silhouette"), ("nmi", "nmi"),
)  # fmt: skip
_LIMITS = {
    "intra": POSITIVE, "inter": POSITIVE, "silhouette": (-1.0, 1.0), "nmi": SHARE,
}  # fmt: skip
_PLACE = ["analysis", "task", "protocol", "method", "encoder", "space"]


def embedding(evidence: Evidence) -> Sheet:
    """Return how near classes lie, in the space of vectors and in every plane."""
    rows = evidence.features.rows(KIND)
    rows = rows[rows.quantity.isin([name for _, name in _QUANTITIES])]
    if not len(rows):
        msg = "table embedding is empty: none of the tasks that were looked at has classes"
        raise UserError(msg)
    rows = rows.assign(space=rows.layer.str.partition(" ")[0])
    found = tuple(_rows(rows, evidence))
    columns = (
        Column("block", "block"), Column("space", "space"), Column("method", "method"),
        *(
            Column(short, name, bounds=(f"{short}_low", f"{short}_high"), missing="-")
            for short, name in _QUANTITIES
        ),
        Column("intra_sd", "sd of intra over planes", missing="-"),
        Column("silhouette_sd", "of silhouette", missing="-"),
        Column("planes", "planes"), Column("runs", "runs"), Column("crops", "crops"),
        *(one for one in LABELS if one.name != "method"),
        *(
            Column(f"{short}_{end}", f"{short}_{end}", printed=False)
            for short, _ in _QUANTITIES for end in ("low", "high")
        ),
    )  # fmt: skip
    notes = (
        "Of encoders before they are adapted. Intra: mean distance of a point to the "
        "centre of its class; inter: mean distance between centres of classes (METHODS "
        "2.10); distances have no unit and compare only within one space, in which a "
        "plane's scale is its own. Silhouette and NMI do compare.",
        "A run's value is the mean over its planes, which differ by their seed; sd over "
        "planes is that of one run's planes, mean over runs. Student's intervals over "
        "runs, none of one run: what the cases leave in doubt is not in them.",
    )
    title = "Classes in the space of image vectors and in planes"
    return Sheet("embedding", title, columns, found, notes, split="block")


def _rows(rows: pd.DataFrame, evidence: Evidence) -> Iterator[Row]:
    level = evidence.options.level
    for place, own in rows.groupby(_PLACE, sort=False):
        one = own.iloc[0]
        values: dict[str, Value] = dict(zip(_PLACE, map(str, place), strict=True))
        values |= {"block": block(one, evidence), "runs": own.key.nunique()}
        for short, name in _QUANTITIES:
            some = own[own.quantity == name].dropna(subset=["value"])
            if not len(some):
                continue
            of_run = some.groupby("key", sort=False).value
            found = over_runs(of_run.mean().to_list(), level=level)
            values |= estimated(short, clipped(found, _LIMITS[short]))
            spread = of_run.std().mean()
            if short in ("intra", "silhouette") and pd.notna(spread):
                values[f"{short}_sd"] = float(spread)
        values["planes"] = int(own.groupby("key").layer.nunique().max())
        values["crops"] = int(own[own.quantity == "silhouette"].n.max())
        yield Row(values, tuple(dict.fromkeys(own.evaluate_key)))


VIEW = View(
    KIND,
    "How image vectors lie",
    "Encoders before they are adapted: are images of a class near each other?",
    kinds=(KIND,),
    tables={"embedding": embedding},
    figures=sketches,
)
