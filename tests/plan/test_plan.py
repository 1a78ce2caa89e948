"""Plans: keys, what is done, what waits for what, what it will cost."""

import json
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.matrix.recipes import recipe_of
from harness.plan import make_plan
from harness.plan.cost import CASE_S, CLASSIFIED_CASE, PROBE_STEP, STEP_S, Cost
from harness.schema.errors import DataError
from harness.schema.identity import key_of_identity

# One key of each kind. If this test fails, every result published so far is orphaned:
# raise a version only where the meaning of results has changed.
GOLDEN = {
    "plain organs finetune 5-shot fold 0 seed 0": (
        None,
        "b4f2bc08306cac296dc4c162348c2a70aacc1f8e1db0d8bbf60614940efba346",
        "9e60dcc92130d5665f598793b48db6306359487dda0317c2ffbb2ab16e9e15a7",
    ),
    "masked nodules linear_probe 100% fold 0 seed 1, pretraining seed 0": (
        "571e01eee14347a2cbb58c17a585d3bdb7bab8f84e452ba4921ba110022db940",
        "48c906bc4799fc77070481bbe05723147457b4786255c0b9987fd55cd8f621a3",
        "270e46677b895012e3058df0837ebb7ac8ca3b42df3258e6c45c66ee6bb754f3",
    ),
}


class Fake:
    """A store of which only the published keys matter."""

    def __init__(self, keys=(), wall_s=36.0):
        self.published = {
            key: SimpleNamespace(
                key=key, kind="", labels={}, run={"wall_s": wall_s},
                files={"a": SimpleNamespace(size=10**6)}, removed={},
            )
            for key in keys
        }  # fmt: skip
        self.specs = {}

    def done(self):
        return self.published

    def write_spec(self, spec):
        self.specs[spec["key"]] = spec


@pytest.fixture
def plan(bench):
    return make_plan(bench.load())


def test_keys_are_golden(whole_matrix):
    """Settings of methods are fixed here, so that the engine alone can break this."""
    methods = tuple(
        replace(
            entry,
            settings={
                "encoder": {"kind": "swin", "width": 12},
                "lr": 1e-3,
                "steps": 4.0,
            },
        )
        for entry in whole_matrix.methods[:2]
    )
    plan = make_plan(replace(whole_matrix, methods=methods, folds=1))
    first, last = plan.cells[0], plan.cells[-1]
    assert {
        first.label: (first.pretrain_key, first.adapt_key, first.evaluate_key),
        last.label: (last.pretrain_key, last.adapt_key, last.evaluate_key),
    } == GOLDEN


def test_counts_of_a_small_matrix(plan):
    document = plan.to_json()
    assert document["cells"] == 3 * 2 * 2 * 2  # methods, tasks, budgets, seeds
    assert (document["done"], document["todo"], document["waiting"]) == (0, 24, 16)
    assert (document["pretrainings"], document["naive_pretrainings"]) == (2, 16)
    assert (document["pretrainings_done"], document["pretrainings_todo"]) == (0, 2)
    assert document["missing_nodes"] == 2 + 48
    json.dumps(document)


def test_every_spec_has_the_key_of_its_identity(plan):
    jobs = plan.jobs()
    keys = [key for job in jobs for key in job.nodes]
    assert len(keys) == len(set(keys)) == 50
    for key in keys:
        spec = plan.spec(key)
        assert spec["key"] == key == key_of_identity(spec["identity"])
        assert spec == json.loads(json.dumps(spec)), "nothing but JSON"


