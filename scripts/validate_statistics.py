"""Simulate how often intervals hold the truth and tests find what is not there.

python scripts/validate_statistics.py [--runs 2000] [--write]
Every table of docs/results/statistics.md comes from here, with a fixed seed for each
combination; --write puts them into that file between its markers and the rows into
docs/results/statistics.csv.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
from scipy.special import expit

from harness.analyse.compare_cases import case_tests
from harness.analyse.intervals import Intervals, Scores, two_way
from harness.analyse.multiplicity import adjust
from harness.analyse.predictions import case_weights, draw, interval
from harness.analyse.resample import bootstrap
from harness.schema.style import UNITS

DOCUMENT = Path(__file__).parent.parent / "docs" / "results" / "statistics.md"
SEEDS, CASES, RATIOS = (3, 5, 10), (20, 30, 100, 200), (0.05, 0.1, 0.2, 0.5)
CASE_SD, REST = 0.10, 0.2  # REST: residual SD as a share of the case SD
OWN = 0.3  # SD of what a method does to a case, as a share of the case SD
DRAWS = 1000
Row = dict[str, object]
Made = tuple[Scores, float]


def holds(found: Intervals, truth: float) -> float:
    """Return the share of intervals that hold the truth."""
    return float(((found.low <= truth) & (found.high >= truth)).mean())


def normal(
    rng: np.random.Generator, runs: int, n: int, s: int, ratio: float
) -> np.ndarray:
    """Scores of one method less the cases' own level, (runs, n, s)."""
    return CASE_SD * ratio * rng.normal(
        size=(runs, 1, s)
    ) + CASE_SD * REST * rng.normal(size=(runs, n, s))


def as_scores(x: np.ndarray) -> Scores:
    """Return complete scores, every case a patient of its own."""
    return Scores(x, np.ones(x.shape, dtype=bool), np.arange(x.shape[1]))


def means(rng: np.random.Generator, runs: int, n: int, s: int, ratio: float) -> Made:
    """Return scores of one method, and their true mean."""
    case = CASE_SD * rng.normal(size=(runs, n, 1))
    return as_scores(case + normal(rng, runs, n, s, ratio)), 0.0


def differences(
    rng: np.random.Generator, runs: int, n: int, s: int, ratio: float
) -> Made:
    """Return differences of two equal methods on the same cases: 0 on average."""
    own = CASE_SD * OWN * rng.normal(size=(2, runs, n, 1))
    one, two = (own[m] + normal(rng, runs, n, s, ratio) for m in (0, 1))
    return as_scores(one - two), 0.0


# Dice-like: logistic of normal effects; at a centre of 2.0 and a case SD of 0.9 the
# scores have mean 0.85, SD 0.11 and a long tail to 0.
CENTRE, SPREAD = 2.0, 0.9


def expected(variance: float, centre: float) -> float:
    """Return the mean of the logistic of a normal variable, by quadrature."""
    points, weights = np.polynomial.hermite_e.hermegauss(80)
    value = expit(centre + np.sqrt(variance) * points) @ weights
    return float(value / weights.sum())


def skewed(rng: np.random.Generator, runs: int, n: int, s: int, ratio: float) -> Made:
    """Return bounded and skewed scores of one method, and their true mean."""
    case = SPREAD * rng.normal(size=(runs, n, 1))
    rest = SPREAD / CASE_SD * normal(rng, runs, n, s, ratio)
    truth = expected(SPREAD**2 * (1 + ratio**2 + REST**2), CENTRE)
    return as_scores(expit(CENTRE + case + rest)), truth


def skewed_differences(
    rng: np.random.Generator, runs: int, n: int, s: int, ratio: float
) -> Made:
    """Return differences of two methods with bounded scores, and their true mean."""
    case = SPREAD * rng.normal(size=(runs, n, 1))
    own = SPREAD * OWN * rng.normal(size=(2, runs, n, 1))
    rest = [SPREAD / CASE_SD * normal(rng, runs, n, s, ratio) for _ in range(2)]
    one, two = (
        expit(centre + case + own[m] + rest[m]) for m, centre in ((0, 2.3), (1, 2.0))
    )
    variance = SPREAD**2 * (1 + OWN**2 + ratio**2 + REST**2)
    return as_scores(one - two), expected(variance, 2.3) - expected(variance, 2.0)


