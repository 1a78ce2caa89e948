from __future__ import annotations

from collections import Counter
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.schema.budget import LabelBudget
from harness.schema.cases import CaseRef
from harness.schema.errors import DataError
from harness.schema.task import TaskSpec
from harness.volumes.sides import side_of, unit_hash
from harness.volumes.splits import Split, digest_ids, split, subset


def spec(*, classes=0, publisher=False, val=0.2, test=0.3, seed=0) -> TaskSpec:
    content = {
        "title": "t",
        "kind": "classification" if classes else "segmentation",
        "modality": "MRI",
        "format": {"kind": "msd", "folder": "t"},
        "cases": 10**6,
        "preprocess": {"intensity": {"kind": "percentiles"}},
        "crop": {},
        "split": {"kind": "publisher"}
        if publisher
        else {"kind": "hash", "val": val, "test": test, "seed": seed},
        "metrics": ["auc"] if classes else ["dice"],
        "source": {"page": "p", "licence": "l"},
    }
    if classes:
        names = [f"grade{k}" for k in range(classes)]
        content["target"] = {"name": "grade", "classes": names}
    else:
        content["structures"] = {"a": 1}
    return TaskSpec.model_validate(content)


def cases_of(count, *, per_patient=1, classes=0):
    return [
        CaseRef(
            f"c{k:04}", f"p{k // per_patient}", target=k % classes if classes else None
        )
        for k in range(count)
    ]


def ids(refs):
    return {ref.case_id for ref in refs}


datasets = st.builds(
    cases_of,
    st.integers(60, 200),
    per_patient=st.integers(1, 3),
    classes=st.sampled_from([0, 2, 3]),
)


def in_budget(text, data, task, *, seed=0):
    return subset("task", task, data, LabelBudget.parse(text), seed)


@given(st.integers(0, 5), st.integers(0, 10**9))
def test_a_side_is_the_published_function_of_task_seed_and_patient(seed, number):
    """sha256 of the JSON list [task, seed, patient]: its leading 53 bits over 2^53."""
    ref = CaseRef("any", f"patient {number}")
    digest = sha256(f'["task", {seed}, "patient {number}"]'.encode()).hexdigest()
    place = (int(digest[:16], 16) >> 11) / 2**53
    want = "test" if place < 0.3 else "val" if place < 0.5 else "train"
    assert side_of("task", spec(seed=seed), ref) == want


