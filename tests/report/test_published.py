"""Reports from a results folder alone, by the labels of what is published."""

import json
import shutil

import pytest

from harness.matrix import load
from harness.plan import make_plan
from harness.report.catalogue import tables
from harness.report.evidence import Evidence
from harness.report.published import UNKNOWN_MISSING, scope_of_store
from harness.report.reader import StoreReader
from harness.report.scope import scope_of_plan
from harness.schema.errors import UserError
from harness.store import Store
from harness.store.tables import build, write_table
from tests.conftest import GOOD


def publish(bench, *, dice=0.8, text=GOOD, keep=lambda _: True, store=None):
    """Publish the segmentation cells of a benchmark file, with all their specs."""
    plan = make_plan(load(bench.write(text)), None)
    store = store or Store(bench.root / "results")
    for cell in plan.cells:
        if cell.protocol != "finetune" or not keep(cell):
            continue
        for key in (cell.pretrain_key, cell.adapt_key, cell.evaluate_key):
            if key:
                store.write_spec(plan.spec(key))
        attempt = store.begin(cell.evaluate_key, made_by={})
        rows = [
            (case, metric, value + 0.01 * int(case) - 0.02 * cell.seed)
            for case in "1234"
            for metric, value in (("dice", dice), ("hd95", 5.0))
        ]
        columns = {
            "key": [cell.evaluate_key] * len(rows),
            "case_id": [row[0] for row in rows],
            "group_id": [row[0] for row in rows],
            "structure": ["big"] * len(rows),
            "metric": [row[1] for row in rows],
            "value": [row[2] for row in rows],
            "reason": [None] * len(rows),
            "diagonal_mm": [30.0] * len(rows),
        }
        write_table(attempt.path("cases.parquet"), build("cases", columns))
        assert attempt.publish() == "published"
    return plan, store


def table_of(scope, store, name="dice"):
    ((_, table),) = tables(Evidence(scope, StoreReader.of(store)), name)
    return table


def test_it_says_the_same_as_with_the_benchmark_file(bench):
    plan, store = publish(bench)
    plan = make_plan(plan.matrix, store)
    with_file = table_of(scope_of_plan(plan), store)
    bench.path.unlink()
    shutil.rmtree(bench.root / "tasks")
    shutil.rmtree(bench.root / "methods")
    alone = table_of(scope_of_store(store), store)

    def numbers(table):
        return {
            (e.method, e.encoder, e.task, e.budget): (e.mean, e.low, e.high, e.keys)
            for e in table.entries
        }

    assert numbers(alone) == numbers(with_file)
    assert UNKNOWN_MISSING in alone.notes
    assert UNKNOWN_MISSING not in with_file.notes
    assert alone.headings == {"organs": "organs (synthetic)"}
    assert alone.entries[0].budget == "5-shot"
    assert alone.entries[0].method == "plain"  # no pretraining comes first


def test_filters_apply(bench):
    _, store = publish(bench)
    scope = scope_of_store(store, ["method=plain,seed=1"])
    assert set(scope.cells.method) == {"plain"}
    assert set(scope.cells.seed) == {1}
    with pytest.raises(
        UserError, match=r"unknown method 'plan'.*Did you mean 'plain'\?"
    ):
        scope_of_store(store, ["method=plan"])
    publish(
        bench, text=GOOD.replace("[0, 1]", "[2]"), store=store,
        keep=lambda cell: cell.method == "masked",
    )  # fmt: skip
    with pytest.raises(UserError, match="none of the 14 published evaluations has all"):
        scope_of_store(store, ["method=plain", "seed=2"])


def test_results_under_several_settings_are_not_mixed(bench):
    _, store = publish(bench)
    later = GOOD.replace("75%", "80%").replace("[0, 1]", "[0, 2]")
    publish(
        bench, text=later, dice=0.6, store=store,
        keep=lambda cell: cell.method == "harder",
    )  # fmt: skip
    scope = scope_of_store(store)
    names = sorted(set(scope.cells.method))
    (earlier,) = [name for name in names if name.startswith("harder (")]
    assert names == sorted(["plain", "masked", "harder", earlier])
    seeds = {m: sorted(set(g.seed)) for m, g in scope.cells.groupby("method")}
    assert (seeds["harder"], seeds[earlier]) == ([0, 2], [0, 1])
    (note,) = [n for n in scope.notes if "several settings" in n]
    assert "harder on organs" in note
    means = {e.method: e.mean for e in table_of(scope, store).entries}
    assert means[earlier] == pytest.approx(0.815)
    assert means["harder"] == pytest.approx(0.605)


def test_tiers_are_not_mixed(bench):
    _, store = publish(bench)
    publish(bench, text=GOOD.replace("tiny", "small"), store=store)
    with pytest.raises(UserError, match=r"tiers small, tiny.*filter tier=tiny"):
        scope_of_store(store)
    assert set(scope_of_store(store, ["tier=small"]).cells.tier) == {"small"}


def test_lost_specifications_leave_the_labels(bench):
    _, store = publish(bench)
    for path in (bench.root / "results/nodes").rglob("spec.json"):
        path.unlink()
    scope = scope_of_store(store)
    assert scope.tasks["organs"].metrics == ("dice", "hd95")
    assert table_of(scope, store).entries[0].mean == pytest.approx(0.815)


def test_a_task_as_an_older_or_newer_harness_wrote_it(bench):
    _, store = publish(bench)
    for path in (bench.root / "results/nodes").rglob("spec.json"):
        spec = json.loads(path.read_text())
        for task in spec["where"].get("tasks", {}).values():
            task["a_field_of_another_version"] = {"x": 1}
            del task["preprocess"], task["crop"], task["split"]
        path.write_text(json.dumps(spec))
    facts = scope_of_store(store).tasks["organs"]
    assert (facts.synthetic, facts.structures) == (True, ("big", "small"))


def test_nothing_published(tmp_path):
    with pytest.raises(UserError, match="holds no published evaluation"):
        scope_of_store(Store(tmp_path / "results"))
