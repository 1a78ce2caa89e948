import pytest
from pydantic import ValidationError

from harness.schema.protocols import PROTOCOLS, Finetune, FrozenAdapter
from harness.schema.task import TIERS


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_each_tier_is_valid_and_smaller_than_the_published_setting(name):
    settings = PROTOCOLS[name]
    paper = settings()
    assert set(settings.tiers) == set(TIERS) - {"paper"}
    for tier, numbers in settings.tiers.items():
        resolved = settings.model_validate(numbers)
        if "steps" in settings.model_fields:
            assert resolved.steps < paper.steps, tier
        assert {key: getattr(resolved, key) for key in numbers} == numbers
    assert settings.version >= 1
    assert set(settings.kinds) <= {"segmentation", "classification"}


def test_published_settings():
    paper = Finetune()
    assert (paper.steps, paper.batch, paper.lr, paper.warmup) == (
        30_000,
        8,
        1e-4,
        3_000,
    )
    assert paper.freeze == "nothing"
    adapter = FrozenAdapter()
    assert (adapter.steps, adapter.batch, adapter.lr, adapter.warmup) == (
        30_000, 8, 1e-4, 3_000,
    )  # fmt: skip
    assert (adapter.weight_decay, adapter.overlap, adapter.val_overlap) == (
        0.01,
        0.75,
        0,
    )
    assert not adapter.as_released


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("finetune", {"steps": 0}),
        ("finetune", {"freeze": "decoder"}),
        ("finetune", {"overlap": 1.0}),
        ("finetune", {"lrr": 1e-3}),
        ("frozen_adapter", {"freeze": "nothing"}),
        ("linear_probe", {"lr": []}),
        ("linear_probe", {"freeze": "encoder"}),
    ],
)
def test_closed_and_bounded(name, changes):
    with pytest.raises(ValidationError):
        PROTOCOLS[name].model_validate(changes)


def test_a_protocol_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Finetune().steps = 3
