"""Write docs/results/learning.md: what the learning run has found so far.

    python scripts/learning.py --results DIR [--write]

Reads the results folder of `make learn`. Scores, intervals and comparisons are the
harness's own; here they are only sorted by family and given a verdict. Without --write
the tables are printed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
from blocks import main

from harness.analyse.contrast import TaskScores, task_scores
from harness.analyse.estimate import Estimate
from harness.matrix import load
from harness.matrix.matrix import MethodEntry
from harness.plan import make_plan
from harness.report.evidence import Evidence
from harness.report.reader import StoreReader
from harness.report.scope import scope_of_plan
from harness.run import collapse
from harness.run.curves import last_means
from harness.store import Manifest, Store

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "results" / "learning.md"
VOLUME = (
    "simclr",
    "swav",
    "byol",
    "moco_v3",
    "moco_v3_resnet",
    "rotation",
    "cpc",
    "voco",
)
CONTROLS = ("supervised", "simmim_still", "dino_uncentred")
PATCH_PROBE = ("phantom_organs", "patch_probe", "dice")
VOLUME_PROBE = ("phantom_organ_crops", "linear_probe", "auc")
NEIGHBOURS = ("phantom_organ_crops", "knn", "auc")
HIPPOCAMPUS = ("msd_hippocampus", "patch_probe", "dice")
FINE_TUNED = ("phantom_organs", "finetune", "dice")
Probe = tuple[str, str, str]  # task, protocol, metric


@dataclass(frozen=True)
class Answer:
    """A method's score and its difference to the random arm of the same encoder."""

    score: float
    apart: Estimate | None

    @property
    def verdict(self) -> str:
        """Return what the interval says.

        No interval says nothing; that of one seed knows of no other weights.
        """
        if self.apart is None or self.apart.low is None or self.apart.high is None:
            return "open"
        said = "worse" if self.apart.high < 0 else "not separable"
        said = "better" if self.apart.low > 0 else said
        return said if self.apart.seeds > 1 else f"one seed: {said}"

    def __str__(self) -> str:
        """Return score, difference, interval and verdict as cells of a table."""
        if self.apart is None or self.apart.low is None:
            return f"{self.score:.3f} | | | {self.verdict}"
        one = self.apart
        return (
            f"{self.score:.3f} | {one.value:+.3f} | {one.low:+.3f} to {one.high:+.3f} "
            f"| {self.verdict}"
        )


