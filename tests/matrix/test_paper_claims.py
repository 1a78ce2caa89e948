"""The claims of the papers: every row of METHODS.md section 5, all of them readable."""

from pathlib import Path

import pytest

from harness.matrix.claims import Names, read_claim_file, read_claims
from harness.schema.claims import METRICS, ClaimEntry, parse_claim

FILES = sorted((Path(__file__).parents[2] / "papers" / "claims").glob("*.yaml"))


def entries(path):
    document, items = read_claim_file(path)
    assert not document.mistakes
    return [ClaimEntry.model_validate(item) for item in items]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_claim_is_read_and_has_an_id_and_a_source(path):
    for entry in entries(path):
        parse_claim(entry.claim)
        assert entry.id.startswith("C")
        assert entry.source


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_matrix_with_their_names_takes_them_whole(path):
    claims = [parse_claim(entry.claim) for entry in entries(path)]
    sides = [side for claim in claims for side in claim.sides]
    names = Names(
        tuple(sorted({n for side in sides for n in side.names} - {"*"})),
        tuple(
            sorted({i.name for side in sides for i in side.on if i.name not in METRICS})
        ),
        tuple(sorted({p for side in sides for p in side.protocols})),
        frozenset(budget for side in sides for budget in side.at),
    )
    document, items = read_claim_file(path)
    found = read_claims(document, items, names)
    assert [str(each) for each in document.mistakes] == []
    assert len(found) == len(items)


def test_all_rows_of_the_published_claims_are_there():
    ids = {entry.id for path in FILES for entry in entries(path)}
    assert ids == {f"C{i}" for i in range(1, 31)} | {"C8b", "C8c"}
