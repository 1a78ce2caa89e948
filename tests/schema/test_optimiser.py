"""Which optimiser: names, groups, and what does not go together."""

import pytest
from pydantic import BaseModel, ValidationError

from harness.schema.optimiser import Optimiser, OptimiserSettings


class Holder(BaseModel):
    optimiser: Optimiser = OptimiserSettings()


def test_a_name_alone_will_do():
    assert Holder(optimiser="lars").optimiser == OptimiserSettings(kind="lars")
    assert Holder().optimiser.kind == "adamw"


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ({"momentum": 0.5}, "'momentum' is a setting of sgd and lars, and the "),
        ({"kind": "sgd", "betas": (0.5, 0.9)}, "optimiser is sgd: remove it, or set"),
        ({"kind": "sgd", "trust": 0.1}, "'trust' is a setting of lars"),
        ({"kind": "sgd", "momentum": 0, "nesterov": True}, "which is 0: raise it"),
        ({"kind": "rmsprop"}, "'adamw', 'adam', 'sgd' or 'lars'"),
        ({"kind": "sgd", "momentum": 1.0}, "less than 1"),
    ],
)
def test_what_would_not_be_heard_is_refused(said, answer):
    with pytest.raises(ValidationError, match=answer):
        Holder(optimiser=said)


@pytest.mark.parametrize("kind", ["adamw", "adam", "sgd", "lars"])
def test_a_dump_is_read_again(kind):
    settings = OptimiserSettings(kind=kind)
    assert Holder(optimiser=settings.model_dump()).optimiser == settings
