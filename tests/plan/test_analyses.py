"""Which cells analyses look at and compare, and what their nodes wait for."""

from harness.plan import make_plan

TEXT = """
tier: tiny
corpus: [organs]
methods: {plain: , masked: , other: {extends: masked, mask_ratio: 0.7}}
protocols: {finetune: }
tasks: [organs]
label_budgets: [1-shot, 2-shot, 100%]
seeds: [0, 1]
analyses: {analyses}
"""


def _plan(bench, analyses):
    return make_plan(bench.load(TEXT.replace("{analyses}", analyses)))


def _compared(plan):
    return [
        tuple((c.method, c.budget, c.seed) for c in one.cells) for one in plan.analyses
    ]


def test_an_analysis_of_single_networks_is_one_node_per_cell(bench):
    plan = _plan(bench, "{reuse: {methods: [masked], label_budgets: [2-shot, 100%]}}")
    assert [one.cells[0].method for one in plan.analyses] == ["masked"] * 4
    assert len({one.key for one in plan.analyses}) == 4
    job = plan.jobs()[-1]
    (analysis,) = (one for one in plan.analyses if one.key == job.nodes[0])
    assert job.kind == "analyse"
    assert job.after == (analysis.cells[0].adapt_key,)


def test_an_encoder_before_adaptation_is_looked_at_once_per_task(bench):
    found = _compared(_plan(bench, "{transfer: {}}"))
    # what has no pretraining is drawn anew by each seed of its cells
    assert found == [
        (("plain", "1-shot", 0),), (("plain", "1-shot", 1),),
        (("masked", "1-shot", 0),), (("other", "1-shot", 0),),
    ]  # fmt: skip


def test_pairs_differ_in_one_thing(bench):
    budgets = _compared(_plan(bench, "{similarity: {methods: [plain]}}"))
    assert budgets == [
        (("plain", few, seed), ("plain", "100%", seed))
        for seed in (0, 1)
        for few in ("1-shot", "2-shot")
    ]
    text = "{similarity: {between: [methods], label_budgets: [100%]}}"
    methods = _compared(_plan(bench, text))
    assert [(a[0], b[0], a[2]) for a, b in methods if a[2] == 0] == [
        ("plain", "masked", 0), ("plain", "other", 0), ("masked", "other", 0),
    ]  # fmt: skip
    assert all(a[1:] == b[1:] for a, b in methods)
    text = "{similarity: {between: [seeds], methods: [plain], label_budgets: [100%]}}"
    assert _compared(_plan(bench, text)) == [
        (("plain", "100%", 0), ("plain", "100%", 1))
    ]


def test_the_most_labels_are_compared_with_wherever_they_stand(bench):
    text = TEXT.replace("{analyses}", "{similarity: {methods: [plain]}}")
    text = text.replace("1-shot, 2-shot, 100%", "2-shot, 100%, 1-shot")
    found = _compared(make_plan(bench.load(text)))
    assert {(a[1], b[1]) for a, b in found} == {("1-shot", "100%"), ("2-shot", "100%")}


def test_the_spec_says_what_is_compared(bench):
    plan = _plan(
        bench, "{similarity: {methods: [plain], label_budgets: [1-shot, 100%]}}"
    )
    one = plan.analyses[0]
    spec = plan.spec(one.key)
    assert spec["identity"]["inputs"] == {
        "adapt.0": one.cells[0].adapt_key, "adapt.1": one.cells[1].adapt_key,
    }  # fmt: skip
    assert spec["labels"]["analysis"] == "similarity"
    assert spec["labels"]["against"] == "label_budget=100%"
    assert plan.tasks_of(one.key) == ("organs",)


def test_settings_of_an_analysis_are_in_its_key_and_its_name_is_not(bench):
    one = _plan(bench, "{reuse: {methods: [plain]}}").analyses[0]
    named = _plan(bench, "{own: {extends: reuse, methods: [plain]}}").analyses[0]
    more = _plan(bench, "{reuse: {methods: [plain], samples: 12}}").analyses[0]
    assert one.key == named.key != more.key
