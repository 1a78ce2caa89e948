"""Claims of a benchmark file, checked against its matrix."""

import pytest

from harness.matrix import load
from harness.schema.errors import Mistakes

FILE = """
title: t
tier: tiny
corpus: phantoms
methods: [random, simmim, smit]
protocols: [finetune]
tasks: [phantom_organs]
label_budgets: [5-shot, 100%]
"""


@pytest.fixture
def read(tmp_path):
    """Load a benchmark file with claims appended, from the repository's content."""
    from pathlib import Path

    root = Path(__file__).resolve().parents[2]

    def read(tail, **files):
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text)
        path = tmp_path / "benchmark.yaml"
        path.write_text(f"content: [{root}]{FILE}{tail}")
        return load(path)

    return read


def mistakes(read, tail, **files):
    with pytest.raises(Mistakes) as error:
        read(tail, **files)
    return [str(each) for each in error.value.mistakes]


def test_claims_are_read_in_order(read):
    matrix = read(
        "claims:\n"
        "  - smit > simmim on dice at 5-shot\n"
        "  - {claim: gap(smit) < gap(*), id: C27, published: 0.1, source: Fig 2}\n"
    )
    assert [each.claim.text for each in matrix.claims] == [
        "smit > simmim on dice at 5-shot",
        "gap(smit) < gap(*)",
    ]
    assert matrix.claims[1].entry.published == 0.1
    assert matrix.claims[0].where.endswith("benchmark.yaml:10")


def test_one_claim_and_none(read):
    assert len(read("claims: smit > random\n").claims) == 1
    assert read("").claims == ()
    assert read("claims: []\n").claims == ()


@pytest.mark.parametrize(
    ("claim", "sentence"),
    [
        ("smti > random", r"unknown method 'smti'. Did you mean 'smit'\?"),
        (
            "smit > random on dise",
            r"unknown metric or task 'dise'. Did you mean 'dice'",
        ),
        ("smit > random with finetun", r"unknown protocol 'finetun'.*'finetune'"),
        ("smit > random at 50%", "no label budget 50%: expected 5-shot or 100%"),
        ("smit", "expected >, < or ~"),
        ("smit > random on phantom_organs[liver]", "brackets belong to a metric"),
    ],
)
def test_mistakes_name_the_line_and_the_nearest_name(read, claim, sentence):
    import re

    (found,) = mistakes(read, f"claims:\n  - smit > random\n  - {claim}\n")
    assert "benchmark.yaml:11: " in found
    assert re.search(sentence, found)


def test_a_file_of_claims_is_read_and_its_mistakes_are_its_own(read):
    good = "title: some\nclaims:\n  - smit > random\n"
    assert len(read("claims: [{file: more.yaml}]\n", more=good).claims) == 1
    bad = "claims:\n  - smit > randm\n  - 3\n"
    found = mistakes(read, "claims: [{file: more.yaml}]\n", more=bad)
    assert [each.split(": ", 1)[0].rsplit("/", 1)[-1] for each in found] == [
        "more.yaml:2", "more.yaml:3",
    ]  # fmt: skip
    (found,) = mistakes(read, "claims: [{file: gone.yaml}]\n")
    assert "gone.yaml does not exist" in found
    (found,) = mistakes(read, "claims: [{file: 3}]\n")
    assert "expected a path" in found
    (found,) = mistakes(read, "claims: [{file: more.yaml}]\n", more="claim: []\n")
    assert "unknown key 'claim'. Did you mean 'claims'" in found


def test_wrong_entries(read):
    (found,) = mistakes(read, "claims: [{claims: smit > random}]\n")[:1]
    assert "unknown key 'claims'" in found or "'claim" in found
    (found,) = mistakes(
        read, "claims: [{claim: smit > random, published: {smti: 0.5}}]\n"
    )
    assert "unknown method 'smti'" in found


def test_a_wrong_method_gives_no_further_mistake_about_claims(read):
    found = mistakes(read, "claims: [smit > random]\nseeds: 3\n")
    assert len(found) == 1


def test_the_style_is_checked(read):
    assert read("style: dino3d\n").style == "dino3d"
    (found,) = mistakes(read, "style: dino\n")
    assert "benchmark.yaml:9: style: 'dino' is not a style" in found