class Run:
    """One benchmark file and what is published of it."""

    def __init__(self, path: Path, results: Path) -> None:
        self.store = Store(results)
        self.plan = make_plan(load(path), self.store)
        self.methods = {entry.name: entry for entry in self.plan.matrix.methods}

    @cached_property
    def evidence(self) -> Evidence:
        """Return the published scores."""
        return Evidence(scope_of_plan(self.plan), StoreReader.of(self.store))

    def random_of(self, method: str) -> str:
        """Return the untrained arm with the encoder of a method."""
        own = dict(self.methods[method].encoder)
        return next(
            name
            for name, entry in self.methods.items()
            if entry.stem == "random" and dict(entry.encoder) == own
        )

    def pretrained(self) -> Iterator[MethodEntry]:
        """Yield the methods that are trained, in the order of the file."""
        yield from (e for e in self.methods.values() if e.stem != "random")

    def answer(self, method: str, probe: Probe) -> Answer | None:
        """Return what a probe says of a method; None where it has not been probed."""
        task, protocol, _ = probe
        cells = self.evidence.scope.cells
        mine = (cells.task == task) & (cells.protocol == protocol)
        done = mine & (cells.state == "done") & (cells.method == method)
        if not done.any():
            return None
        scores, groups = self._scores(probe)
        own, base = groups[method], groups.get(self.random_of(method))
        value = scores.value(own)
        if value is None:
            return None
        if base is None or own == base:
            return Answer(value, None)
        return Answer(value, scores.contrast({own: 1.0, base: -1.0}))

    def _scores(self, probe: Probe) -> tuple[TaskScores, dict[str, int]]:
        task, protocol, metric = probe
        if metric == "dice":
            found = task_scores(self.evidence.stacked("dice"))
        else:
            found = task_scores(drawn=self.evidence.drawn("auc"))
        rows = self.evidence.layout(metric).groups
        mine = rows[(rows.task == task) & (rows.protocol == protocol) & (rows.done > 0)]
        return found[task], {row.method: int(i) for i, row in mine.iterrows()}

    def trained(self, method: str) -> list[Manifest]:
        """Return the published pretrainings of a method, by seed."""
        done = self.store.done()
        return [
            done[each.key]
            for each in self.plan.pretrainings.values()
            if each.method == method and each.key in done
        ]

    def loss(self, method: str) -> str:
        """Return the loss at the start and the end, mean over twentieths and seeds."""
        spans = []
        for manifest in self.trained(method):
            table = pq.read_table(self.store.file(manifest.key, "curves.parquet"))
            table = table.filter(pc.field("quantity") == "loss")
            values = table["value"].to_pylist()
            few = max(1, len(values) // 20)
            spans.append((sum(values[:few]) / few, sum(values[-few:]) / few))
        if not spans:
            return "|"
        first, last = (sum(each) / len(spans) for each in zip(*spans, strict=True))
        return f"{first:.3g} | {last:.3g}"

    def warnings(self, method: str) -> list[str]:
        """Return what the monitor says of its pretrainings, by the rules of today."""
        found: list[str] = []
        for manifest in self.trained(method):
            table = pq.read_table(self.store.file(manifest.key, "curves.parquet"))
            found += collapse.warnings(last_means(table.to_pylist(), collapse.LAST))
        return found


def table(run: Run, methods: Sequence[str], probe: Probe) -> list[str]:
    """Return a table of methods under one probe, the best difference first."""
    lines = [
        "| method | random arm | its score | score | difference | 95 % interval | verdict "
        "| loss, first | last | seeds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    found = [(name, run.answer(name, probe)) for name in methods]
    found.sort(key=lambda item: -_gain(item[1]))
    for name, answer in found:
        arm = run.random_of(name)
        base = run.answer(arm, probe)
        said = answer if answer is not None else "| | | open"
        lines.append(
            f"| `{name}` | `{arm}` | {base.score:.3f}"
            if base
            else f"| `{name}` | `{arm}` |"
        )
        note = ", collapsed" if run.warnings(name) else ""
        lines[-1] += f" | {said}{note} | {run.loss(name)} | {len(run.trained(name))} |"
    return lines


def _gain(answer: Answer | None) -> float:
    if answer is None:
        return -2.0
    return answer.apart.value if answer.apart is not None else -1.0


def controls(run: Run) -> list[str]:
    """Return what the controls say, pass or fail."""
    taught = run.answer("supervised", PATCH_PROBE)
    still = run.answer("simmim_still", PATCH_PROBE)
    lines = [
        "| control | must be | is |", "|---|---|---|",
        f"| `supervised`, patch linear probe | better | {_said(taught)} |",
        f"| `simmim_still`, patch linear probe | not separable | {_said(still)} |",
    ]  # fmt: skip
    collapsed, trained = run.warnings("dino_uncentred"), run.trained("dino_uncentred")
    said = "; ".join(collapsed) or ("not flagged" if trained else "open")
    lines.append(f"| `dino_uncentred` | flagged as collapsed | {said} |")
    healthy = [
        entry.name
        for entry in run.pretrained()
        if entry.name != "dino_uncentred" and run.warnings(entry.name)
    ]
    lines.append(
        f"| all others | not flagged | flagged: {', '.join(healthy) or 'none'} |"
    )
    return lines


def _said(answer: Answer | None) -> str:
    if answer is None or answer.apart is None or answer.apart.low is None:
        return "open"
    one = answer.apart
    return f"{answer.verdict}: {one.value:+.3f} ({one.low:+.3f} to {one.high:+.3f})"


def counted(run: Run) -> str:
    """Return how much of a file is there, and what it took."""
    plan, done = run.plan, run.store.done()
    seconds = [
        float(done[key].run["wall_s"]) for key in plan.pretrainings if key in done
    ]
    return (
        f"`{run.plan.matrix.path.name}`: {len(plan.pretrained)} of "
        f"{len(plan.pretrainings)} pretrainings, {len(plan.done)} of {len(plan.cells)} "
        f"scores; {sum(seconds) / 60:.0f} minutes of pretraining"
    )


def shares(verdicts: Sequence[Answer | None]) -> list[str]:
    """Return how many methods are better by their primary score."""
    known = [one.verdict for one in verdicts if one is not None]
    lines = []
    for seeds, start in (("two seeds", ""), ("one seed, no verdict yet", "one seed: ")):
        better, equal, worse = (
            known.count(f"{start}{word}")
            for word in ("better", "not separable", "worse")
        )
        lines.append(
            f"- {seeds}: {better + equal + worse} of {len(verdicts)} methods; better by "
            f"the primary score {better}, not separable {equal}, worse {worse}"
        )
    return lines


def document(results: Path) -> dict[str, list[str]]:
    """Return the blocks of the document by the name of their marker."""
    phantoms, patients, tuned = (
        Run(ROOT / "examples" / f"{name}.yaml", results)
        for name in ("learn", "learn_hippocampus", "learn_finetune")
    )
    names = [e.name for e in phantoms.pretrained() if e.name not in CONTROLS]
    volume = [name for name in names if name in VOLUME]
    patch = [name for name in names if name not in VOLUME]
    verdicts = [phantoms.answer(name, PATCH_PROBE) for name in patch]
    verdicts += [phantoms.answer(name, VOLUME_PROBE) for name in volume]
    return {
        "state": [f"- {counted(run)}" for run in (phantoms, patients, tuned)],
        "share": shares(verdicts),
        "patch": table(phantoms, patch, PATCH_PROBE),
        "volume": table(phantoms, volume, VOLUME_PROBE),
        "controls": controls(phantoms),
        "patch of the others": table(phantoms, volume, PATCH_PROBE),
        "volume of the others": table(phantoms, patch, VOLUME_PROBE),
        "neighbours": table(phantoms, names, NEIGHBOURS),
        "hippocampus": table(
            patients, [e.name for e in patients.pretrained()], HIPPOCAMPUS
        ),
        "fine-tuned": table(tuned, [e.name for e in tuned.pretrained()], FINE_TUNED),
    }


if __name__ == "__main__":
    sys.exit(main(__doc__, DOCUMENT, document))
