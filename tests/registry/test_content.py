"""Where content is found, and what is refused."""

import sys
from types import ModuleType

import pytest

from harness.registry import ShadowedPackage, find_content, load_module
from harness.registry.merging import merge
from harness.schema.errors import UserError


def _folder(path, *kinds):
    for kind in kinds:
        (path / kind).mkdir(parents=True)
    return path


def test_content_lies_beside_the_benchmark_file(tmp_path):
    home = _folder(tmp_path / "a", "methods", "tasks")
    assert find_content(home / "benchmark.yaml").roots == (home,)


def test_parents_are_searched_up_to_the_first_that_has_both(tmp_path):
    _folder(tmp_path, "methods", "tasks")
    home = _folder(tmp_path / "a", "methods", "tasks", "corpora")
    (home / "b" / "c").mkdir(parents=True)
    assert find_content(home / "b" / "c" / "x.yaml").roots == (home,)
    _folder(home / "b", "methods")
    content = find_content(home / "b" / "c" / "x.yaml")
    assert content.roots == (home, home / "b"), "the home of results comes first"


def test_without_content_the_sentence_says_what_to_do(tmp_path):
    _folder(tmp_path, "tasks")
    with pytest.raises(UserError, match=r"no folder with methods/ and tasks/ at .*put"):
        find_content(tmp_path / "benchmark.yaml")
    with pytest.raises(UserError, match=r"content folder .*nowhere does not exist"):
        find_content(tmp_path / "benchmark.yaml", [tmp_path / "nowhere"])


def test_a_name_in_two_roots_is_refused(bench, tmp_path):
    other = _folder(tmp_path / "other", "tasks")
    (other / "tasks" / "organs.yaml").write_text("title: other\n")
    content = find_content(bench.path, [other])
    with pytest.raises(UserError, match=r"task 'organs' is defined twice: in .*rename"):
        content.names("tasks")
    matrix_text = f"content: {other}\nmethods: [plain]\n"
    bench.write(matrix_text)
    from harness.matrix import load

    with pytest.raises(UserError, match="'organs' is defined twice"):
        load(bench.path)


def test_a_method_that_is_both_a_file_and_a_variant_is_refused(bench):
    bench.add("methods/masked.yaml", "extends: plain\n")
    with pytest.raises(UserError, match="method 'masked' is defined twice"):
        find_content(bench.path).names("methods")


def test_extra_roots_add_methods_and_tasks(bench, tmp_path):
    other = tmp_path / "other"
    path = bench.root / "methods" / "masked.py"
    (other / "methods").mkdir(parents=True)
    (other / "methods" / "fresh.py").write_text(path.read_text())
    (other / "tasks").mkdir()
    (other / "tasks" / "toy2.py").write_text((bench.root / "tasks/toy.py").read_text())
    text = (bench.root / "tasks/organs.yaml").read_text().replace("toy,", "toy2,")
    (other / "tasks" / "more.yaml").write_text(text)
    matrix = bench.load(
        f"tier: tiny\ncontent: [{other}]\ncorpus: [more]\nmethods: [fresh]\n"
        "protocols: [finetune]\ntasks: [more, organs]\n"
    )
    assert matrix.methods[0].stem == "fresh"
    assert matrix.results == bench.root / "results"
    from harness.plan import make_plan

    assert len(make_plan(matrix).cells) == 2


def test_names_are_file_stems_of_safe_letters(bench):
    for name in ("_hidden.py", "spa ce.py", "notes.txt", "_x.yaml"):
        bench.add(f"methods/{name}", "")
    names = find_content(bench.path).names("methods")
    assert names == ("broken", "flat", "joined", "masked", "masked_hard", "plain")


def test_modules_come_from_the_roots_whatever_is_installed(
    bench, tmp_path, monkeypatch
):
    installed = tmp_path / "site" / "tasks"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    (installed / "toy.py").write_text("stranger = True")
    monkeypatch.syspath_prepend(str(installed.parent))
    module = load_module([bench.root], "tasks", "toy")
    assert not hasattr(module, "stranger")
    assert module.__file__ == str(bench.root / "tasks" / "toy.py")


def test_a_stranger_that_is_loaded_already_is_refused(bench, tmp_path, monkeypatch):
    stranger = ModuleType("tasks")
    stranger.__path__ = [str(tmp_path)]
    stranger.__file__ = str(tmp_path / "__init__.py")
    monkeypatch.setitem(sys.modules, "tasks", stranger)
    with pytest.raises(ShadowedPackage, match=r"the module tasks at .* uninstall"):
        load_module([bench.root], "tasks", "toy")
    text = "tier: tiny\nmethods: [plain]\nprotocols: [finetune]\ntasks: [organs]\n"
    from harness.plan import make_plan

    matrix = bench.load(text)
    with pytest.raises(ShadowedPackage):
        make_plan(matrix)


def test_a_stranger_module_under_our_package_is_refused(bench, monkeypatch):
    load_module([bench.root], "tasks", "toy")
    stranger = ModuleType("tasks.toy")
    stranger.__file__ = "/elsewhere/toy.py"
    monkeypatch.setitem(sys.modules, "tasks.toy", stranger)
    with pytest.raises(ShadowedPackage, match=r"/elsewhere/toy\.py"):
        load_module([bench.root], "tasks", "toy")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1\n\n1 / 0\n", r"ZeroDivisionError: division by zero \(line 3\)\."),
        ("def f(:\n", r"SyntaxError: .* \(line 1\)\."),
        ("import sys\nsys.exit(3)\n", r"SystemExit: 3 \(line 2\)\."),
        ("raise ValueError('a\\nb')\n", r"ValueError: a \(line 1\)\."),
    ],
)
def test_a_file_that_fails_to_import_is_one_sentence(bench, source, said):
    bench.add("tasks/bad.py", source)
    with pytest.raises(UserError, match=r"tasks/bad.py could not be imported: " + said):
        load_module([bench.root], "tasks", "bad")
    with pytest.raises(UserError, match=r"no file nothing.py in .*tasks"):
        load_module([bench.root], "tasks", "nothing")


def test_another_kind_replaces_the_settings_of_the_old_one():
    base = {"intensity": {"kind": "window", "low": 0, "high": 1}}
    other = merge(base, {"intensity": {"kind": "percentiles"}})
    assert other == {"intensity": {"kind": "percentiles"}}
    assert merge(base, {"intensity": {"high": 2}})["intensity"]["low"] == 0
    assert base == {"intensity": {"kind": "window", "low": 0, "high": 1}}
