"""Methods that join the encoders of others: members in the plan, and refusals."""

import pytest

from harness.plan import make_plan

TEXT = """
tier: tiny
corpus: [organs]
methods: {{{methods}}}
protocols: {protocols}
tasks: {tasks}
"""
TWO = "masked: , harder: {extends: masked, mask_ratio: 0.9}"


def _text(methods, protocols="[finetune]", tasks="[nodules]"):
    return TEXT.format(methods=methods, protocols=protocols, tasks=tasks)


def test_members_are_the_inputs_of_an_adaptation_in_their_order(bench):
    plan = make_plan(bench.load(_text(f"{TWO}, joined: {{of: [harder, masked]}}")))
    masked, harder, joined = plan.cells
    assert joined.encoders == (harder.pretrain_key, masked.pretrain_key)
    assert joined.encoder == "swin"
    assert len(plan.pretrainings) == 2
    spec = plan.spec(joined.adapt_key)
    assert spec["identity"]["inputs"] == {
        "encoder.0": harder.pretrain_key, "encoder.1": masked.pretrain_key,
    }  # fmt: skip
    settings = spec["identity"]["settings"]
    assert "encoder" not in settings
    own = plan.spec(masked.adapt_key)["identity"]["settings"]["encoder"]
    assert settings["members"] == [{"encoder": own}] * 2
    assert settings["fusion"]["tokens"] == "scalar"
    job = next(each for each in plan.jobs() if joined.adapt_key in each.nodes)
    assert set(job.after) == set(joined.encoders)


def test_the_order_of_members_is_another_fusion(bench):
    both = f"{TWO}, one: {{extends: joined, of: [masked, harder]}}, " \
           "two: {extends: joined, of: [harder, masked]}"  # fmt: skip
    *_, one, two = make_plan(bench.load(_text(both))).cells
    assert one.adapt_key != two.adapt_key


def test_members_that_are_not_listed_are_pretrained_and_have_no_cells(bench):
    plan = make_plan(bench.load(_text("joined: {of: [masked, masked_hard]}")))
    assert [cell.method for cell in plan.cells] == ["joined"]
    methods = [each.method for each in plan.pretrainings.values()]
    assert sorted(methods) == ["masked", "masked_hard"]


def test_one_pretraining_seed_after_the_other(bench):
    text = _text(f"{TWO}, joined: {{of: [masked, harder]}}")
    plan = make_plan(bench.load(text + "pretraining_seeds: [0, 1]\n"))
    joined = [cell for cell in plan.cells if cell.method == "joined"]
    assert [cell.pretraining_seed for cell in joined] == [0, 1]
    assert not set(joined[0].encoders) & set(joined[1].encoders)


def test_channels_pass_alone_where_a_member_is_made_for_one(bench):
    text = _text(f"{TWO}, joined: {{of: [masked, harder]}}", tasks="[graded_pairs]")
    nodules = (bench.root / "tasks/nodules.yaml").read_text()
    bench.add("tasks/graded_pairs.yaml", nodules.replace("[a]", "[a, b]"))
    cell = make_plan(bench.load(text)).cells[-1]
    plan = make_plan(bench.load(text))
    members = plan.spec(cell.adapt_key)["identity"]["settings"]["members"]
    assert [each["encoder_channels"] for each in members] == [1, 1]


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        (f"{TWO}, joined: ", "joined joins the encoders of other methods: set 'of: "
         "[A, B]'"),
        (f"{TWO}, joined: {{of: masked}}", "of: expected the names of two methods or "
         "more, not 'masked'"),
        (f"{TWO}, joined: {{of: [masked]}}", "of: expected the names of two methods or "
         "more, not ['masked']"),
        (f"{TWO}, joined: {{of: [masked, maskd]}}", "unknown method 'maskd'. Did you "
         "mean 'masked'?"),
        (f"{TWO}, joined: {{of: [masked, 3]}}", "of: expected the name of a method, "
         "not 3"),
        (f"{TWO}, joined: {{of: [masked, masked]}}", "of: 'masked' stands twice"),
        (f"{TWO}, joined: {{of: [masked, plain]}}", "joined joins pretrained encoders, "
         "and plain is not pretrained: remove it"),
        ("masked: {of: [harder, plain]}, harder: {extends: masked_hard}, plain: ",
         "masked joins no other methods: remove 'of'"),
        (f"{TWO}, flat: {{encoder: {{dims: 2}}, corpus: [slices]}}, "
         "joined: {of: [masked, flat]}",
         "joined joins encoders of one dimensionality: masked is 3-D and flat is 2-D"),
        (f"{TWO}, joined: {{of: [masked, harder], encoder: swin}}",
         "unknown key 'encoder'. Known: attention, dropout"),
    ],
)  # fmt: skip
def test_what_cannot_be_joined(bench, methods, said):
    found = bench.mistakes(_text(methods))
    assert any(said in message for _, message in found), found


@pytest.mark.parametrize(
    ("protocol", "task", "reason"),
    [
        ("linear_probe", "nodules",
         "linear_probe takes one encoder: run a fusion with finetune ('freeze: encoder' "
         "where what it joins stays as it is)"),
        ("finetune", "organs",
         "it can only do classifications, and this is a segmentation: list the tasks of "
         "joined under 'tasks:' in its entry"),
    ],
)  # fmt: skip
def test_what_a_fusion_is_run_with(bench, protocol, task, reason):
    text = _text(
        f"{TWO}, joined: {{of: [masked, harder]}}", f"[{protocol}]", f"[{task}]"
    )
    said = [message for _, message in bench.mistakes(text)]
    assert said == [f"joined is run with {protocol} on {task}: {reason}"]