def test_specs_hold_what_a_worker_needs(plan):
    cell = next(c for c in plan.cells if c.method == "harder" and c.budget == "5-shot")
    spec = plan.spec(cell.adapt_key)
    assert spec["identity"]["implementation"] == "protocols.finetune"
    assert spec["identity"]["inputs"] == {"encoder": cell.pretrain_key}
    assert spec["identity"]["seeds"] == {"adapt": 0}
    told = spec["identity"]["settings"]
    assert told["protocol"]["steps"] == 7
    assert told["encoder"]["kind"] == "swin"
    assert (told["crop"], told["classes"], told["channels"]) == ([16, 16, 16], 3, 1)
    assert told["task_kind"] == "segmentation"
    cases = spec["where"]["cases"]
    assert (len(cases["train"]), len(cases["val"]), len(cases["test"])) == (5, 4, 4)
    assert spec["where"]["tasks"]["organs"]["title"] == "Organs"
    assert spec["where"]["cache"]["organs"] == (
        "cache/data/" + spec["identity"]["data"]["fingerprint"][:16]
    )
    recipe = recipe_of(plan.matrix.stages["harder"])
    assert spec["labels"] == {
        "method": "harder", "encoder": "swin", "tier": "tiny", "corpus": "toys",
        "recipe": str(recipe), "pretrained_on": "none",
        "task": "organs", "protocol": "finetune", "label_budget": "5-shot", "fold": 0,
        "folds": 1, "seed": 0, "subset_seed": 0, "pretraining_seed": 0,
        "pretraining_key": cell.pretrain_key, "n_train": 5,
    }  # fmt: skip
    evaluate = plan.spec(cell.evaluate_key)
    assert evaluate["identity"]["inputs"] == {"adapt": cell.adapt_key}
    assert evaluate["identity"]["settings"]["metrics"] == ["dice", "hd95"]
    assert evaluate["identity"]["seeds"] == {}
    assert evaluate["labels"] == spec["labels"]
    pretrain = plan.spec(cell.pretrain_key)
    assert pretrain["identity"]["implementation"] == "methods.masked"
    assert pretrain["identity"]["version"] == 3
    assert pretrain["identity"]["settings"]["mask_ratio"] == 0.75
    assert pretrain["identity"]["settings"]["channels"] == 1
    sources = pretrain["where"]["cases"]["sources"]
    assert [each["task"] for each in sources] == ["nodules", "organs"]
    assert all(len(each["cases"]) == 12 for each in sources), "training sides only"
    assert pretrain["labels"]["n_train"] == 24
    with pytest.raises(KeyError):
        plan.spec("0" * 64)


def test_what_is_published_is_not_planned_again(bench):
    matrix = bench.load()
    whole = make_plan(matrix)
    first, second, third = [c for c in whole.cells if c.method == "masked"][:3]
    store = Fake([first.pretrain_key, first.adapt_key, first.evaluate_key,
                  second.adapt_key])  # fmt: skip
    plan = make_plan(matrix, store)
    assert plan.done == [first]
    assert len(plan.todo) == 23
    jobs = {job.name: job for job in plan.jobs()}
    assert first.evaluate_key[:16] not in jobs
    assert jobs[second.evaluate_key[:16]].nodes == (second.evaluate_key,)
    assert jobs[third.evaluate_key[:16]].nodes == (third.adapt_key, third.evaluate_key)
    assert jobs[third.evaluate_key[:16]].after == (), "its pretraining is published"
    assert [job.label for job in plan.jobs() if job.kind == "pretrain"] == [
        "pretrain harder seed 0"
    ]


def test_a_lost_pretraining_is_needed_only_by_what_is_to_adapt(bench):
    matrix = bench.load()
    whole = make_plan(matrix)
    masked = [c for c in whole.cells if c.method == "masked"]
    store = Fake([c.adapt_key for c in masked])
    plan = make_plan(matrix, store)
    assert masked[0].pretrain_key not in plan.unpublished
    assert all(job.after == () for job in plan.jobs() if "masked" in job.label)
    everything = [k for c in whole.cells for k in (c.adapt_key, c.evaluate_key)]
    assert make_plan(matrix, Fake(everything)).jobs() == []


def test_cells_wait_for_their_own_pretraining(plan):
    pretrainings = {job.nodes[0] for job in plan.jobs() if job.kind == "pretrain"}
    by_name = {cell.evaluate_key[:16]: cell for cell in plan.cells}
    for job in plan.jobs():
        assert job.profile == job.kind
        if job.kind == "cell":
            cell = by_name[job.name]
            expected = (cell.pretrain_key,) if cell.pretrain_key else ()
            assert job.after == expected
            assert set(job.after) <= pretrainings


def test_written_specs_cover_the_jobs(plan):
    store = Fake()
    jobs = plan.jobs()
    plan.write_specs(store, jobs[-1:])
    assert set(store.specs) == {*jobs[-1].nodes, *jobs[-1].after}


SAME = """
label_budgets: [100%, 5-shot]
tasks:
  nodules: {protocols: [linear_probe]}
  organs: {protocols: [finetune]}
protocols:
  linear_probe:
  finetune: {steps: 7.0}
methods:
  renamed: {mask_ratio: 0.75, extends: masked_hard}
  masked: {extends: masked}
  plain: {encoder: swin}
corpus: [nodules, organs]
data_root: elsewhere
seeds: [1, 0]
tier: tiny
"""


