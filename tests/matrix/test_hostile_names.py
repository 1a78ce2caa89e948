"""Names in YAML become parts of paths, of options and of tables: none may escape."""

import pytest
import yaml

from harness.schema.errors import Mistakes, UserError

HOSTILE = [
    "../../outside", "/tmp/outside", "..", ".", ".hidden", "a/b", "a\\b", "-rf", "--help",
    "a b", "a;b", "a$(touch x)", "`touch x`", "a|b", "a'b", 'a"b', "a\nb", "a\n", "a\x00b",
    "a%j", "x" * 65, "", "é", "a,b", "a=b", "~root",
]  # fmt: skip


def entries(name):
    return {
        "methods": {name: {"extends": "plain"}},
        "tasks": {name: {"extends": "organs", "protocols": ["finetune"]}},
        "protocols": {name: {"extends": "finetune"}},
    }


def tree(root):
    return sorted(path for path in root.rglob("*") if "__pycache__" not in str(path))


@pytest.mark.parametrize(
    ("kind", "name"),
    [("methods", name) for name in HOSTILE]
    + [(kind, name) for kind in ("tasks", "protocols") for name in HOSTILE[:4]],
)
def test_a_hostile_name_is_refused_where_it_stands(bench, kind, name):
    text = yaml.safe_dump(
        {
            "tier": "tiny", "corpus": "toys", "methods": {"plain": None},
            "protocols": {"finetune": None}, "tasks": {"organs": None},
            "label_budgets": ["100%"], "seeds": [0], kind: entries(name)[kind],
        }
    )  # fmt: skip
    path = bench.write(text)
    before = tree(bench.root.parent)
    with pytest.raises((Mistakes, UserError)) as caught:
        bench.load(text)
    said = str(caught.value)
    assert path.name in said
    assert "Traceback" not in said
    assert "is not a name" in said or "control characters" in said
    assert [p for p in tree(bench.root.parent) if "cache" not in str(p)] == [
        p for p in before if "cache" not in str(p)
    ]


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil"])
def test_files_are_not_found_outside_the_content_folders(bench, name):
    (bench.root.parent / "evil.yaml").write_text("extends: plain\n")
    for text in (
        f"methods: {{x: {{extends: {name}}}}}\n",
        f"corpus: {name}\nmethods: {{masked: }}\n",
    ):
        rest = (
            "tier: tiny\nprotocols: {finetune: }\ntasks: [organs]\n"
            "label_budgets: [100%]\nseeds: [0]\n"
        )
        with pytest.raises((Mistakes, UserError)):
            bench.load(text + rest)
