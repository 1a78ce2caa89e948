"""What a corpus holds: sources, caps, fractions, volumes of no task, what is left out."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from harness.matrix.recipes import modality_of, recipe_of
from harness.plan import make_plan
from harness.plan.corpora import chosen
from harness.schema.cases import CaseRef
from harness.schema.corpus import CorpusSource, CorpusSpec
from harness.schema.errors import DataError, Mistakes
from harness.schema.recipes import Recipe

TEXT = """
tier: tiny
corpus: own
methods: {methods}
protocols: [finetune]
tasks: [organs]
seeds: [0]
{more}
"""
VOLUMES = """
title: own
modality: none
preprocess: {intensity: {kind: percentiles}, spacing: [2, 2, 2]}
sources:
  - volumes:
      name: scans
      modality: none
      format: {kind: generated, generator: toy, seed: 9}
      channels: [a]
      cases: 20
      source: {page: p, licence: l}
  - task: organs
"""
REFS = [CaseRef(f"c{k:03}", f"p{k // 5}") for k in range(100)]


def ids(*, corpus=None, **rules):
    spec = CorpusSpec(title="t", sources=(CorpusSource(task="t"),), **(corpus or {}))
    return chosen(REFS, CorpusSource(task="t", **rules), spec)


def planned(bench, corpus, methods="{masked: }", more=""):
    bench.add("corpora/own.yaml", corpus)
    return make_plan(bench.load(TEXT.format(methods=methods, more=more)))


def pretraining(plan):
    return plan.spec(plan.cells[0].pretrain_key)


def test_smaller_choices_lie_within_larger_ones():
    for rule, values in (
        ("fraction", (0.1, 0.3, 0.9, 1.0)),
        ("cap", (3, 10, 60, 200)),
        ("patients", (1, 4, 19, 40)),
        ("per_patient", (1, 2, 4, 5)),
    ):
        sets = [set(ids(**{rule: value})) for value in values]
        assert all(small < large for small, large in pairwise(sets))
        assert sets[-1] == {ref.case_id for ref in REFS}
    share = [set(ids(corpus={"fraction": value})) for value in (0.1, 0.5)]
    assert share[0] < share[1]
    assert [len(each) for each in share] == [10, 50]


def test_caps_by_patient_keep_patients_whole_or_even():
    group = {ref.case_id: ref.group_id for ref in REFS}
    assert sorted(Counter(group[one] for one in ids(patients=3)).values()) == [5] * 3
    assert set(Counter(group[one] for one in ids(per_patient=2)).values()) == {2}


def test_a_seed_draws_other_cases_and_none_is_the_plain_hash():
    assert set(ids(cap=10)) != set(ids(cap=10, seed=0)) != set(ids(cap=10, seed=1))
    assert ids(cap=10, seed=1) == ids(cap=10, seed=1)


def test_cases_and_patients_are_excluded():
    left = ids(corpus={"exclude": ("c000", "p3")})
    assert len(left) == 94
    assert {"c000", "c015", "c019"}.isdisjoint(left)


def test_volumes_of_no_task_are_pretrained_on_as_a_whole(bench):
    plan = planned(bench, VOLUMES)
    spec = pretraining(plan)
    sources = {
        each["task"]: each["cases"] for each in spec["where"]["cases"]["sources"]
    }
    assert {name: len(cases) for name, cases in sources.items()} == {
        "organs@own": 12, "scans@own": 20,
    }  # fmt: skip
    tasks = spec["where"]["tasks"]
    assert tasks["scans@own"]["kind"] == "unlabelled"
    assert tasks["organs@own"]["preprocess"]["spacing"] == [2, 2, 2]
    cell = plan.spec(plan.cells[0].adapt_key)
    assert cell["where"]["tasks"]["organs"]["preprocess"]["spacing"] is None
    assert set(sources["organs@own"]).isdisjoint(cell["where"]["cases"]["test"])
    assert plan.tasks_of(plan.cells[0].pretrain_key) == ("organs@own", "scans@own")


def test_rules_on_voxels_are_part_of_the_key_where_they_are_set(bench):
    plain = pretraining(planned(bench, VOLUMES))
    assert set(plain["identity"]["data"]) == {"sources"}
    for rule in ("min_slices: 9", "exclude_content: [ab, 0c]", "channels: split"):
        ruled = pretraining(
            planned(bench, VOLUMES.replace("title: own", rule + "\ntitle: o"))
        )
        assert ruled["key"] != plain["key"]
    assert ruled["identity"]["data"]["channels"] == "split"


def test_a_corpus_of_split_channels_is_of_one_channel(bench):
    corpus = "title: o\nchannels: split\nsources: [{task: pairs}]\n"
    assert pretraining(planned(bench, corpus))["identity"]["settings"]["channels"] == 1


def test_absent_sources_are_left_out_where_that_is_allowed(bench):
    corpus = "title: o\nsources: [{task: absent}, {task: organs}]\n"
    plan = planned(bench, corpus)
    assert "absent" in plan.missing_data
    with pytest.raises(DataError, match="Task00_Absent"):
        plan.jobs()
    plan = planned(bench, "allow_missing: true\n" + corpus)
    assert plan.jobs()
    assert pretraining(plan)["labels"]["n_train"] == 12
    only = planned(bench, "title: o\nallow_missing: true\nsources: [{task: absent}]\n")
    with pytest.raises(DataError, match="Task00_Absent"):
        only.jobs()


def test_corpus_fractions_are_a_factor_of_nested_parts(bench):
    plan = planned(
        bench, "title: o\nsources: [{task: organs}]\n", "{masked: , plain: }",
        "corpus_fractions: [25%, 0.5, 1]",
    )  # fmt: skip
    found = {}
    for cell in plan.cells:
        if cell.pretrain_key:
            spec = plan.spec(cell.pretrain_key)
            (source,) = spec["where"]["cases"]["sources"]
            found[cell.method] = spec["labels"]["corpus"], set(source["cases"])
    assert {name: (label, len(cases)) for name, (label, cases) in found.items()} == {
        "masked.25pct": ("own:25%", 3),
        "masked.50pct": ("own:50%", 6),
        "masked": ("own", 12),
    }
    assert found["masked.25pct"][1] < found["masked.50pct"][1] < found["masked"][1]
    assert {cell.method for cell in plan.cells} == {*found, "plain"}
    recipes = {name: recipe_of(each) for name, each in plan.matrix.stages.items()}
    parts = {
        (each.objective, each.encoder) for n, each in recipes.items() if n in found
    }
    assert len(parts) == 1  # they make one curve
    assert {n: recipes[n].share for n in found} == {
        "masked.25pct": 0.25, "masked.50pct": 0.5, "masked": 1.0,
    }  # fmt: skip
    assert recipes["plain"].objective != recipes["masked"].objective
    for each in recipes.values():
        assert Recipe.parse(str(each)) == each


def test_a_wider_encoder_has_the_recipe_of_the_narrow_one_but_for_it(bench):
    methods = (
        "{masked: , wide: {extends: masked, encoder: {kind: swin, width: 24}}, "
        "harder: {extends: masked, mask_ratio: 0.7}}"
    )
    plan = planned(bench, "title: o\nsources: [{task: organs}]\n", methods)
    found = {name: recipe_of(each) for name, each in plan.matrix.stages.items()}
    assert found["wide"].objective == found["masked"].objective
    assert found["wide"].encoder != found["masked"].encoder
    assert found["harder"].encoder == found["masked"].encoder
    assert found["harder"].objective != found["masked"].objective
    assert len({each.corpus for each in found.values()}) == 1
    tasks = {task.name: task.spec for task in plan.matrix.tasks}
    told = {n: modality_of(each, tasks) for n, each in plan.matrix.stages.items()}
    assert set(told.values()) == {tasks["organs"].modality}


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        ("title: o\nsources: [{}]\n", "own.yaml:2: .*names a 'task', or 'volumes'"),
        ("title: o\nsources: [{task: organs}, {task: organs}]\n", "organs stands twice"),
        (VOLUMES.replace("preprocess: {", "# {"), "scans is of no task: say how to 'pre"),
        (VOLUMES.replace("modality: none\npre", "modality: CT\npre"),
         "scans is none, not CT"),
        ("title: o\nmodality: MRI\nsources: [{task: organs}]\n",
         "task organs is none, not MRI"),
        ("title: o\nsources: [{task: organ}]\n", "unknown task 'organ'. Did you mean"),
        ("extends: toy\n", "own.yaml:1: unknown corpus 'toy'. Did you mean 'toys'"),
    ],
)  # fmt: skip
def test_corpora_that_cannot_be_meant_are_refused(bench, corpus, message):
    with pytest.raises(Mistakes, match=message):
        planned(bench, corpus)


def test_a_name_that_a_fraction_takes_is_refused(bench):
    methods = "{masked: , masked.50pct: {extends: masked, mask_ratio: 0.7}}"
    with pytest.raises(Mistakes, match=r"masked\.50pct is what corpus_fractions calls"):
        planned(
            bench, "title: o\nsources: [{task: organs}]\n", methods,
            "corpus_fractions: [0.5]",
        )  # fmt: skip
