"""The contract over every encoder and dimensionality that a method says it runs on.

`make test-all` runs it; `make test` checks each method on its default encoder.
"""

import pytest
from pydantic import ValidationError

from harness.run.contract import Subject, clauses_of, judge
from harness.schema.roles import TRAINED

from .conftest import NAMES, kind

PRODUCT = [
    pytest.param(name, encoder, dims, id=f"{name}-{encoder}-{dims}d")
    for name in NAMES
    if kind(name).role in TRAINED
    for encoder in kind(name).encoders
    for dims in kind(name).dims
]


def subject(name, encoder, dims):
    """The method on that encoder; with semantic attention where masks need guidance."""
    for extra in ({}, {"semantic_attention": {}}):
        found = Subject(
            kind(name), {"encoder": {"kind": encoder, "dims": dims, **extra}}
        )
        try:
            found.settings()
        except ValidationError as error:
            problem = error
        else:
            return found
    raise problem


@pytest.mark.full
@pytest.mark.parametrize(("name", "encoder", "dims"), PRODUCT)
def test_the_contract_on_every_encoder(name, encoder, dims):
    mine = subject(name, encoder, dims)
    verdicts = [judge(clause, mine) for clause in clauses_of(mine.kind.role)]
    broken = [f"{v.code} {v.title}: {v.said}" for v in verdicts if v.state != "kept"]
    assert not broken, "\n".join(broken)
