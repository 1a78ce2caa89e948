"""Write docs/results/representations.md: what encoders learnt, as `make represent` found.

    python scripts/representations.py --results DIR [--write]

Numbers, intervals and pictures are the report's own. What is added here is the answer to
the page's question: the square of DAGMaN's two parts, contrast by contrast. Shown are the
seeds of which every cell and analysis is published; before there is such a seed, all that
is there. Without --write the blocks are printed, and no picture is drawn.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

from blocks import main
from runs import NOTHING, ROOT, Run
from square import LEVEL, QUANTITIES, answer

from harness.analyse.estimate import Estimate
from harness.report.alignment import Aligned, aligned, depths, layer_order
from harness.report.attention import Attended, attended
from harness.report.figures import Drawing, draw, names, save
from harness.report.findings import Findings
from harness.schema.errors import UserError

FILE = ROOT / "examples" / "represent.yaml"
DOCUMENT = ROOT / "docs" / "results" / "representations.md"
PICTURES = DOCUMENT.with_suffix("")  # the folder beside the page
# Pictures by block: the first figure of the report whose name fits.
FIGURES: Mapping[str, Sequence[str]] = {
    "answer": ("attention*phantom_organs_finetune",),
    "reuse": ("reuse_phantom_organs_finetune", "reuse_map*phantom_organs_finetune"),
    "maps": ("attention_maps*phantom_organs_finetune*",),
    "components": ("*pca*phantom_organs*", "components*phantom_organs*"),
    "embedding": ("*umap*phantom_organ_crops*", "embedding*phantom_organ_crops*"),
}
TABLES: Mapping[str, Sequence[str]] = {
    "reuse": ("reuse-by-method",),
    "consistency": ("reuse-consistency",),
    "similarity": ("similarity",),
    "maps": ("attention-maps",),
    "components": ("components",),
    "embedding": ("embedding",),
    "scores": ("dice", "gain-dice", "auc"),
}


def heads_of(run: Run) -> list[Attended]:
    """Return every stage that was looked at, none while nothing is published."""
    try:
        return attended(run.evidence)
    except UserError:
        return []


def levels(found: Sequence[Attended]) -> list[str]:
    """Return the entropy of heads of every method by stage, mean and sd over heads."""
    if not found:
        return [NOTHING]
    stages = sorted({one.stage for one in found}, key=layer_order)
    rows: dict[tuple[str, str, str], dict[str, Attended]] = {}
    for one in found:
        labels = one.label_budget or "before fine-tuning"
        rows.setdefault((one.task, labels, one.method), {})[one.stage] = one
    lines = [
        f"| task | labels | method | {' | '.join(stages)} | seeds |",
        "|---" * (len(stages) + 4) + "|",
    ]
    for (task, labels, method), own in rows.items():
        cells = [_level(own.get(stage)) for stage in stages]
        seeds = max(len(one.runs) for one in own.values())
        lines.append(
            f"| {task} | {labels} | `{method}` | {' | '.join(cells)} | {seeds} |"
        )
    lines += [
        "",
        "Entropy as a share of the largest, mean over heads (standard deviation over "
        "heads). Intervals: `harness report --table attention`, or "
        "`--table attention-differences` for pairs of methods.",
    ]
    return lines


def _level(one: Attended | None) -> str:
    if one is None:
        return "-"
    mean, spread = (one.estimate(name, level=LEVEL) for name in list(QUANTITIES)[:2])
    if mean is None:
        return "-"
    return f"{mean.value:.3f}" + (f" ({spread.value:.3f})" if spread else "")


def reuse(run: Run) -> list[str]:
    """Return the mean reuse of each stage, by method and label budget."""
    try:
        found = aligned(run.evidence, "reuse")
    except UserError:
        return [NOTHING]
    parts: dict[str, list[Aligned]] = defaultdict(list)
    for one in sorted(found, key=lambda each: layer_order(each.layer)):
        parts[one.layer.partition(".")[0]].append(one)
    rows: dict[tuple[str, str, str], dict[str, Estimate]] = {}
    for part, layers in parts.items():
        for depth in depths(layers):
            first = depth.first
            place = first.task, first.method, first.label_budget
            rows.setdefault(place, {})[part] = depth.estimate
    order = list(
        dict.fromkeys((one.task, one.method, one.label_budget) for one in found)
    )
    head = " | ".join(["task", "method", "labels", *parts])
    lines = [f"| {head} |", "|---" * (len(parts) + 3) + "|"]
    for place in order:
        task, method, labels = place
        cells = [_share(rows[place].get(part)) for part in parts]
        lines.append(f"| {task} | `{method}` | {labels} | {' | '.join(cells)} |")
    return lines


def _share(found: Estimate | None) -> str:
    if found is None:
        return "-"
    if found.low is None or found.high is None:
        return f"{found.value:.2f}"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def predictors(results: Path) -> list[str]:
    """Return what predicts the scores of each task, of the seeds that it is whole in.

    Ranks need every method, so that a task is read for itself.
    """
    found = run_of(results).plan.analyses
    tasks = dict.fromkeys(one.cells[0].task for one in found if one.base == "transfer")
    lines: list[str] = []
    for task in tasks:
        part = Run.of(FILE, results, [f"task={task}"])
        if part.seeds:
            lines += [*part.tables(["transfer"]), ""]
    return lines[:-1] or [NOTHING]


@cache
def run_of(results: Path) -> Run:
    """Read a results folder once, for the blocks and for the pictures."""
    return Run.of(FILE, results)


@cache
def figures(results: Path) -> tuple[tuple[str, Drawing], ...]:
    """Draw the pictures of the page, each with the name of its block."""
    run = run_of(results)
    findings = Findings(run.evidence, {}, run.store.done())
    there = names(findings) if run.plan.done else []
    drawn = []
    for block, patterns in FIGURES.items():
        for pattern in patterns:
            name = next((each for each in there if fnmatch(each, pattern)), None)
            with suppress(UserError):
                for found in draw(findings, name, show_images=True) if name else ():
                    assert isinstance(found, Drawing)  # one that is asked for by name
                    drawn.append((block, found))
    return tuple(drawn)


def draw_pictures(results: Path) -> None:
    """Write the pictures into the folder beside the page."""
    for _, one in figures(results):
        *_, data = save(one, PICTURES)
        data.unlink()  # the report writes it


def document(results: Path) -> dict[str, list[str]]:
    """Return the blocks of the document by the name of their marker."""
    run = run_of(results)
    shown: dict[str, list[str]] = defaultdict(list)
    for block, one in figures(results):
        path = f"{PICTURES.name}/{one.name}.png"
        shown[block] += [f"![{one.alt}]({path})", "", one.caption, ""]
    heads = heads_of(run)
    own = {
        "answer": answer(heads), "levels": levels(heads), "reuse by stage": reuse(run),
    }  # fmt: skip
    found = own | {name: run.tables(kinds) for name, kinds in TABLES.items()}
    found["transfer"] = predictors(results)
    return {"state": [run.state()]} | {
        name: [*shown[name], *lines] for name, lines in found.items()
    }


if __name__ == "__main__":
    sys.exit(main(__doc__, DOCUMENT, document, draw_pictures))
