"""Encoders for one channel on tasks with several, and what cannot be."""

from harness.plan import make_plan

TEXT = """
tier: tiny
corpus: {corpus}
methods: {methods}
protocols: [finetune]
tasks: {tasks}
"""
# organs has one channel, pairs two.


def _text(methods, tasks="[pairs]", corpus="[organs]"):
    return TEXT.format(methods=methods, tasks=tasks, corpus=corpus)


def told(plan):
    """Return by method and task the channels of task and encoder in the identity."""
    return {
        (cell.method, cell.task): tuple(
            plan.spec(cell.adapt_key)["identity"]["settings"].get(key)
            for key in ("channels", "encoder_channels")
        )
        for cell in plan.cells
    }


def test_an_encoder_for_one_channel_takes_each_alone(bench):
    plan = make_plan(bench.load(_text("{masked: , plain: }", "[organs, pairs]")))
    assert told(plan) == {
        ("masked", "organs"): (1, None), ("masked", "pairs"): (2, 1),
        ("plain", "organs"): (1, None), ("plain", "pairs"): (2, 1),
    }  # fmt: skip


def test_a_grey_image_is_repeated_for_an_encoder_of_several_channels(bench):
    plan = make_plan(bench.load(_text("{masked: , plain: }", "[organs]", "[pairs]")))
    assert told(plan) == {
        ("masked", "organs"): (1, 2), ("plain", "organs"): (1, 2),
    }  # fmt: skip


def test_a_baseline_has_what_it_is_compared_with(bench):
    alone = make_plan(bench.load(_text("{plain: }", corpus="~")))
    both = make_plan(bench.load(_text("{plain: , masked: }", corpus="[pairs]")))
    assert told(alone) == {("plain", "pairs"): (2, None)}
    assert told(both) == {
        ("plain", "pairs"): (2, None), ("masked", "pairs"): (2, None),
    }  # fmt: skip
    one = make_plan(bench.load(_text("{plain: {input_channels: 1}}", corpus="~")))
    assert told(one) == {("plain", "pairs"): (2, 1)}
    assert one.cells[0].adapt_key != alone.cells[0].adapt_key


def test_two_baselines_may_differ_in_their_channels_alone(bench):
    methods = "{plain: {input_channels: 1}, own: {extends: plain, input_channels: 2}}"
    plan = make_plan(bench.load(_text(methods, corpus="~")))
    assert told(plan) == {("plain", "pairs"): (2, 1), ("own", "pairs"): (2, None)}


def test_what_is_wrong_with_channels(bench):
    def said(*args, **parts):
        return [each[1] for each in bench.mistakes(_text(*args, **parts))]

    pairs = (bench.root / "tasks/pairs.yaml").read_text()
    bench.add("tasks/triples.yaml", pairs.replace("[a, b]", "[a, b, c]"))
    assert said("{masked: }", "[triples]", corpus="[pairs]") == [
        "method masked has an encoder for 2 channels, and triples has 3: only one for a "
        "single channel takes other numbers, each channel alone"
    ]
    assert said("{plain: {input_channels: 0}}") == [
        "input_channels: expected a number from 1 on, not 0"
    ]
    assert said("{plain: {input_channels: 3}}") == [
        "method plain has an encoder for 3 channels, and pairs has 2: only one for a "
        "single channel takes other numbers, each channel alone"
    ]
    assert said("{masked: {input_channels: 1}}") == [
        "masked has the channels of what it is trained on: remove it"
    ]
    two = "{masked: , other: {extends: masked, corpus: [pairs]}, plain: }"
    assert said(two) == [
        "plain is compared with encoders for 1 and 2 channels, and pairs has several: "
        "say for how many it is made, 'input_channels: 1'"
    ]


def test_a_later_stage_has_the_channels_of_the_first(bench):
    methods = "{late: {extends: masked, corpus: [pairs], init: masked}}"
    said = bench.mistakes(_text(methods))
    assert [each[1] for each in said] == [
        "late starts from the encoder of masked, and they differ in channels: give both "
        "the same encoder"
    ]