def test_order_names_spelling_and_paths_do_not_enter_the_keys(bench):
    def keys(plan):
        return {k for c in plan.cells for k in (c.adapt_key, c.evaluate_key)}

    first = make_plan(bench.load())
    second = make_plan(bench.load(SAME))
    assert keys(first) == keys(second)
    assert set(first.pretrainings) == set(second.pretrainings)


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        ("seeds: [0, 1]", "seeds: [2]", {"adapt", "evaluate"}),
        ("seeds: [0, 1]", "seeds: [0]\npretraining_seeds: [7]", {"pretrain"}),
        ("{steps: 7}", "{steps: 8}", {"adapt", "evaluate"}),
        ("{steps: 7}", "{steps: 7, window_weights: gaussian}", {"evaluate"}),
        ("{steps: 7}", "{steps: 7, window_padding: edge}", {"evaluate"}),
        ("{steps: 7}", "{steps: 7, window_weights: constant}", set()),
        ("seeds: [0, 1]", "seeds: [0, 1]\nkeep: {predictions: true}", set()),
        ("75%", "74%", {"pretrain"}),
        ("{protocols: [finetune]}", "{protocols: [finetune], metrics: [dice]}",
         {"evaluate"}),
        ("{protocols: [finetune]}", "{protocols: [finetune], crop: [8, 8, 8]}",
         {"adapt", "evaluate"}),
        ("{protocols: [finetune]}",
         "{protocols: [finetune], preprocess: {spacing: [1, 1, 1]}}",
         {"pretrain", "adapt", "evaluate"}),
    ],
)  # fmt: skip
def test_what_changes_results_changes_keys_and_nothing_else_does(
    bench, before, after, kinds
):
    def keys(plan):
        cells = [c for c in plan.cells if c.method == "harder" and c.task == "organs"]
        return {
            "pretrain": {c.pretrain_key for c in cells},
            "adapt": {c.adapt_key for c in cells},
            "evaluate": {c.evaluate_key for c in cells},
        }

    text = bench.write().read_text()
    assert before in text
    old = keys(make_plan(bench.load(text)))
    new = keys(make_plan(bench.load(text.replace(before, after))))
    changed = {kind for kind in old if not old[kind] & new[kind]}
    downstream = {"adapt", "evaluate"} if "pretrain" in kinds else set()
    assert changed == kinds | downstream


def test_pretraining_seeds_multiply_pretrained_methods_only(bench):
    text = "pretraining_seeds: [3, 4, 5]\n"
    from_text = bench.write().read_text() + text
    plan = make_plan(bench.load(from_text))
    plain = [c for c in plan.cells if c.method == "plain"]
    masked = [c for c in plan.cells if c.method == "masked"]
    assert (len(plain), len(masked)) == (8, 24)
    assert {c.pretraining_seed for c in plain} == {None}
    assert len(plan.pretrainings) == 6
    paired = make_plan(bench.load(from_text.replace("[3, 4, 5]", "paired")))
    assert all(c.pretraining_seed in (None, c.seed) for c in paired.cells)
    assert len(paired.pretrainings) == 4


def test_subsets_are_drawn_once_or_per_seed(bench):
    text = bench.write().read_text()
    fixed = make_plan(bench.load(text))
    drawn = make_plan(bench.load(text + "subset_draw: per_seed\n"))
    assert {c.subset_seed for c in fixed.cells} == {0}
    assert all(c.subset_seed == c.seed for c in drawn.cells)

    def train(plan, seed):
        cell = next(
            c for c in plan.cells
            if (c.task, c.budget, c.seed) == ("organs", "5-shot", seed)
        )  # fmt: skip
        return plan.spec(cell.adapt_key)["where"]["cases"]["train"]

    assert train(fixed, 0) == train(fixed, 1) == train(drawn, 0) != train(drawn, 1)


def test_folds_share_the_test_set_and_the_pretraining(bench):
    plan = make_plan(
        bench.load(bench.write().read_text().replace("5-", "2-") + "folds: 3\n")
    )
    assert len(plan.cells) == 24 * 3
    assert len(plan.pretrainings) == 2
    cells = [c for c in plan.cells if c.task == "organs" and c.budget == "100%"][:6]
    cases = [plan.spec(c.adapt_key)["where"]["cases"] for c in cells]
    assert {c.fold for c in cells} == {0, 1, 2}
    assert len({tuple(each["test"]) for each in cases}) == 1
    assert len({tuple(each["val"]) for each in cases}) == 3


