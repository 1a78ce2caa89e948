"""No YAML whatsoever gives a traceback: it is a matrix, or it is a UserError."""

import copy

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.matrix import Matrix, load
from harness.registry.content import SAFE_NAME
from harness.schema.errors import Mistakes, UserError

QUICK = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
WORDS = [
    "tier", "tiny", "small", "methods", "plain", "masked", "harder", "extends", "tiers",
    "corpus", "toys", "tasks", "organs", "nodules", "slices", "absent", "protocols",
    "finetune", "linear_probe", "label_budgets", "5-shot", "100%", "n=3", "seeds",
    "pretraining_seeds", "paired", "folds", "subset_draw", "per_seed", "content", "..",
    "data_root", "encoder", "swin", "width", "depths", "crop", "preprocess", "intensity",
    "format", "kind", "msd", "steps", "lr", "mask_ratio", "allow_partial", "split",
]  # fmt: skip
scalars = st.one_of(
    st.sampled_from(WORDS),
    st.none(),
    st.booleans(),
    st.integers(-3, 10**20),
    st.floats(),
    st.text(max_size=6),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(WORDS) | st.text(max_size=4), inner, max_size=4
        ),
    ),
    max_leaves=12,
)
keys = st.sampled_from(
    ["tier", "content", "data_root", "data_roots", "corpus", "methods", "protocols",
     "tasks", "label_budgets", "seeds", "pretraining_seeds", "subset_draw", "folds",
     "title"]
)  # fmt: skip
GOOD = {
    "tier": "tiny",
    "corpus": "toys",
    "methods": {"plain": {}, "masked": {"steps": 3, "encoder": {"kind": "swin"}}},
    "protocols": {"finetune": {"steps": 3}, "linear_probe": {}},
    "tasks": {
        "organs": {"protocols": ["finetune"], "crop": [16, 16, 16]},
        "nodules": {"protocols": ["linear_probe"], "preprocess": {"spacing": None}},
    },
    "label_budgets": ["5-shot", 1.0],
    "seeds": [0, 1],
}


def _refuses_or_loads(bench) -> Matrix | None:
    try:
        return load(bench.path)
    except UserError as error:
        refusal = error
    assert str(refusal)
    assert str(refusal).encode(), "nothing that a terminal could not show"
    if isinstance(refusal, Mistakes):
        assert all(each.line >= 1 and each.message for each in refusal.mistakes)
    return None


def _dump(data: object) -> str:
    return yaml.safe_dump(data, allow_unicode=True, sort_keys=False)


@QUICK
@given(data=st.dictionaries(keys, values, max_size=8))
def test_any_values_under_known_keys(bench, data):
    bench.path.write_text(_dump(data), encoding="utf-8", errors="replace")
    _refuses_or_loads(bench)


def _places(data: object, path: tuple = ()) -> list[tuple]:
    found = [path] if path else []
    items = (
        data.items() if isinstance(data, dict)
        else enumerate(data) if isinstance(data, list) else ()
    )  # fmt: skip
    for key, value in items:
        found += _places(value, (*path, key))
    return found


@QUICK
@given(place=st.sampled_from(_places(GOOD)), value=values)
def test_a_right_file_with_one_part_replaced(bench, place, value):
    data = copy.deepcopy(GOOD)
    target = data
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    bench.path.write_text(_dump(data), encoding="utf-8", errors="replace")
    matrix = _refuses_or_loads(bench)
    for entry in (*matrix.methods, *matrix.tasks) if matrix else ():
        assert SAFE_NAME.match(entry.name)


@QUICK
@given(
    text=st.text(
        alphabet=st.sampled_from("abmts:-[]{},&*!|>%@'\"#?~ \n\t019.\0é\U0001f9e0")
    )
    | st.text()
)
def test_any_text(bench, text):
    bench.path.write_text(text, encoding="utf-8", errors="replace")
    _refuses_or_loads(bench)


@QUICK
@given(raw=st.binary(max_size=200))
def test_any_bytes(bench, raw):
    bench.path.write_bytes(raw)
    _refuses_or_loads(bench)


@QUICK
@given(cut=st.integers(0, 2000), put=st.text(max_size=3), at=st.integers(0, 2000))
def test_a_right_file_with_its_text_damaged(bench, cut, put, at):
    text = _dump(GOOD)
    text = text[: at % len(text)] + put + text[at % len(text) + cut % 20 :]
    bench.path.write_text(text, encoding="utf-8", errors="replace")
    _refuses_or_loads(bench)


@pytest.mark.parametrize("depth", [30, 5_000])
def test_deep_nesting_of_every_style(bench, depth):
    for text in (
        "[" * depth, "{a: " * depth, "- " * depth + "x", "a: &a " + "[" * depth,
        "\n".join(" " * i + "a:" for i in range(min(depth, 600))),
    ):  # fmt: skip
        bench.path.write_text(text)
        assert _refuses_or_loads(bench) is None


def test_thousands_of_entries_that_extend_each_other(bench):
    chain = {f"m{i}": {"extends": f"m{i + 1}"} for i in range(3000)}
    bench.path.write_text(_dump({**GOOD, "methods": chain}))
    assert _refuses_or_loads(bench) is None
