"""Split schemes beside the hash: counts, lists, publisher's sides without validation."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from harness.schema.budget import LabelBudget
from harness.schema.cases import CaseRef
from harness.schema.errors import DataError
from harness.schema.splits import CountsSplit, ListedSplit
from harness.schema.task import TaskSpec
from harness.volumes.splits import split, subset


def spec(rule, *, cases, classes=0, **more) -> TaskSpec:
    content = {
        "title": "t",
        "kind": "classification" if classes else "segmentation",
        "modality": "MRI",
        "format": {"kind": "msd", "folder": "t"},
        "cases": cases,
        "preprocess": {"intensity": {"kind": "percentiles"}},
        "crop": {},
        "split": rule,
        "metrics": ["auc"] if classes else ["dice"],
        "source": {"page": "p", "licence": "l"},
        **more,
    }
    if classes:
        names = [f"grade{k}" for k in range(classes)]
        content["target"] = {"name": "grade", "classes": names}
    else:
        content["structures"] = {"a": 1}
    return TaskSpec.model_validate(content)


def ids(refs):
    return {ref.case_id for ref in refs}


def sizes(parts):
    return len(parts.train), len(parts.val), len(parts.test)


def test_counts_are_met_and_classes_in_proportion():
    cases = [CaseRef(f"c{k:03}", f"p{k:03}", target=int(k < 30)) for k in range(100)]
    task = spec({"kind": "counts", "val": 20, "test": 30}, cases=100, classes=2)
    parts = split("task", task, cases)
    assert sizes(parts) == (50, 20, 30)
    for side, positives in ((parts.test, 9), (parts.val, 6), (parts.train, 15)):
        assert abs(sum(ref.target for ref in side) - positives) <= 1


def test_counts_may_leave_cases_out_and_keep_the_publishers_test():
    cases = [
        CaseRef(f"c{k}", f"p{k}", side="test" if k >= 90 else "train")
        for k in range(100)
    ]
    rule = {"kind": "counts", "train": 60, "val": 20, "test": "publisher"}
    parts = split("task", spec(rule, cases=100), cases)
    assert sizes(parts) == (60, 20, 10)
    assert ids(parts.test) == {f"c{k}" for k in range(90, 100)}


@given(st.integers(1, 4), st.integers(0, 99), st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_counts_keep_patients_whole_whatever_the_order(per_patient, seed, random):
    cases = [CaseRef(f"c{k:03}", f"p{k // per_patient}") for k in range(60)]
    rule = {"kind": "counts", "val": 7, "test": 13, "seed": seed}
    parts = split("task", spec(rule, cases=60), cases)
    assert parts == split("task", spec(rule, cases=60), random.sample(cases, 60))
    assert len(parts.test) == 13 // per_patient * per_patient
    assert len(parts.val) == 7 // per_patient * per_patient
    groups = [{ref.group_id for ref in side} for side in (parts.train, parts.val)]
    groups.append({ref.group_id for ref in parts.test})
    assert sum(map(len, groups)) == len(set.union(*groups))


def test_a_group_too_large_for_what_is_left_is_passed_over():
    cases = [CaseRef(f"c{k}", "large" if k < 10 else f"p{k}") for k in range(30)]
    for seed in range(5):
        rule = {"kind": "counts", "val": 5, "test": 5, "seed": seed}
        assert sizes(split("task", spec(rule, cases=30), cases)) == (20, 5, 5)


def test_counts_need_all_cases():
    task = spec({"kind": "counts", "val": 2, "test": 2}, cases=11, allow_partial=True)
    with pytest.raises(DataError, match="counts cases, which needs all 11 of them"):
        split("task", task, [CaseRef(f"c{k}", f"p{k}") for k in range(10)])


def test_stratified_folds_are_even_in_size_and_class():
    """The scheme of the immunotherapy cohort: 3 folds of 200 cases, 82 to 118."""
    cases = [CaseRef(f"c{k:03}", f"p{k:03}", target=int(k < 82)) for k in range(230)]
    cases = [CaseRef(r.case_id, r.group_id, target=r.target,
                     side="test" if k >= 200 else "train")
             for k, r in enumerate(cases)]  # fmt: skip
    task = spec({"kind": "publisher", "folds": "stratified"}, cases=230, classes=2)
    parts = [split("task", task, cases, fold, 3) for fold in range(3)]
    assert sorted(len(part.val) for part in parts) == [66, 67, 67]
    assert all(27 <= sum(ref.target for ref in part.val) <= 28 for part in parts)
    validated = Counter(ref for part in parts for ref in part.val)
    assert set(validated.values()) == {1}
    assert len(validated) == 200
    assert all(part.test == parts[0].test for part in parts)


def test_stratified_folds_keep_patients_whole():
    cases = [CaseRef(f"c{k:03}", f"p{k // 3}", target=k % 2) for k in range(90)]
    task = spec({"kind": "hash", "folds": "stratified"}, cases=90, classes=2)
    for fold in range(4):
        part = split("task", task, cases, fold, 4)
        train = {ref.group_id for ref in part.train}
        assert train.isdisjoint(ref.group_id for ref in part.val)


def test_a_publisher_without_validation_gets_a_share_of_its_training_side():
    cases = [
        CaseRef(f"c{k:04}", f"p{k // 2}", side="test" if k >= 1800 else "train")
        for k in range(2000)
    ]
    task = spec({"kind": "publisher", "val": 0.2}, cases=2000)
    parts = split("task", task, cases)
    assert len(parts.test) == 200
    assert len(parts.val) / 1800 == pytest.approx(0.2, abs=0.03)
    part = split("task", task, cases[::2])
    assert ids(part.val) == ids(parts.val) & ids(cases[::2])


def test_a_task_can_have_the_sides_of_another():
    cases = [CaseRef(f"c{k:03}", f"p{k}", target=k % 2) for k in range(60)]
    for rule in ({"kind": "hash"}, {"kind": "counts", "val": 9, "test": 20}):
        plain, same = (
            spec({**rule, **more}, cases=60, classes=2) for more in ({}, {"of": "one"})
        )
        assert split("one", plain, cases) == split("two", same, cases)
        assert split("one", plain, cases) != split("two", plain, cases)
        for fold in range(3):
            assert split("one", plain, cases, fold, 3) == split(
                "two", same, cases, fold, 3
            )


def test_lists_name_cases_or_patients():
    cases = [CaseRef(f"c{k}", f"p{k // 2}") for k in range(8)]
    rule = {"kind": "lists", "train": ["p0", "c2", "c3"], "val": ["p2"], "test": ["p3"]}
    parts = split("task", spec(rule, cases=8), cases)
    assert ids(parts.train) == {"c0", "c1", "c2", "c3"}
    assert ids(parts.val) == {"c4", "c5"}
    assert ids(parts.test) == {"c6", "c7"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test": ["c3"]}, "'c4' is on none of the lists of its split"),
        ({"test": ["c3", "c4", "x"]}, "names 1 cases or patients that are not there"),
        ({"val": ["c1"], "train": ["c0"], "test": ["c3", "p1"]},
         "patient 'p1' is both in test and in val"),
    ],
)  # fmt: skip
def test_lists_that_do_not_fit_are_refused(change, message):
    cases = [CaseRef(f"c{k}", "p1" if k in (1, 2, 4) else f"p{k}") for k in range(5)]
    rule = {"kind": "lists", "train": ["c0"], "val": ["c1", "c2"], "test": ["c3", "c4"]}
    if change == {"test": ["c3"]} or "x" in change.get("test", ()):
        cases = [CaseRef(ref.case_id, ref.case_id) for ref in cases]
    with pytest.raises(DataError, match=message):
        split("task", spec({**rule, **change}, cases=5), cases)


def test_cases_beside_the_lists_can_be_left_out():
    cases = [CaseRef(f"c{k}", f"p{k}") for k in range(5)]
    rule = {"kind": "lists", "train": ["c0"], "val": ["c1"], "test": ["c2"]}
    parts = split("task", spec({**rule, "others": "leave_out"}, cases=5), cases)
    assert sizes(parts) == (1, 1, 1)


@pytest.mark.parametrize(
    ("model", "content", "message"),
    [
        (ListedSplit, {"train": ["a"], "val": ["b"]}, "need ids under train, val and"),
        (ListedSplit, {"train": ["a"], "val": ["b"], "test": ["a"]}, "'a' stands in"),
        (CountsSplit, {"val": 1, "test": 0}, "expected a number from 1 on, or 'pub"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(model, content, message):
    kind = "lists" if model is ListedSplit else "counts"
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(model).validate_python({"kind": kind, **content})


def test_a_total_is_drawn_as_balanced_as_the_classes_allow():
    """The subsets of the transferability paper: small classes are used up first."""
    targets = [0] * 60 + [1] * 30 + [2] * 5
    cases = [
        CaseRef(f"c{k:03}", f"p{k:03}", target=t, side=side)
        for side, start in (("train", 0), ("val", 200), ("test", 400))
        for k, t in enumerate(targets, start)
    ]
    task = spec({"kind": "publisher"}, cases=len(cases), classes=3)
    parts = split("task", task, cases)
    target = {ref.case_id: ref.target for ref in cases}
    drawn = {}
    for n in (9, 30, 65, 95):
        chosen = subset("task", task, parts, LabelBudget.parse(f"n={n}"), 0)
        drawn[n] = Counter(target[case_id] for case_id in chosen)
    assert drawn[9] == {0: 3, 1: 3, 2: 3}
    assert drawn[30] in ({0: 13, 1: 12, 2: 5}, {0: 12, 1: 13, 2: 5})
    assert drawn[65] == {0: 30, 1: 30, 2: 5}
    assert drawn[95] == {0: 60, 1: 30, 2: 5}