MODELS: dict[str, Callable[..., Made]] = {
    "means": means,
    "paired differences": differences,
    "Dice-like means": skewed,
    "Dice-like paired differences": skewed_differences,
}


def coverage_of_means(runs: int) -> Iterator[Row]:
    """Coverage of 95% intervals of means, over the whole grid."""
    for model, make in MODELS.items():
        for s, n, ratio in product(SEEDS, CASES, RATIOS):
            rng = np.random.default_rng([s, n, int(1000 * ratio), len(model)])
            scores, truth = make(rng, runs, n, s, ratio)
            yield {
                "table": model, "seeds": s, "cases": n, "ratio": ratio, "runs": runs,
                "default": holds(two_way(scores), truth),
                "percentile": holds(bootstrap(scores, rng, draws=DRAWS), truth),
                "cases only": holds(two_way(scores, over="cases"), truth),
            }  # fmt: skip


def binormal(rng: np.random.Generator, n: int, s: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of two classes 1.5 SD apart; seeds share most of a case's score."""
    y = (rng.random(n) < 0.5).astype(np.int64)
    apart = 1.5 + 0.15 * rng.normal(size=(s, 1))
    shared = rng.normal(size=n) * np.sqrt(0.8)
    score = y * apart + shared + rng.normal(size=(s, n)) * np.sqrt(0.2)
    return y, np.stack([-score, score], axis=2)


def graded(rng: np.random.Generator, n: int, s: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of four ordered grades around a noisy latent value."""
    y = rng.integers(0, 4, n)
    noise = 0.7 * rng.normal(size=n) + 0.3 * rng.normal(size=(s, n))
    latent = y + noise + 0.1 * rng.normal(size=(s, 1))
    return y, -np.abs(latent[..., None] - np.arange(4))


def coverage_of_statistics(runs: int) -> Iterator[Row]:
    """Coverage of 95% intervals of AUC and quadratic kappa, on a smaller grid."""
    for name, make in (("auc", binormal), ("kappa", graded)):
        truth = _large(name, make)
        for s, n in product((3, 5, 10), (40, 100, 200)):
            rng = np.random.default_rng([s, n, 7])
            hits = {"default": 0, "percentile": 0}
            for _ in range(runs):
                y, scores = make(rng, n, s)
                weights = case_weights(y, np.arange(n), rng, draws=400)
                drawn = draw(
                    name, y, scores, weights, patients=n, kappa_weights="quadratic"
                )  # fmt: skip
                for plain, column in ((False, "default"), (True, "percentile")):
                    found = interval(drawn, rng, plain=plain)
                    hits[column] += found is not None and bool(holds(found, truth))
            yield {
                "table": name, "seeds": s, "cases": n, "ratio": "", "runs": runs,
                **{column: count / runs for column, count in hits.items()},
            }  # fmt: skip


def _large(name: str, make: Callable[..., tuple[np.ndarray, np.ndarray]]) -> float:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        y, scores = make(rng, 4000, 4)
        one = draw(
            name, y, scores, np.zeros((0, 4000)), patients=4000,
            kappa_weights="quadratic",
        )  # fmt: skip
        found.append(one.value.mean())
    return float(np.mean(found))


def false_findings(runs: int) -> Iterator[Row]:
    """How often tests find a difference among methods that are equal on average.

    Nine methods against a baseline, 30 cases, 5 seeds, Holm over the nine. `own`: what
    each method does to each case; `ratio`: SD between seeds; both as shares of the case
    SD. A test over cases takes the seeds as given, one over seeds the cases.
    """
    others, n, s = 9, 30, 5
    for own, ratio in product((0.0, 0.3), (0.0, 0.05, 0.2)):
        rng = np.random.default_rng([int(10 * own), int(100 * ratio), 3])
        shape = (runs, others + 1)
        effect = CASE_SD * own * rng.normal(size=(*shape, n, 1))
        x = effect + normal(rng, runs * (others + 1), n, s, ratio).reshape(*shape, n, s)
        base = np.broadcast_to(x[:, :1], (runs, others, n, s)).reshape(-1, n, s)
        one, two = as_scores(x[:, 1:].reshape(-1, n, s)), as_scores(base)
        for test in UNITS:
            if test == "sign-flip" and runs > 250:  # memory: draws x rows
                keep = 250 * others
                first = one.take(np.arange(keep)), two.take(np.arange(keep))
            else:
                first = one, two
            found = case_tests(*first, test=test, rng=rng)
            p = found.p.reshape(-1, others)
            every = np.ones(others, dtype=bool)
            family = [adjust(row, every).min() <= 0.05 for row in p]
            yield {
                "table": "false findings", "test": test, "own": own, "ratio": ratio,
                "runs": len(p), "single": float((p <= 0.05).mean()),
                "family": float(np.mean(family)),
            }  # fmt: skip


def pivot(rows: list[Row], column: str) -> list[str]:
    """Lines of a table: seeds x cases down, ratios across; below 93% in bold."""
    lines = [
        "| seeds | cases | " + " | ".join(f"ratio {r:g}" for r in RATIOS) + " |",
        "|---|---|" + "---|" * len(RATIOS),
    ]
    for s, n in product(SEEDS, CASES):
        mine = {
            r["ratio"]: r[column] for r in rows if (r["seeds"], r["cases"]) == (s, n)
        }
        cells = [_marked(float(str(mine[ratio]))) for ratio in RATIOS]
        lines.append(f"| {s} | {n} | " + " | ".join(cells) + " |")
    return lines


def _marked(value: float) -> str:
    return f"{value:.1%}" if 0.93 <= value <= 0.97 else f"**{value:.1%}**"


def plain(rows: list[Row], columns: list[str]) -> list[str]:
    """Lines of a table with one line per row."""
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for row in rows:
        cells = [
            f"{value:.1%}" if isinstance(value, float) and name not in ("own", "ratio")
            else str(value)
            for name, value in ((c, row[c]) for c in columns)
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def sections(rows: list[Row]) -> dict[str, list[str]]:
    """Return the generated parts of the document, by the name of their marker."""
    found = {}
    for model in MODELS:
        mine = [row for row in rows if row["table"] == model]
        name = model.replace(" ", "-").lower()
        for column in ("default", "percentile", "cases only"):
            found[f"{name}-{column.split()[0]}"] = pivot(mine, column)
    for name in ("auc", "kappa"):
        mine = [row for row in rows if row["table"] == name]
        found[name] = plain(mine, ["seeds", "cases", "default", "percentile"])
    mine = [row for row in rows if row["table"] == "false findings"]
    found["false-findings"] = plain(mine, ["test", "own", "ratio", "single", "family"])
    return found


def write(rows: list[Row]) -> None:
    """Put the tables between their markers and the rows into the CSV beside."""
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, lines in sections(rows).items():
        block = "\n".join([f"<!-- {name} -->", *lines, "<!-- end -->"])
        pattern = re.compile(f"<!-- {name} -->.*?<!-- end -->", re.DOTALL)
        text, count = pattern.subn(lambda _, block=block: block, text)
        if not count:
            sys.stderr.write(f"no marker for {name}\n")
    DOCUMENT.write_text(text, encoding="utf-8")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with DOCUMENT.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(
            {k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()}
            for row in rows
        )


def main() -> None:
    """Run all simulations; print their tables or write them into the document."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    rows: list[Row] = []
    for source, runs in (
        (coverage_of_means, given.runs),
        (coverage_of_statistics, max(given.runs // 4, 2)),
        (false_findings, given.runs),
    ):
        for row in source(runs):
            rows.append(row)
            sys.stderr.write(f"{row}\n")
    if given.write:
        write(rows)
    else:
        for name, lines in sections(rows).items():
            sys.stdout.write("\n".join(["", f"## {name}", *lines, ""]))


if __name__ == "__main__":
    main()
