"""The cells of a rehearsal: all parts and analyses of a matrix, and blocks to compare."""

from harness.plan import make_plan
from harness.plan.cover import Item, cover, items

TEXT = """
tier: tiny
corpus: [organs]
methods: {plain: , masked: , other: {extends: masked, mask_ratio: 0.7}}
protocols: {finetune: , decoder: {extends: finetune, freeze: encoder}, linear_probe: }
tasks:
  organs: {protocols: [finetune, decoder]}
  nodules: {protocols: [finetune, linear_probe]}
label_budgets: [2-shot, 50%, 100%]
seeds: [0, 1, 2]
"""


def test_every_part_is_executed_by_few_cells(bench):
    plan = make_plan(bench.load(TEXT))
    chosen = cover(plan)
    covered = {(cell.method, cell.task, cell.protocol) for cell in chosen}
    assert {method for method, _, _ in covered} == {"plain", "masked", "other"}
    assert {(task, protocol) for _, task, protocol in covered} == {
        ("organs", "finetune"), ("organs", "decoder"),
        ("nodules", "finetune"), ("nodules", "linear_probe"),
    }  # fmt: skip
    assert len(plan.cells) == 3 * 4 * 3 * 3
    assert len(chosen) <= 2 * 2 * 2 * 2 + 6


def test_parts_are_named_once(bench):
    found = items(make_plan(bench.load(TEXT)))
    assert len(set(found)) == len(found)
    assert Item("pairing", "decoder x swin x 3-D x 1 channel") in found
    assert [item for item in found if item.kind == "task"] == [
        Item("task", "organs"), Item("task", "nodules"),
    ]  # fmt: skip


def test_every_analysis_has_its_cells_among_those_that_run(bench):
    text = f"""{TEXT}
analyses:
  reuse: {{methods: [other], label_budgets: [50%], samples: 8, batch: 4}}
  similarity: {{between: [budgets], samples: 8, batch: 4}}
"""
    plan = make_plan(bench.load(text))
    ran = plan.only(cover(plan)).analyses
    assert [one.name for one in ran if one.name == "reuse"] == ["reuse"]
    assert "similarity" in {one.name for one in ran}
    without = {cell.evaluate_key for cell in cover(make_plan(bench.load(TEXT)))}
    with_them = {cell.evaluate_key for cell in cover(plan)}
    # Budgets are compared at their ends, which tables are drawn of anyway.
    assert len(with_them - without) == 1
    assert Item("analysis", "reuse") in items(plan)


def test_blocks_compare_a_baseline_at_the_ends_of_the_budgets(bench):
    chosen = cover(make_plan(bench.load(TEXT)))
    block = [
        cell for cell in chosen if (cell.task, cell.protocol) == ("organs", "finetune")
    ]
    compared = {(cell.method, cell.budget, cell.seed) for cell in block}
    assert {
        (method, budget, seed)
        for method in ("plain", "masked")
        for budget in ("2-shot", "100%")
        for seed in (0, 1)
    } <= compared
    assert not any(cell.budget == "50%" for cell in chosen)
