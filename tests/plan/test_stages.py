"""Pretraining in stages: `init` names the method whose encoder is started from."""

import pytest

from harness.plan import make_plan

TEXT = """
tier: tiny
corpus: toys
methods: {{{methods}}}
protocols: [finetune]
tasks: [organs]
label_budgets: [100%]
seeds: [0]
"""


def planned(bench, methods):
    return make_plan(bench.load(TEXT.format(methods=methods)))


def test_a_stage_that_is_not_listed_is_pretrained_first_and_has_no_cells(bench):
    plan = planned(bench, "later: {extends: masked, init: masked, steps: 7}")
    assert [cell.method for cell in plan.cells] == ["later"]
    first, second, cell = plan.jobs()
    assert (first.method, second.method) == ("masked", "later")
    assert (first.after, second.after) == ((), first.nodes)
    assert cell.after == second.nodes
    spec = plan.spec(second.nodes[0])
    assert spec["identity"]["inputs"] == {"init": first.nodes[0]}
    assert plan.spec(first.nodes[0])["identity"]["inputs"] == {}
    assert plan.to_json()["pretrainings_todo"] == 2


def test_a_listed_stage_is_shared_and_its_settings_enter_the_later_key(bench):
    later = "later: {extends: masked, init: masked, steps: 7}"
    alone, listed = planned(bench, later), planned(bench, f"masked: , {later}")
    assert set(alone.pretrainings) == set(listed.pretrainings)
    other = planned(bench, f"masked: {{steps: 9}}, {later}")
    assert not set(alone.pretrainings) & set(other.pretrainings)
    scratch = planned(bench, "later: {extends: masked, steps: 7}")
    assert not set(alone.pretrainings) & set(scratch.pretrainings)


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ("later: {extends: masked, init: maskd}", "Did you mean 'masked'?"),
        ("later: {extends: masked, init: [masked]}", "expected the name of a method"),
        ("later: {extends: masked, init: plain}", "plain is not pretrained"),
        ("later: {extends: masked, init: later}", "starts from itself"),
        ("a: {extends: masked, init: b, steps: 7}, b: {extends: masked, init: a}",
         "starts from itself"),
        ("later: {extends: masked, init: masked, encoder: {width: 24}}",
         "they differ in width"),
        ("later: {extends: masked, tiers: {tiny: {init: masked}}}",
         "'init' cannot differ between tiers"),
    ],
)  # fmt: skip
def test_a_stage_that_cannot_be_started_from_is_refused(bench, methods, said):
    found = bench.mistakes(TEXT.format(methods=methods))
    assert any(said in message for _, message in found), found
    assert all(line == 4 for line, _ in found)
