"""The sentences under a table: what its numbers are, and what they leave out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from ..analyse.scores import Layout, Policy
from ..schema.style import SENTENCES, Choice, Correction
from .options import Options
from .scope import TaskFacts
from .table import LOWER_IS_BETTER, Entry, Kind, Measure

ONE_PRETRAINING = (
    "One pretraining per method: intervals do not include pretraining variance."
)
CORRECTIONS: Mapping[Correction, str] = {
    "holm": "Holm's correction",
    "bh": "Benjamini and Hochberg's correction",
    "none": "no correction for their number",
}
_UNITS: Mapping[Measure, str] = {
    "dice": "Dice lies in [0, 1]", "hd95": "HD95 is in mm",
    "auc": "AUC is the area under the ROC curve, macro one-vs-rest, in [0, 1]",
    "kappa": "Cohen's kappa lies in [-1, 1]", "f1": "F1 lies in [0, 1]",
    "sens": "Sensitivity lies in [0, 1]", "spec": "Specificity lies in [0, 1]",
}  # fmt: skip


_WHOLE = (
    "Of two classes the second is predicted from the threshold on that maximises "
    "sensitivity plus specificity on validation cases; of more, the class with the largest "
    "score"
)
_DECIDED: Mapping[str, str] = {
    "f1": f"Mean over classes. {_WHOLE}",
    "sens": f"Of the second of two classes, else the mean over classes. {_WHOLE}",
    "spec": f"Of the second of two classes, else the mean over classes. {_WHOLE}",
}


def general(
    metric: Measure,
    kind: Kind,
    layout: Layout,
    entries: Sequence[Entry],
    *,
    options: Options,
    policy: Policy | None,
    drawn: str,
) -> tuple[str, ...]:
    """Return the notes of a whole table. drawn: draws and seed of a bootstrap."""
    whole = policy is not None and not any(entry.part for entry in entries)
    notes = [_what(metric, kind, case_wise=whole)]
    choice = options.chosen.of_runs if policy is None else options.chosen.of_cases
    if choice.interval == "components":
        notes += _intervals(entries, level=options.level, drawn=drawn)
    else:
        notes.append(_styled(choice, options))
    notes += of_pretraining(layout)
    if _several_seeds(layout) and int(layout.groups.subsets.max()) <= 1:
        notes.append(
            "One draw of labelled cases per budget: intervals do not include its "
            "variance."
        )
    if policy is not None:
        notes.append(policy.sentence)
        notes.append(
            "Missed: structures in the truth that the prediction lacks; false: the "
            "reverse; counted over cases, structures, seeds and folds."
        )
    if int(layout.groups.folds.max()) > 1:
        notes.append(
            "Scores are averaged over folds before anything else: folds are not "
            "independent repetitions."
        )
    return tuple(notes + _marks(kind, entries, layout, options, choice))


def _what(metric: Measure, kind: Kind, *, case_wise: bool) -> str:
    better = "lower" if metric in LOWER_IS_BETTER else "higher"
    text = f"{_UNITS[metric]}, {better} is better"
    if metric in _DECIDED:
        text += f". {_DECIDED[metric]}"
    if case_wise:
        text += "; mean over test cases of each case's mean over structures"
    if kind == "gap":
        return f"{text}. Difference: larger minus smaller label budget, paired by case."
    return f"{text}."


def _intervals(entries: Sequence[Entry], *, level: float, drawn: str) -> list[str]:
    rules = {entry.rule for entry in entries if entry.mean is not None}
    way = (
        f"two-way bootstrap of cases and seeds ({drawn}), widened for few seeds"
        if drawn
        else "variance components, Satterthwaite t"
    )
    notes = []
    if "cases and seeds" in rules:
        notes.append(f"{level:.0%} intervals account for cases and seeds ({way}).")
    if "cases" in rules:
        notes.append(
            f"Where there is one seed, {level:.0%} intervals account for cases only."
        )
    if "seeds" in rules:
        notes.append(
            f"Where there is one patient, {level:.0%} intervals account for seeds only."
        )
    if "none" in rules:
        notes.append("One case under one seed has no interval.")
    return notes


def of_pretraining(layout: Layout) -> list[str]:
    """Return what is said where each method was pretrained once."""
    return [ONE_PRETRAINING] if _one_pretraining(layout) else []


def _one_pretraining(layout: Layout) -> bool:
    pretrained = layout.groups.pretrainings > 0
    return bool(
        pretrained.any() and (layout.groups.pretrainings[pretrained] == 1).any()
    )


def _several_seeds(layout: Layout) -> bool:
    return bool((layout.groups.seeds > 1).any())


def _styled(choice: Choice, options: Options) -> str:
    over = {"both": "cases and seeds", "cases": "cases", "seeds": "seeds"}[choice.over]
    how = {"percentile": "percentile", "bca": "BCa", "components": ""}[choice.interval]
    return (
        f"{options.level:.0%} intervals account for {over} ({how} bootstrap, "
        f"{options.draws:,} draws, seed {options.seed}; style {options.chosen.name})."
    )


def _marks(
    kind: Kind,
    entries: Sequence[Entry],
    layout: Layout,
    options: Options,
    choice: Choice,
) -> list[str]:
    notes = []
    if any(entry.best for entry in entries):
        notes.append("Best mean of a column: bold, * in plain text.")
    correction = CORRECTIONS[options.chosen.correction]
    test = (
        f"{SENTENCES[choice.test]}; and the t-test with the variance of cases and seeds; "
        f"all pairs of methods, {correction}"
    )
    if any(entry.close for entry in entries):
        at = f"at {options.alpha:g}"
        notes.append(f"~: not separable from the best of its column {at} ({test}).")
    elif any(entry.best for entry in entries):
        tested = not any(entry.part for entry in entries)
        notes.append(
            f"Every other method of a column with a best is separable from it ({test})."
            if tested
            else "The best is not tested against the others here."
        )
    if any(entry.poor for entry in entries):
        notes.append(
            "!: with so few seeds or cases the interval may cover less often than it says "
            "(docs/results/statistics.md)."
        )
    missing = int((layout.groups.planned - layout.groups.done).sum())
    if missing:
        text = f"{missing} of {int(layout.groups.planned.sum())} cells missing"
        if kind == "scores":
            text += "; no best is marked in a column where a cell is missing"
        notes.append(f"{text}.")
    failed = sum(entry.failed for entry in entries)
    if failed and kind == "scores":
        notes.append(f"{failed} scores could not be computed and are left out.")
    return notes


def heading(name: str, facts: TaskFacts) -> str:
    """Return a task's name as tables show it."""
    return f"{name} (synthetic)" if facts.synthetic else name


