"""A small layout with scores, as a report would have them."""

import numpy as np
import pandas as pd
import pytest

from harness.analyse.scores import lay_out, stack


@pytest.fixture
def study():
    """Build (layout, stacked) from {method: mean}, tasks, budgets, seeds and cases."""

    def build(
        means,
        tasks=("t1",),
        budgets=("100%",),
        seeds=3,
        cases=12,
        encoder="swin",
        sd=0.05,
        missing=(),
        of_budget=None,
        seed=0,
    ):
        rng = np.random.default_rng(seed)
        encoders = (
            encoder if isinstance(encoder, dict) else dict.fromkeys(means, encoder)
        )
        records, scored = [], []
        for task in tasks:
            hard = rng.normal(0, 0.1, cases)
            for budget in budgets:
                for method, mean in means.items():
                    for one in range(seeds):
                        done = (method, task) not in missing
                        records.append(
                            {
                                "method": method, "encoder": encoders[method],
                                "task": task, "protocol": "finetune",
                                "label_budget": budget, "fold": 0, "seed": one,
                                "subset_seed": 0,
                                "pretraining_seed": None if "random" in method else 0,
                                "pretraining_key": None if "random" in method else "k",
                                "evaluate_key": f"{task}{budget}{method}{one}",
                                "state": "done" if done else "missing",
                            }
                        )  # fmt: skip
                        level = (
                            mean
                            + (of_budget or {}).get(budget, 0.0)
                            + rng.normal(0, 0.01)
                        )
                        scored.append(level + hard + rng.normal(0, sd, cases))
        frame = pd.DataFrame(records)
        layout = lay_out(frame)
        kept = [s for s, r in zip(scored, records, strict=True) if r["state"] == "done"]
        rows = pd.DataFrame(
            [
                {
                    "cell": cell, "case_id": f"c{i}", "group_id": f"c{i}",
                    "score": value, "structures": 1, "misses": 0,
                    "false_alarms": 0, "failed": 0,
                }
                for cell, of_cell in enumerate(kept)
                for i, value in enumerate(of_cell)
            ]
        )  # fmt: skip
        return layout, stack(rows, layout) if len(rows) else {}

    return build
