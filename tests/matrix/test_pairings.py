"""Which protocols a method is run with, and at which crop."""

from harness.plan import make_plan

TEXT = """
tier: tiny
corpus: [organs]
methods: {methods}
protocols: {protocols}
tasks: [organs]
"""
TWO = "{finetune: , decoder: {extends: finetune, freeze: encoder}}"


def _text(methods="{plain: , masked: }", protocols=TWO):
    return TEXT.format(methods=methods, protocols=protocols)


def test_a_method_is_run_with_the_protocols_it_names(bench):
    matrix = bench.load(_text("{plain: {protocols: finetune}, masked: }"))
    cells = [(cell.method, cell.protocol) for cell in make_plan(matrix).cells]
    assert cells == [
        ("plain", "finetune"), ("masked", "finetune"), ("masked", "decoder"),
    ]  # fmt: skip


def test_a_later_layer_says_it_anew(bench):
    bench.add("methods/only.yaml", "extends: masked\nprotocols: [decoder]\n")
    matrix = bench.load(
        _text("{own: {extends: only, lr: 0.2, protocols: [finetune]}, only: }")
    )
    assert [each.protocols for each in matrix.methods] == [("finetune",), ("decoder",)]


def test_what_is_wrong_with_the_protocols_of_a_method(bench):
    def said(protocols, tasks="[organs]"):
        text = _text(f"{{plain: {{protocols: {protocols}}}}}")
        return bench.mistakes(text.replace("tasks: [organs]", f"tasks: {tasks}"))[0][1]

    assert said("[finetun]").startswith("unknown protocol 'finetun'. Did you mean")
    assert said("[]") == "protocols: expected a list of protocols of this file, not []"
    assert said("[decoder, decoder]") == "protocols: decoder stands twice"
    only = "{organs: {protocols: [finetune]}}"
    assert said("decoder", only) == (
        "no task is run with decoder: plain would have no cell"
    )


def test_a_protocol_can_have_a_crop_of_its_own(bench):
    wide = "{finetune: , wide: {extends: finetune, crop: [24, 24, 24]}}"
    plan = make_plan(bench.load(_text("{plain: }", wide)))
    narrow, wider = (plan.spec(cell.adapt_key) for cell in plan.cells)
    assert narrow["identity"]["settings"]["crop"] == [16, 16, 16]
    assert wider["identity"]["settings"]["crop"] == [24, 24, 24]
    assert plan.cells[0].adapt_key != plan.cells[1].adapt_key


def test_a_crop_that_is_none(bench):
    def said(crop):
        return bench.mistakes(_text("{plain: }", f"{{finetune: {{crop: {crop}}}}}"))[0]

    assert said("[24, 0, 24]")[1] == (
        "finetune: crop: expected three sides in voxels (two in 2-D) such as "
        "[96, 96, 96], or pretrained, not [24, 0, 24]"
    )
    assert "not 24" in said("24")[1]
    assert said("[24, 24]")[1] == (
        "protocol finetune has a crop of 2 sides, and organs is 3-D"
    )


def test_the_crop_of_a_tier(bench):
    tiers = "{finetune: {crop: [24, 24, 24], tiers: {tiny: {crop: [20, 20, 20]}}}}"
    assert bench.load(_text("{plain: }", tiers)).protocols["finetune"].crop == (
        20, 20, 20,
    )  # fmt: skip


def test_the_crop_that_a_method_was_pretrained_at(bench):
    text = _text(
        "{plain: , masked: {crop: [48, 48, 48], region: [48, 48, 48]}}",
        "{finetune: {crop: pretrained}}",
    )
    plan = make_plan(bench.load(text))
    plain, masked = (plan.spec(cell.adapt_key) for cell in plan.cells)
    assert plain["identity"]["settings"]["crop"] == [16, 16, 16]  # the task's
    assert masked["identity"]["settings"]["crop"] == [48, 48, 48]