@given(datasets, st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_a_partial_copy_keeps_every_side(cases, random):
    whole = split("task", spec(), cases)
    kept = random.sample(cases, len(cases) // 2)
    for side, refs in (
        ("train", whole.train),
        ("val", whole.val),
        ("test", whole.test),
    ):
        for ref in kept:
            assert (side_of("task", spec(), ref) == side) == (ref in refs)
    try:
        part = split("task", spec(), kept)
    except DataError:
        return  # a small copy may have an empty side, which is refused
    for side in ("train", "val", "test"):
        assert ids(getattr(part, side)) == ids(getattr(whole, side)) & ids(kept)


@given(datasets, st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_sides_part_cases_and_patients_whatever_the_order(cases, random):
    shuffled = random.sample(cases, len(cases))
    parts = split("task", spec(), shuffled)
    assert parts == split("task", spec(), cases)
    assert parts.digest == split("task", spec(), cases).digest
    sides = (parts.train, parts.val, parts.test)
    assert sum(len(side) for side in sides) == len(cases)
    assert ids(parts.train) | ids(parts.val) | ids(parts.test) == ids(cases)
    patients = [{ref.group_id for ref in side} for side in sides]
    assert sum(map(len, patients)) == len(set.union(*patients))
    for side in sides:
        assert list(side) == sorted(side, key=lambda ref: ref.case_id)


def test_shares_are_as_asked_in_the_long_run():
    parts = split("task", spec(val=0.1, test=0.25), cases_of(8000))
    assert len(parts.test) / 8000 == pytest.approx(0.25, abs=0.02)
    assert len(parts.val) / 8000 == pytest.approx(0.10, abs=0.015)


def test_task_name_and_split_seed_change_the_sides():
    base = split("task", spec(), cases_of(100))
    assert split("other", spec(), cases_of(100)) != base
    assert split("task", spec(seed=1), cases_of(100)) != base
    assert base.digest != split("task", spec(seed=1), cases_of(100)).digest


def test_golden_digests():
    """A change here moves patients between sides of every published result."""
    parts = split("task", spec(), cases_of(40))
    assert (len(parts.train), len(parts.val), len(parts.test)) == GOLDEN_SIZES
    assert parts.digest[:16] == GOLDEN_SPLIT
    drawn = in_budget("5-shot", parts, spec())
    assert drawn == GOLDEN_SUBSET
    assert digest_ids(drawn) == digest_ids(reversed(drawn))
    assert (
        digest_ids(drawn)
        == sha256(
            ("[" + ",".join(f'"{one}"' for one in sorted(drawn)) + "]").encode()
        ).hexdigest()
    )


@given(datasets, st.integers(2, 6))
@settings(max_examples=30)
def test_folds_share_the_test_set_and_validate_every_other_case_once(cases, folds):
    task = spec()
    parts = [split("task", task, cases, fold, folds) for fold in range(folds)]
    whole = split("task", task, cases)
    validated = Counter(ref for part in parts for ref in part.val)
    assert validated == Counter(whole.train + whole.val)
    for part in parts:
        assert part.test == whole.test
        assert ids(part.train) == ids(cases) - ids(part.test) - ids(part.val)
        assert not {r.group_id for r in part.train} & {r.group_id for r in part.val}


def test_a_fold_that_does_not_exist():
    for fold, folds in ((1, 1), (5, 5), (-1, 5)):
        with pytest.raises(ValueError, match="folds are numbered from 0"):
            split("task", spec(), cases_of(50), fold, folds)


def test_publisher_sides():
    sides = ("train", "train", "val", "test")
    cases = [CaseRef(f"c{k}", f"p{k}", side=side) for k, side in enumerate(sides)]
    parts = split("task", spec(publisher=True), cases)
    assert [ref.case_id for ref in parts.train] == ["c0", "c1"]
    assert [ref.case_id for ref in parts.test] == ["c3"]
    with pytest.raises(DataError, match="case 'c9' has no publisher's side"):
        split("task", spec(publisher=True), [*cases, CaseRef("c9", "p9")])
    with pytest.raises(DataError, match="patient 'p0' is both in test and in train"):
        split("task", spec(publisher=True), [*cases, CaseRef("c9", "p0", side="test")])
    with pytest.raises(DataError, match="of its 3 cases none is in test"):
        split("task", spec(publisher=True), cases[:3])


# -- label budgets ------------------------------------------------------------------


@given(datasets, st.integers(0, 3))
@settings(max_examples=40)
def test_subsets_of_one_kind_are_nested_and_within_all(cases, seed):
    classes = len({ref.target for ref in cases} - {None})
    task = spec(classes=classes)
    data = split("task", task, cases)
    everything = ids(data.train)
    assert set(in_budget("100%", data, task, seed=seed)) == everything
    smallest = min(Counter(ref.target for ref in data.train).values())
    families = [
        [f"{k}-shot" for k in (1, 5, 10) if k <= smallest],
        ["n=1", "n=4", "n=9", "n=20", f"n={len(everything)}"],
        ["1%", "10%", "50%", "90%", "100%"],
    ]
    for family in families:
        inner: set[str] = set()
        for text in family:
            drawn = in_budget(text, data, task, seed=seed)
            assert len(drawn) == len(set(drawn))
            assert inner <= set(drawn) <= everything
            inner = set(drawn)
    if not classes:  # one stratum: every kind of budget is a prefix of the same order
        order = in_budget("100%", data, task, seed=seed)
        for text in ("1-shot", "5-shot", "10-shot", "n=7", "10%"):
            drawn = in_budget(text, data, task, seed=seed)
            assert drawn == order[: len(drawn)]


@given(st.integers(60, 200), st.integers(2, 4), st.integers(1, 3))
@settings(max_examples=30)
def test_strata(count, classes, per_patient):
    task = spec(classes=classes)
    # Class 0 has about three times as many cases as any other.
    cases = [
        CaseRef(
            f"c{k:04}", f"p{k // per_patient}", target=max(0, k % (classes + 2) - 2)
        )
        for k in range(count)
    ]
    data = split("task", task, cases)
    target = {ref.case_id: ref.target for ref in cases}
    have = Counter(ref.target for ref in data.train)
    if len(have) < classes:
        return

    def drawn(text):
        return Counter(target[one] for one in in_budget(text, data, task))

    assert drawn("1-shot") == dict.fromkeys(range(classes), 1)
    few = min(have.values())
    assert set(drawn(f"n={few * classes}").values()) == {few}
    for share in (0.3, 0.5, 0.8):
        counted = drawn(str(share))
        for one, number in have.items():
            assert abs(counted[one] - share * number) <= 1.5


def test_cases_of_a_patient_are_drawn_together():
    task = spec()
    data = split("task", task, cases_of(200, per_patient=3))
    patient = {ref.case_id: ref.group_id for ref in data.train}
    size = Counter(patient.values())
    for count in range(1, len(data.train) + 1):
        drawn = Counter(patient[one] for one in in_budget(f"n={count}", data, task))
        cut = [one for one, number in drawn.items() if number < size[one]]
        assert len(cut) <= 1


@given(st.integers(0, 3), st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_absent_patients_do_not_reshuffle_the_others(seed, random):
    task = spec()
    data = split("task", task, cases_of(120, per_patient=2))
    gone = {ref.group_id for ref in random.sample(data.train, 10)}
    kept = tuple(ref for ref in data.train if ref.group_id not in gone)
    part = Split(kept, data.val, data.test)
    order = in_budget("100%", data, task, seed=seed)
    assert in_budget("100%", part, task, seed=seed) == tuple(
        one for one in order if one in ids(kept)
    )


def test_subset_seed_and_task_change_the_order():
    task = spec()
    data = split("task", task, cases_of(100))
    first = in_budget("100%", data, task)
    assert in_budget("100%", data, task, seed=1) != first
    assert subset("other", task, data, LabelBudget.parse("100%"), 0) != first


def test_impossible_budgets():
    task = spec()
    data = split("task", task, cases_of(40))
    have = len(data.train)
    with pytest.raises(
        DataError, match=rf"n=500 asks for 500 .*, but there are {have}"
    ):
        in_budget("n=500", data, task)
    with pytest.raises(
        DataError, match=rf"99-shot asks for 99 .*, but there are {have}"
    ):
        in_budget("99-shot", data, task)
    with pytest.raises(DataError, match="label budget 10% leaves no training case"):
        in_budget("10%", Split((), data.val, data.test), task)
    graded = spec(classes=2)
    uneven = [CaseRef(f"c{k}", f"p{k}", target=int(k == 0)) for k in range(10)]
    with pytest.raises(
        DataError, match=r"2 training cases of class 'grade1', .* are 1"
    ):
        in_budget("2-shot", Split(tuple(uneven), (), ()), graded)


def test_unit_hash_is_uniform_and_tells_parts_apart():
    drawn = [unit_hash("t", k) for k in range(4000)]
    assert 0 <= min(drawn) < max(drawn) < 1
    assert sum(drawn) / len(drawn) == pytest.approx(0.5, abs=0.02)
    assert unit_hash("a", "bc") != unit_hash("ab", "c")


GOLDEN_SIZES = (19, 9, 12)
GOLDEN_SPLIT = "777db05046366c1e"
GOLDEN_SUBSET = ("c0004", "c0031", "c0010", "c0026", "c0038")
