from __future__ import annotations

import json
import re

import pytest

from harness.registry.taskfile import read_task
from harness.schema.errors import Mistakes


def written(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def test_a_task_takes_what_it_does_not_say_from_what_it_extends(tmp_path):
    folder = written(
        tmp_path,
        _base="kind: classification\nsource: {page: p, licence: l}\n",
        middle="extends: _base\nsource: {licence: own}\ncases: 3\n",
        last="extends: middle\ncases: 4\n",
    )
    document = read_task(folder / "last.yaml")
    assert document.data == {
        "kind": "classification",
        "source": {"page": "p", "licence": "own"},
        "cases": 4,
    }
    assert document.line(("cases",)) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: a\nextends: bas\n", "one.yaml:2: unknown task 'bas'. Did you mean"),
        ("extends: two\n", "one.yaml:1: extends: one extends itself"),
        ("split: {kind: lists, file: no.yaml}\n", "one.yaml:1: .*no.yaml does not"),
        ("split: {kind: lists, file: base.yaml}\n",
         "one.yaml:1: .*base.yaml: expected lists of case ids under train, val and"),
    ],
)  # fmt: skip
def test_what_a_task_takes_from_elsewhere_must_be_there(tmp_path, text, message):
    folder = written(tmp_path, base="title: a\n", two="extends: one\n", one=text)
    try:
        found = read_task(folder / "one.yaml").mistakes
    except Mistakes as error:
        found = error.mistakes
    assert re.match(message, str(Mistakes(found)).replace(f"{folder}/", ""))


def test_lists_of_a_split_are_read_from_a_file_beside_the_task(tmp_path):
    lists = {"train": ["a", 7], "val": ["b"], "test": ["c"]}
    (tmp_path / "lists.json").write_text(json.dumps(lists))
    written(tmp_path, one="split: {kind: lists, file: lists.json, others: leave_out}\n")
    assert read_task(tmp_path / "one.yaml").data["split"] == {
        "kind": "lists", "others": "leave_out",
        "train": ["a", "7"], "val": ["b"], "test": ["c"],
    }  # fmt: skip
