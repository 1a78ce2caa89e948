"""What every task file of this repository owes its readers."""

from __future__ import annotations

import re

import pytest

from harness.analyse.structures import organ_groups
from harness.registry.content import Content
from harness.schema.task import TIERS

from .conftest import TASKS, load_spec

CONTENT = Content((TASKS.parent,))
NAMES = CONTENT.names("tasks")
DOC = (TASKS.parent / "docs/tasks.md").read_text()


def known() -> set[str]:
    """Tasks, volumes of corpora, and methods that bring weights of their own."""
    volumes = {
        source.name
        for name in CONTENT.names("corpora")
        for source in CONTENT.corpus(name).sources
    }
    return {*NAMES, *volumes, *CONTENT.names("methods")}


@pytest.mark.parametrize("name", NAMES)
def test_a_task_says_where_it_comes_from_and_runs_at_every_tier(name):
    spec = load_spec(name)
    assert set(spec.crop) == set(TIERS)
    assert spec.source.licence
    assert spec.source.files or spec.source.how
    assert spec.synthetic or spec.source.citation or spec.source.page.startswith("docs")
    assert set(spec.overlaps) <= known() - {name}
    for file in spec.source.files:
        assert file.md5 or file.sha256 or file.verified == "never"
    shared = re.sub(r"(mnist3d|mnist|_[a-z_]+)$", "", name)
    assert f"`{name}`" in DOC or "mnist" in name or shared in ("msd", "phantom")


def test_structures_of_the_comparison_of_nine_methods_have_their_groups():
    """METHODS 4.7: adrenals and gallbladder; liver, kidneys and spleen; and so on."""
    found = organ_groups(load_spec("amos_ct").structures)
    assert found == {
        "small": ("gallbladder", "adrenal_right", "adrenal_left"),
        "large": ("spleen", "kidney_right", "kidney_left", "liver"),
        "gastrointestinal": ("oesophagus", "stomach", "pancreas", "duodenum"),
    }
    assert organ_groups(load_spec("kits21").structures)["large"] == ("kidney",)
    assert organ_groups(load_spec("lits").structures)["tumour"] == ("liver_tumour",)