def of_block(
    task: str,
    facts: TaskFacts,
    entries: Iterable[Entry],
    *,
    metric: Measure,
    available: Mapping[str, int],
    shared: Mapping[str, tuple[int, int]],
) -> tuple[str, ...]:
    """Return the notes of one task's block.

    available: labelled cases that were found, by task; shared: test cases that every
    cell has, of all that any cell has, by task.
    """
    notes = []
    if facts.synthetic:
        notes.append(f"{task} is synthetic: generated images, not patients.")
    found = available.get(task, facts.cases)
    if found != facts.cases:
        notes.append(f"{task} is partial: {found} of {facts.cases} cases.")
    if metric == "kappa":
        kind = "quadratic weights (ordered grades)"
        notes.append(f"Kappa: {kind if facts.ordinal else 'unweighted'}.")
    common, every = shared.get(task, (0, 0))
    if common != every:
        notes.append(f"Only the {common} of {every} test cases that all cells share.")
    for entry in entries:
        if entry.reason:
            name = f"{entry.method} ({entry.encoder}), {entry.budget}"
            notes.append(f"{name}: {entry.reason}.")
        if entry.patients and entry.patients != entry.cases:
            notes.append(
                f"{entry.cases} cases of {entry.patients} patients; patients are what "
                "intervals treat as independent."
            )
    return tuple(dict.fromkeys(notes))


def of_tier(cells: pd.DataFrame) -> tuple[str, ...]:
    """Warn where cells ran at the tier at which nothing is learnt."""
    if "tier" in cells and (cells.tier == "tiny").any():
        return ("Tier tiny: nothing is learnt, and no score is to be quoted.",)
    return ()
