"""How attention is spread over heads, stage by stage, and from method to method."""

from __future__ import annotations

from ..attention import ENTROPY, KIND, SPREAD, Apart, Attended, apart, attended
from ..evidence import Evidence
from ..figures.attention import sketches
from ..representation import LABELS, about_cells, block, estimated, leaves_out_0
from ..sheet import Column, Row, Sheet, Value
from . import View

_TOKENS, _MM = "attention_distance_tokens_mean", "attention_distance_mm_mean"


def attention(evidence: Evidence) -> Sheet:
    """Return entropy and distance of every stage, before and after fine-tuning."""
    rows = tuple(_row(one, evidence) for one in attended(evidence))
    columns = (
        Column("block", "block"), Column("labels", "labels"), Column("stage", "stage"),
        Column("method", "method"),
        Column("entropy", "entropy", bounds=("entropy_low", "entropy_high")),
        Column("spread", "sd over heads", missing="-",
               bounds=("spread_low", "spread_high")),
        Column("nats", "in nats"),
        Column("tokens", "distance, tokens", digits=2), Column("mm", "mm", digits=1),
        Column("tokens_sd", "sd, tokens", digits=2, missing="-"),
        Column("histogram", "entropy of distances"),
        Column("heads", "heads"), Column("runs", "runs"),
        *(one for one in LABELS if one.name != "method"),
        *(
            Column(name, name, printed=False)
            for name in ("state", "mm_sd", "nats_sd", "batches", "entropy_low",
                         "entropy_high", "spread_low", "spread_high")
        ),
    )  # fmt: skip
    title = "Attention by stage: entropy and distance"
    said = _notes(evidence)
    return Sheet("attention", title, columns, rows, said, split="block")


def _row(one: Attended, evidence: Evidence) -> Row:
    level, whole = evidence.options.level, one.whole
    values = _labels(one, evidence)
    values |= estimated("entropy", one.estimate(ENTROPY, level=level))
    values |= estimated("spread", one.estimate(SPREAD, level=level))
    values |= {
        "nats": whole.get("attention_entropy_mean"),
        "nats_sd": whole.get("attention_entropy_sd"),
        "tokens": whole.get(_TOKENS), "mm": whole.get(_MM),
        "tokens_sd": whole.get("attention_distance_tokens_sd"),
        "mm_sd": whole.get("attention_distance_mm_sd"),
        "histogram": whole.get("attention_distance_entropy"),
        "heads": one.heads, "runs": len(one.runs), "batches": len(one.values[ENTROPY]),
    }  # fmt: skip
    return Row(values, one.keys)


def differences(evidence: Evidence) -> Sheet:
    """Return the paired differences of all methods at every stage."""
    found = apart(attended(evidence), level=evidence.options.level)
    rows = tuple(_difference(one, evidence) for one in found)
    columns = (
        Column("block", "block"), Column("labels", "labels"), Column("stage", "stage"),
        Column("method", "method"), Column("other", "minus"),
        Column("entropy", "entropy", signed=True, missing="-",
               bounds=("entropy_low", "entropy_high")),
        Column("spread", "sd over heads", signed=True, missing="-",
               bounds=("spread_low", "spread_high")),
        Column("runs", "runs"),
        *(one for one in LABELS if one.name != "method"),
        *(
            Column(name, name, printed=False)
            for name in ("state", "entropy_low", "entropy_high", "spread_low",
                         "spread_high")
        ),
    )  # fmt: skip
    more = (
        "Differences are paired by seed and by batch of crops; a row stands out where "
        "the interval of entropy or of the spread over heads leaves out 0, without a "
        "correction for the number of rows. '-': no run with the same seed.",
    )
    title = "Attention by stage: differences between methods"
    said = (*more, *_notes(evidence))
    return Sheet("attention-differences", title, columns, rows, said, split="block")


def _difference(one: Apart, evidence: Evidence) -> Row:
    values = _labels(one.one, evidence) | {"other": one.other.method, "runs": one.runs}
    values |= estimated("entropy", one.entropy) | estimated("spread", one.spread)
    surely = any(map(leaves_out_0, (one.entropy, one.spread)))
    keys = tuple(dict.fromkeys((*one.one.keys, *one.other.keys)))
    return Row(values, keys, marked=surely)


def _labels(one: Attended, evidence: Evidence) -> dict[str, Value]:
    return {
        "block": block(one, evidence), "analysis": one.analysis, "task": one.task,
        "protocol": one.protocol, "labels": one.label_budget or "before fine-tuning",
        "state": one.state, "stage": one.stage, "method": one.method,
        "encoder": one.encoder,
    }  # fmt: skip


def _notes(evidence: Evidence) -> tuple[str, ...]:
    return (
        "Entropy of a query's attention over its keys, as a share of the largest that "
        "their number allows, in [0, 1]: the mean over queries of each head, then over "
        "the heads of all blocks of a stage, with the standard deviation over heads "
        "(METHODS 4.9). More of both is more diverse. Distance: the mean distance from a "
        "query to what it attends to; entropy of distances: of their 20-bin histogram "
        "over heads and queries, in nats.",
        "Stages in which a query has fewer than 8 keys are not reported: their entropy "
        "has no room to differ. Keys across the seam of a shifted window are no keys.",
        f"{evidence.options.level:.0%} intervals account for runs and for batches of "
        "crops, the same ones for every method. An encoder before fine-tuning is one run "
        "per pretraining: with one pretraining the interval is of the crops alone.",
        *about_cells(evidence),
    )


VIEW = View(
    "attention",
    "How diverse attention is",
    "Heads that look at different things have high entropy with a high spread.",
    kinds=(KIND,),
    tables={"attention": attention, "attention-differences": differences},
    figures=sketches,
)
