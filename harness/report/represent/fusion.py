"""What the encoders of a fusion look at: each other."""

from __future__ import annotations

from ...analyse.estimate import SHARE, clipped, over_runs
from ...schema.identity import short
from .. import captions
from ..evidence import Evidence
from ..figures.fusion import sketches
from ..fusion import fused, fused_rows
from ..representation import about_cells, estimated
from ..sheet import Column, Row, Sheet, Value
from . import View


def attention(evidence: Evidence) -> Sheet:
    """Return the share of attention that each encoder pays to each, over test cases.

    Raises UserError where no published fusion attends.
    """
    rows = []
    for one in fused(evidence):
        heading = captions.heading(one.task, evidence.scope.tasks[one.task])
        for i, looks in enumerate(one.members):
            for j, seen in enumerate(one.members):
                level = evidence.options.level
                found = over_runs(one.shares[:, i, j].tolist(), level=level)
                values: dict[str, Value] = {
                    "block": f"{heading}, {one.protocol}", "task": one.task,
                    "protocol": one.protocol, "labels": one.label_budget,
                    "method": one.method, "encoder": one.encoder, "looks": looks,
                    "seen": seen, "cases": one.cases, "runs": len(one.shares),
                    "even": 1 / len(one.members),
                }  # fmt: skip
                values |= estimated("share", clipped(found, SHARE))
                rows.append(Row(values, tuple(map(short, one.keys))))
    columns = (
        Column("block", "block"), Column("labels", "labels"), Column("method", "method"),
        Column("looks", "who looks"), Column("seen", "at whom"),
        Column("share", "share", bounds=("share_low", "share_high")),
        Column("even", "if even"), Column("cases", "cases"), Column("runs", "runs"),
        *(
            Column(name, name, printed=False)
            for name in ("task", "protocol", "encoder", "share_low", "share_high")
        ),
    )  # fmt: skip
    notes = (
        "Share of attention from the numbers of one encoder's vector to those of another, "
        "the mean over test cases; shares of one row of encoders sum to 1 (METHODS 6 "
        "#25). A share is no measure of use: what is attended to may be ignored later. "
        "Student's intervals over runs, none of one run. A fusion with attention: none "
        "has no shares and is left out.",
        *about_cells(evidence),
    )
    title = "Attention between the encoders of a fusion"
    return Sheet("fusion-attention", title, columns, tuple(rows), notes, split="block")


def _attends(evidence: Evidence) -> bool:
    return bool(evidence.scope.members) and bool(len(fused_rows(evidence)))


VIEW = View(
    "fusion",
    "What a fusion attends to",
    "How much each encoder's vector looks at each, averaged over test cases.",
    tables={"fusion-attention": attention},
    figures=sketches,
    when=_attends,
)
