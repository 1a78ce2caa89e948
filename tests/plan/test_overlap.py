"""A method that learnt from labels meets other patients, or is marked an upper bound."""

import json

import pytest

from harness.cli import main
from harness.plan import make_plan
from harness.plan.data import Listing
from harness.plan.overlap import shared_patients
from harness.schema.cases import CaseRef
from harness.schema.errors import DataError

from ..conftest import METHOD, ORGANS, TASK

TEXT = """
tier: tiny
methods: {{{methods}}}
protocols: [finetune]
tasks: [organs]
label_budgets: [100%]
seeds: [0]
"""


@pytest.fixture
def bench(bench):
    taught = METHOD.format(
        name="Taught", base="SupervisedSettings", field="pass", parent="Method",
        title="Learns labels.", version=1, role="supervised", dims="(3,)",
    ).replace("MethodSettings", "MethodSettings, SupervisedSettings")  # fmt: skip
    bench.add("methods/taught.py", taught)
    bench.add("tasks/more.yaml", TASK.format(**{**ORGANS, "title": "The same images"}))
    bench.add("tasks/others.yaml", TASK.format(**{**ORGANS, "seed": 7}))
    regions = "structures: {a: 1, b: 2, c: 3}\nregions: {whole: [a, b, c], core: [b]}"
    joined = {**ORGANS, "seed": 8, "what": regions}
    bench.add("tasks/joined.yaml", TASK.format(**joined))
    bare = TASK.format(**{**ORGANS, "seed": 9, "kind": "unlabelled", "what": ""})
    bench.add("tasks/bare.yaml", bare.replace("metrics: [dice, hd95]", "metrics: []"))
    return bench


def planned(bench, methods):
    return make_plan(bench.load(TEXT.format(methods=methods)))


def test_a_source_of_other_patients_is_a_pretraining_on_its_training_side(bench):
    plan = planned(bench, "taught: {source: others}")
    (cell,) = plan.cells
    spec = plan.spec(cell.pretrain_key)
    assert spec["identity"]["settings"]["source"] == {
        "kind": "segmentation", "classes": 3,
    }  # fmt: skip
    assert spec["labels"]["corpus"] == "others"
    (source,) = spec["where"]["cases"]["sources"]
    assert (source["task"], len(source["cases"])) == ("others", 12)
    assert "overlap" not in plan.spec(cell.evaluate_key)["labels"]


def test_a_source_with_regions_is_learnt_by_its_structures(bench):
    plan = planned(bench, "taught: {source: joined}")
    settings = plan.spec(plan.cells[0].pretrain_key)["identity"]["settings"]
    assert settings["source"] == {"kind": "segmentation", "classes": 4}


@pytest.mark.parametrize("source", ["organs", "more"])
def test_shared_patients_are_refused(bench, source):
    with pytest.raises(DataError, match="12 of its patients") as caught:
        planned(bench, f"taught: {{source: {source}}}")
    assert f"labels of {source}" in str(caught.value)
    assert "are in organs too" in str(caught.value)
    assert "'allow_overlap: true'" in str(caught.value)


def test_validate_refuses_them_too(bench, monkeypatch, capsys):
    monkeypatch.chdir(bench.root)
    bench.write(TEXT.format(methods="taught: {source: organs}"))
    assert main(["validate"]) == 2
    assert "12 of its patients" in capsys.readouterr().err


def test_allowed_they_mark_the_cells_that_meet_them_and_change_no_key(bench):
    allowed = "taught: {source: more, allow_overlap: true}"
    plan = planned(bench, allowed)
    (cell,) = plan.cells
    for key in (cell.adapt_key, cell.evaluate_key):
        assert plan.spec(key)["labels"]["overlap"] == "upper bound"
    assert "overlap" not in plan.spec(cell.pretrain_key)["labels"]
    elsewhere = bench.load(
        TEXT.format(methods=allowed).replace("tasks: [organs]", "tasks: [others]")
    )
    (other,) = make_plan(elsewhere).cells
    assert other.pretrain_key == cell.pretrain_key
    assert "overlap" not in make_plan(elsewhere).spec(other.adapt_key)["labels"]


def test_what_starts_from_a_supervised_stage_has_seen_its_labels(bench):
    later = "later: {extends: masked, corpus: [others], init: taught"
    with pytest.raises(DataError, match="taught learns from the labels of organs"):
        planned(bench, f"{later}}}, taught: {{source: organs}}")
    plan = planned(bench, f"{later}, allow_overlap: true}}, "
                          "taught: {source: organs, allow_overlap: true}")  # fmt: skip
    labels = [plan.spec(cell.evaluate_key)["labels"] for cell in plan.cells]
    assert [each["overlap"] for each in labels] == ["upper bound"] * 2


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ("taught: ", "set 'source: TASK'"),
        ("taught: {source: organ}", "Did you mean 'organs'?"),
        ("taught: {source: [organs]}", "unknown task"),
        ("taught: {source: others, corpus: toys}", "is not pretrained"),
        ("masked: {source: organs, corpus: toys}", "learns from no labels"),
        ("plain: {allow_overlap: true}", "is trained on no data of its own"),
        ("taught: {source: others, allow_overlap: 1}", "expected true or false"),
        ("taught: {source: slices}", "is 2-D"),
        ("taught: {source: bare}", "bare has no labels to learn from"),
    ],
)
def test_what_cannot_be_a_source_is_refused(bench, methods, said):
    found = bench.mistakes(TEXT.format(methods=methods))
    assert any(said in message for _, message in found), found
    assert {line for line, _ in found} == {3}


def test_ids_are_compared_within_a_dataset_only(bench):
    spec = bench.load(TEXT.format(methods="plain: ")).tasks[0].spec
    refs = tuple(CaseRef(f"c{i}", f"p{i // 2}") for i in range(6))
    here = Listing(spec, "f", refs)
    assert shared_patients(here, ["c0", "c1", "c4"], here) == ("p0", "p2")
    data = json.loads(spec.model_dump_json())
    data["format"] = {"kind": "msd", "folder": "Task"}
    there = Listing(type(spec).model_validate(data), "g", refs)
    assert shared_patients(here, ["c0"], there) == ()
    assert shared_patients(there, ["c0"], Listing(there.spec, "h", None)) == ()
