"""Keys name folders on every machine for years: a change here orphans all results."""

import json
import math
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.schema.identity import (
    canonical,
    canonical_json,
    digest,
    key_of_digests,
    key_of_identity,
    seed_for,
    short,
)

ADAPT = {
    "kind": "adapt",
    "implementation": "protocols.finetune",
    "version": 1,
    "settings": {"protocol": {"lr": 1e-3, "steps": 300}, "crop": [32, 32, 64]},
    "data": {"fingerprint": "f" * 64, "train": "1" * 64, "val": "2" * 64},
    "seeds": {"adapt": 0},
    "inputs": {"encoder": "e" * 64},
}
PRETRAIN = {
    "kind": "pretrain",
    "implementation": "methods.example",
    "version": 3,
    "settings": {"mask_ratio": 0.75, "name": "Lunge µ", "on": True, "none": None},
    "data": {"sources": []},
    "seeds": {"pretraining": 2},
    "inputs": {},
}
# Computed once; never to be computed again.
GOLDEN = {
    "adapt": "a8b008ce5b59aecab7b4a8d25f753550f4bde20864a0debf99778f386ef24705",
    "pretrain": "032ede40067b39f41e9d149821a7912c2e66f5fef2b752740240b4a38695024c",
    "empty": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    "order": 7371000931621808136,
    "init": 6939803781148524895,
}


def test_golden_keys():
    assert key_of_identity(ADAPT) == GOLDEN["adapt"]
    assert key_of_identity(PRETRAIN) == GOLDEN["pretrain"]
    assert short(GOLDEN["adapt"]) == GOLDEN["adapt"][:16]


def test_golden_digests_and_seeds():
    resolved = PRETRAIN["settings"]
    text = r'{"mask_ratio":0.75,"name":"Lunge \u00b5","none":null,"on":true}'
    assert canonical_json(resolved) == text
    assert digest(resolved) == sha256(text.encode()).hexdigest()
    assert digest({}) == GOLDEN["empty"]
    assert seed_for("a" * 64, "order") == GOLDEN["order"]
    assert seed_for("a" * 64, "init") == GOLDEN["init"]


def test_a_key_is_the_hash_of_the_digests_of_its_parts():
    parts = [
        sha256(json.dumps(ADAPT[part], sort_keys=True, separators=(",", ":")).encode())
        for part in ("settings", "data", "seeds")
    ]
    resolved, data, seeds = (part.hexdigest() for part in parts)
    text = f"1|adapt|protocols.finetune|1|{resolved}|{data}|{seeds}|encoder={'e' * 64}"
    assert key_of_identity(ADAPT) == sha256(text.encode()).hexdigest()


def test_order_and_spelling_of_numbers_do_not_enter():
    other = {
        **dict(reversed(ADAPT.items())),
        "settings": {
            "crop": (32.0, 32, 64),
            "protocol": {"steps": 300.0, "lr": 0.001},
        },
        "seeds": {"adapt": 0.0},
    }
    assert key_of_identity(other) == key_of_identity(ADAPT)
    many = {"encoder.1": "b" * 64, "encoder.0": "a" * 64}
    swapped = dict(reversed(many.items()))
    assert key_of_identity({**ADAPT, "inputs": many}) == key_of_identity(
        {**ADAPT, "inputs": swapped}
    )


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "evaluate"},
        {"implementation": "protocols.linear_probe"},
        {"version": 2},
        {"settings": {**ADAPT["settings"], "crop": [32, 64, 32]}},
        {"settings": {**ADAPT["settings"], "new": None}},
        {"data": {**ADAPT["data"], "val": "3" * 64}},
        {"seeds": {"adapt": 1}},
        {"seeds": {"adapt": False}},
        {"seeds": {"adapt": "0"}},
        {"inputs": {}},
        {"inputs": {"init": "e" * 64}},
        {"inputs": {"encoder": "d" * 64}},
    ],
)
def test_every_part_enters(change):
    assert key_of_identity({**ADAPT, **change}) != key_of_identity(ADAPT)


def test_an_identity_must_be_whole():
    for part in ADAPT:
        with pytest.raises(KeyError):
            key_of_identity({name: ADAPT[name] for name in ADAPT if name != part})
    for change in ({"version": "1"}, {"inputs": ["e"]}):
        with pytest.raises(TypeError, match="an identity needs"):
            key_of_identity({**ADAPT, **change})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_without_a_spelling_are_refused(value):
    with pytest.raises(ValueError, match="cannot be part of an identity"):
        digest({"a": [value]})


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_canonical_json_is_json_and_settled(value):
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text
    assert canonical(canonical(value)) == canonical(value)
    assert json.loads(text) == json.loads(json.dumps(value))


@settings(max_examples=60, deadline=None)
@given(VALUES, VALUES)
def test_equal_digests_mean_equal_values(one, two):
    same = json.loads(canonical_json(one)) == json.loads(canonical_json(two))
    # Python holds True == 1 and False == 0; an identity does not.
    if digest(one) == digest(two):
        assert same
    elif same:
        assert any(word in canonical_json(v) for v in (one, two) for word in "tf01")


def test_one_stream_per_purpose():
    seeds = {seed_for(f"{n:064x}", purpose) for n in range(200) for purpose in "ab"}
    assert len(seeds) == 400
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert min(seeds) < 2**60
    assert max(seeds) > 2**62


def test_keys_of_a_large_matrix_share_their_digests():
    data, seeds = digest(ADAPT["data"]), [digest({"adapt": n}) for n in range(20)]
    arms = [digest({"steps": n}) for n in range(20)]
    keys = {
        key_of_digests("adapt", "p", 1, one, data, seed, {"encoder": "e" * 64})
        for one in arms
        for seed in seeds
    }
    assert len(keys) == 400
    again = {
        "kind": "adapt", "implementation": "p", "version": 1, "settings": {"steps": 7},
        "data": ADAPT["data"], "seeds": {"adapt": 9}, "inputs": {"encoder": "e" * 64},
    }  # fmt: skip
    assert key_of_identity(again) in keys
