"""The quickest mutants, and that the runner tells what it has seen. `make mutants`: all."""

from dataclasses import replace

import pytest
import record
from catalogue_of_mutants import MUTANTS
from mutate import GREEN, ROOT, copy_project, run_tests, try_mutant

QUICK = [mutant for mutant in MUTANTS if mutant.quick]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return copy_project(tmp_path_factory.mktemp("mutants"))


def test_every_mutant_has_a_place_in_the_source_and_a_test():
    names = [mutant.trap for mutant in MUTANTS]
    assert len(set(names)) == len(names)
    for mutant in MUTANTS:
        found = (ROOT / mutant.file).read_text().count(mutant.old)
        assert found == 1, f"{mutant.trap}: rewrite it, {mutant.file} has changed"
        assert mutant.old != mutant.new
        assert mutant.source.startswith("METHODS ")
        for node in mutant.red.split():
            file, _, name = node.partition("::")
            text = (ROOT / file).read_text()
            assert f"def {name.split('[')[0]}(" in text or not name, node


def test_without_a_bug_the_tests_pass(tree):
    nodes = {node for mutant in QUICK for node in mutant.red.split()}
    code, output = run_tests(tree, sorted(nodes))
    assert code == GREEN, output


@pytest.mark.parametrize("mutant", QUICK, ids=lambda mutant: mutant.trap)
def test_the_bug_is_seen(tree, mutant):
    before = (tree / mutant.file).read_text()
    verdict = try_mutant(tree, mutant)
    assert verdict.state == "killed", verdict.by
    assert verdict.by.split("::")[0] in mutant.red
    assert (tree / mutant.file).read_text() == before


def test_what_is_no_bug_survives_and_what_cannot_run_is_broken(tree):
    mutant = replace(
        QUICK[0], old='"""A teacher that follows', new='"""The teacher that follows'
    )
    survived = try_mutant(tree, mutant)
    broken = try_mutant(tree, replace(mutant, new="import nothing_of_this_name\n"))
    gone = try_mutant(tree, replace(mutant, old="no such text"))
    assert [each.state for each in (survived, broken, gone)] == [
        "survived", "broken", "broken",
    ]  # fmt: skip
    assert "0 times" in gone.by
    page = record.page([survived, gone], seconds=90, jobs=1)
    assert "**0 of 2 killed.**" in page
    assert f"survived: {mutant.trap} ({mutant.red})" in page
    assert "1.5 minutes" in page
