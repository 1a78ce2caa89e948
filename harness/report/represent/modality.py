"""Across modalities: encoders pretrained on one and used on another."""

from __future__ import annotations

from ...analyse.estimate import Estimate, over_runs
from ...schema.errors import UserError
from ...schema.identity import short
from .. import captions
from ..alignment import PAIR
from ..evidence import Evidence
from ..figures.modality import sketches
from ..modalities import Crossed, Twins, crossed, twins
from ..sheet import Column, Row, Sheet, Value
from ..table import LOWER_IS_BETTER, NAMES, budget_order
from . import View

_ENDS = ("own", "cross", "difference")


def cross_modality(evidence: Evidence) -> Sheet:
    """Return each structure's scores in and across modality, and their difference.

    Raises UserError, which says what is missing, where there is nothing to compare.
    """
    found = crossed(evidence)
    rows = []
    for one in found:
        keys = evidence.keys_of_groups(one.metric)
        values = _place(one.twins, one.protocol, one.label_budget, evidence) | {
            "structure": one.structure, "metric": NAMES[one.metric],
            "encoder": one.encoder, "cases": one.difference.cases,
            "seeds": one.difference.seeds,
        }  # fmt: skip
        behind = tuple(key for group in one.groups for key in keys.get(group, ()))
        rows.append(Row(values | _numbers(one), behind))
    rows.sort(key=lambda row: str(row.values["block"]))
    lower = sorted({NAMES[o.metric] for o in found if o.metric in LOWER_IS_BETTER})
    notes = (
        "Two entries of a method that differ in their corpus alone: one pretrained on "
        "the task's modality, one on another. Difference: in minus across, paired by "
        "case and seed. What else differs between the corpora, such as their size, is "
        "in it.",
        *([f"Lower is better in {', '.join(lower)}."] if lower else []),
        *captions.of_pretraining(evidence.layout(found[0].metric)),
        *captions.of_tier(evidence.scope.cells),
        *evidence.scope.notes,
    )
    columns = (
        Column("structure", "structure"), Column("metric", "metric"),
        *_columns(evidence.options.level), Column("cases", "cases"),
    )  # fmt: skip
    title = "Scores in and across modality"
    return _sheet("cross-modality", title, columns, rows, notes)


def reuse_by_modality(evidence: Evidence) -> Sheet:
    """Return how much of encoders is reused in and across modality, by stage.

    Raises UserError where the analysis reuse is not published, or there is nothing to
    compare.
    """
    rows = evidence.features.rows("reuse")
    pairs = twins(evidence)
    own = rows[~rows.layer.str.contains(PAIR, regex=False) & (rows.quantity == "cka")]
    own = own[~own.layer.str.startswith("decoder")].dropna(subset="value")
    own = own.assign(stage=own.layer.str.partition(".")[0])
    found = []
    for pair in pairs:
        sides = [
            own[(own.task == pair.task) & (own.method == method)]
            for method in (pair.own, pair.cross)
        ]
        run = ["protocol", "label_budget", "stage", "seed", "fold"]
        means = [side.groupby(run).value.mean() for side in sides]
        both = means[0].to_frame("own").join(means[1].rename("cross"), how="inner")
        keys = tuple(
            key for side in sides for key in map(short, side.evaluate_key.unique())
        )
        for place, some in both.groupby(level=run[:3]):
            protocol, budget, stage = map(str, place)
            values = _place(pair, protocol, budget, evidence) | {"structure": stage}
            for name, numbers in (
                ("own", some.own), ("cross", some.cross),
                ("difference", some.own - some.cross),
            ):  # fmt: skip
                level = evidence.options.level
                values |= _ends(name, over_runs(list(numbers), level=level))
            found.append(Row(values | {"seeds": len(some)}, keys))
    if not found:
        msg = (
            "no reuse of two entries that differ in their corpus alone is published on a "
            "task of the modality of one of them"
        )
        raise UserError(msg)
    found.sort(
        key=lambda row: (
            str(row.values["block"]), budget_order(str(row.values["label_budget"]))
        )
    )  # fmt: skip
    notes = (
        "Linear CKA of each encoder layer before fine-tuning with itself after it, mean "
        "over the layers of a stage; mean over runs (seeds and folds) with Student's "
        "interval, paired by run. Crops are the same for both.",
        captions.ONE_PRETRAINING,
        *captions.of_tier(evidence.scope.cells),
        *evidence.scope.notes,
    )
    columns = (Column("structure", "stage"), *_columns(evidence.options.level))
    title = "Feature reuse in and across modality"
    return _sheet("reuse-by-modality", title, columns, found, notes)


def _place(
    pair: Twins, protocol: str, budget: str, evidence: Evidence
) -> dict[str, Value]:
    facts = evidence.scope.tasks[pair.task]
    heading = captions.heading(pair.task, facts)
    return {
        "block": f"{heading}, {facts.modality}, {protocol}", "task": pair.task,
        "protocol": protocol, "label_budget": budget, "method": pair.own,
        "other": pair.cross, "modality": facts.modality,
        "other_modality": pair.modality,
    }  # fmt: skip


def _numbers(one: Crossed) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name in _ENDS:
        found |= _ends(name, getattr(one, name))
    return found


def _ends(name: str, one: Estimate) -> dict[str, Value]:
    return {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}


def _columns(level: float) -> tuple[Column, ...]:
    heads = (
        f"in [{level:.0%} interval]", f"across [{level:.0%} interval]",
        f"in minus across [{level:.0%} interval]",
    )  # fmt: skip
    return (
        Column("label_budget", "labels"), Column("method", "in modality"),
        Column("other", "across"), Column("other_modality", "from"),
        *(
            Column(name, head, signed=name == "difference",
                   bounds=(f"{name}_low", f"{name}_high"))
            for name, head in zip(_ENDS, heads, strict=True)
        ),
        Column("seeds", "seeds"),
    )  # fmt: skip


def _sheet(
    name: str,
    title: str,
    columns: tuple[Column, ...],
    rows: list[Row],
    notes: tuple[str, ...],
) -> Sheet:
    hidden = ("task", "protocol", "modality", *(
        f"{each}_{end}" for each in _ENDS for end in ("low", "high")
    ))  # fmt: skip
    shown = (
        Column("block", "block"), *columns,
        *(Column(each, each, digits=6, printed=False) for each in hidden),
    )  # fmt: skip
    return Sheet(name, title, shown, tuple(rows), notes, split="block")


VIEW = View(
    "modality",
    "Across modalities",
    "What pretraining on images of another modality costs, and how much of it is kept.",
    tables={"cross-modality": cross_modality, "reuse-by-modality": reuse_by_modality},
    figures=sketches,
    when=lambda evidence: bool(twins(evidence)),
)