def test_budgets_that_choose_the_same_cases_share_their_runs(bench):
    text = bench.write().read_text().replace("[5-shot, 100%]", "[12-shot, 100%]")
    plan = make_plan(
        bench.load(text.replace("nodules: {", "nodules: {label_budgets: [1], "))
    )
    assert plan.notes() == [
        "label budgets 12-shot and 100% of organs choose the same training cases: they "
        "share their runs"
    ]
    jobs = plan.jobs()
    names = [job.name for job in jobs]
    nodes = [key for job in jobs for key in job.nodes]
    assert len(names) == len(set(names))
    assert len(nodes) == len(set(nodes))


def test_tasks_that_differ_in_metrics_only_share_the_adaptation(bench):
    text = (bench.root / "tasks/organs.yaml").read_text()
    bench.add("tasks/twin.yaml", text.replace("[dice, hd95]", "[dice]"))
    plan = make_plan(
        bench.load("tier: tiny\nmethods: [plain]\nprotocols: [finetune]\n"
                   "tasks: [organs, twin]\n")
    )  # fmt: skip
    first, second = plan.cells
    if first.adapt_key == second.adapt_key:  # splits by publisher: same cases
        (job,) = plan.jobs()
        assert job.nodes == (first.adapt_key, first.evaluate_key, second.evaluate_key)


def test_a_plan_without_data_says_which_is_missing_and_cannot_run(bench):
    plan = make_plan(
        bench.load("tier: tiny\nmethods: [plain]\nprotocols: [finetune]\n"
                   "tasks: [organs, absent]\nlabel_budgets: [5-shot, 10%]\n")
    )  # fmt: skip
    assert len(plan.cells) == len({c.evaluate_key for c in plan.cells}) == 4
    assert list(plan.to_json()["missing_data"]) == ["absent"]
    with pytest.raises(DataError, match="the data of task 'absent' is missing"):
        plan.jobs()


def test_faults_of_data_and_budgets_are_told(bench):
    base = "tier: tiny\nmethods: [plain]\nprotocols: [finetune]\n"
    with pytest.raises(DataError, match="13 training cases, but there are 12"):
        make_plan(bench.load(base + "tasks: [organs]\nlabel_budgets: [13-shot]\n"))
    short = "tasks: {organs: {format: {settings: {count: 10}}}}\n"
    with pytest.raises(DataError, match="10 of the 20 cases"):
        make_plan(bench.load(base + short))
    partial = short.replace("{format", "{allow_partial: true, format")
    assert make_plan(bench.load(base + partial)).to_json()["cells"] == 1


def test_corpora_exclude_and_cap(bench):
    bench.add(
        "corpora/toys.yaml",
        "title: t\nexclude: [case000000]\n"
        "sources: [{task: organs, cap: 4}, {task: nodules}]\n",
    )
    plan = make_plan(bench.load())
    key = next(iter(plan.pretrainings))
    sources = plan.spec(key)["where"]["cases"]["sources"]
    assert [len(each["cases"]) for each in sources] == [12, 4]
    assert "case000000" not in sources[1]["cases"]
    assert plan.spec(key)["labels"]["n_train"] == 16


def test_cost_is_what_similar_nodes_have_cost(bench):
    matrix = bench.load()
    whole = make_plan(matrix)
    stated = whole.cost()
    assert (stated.nodes, stated.assumed) == (50, 50)
    assert stated.hours > 0
    assert stated.gpu_hours == 0, "tier tiny runs on a CPU"
    cell = next(c for c in whole.cells if c.task == "organs")
    plan = make_plan(matrix, Fake([cell.adapt_key, cell.evaluate_key]))
    cost = plan.cost()
    assert cost.assumed == 2, "no pretraining has run"
    assert cost.nodes == 48
    known = [row.cost for row in plan.cost_table if row.phase != "pretrain"]
    assert sum(each.hours for each in known) == pytest.approx(46 * 36 / 3600)
    assert sum(each.bytes for each in known) == 46 * 10**6
    assert sum(each.assumed for each in known) == 0
    nodes = Counter()
    for row in plan.cost_table:
        nodes[row.phase] += row.cost.nodes
    assert nodes == {"pretrain": 2, "adapt": 23, "evaluate": 23}
    rows = {(row.phase, row.method, row.task) for row in plan.cost_table}
    assert ("pretrain", "masked", "") in rows
    assert ("adapt", "plain", "organs") in rows


