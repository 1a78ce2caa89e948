"""What tokens differ in: principal components, as numbers and as colours."""

from __future__ import annotations

from ...analyse.estimate import SHARE, clipped, over_runs
from ..evidence import Evidence
from ..figures.token_maps import sketches
from ..representation import LABELS, block, estimated
from ..sheet import Column, Row, Sheet, Value
from . import View

KIND = "pca"
_SHARES = tuple(f"variance of component {number}" for number in range(1, 5))
_PLACE = ["analysis", "task", "protocol", "method", "encoder", "layer"]


def components(evidence: Evidence) -> Sheet:
    """Return the shares of variance that the first components have."""
    found = evidence.features.rows(KIND)
    level, rows = evidence.options.level, []
    for place, own in found.groupby(_PLACE, sort=False):
        values: dict[str, Value] = dict(zip(_PLACE, map(str, place), strict=True))
        values |= {"block": block(own.iloc[0], evidence), "runs": own.key.nunique()}
        for number, name in enumerate((*_SHARES, "foreground")):
            some = own[own.quantity == name].value.dropna()
            if len(some):
                key = f"share{number + 1}" if name != "foreground" else name
                share = clipped(over_runs(some.to_list(), level=level), SHARE)
                values |= estimated(key, share)
        values["tokens"] = int(own.n.max())
        rows.append(Row(values, tuple(dict.fromkeys(own.evaluate_key))))
    shown = [(f"share{number}", f"component {number}") for number in range(1, 5)]
    shown.append(("foreground", "foreground"))
    columns = (
        Column("block", "block"), Column("method", "method"), Column("layer", "layer"),
        *(
            Column(key, head, bounds=(f"{key}_low", f"{key}_high"), missing="-")
            for key, head in shown
        ),
        Column("tokens", "tokens"), Column("runs", "runs"),
        *(one for one in LABELS if one.name != "method"),
        *(
            Column(f"{key}_{end}", f"{key}_{end}", printed=False)
            for key, _ in shown for end in ("low", "high")
        ),
    )  # fmt: skip
    notes = (
        "Of encoders before they are adapted: the share of all variance of tokens, over "
        "all volumes jointly, that each principal component has; foreground: the share of "
        "tokens on the brighter side of the first one (METHODS 4.10). Student's intervals "
        "over runs, none of one run.",
    )
    title = "Principal components of tokens"
    return Sheet("components", title, columns, tuple(rows), notes, split="block")


VIEW = View(
    KIND,
    "What tokens differ in",
    "The first component parts foreground from background, the next three are colours.",
    kinds=(KIND,),
    tables={"components": components},
    images=sketches,
)
