"""What is right by itself and cannot be combined is refused before anything runs."""

import pytest

TEXT = """
tier: tiny
corpus: [{task}]
methods:
  small_patches: {{extends: either, encoder: {{kind: vit}}}}
  odd_patches: {{extends: either, encoder: {{kind: vit, patch: {patch}}}}}
  odd_stem: {{extends: either, encoder: {{kind: swin, patch: 4, depths: [2], heads: [1]}}}}
protocols: [{protocol}]
tasks: [{task}]
"""


@pytest.fixture
def either(bench):
    text = (bench.root / "methods/masked.py").read_text()
    bench.add("methods/either.py", text.replace('("swin",)', '("swin", "vit")'))
    return bench


@pytest.mark.parametrize(("patch", "near"), [(4, None), (32, 16), (1, 2)])
def test_a_convolutional_decoder_needs_a_patch_that_it_can_double_from(
    either, patch, near
):
    text = TEXT.format(task="organs", protocol="finetune", patch=patch)
    if near is None:
        assert len(either.load(text).methods) == 3
        return
    assert either.mistakes(text) == [
        (
            6,
            "odd_patches is run with finetune on organs: a convolutional decoder on a "
            f"vit needs a patch of 2, 4, 8 or 16, not {patch}; the nearest is {near}",
        )
    ]


def test_a_classification_needs_no_decoder(either):
    text = TEXT.format(task="nodules", protocol="finetune", patch=32)
    assert len(either.load(text).methods) == 3


@pytest.mark.parametrize(
    ("encoder", "settings", "reason"),
    [
        ("{kind: vit}", "{}", None),
        (
            "{kind: swin}", "{}",
            "an adapter goes around the blocks of a vit, not of a swin: use finetune "
            "with 'freeze: encoder'",
        ),
        (
            "{kind: vit, width: 100, heads: 4}", "{}",
            "an adapter needs a vit whose width is a multiple of 32, not 100; the "
            "nearest is 96",
        ),
    ],
)  # fmt: skip
def test_an_adapter_goes_around_a_vit(either, encoder, settings, reason):
    text = (
        "tier: tiny\ncorpus: [organs]\n"
        f"methods: {{own: {{extends: either, encoder: {encoder}}}}}\n"
        f"protocols: {{frozen_adapter: {settings}}}\ntasks: [organs]\n"
    )
    if reason is None:
        assert len(either.load(text).methods) == 1
    else:
        said = f"own is run with frozen_adapter on organs: {reason}"
        assert [message for _, message in either.mistakes(text)] == [said]


def test_an_adapter_classifies_nothing(either):
    text = (
        "tier: tiny\ncorpus: [organs]\nmethods: {either: {encoder: vit}}\n"
        "protocols: [frozen_adapter]\ntasks: [nodules]\n"
    )
    assert "frozen_adapter is for segmentation tasks" in either.mistakes(text)[0][1]


SYSTEM = '''
"""A system of the tests."""
from typing import ClassVar
from harness.api import OwnSettings, System


class Alone(System):
    """By itself."""

    Settings = OwnSettings
    version: ClassVar[int] = 1
'''
LIST = "under 'protocols:' in its entry"


@pytest.mark.parametrize(
    ("tasks", "entry", "reason"),
    [
        ("{organs: }", "", None),
        (
            "{nodules: }", "",
            "alone is run with finetune on nodules: it can only do segmentations, and "
            "this is a classification: list the tasks of alone under 'tasks:' in its "
            "entry",
        ),
        (
            "{organs: {protocols: [frozen]}}", "",
            "alone is run with frozen on organs: it trains a network of its own, and "
            "this protocol keeps an encoder as it is: list protocols that train "
            f"everything, such as finetune, {LIST}",
        ),
        (
            "{organs: {protocols: [finetune, frozen]}, nodules: {protocols: [frozen]}}",
            "{protocols: [finetune]}", None,
        ),
        ("{slices: }", "", "method alone works on 3-D volumes, and task slices is 2-D: "
         "remove one of them"),
        ("{organs: }", "{encoder: vit}",
         "alone has no encoder of its own: remove 'encoder'"),
        ("{organs: }", "{corpus: toys}", "alone is not pretrained: remove 'corpus'"),
    ],
)  # fmt: skip
def test_where_a_self_contained_system_can_be_run(bench, tasks, entry, reason):
    bench.add("methods/alone.py", SYSTEM)
    text = (
        f"tier: tiny\nmethods: {{plain: {{protocols: [finetune]}}, alone: {entry}}}\n"
        "protocols: {finetune: , frozen: {extends: finetune, freeze: encoder}}\n"
        f"tasks: {tasks}\n"
    )
    if "slices" in tasks:
        text = text.replace("plain: {", "plain: {encoder: {dims: 2}, ")
    if "[frozen]}}" in tasks and not entry:
        text = text.replace("plain: {protocols: [finetune]}, ", "")
    text = text if "protocols: [" in tasks else text.replace(
        ", frozen: {extends: finetune, freeze: encoder}", ""
    )  # fmt: skip
    if reason is None:
        assert [each.name for each in bench.load(text).methods] == ["plain", "alone"]
        return
    assert [message for _, message in bench.mistakes(text)] == [reason]