def test_cost_follows_the_nearest_likeness(bench):
    matrix = bench.load()
    cells = make_plan(matrix).cells
    plain, masked = (
        next(c for c in cells if (c.method, c.task) == (method, "organs"))
        for method in ("plain", "masked")
    )
    store = Fake([plain.adapt_key, masked.adapt_key])
    store.published[plain.adapt_key].run["wall_s"] = 3600.0
    store.published[plain.adapt_key].run["gpu_h"] = 1.0
    rows = {
        (row.phase, row.method, row.task): row.cost
        for row in make_plan(matrix, store).cost_table
    }
    own, other, middle = (
        rows["adapt", method, "organs"] for method in ("plain", "masked", "harder")
    )
    assert own.hours == pytest.approx(own.nodes)
    assert own.gpu_hours == pytest.approx(own.nodes)
    assert other.hours == pytest.approx(other.nodes * 36 / 3600)
    assert middle.hours == pytest.approx(middle.nodes * (3600 + 36) / 2 / 3600)


def test_cost_of_what_never_ran_is_stated_from_its_steps(bench):
    few = make_plan(bench.load()).cost()
    text = bench.path.read_text().replace("steps: 7", "steps: 7000")
    many = make_plan(bench.load(text)).cost()
    assert many.assumed == many.nodes
    assert many.hours > 20 * few.hours


def test_stated_costs_of_images_and_probes_are_shares(bench):
    def hours(phase, task):
        table = make_plan(bench.load()).cost_table
        row = next(row for row in table if (row.phase, row.task) == (phase, task))
        return row.cost.hours / row.cost.nodes

    case = CASE_S["tiny"] * 20 / 5 / 3600
    assert hours("evaluate", "organs") == pytest.approx(case)
    assert hours("evaluate", "nodules") == pytest.approx(CLASSIFIED_CASE * case)
    assert hours("adapt", "organs") == pytest.approx(7 * STEP_S["tiny"] / 3600)
    steps = bench.load().protocols["linear_probe"].settings.steps
    probe = PROBE_STEP * steps * STEP_S["tiny"] / 3600
    assert hours("adapt", "nodules") == pytest.approx(probe)


def test_cost_learns_from_other_benchmarks_in_the_folder(bench):
    store = Fake(["f" * 64])
    manifest = store.published["f" * 64]
    manifest.kind, manifest.labels = "pretrain", {"method": "harder"}

    def pretraining():
        table = make_plan(bench.load(), store).cost_table
        return sum((row.cost for row in table if row.phase == "pretrain"), Cost())

    cost = pretraining()
    assert (cost.assumed, cost.hours) == (0, pytest.approx(2 * 36 / 3600))
    manifest.labels = {"method": "harder", "tier": "paper"}
    assert pretraining().assumed == 2, "another tier is another amount of work"


@settings(
    max_examples=25, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    seeds=st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=3, unique=True),
    pretraining=st.one_of(
        st.just("paired"), st.lists(st.integers(0, 99), min_size=1, max_size=2, unique=True)
    ),
    draw=st.sampled_from(["fixed", "per_seed"]),
    folds=st.integers(1, 3),
    budgets=st.lists(
        st.sampled_from(["1-shot", "30%", "n=4", "100%"]), min_size=1, unique=True
    ),
    pick=st.integers(0, 10**6),
)  # fmt: skip
def test_bulk_keys_equal_one_at_a_time_keys(
    bench, whole_matrix, seeds, pretraining, draw, folds, budgets, pick
):
    from harness.schema.budget import LabelBudget

    matrix = replace(
        whole_matrix,
        seeds=tuple(seeds),
        pretraining_seeds=pretraining
        if pretraining == "paired"
        else tuple(pretraining),
        subset_draw=draw,
        folds=folds,
        chosen_folds=tuple(range(folds)),
        tasks=tuple(
            replace(task, budgets=tuple(map(LabelBudget.parse, budgets)))
            for task in whole_matrix.tasks
        ),
    )
    plan = make_plan(matrix)
    cell = plan.cells[pick % len(plan.cells)]
    for key in filter(None, (cell.pretrain_key, cell.adapt_key, cell.evaluate_key)):
        assert key_of_identity(plan.spec(key)["identity"]) == key


@pytest.fixture
def whole_matrix(bench):
    return bench.load()
