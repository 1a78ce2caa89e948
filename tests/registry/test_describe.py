"""Methods are described by a child process, once for each state of the sources."""

import subprocess
import sys

import pytest

from harness.registry import describe as module
from harness.registry.content import find_content
from harness.registry.describe import Request, cache_folder, describe
from harness.schema.errors import UserError


def test_no_child_starts_while_nothing_changes(folder, monkeypatch):
    """And one does when a method file changes. The parent never imports torch."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from harness.registry import describe\n"
        "asked = []\n"
        "real = describe._ask_child\n"
        "describe._ask_child = lambda a: asked.append(1) or real(a)\n"
        "from harness.matrix import load\n"
        "path = Path(sys.argv[1])\n"
        "first = load(path); second = load(path)\n"
        "assert first.methods == second.methods\n"
        "counts = [len(asked)]\n"
        "masked = path.parent / 'methods' / 'masked.py'\n"
        "masked.write_text(masked.read_text().replace('version: ClassVar[int] = 3', "
        "'version: ClassVar[int] = 4'))\n"
        "third = load(path)\n"
        "counts.append(len(asked))\n"
        "text = path.read_text()\n"
        "path.write_text('# the same\\n' + text.replace('seeds: [0, 1]', 'seeds: [5]'))\n"
        "load(path)\n"
        "counts.append(len(asked))\n"
        "print(counts, [m.version for m in third.methods])\n"
        "assert not {'torch', 'monai', 'pandas'} & set(sys.modules), 'imported'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder.write())],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[1, 2, 2] [1, 4, 4]"
    assert len(list((cache_folder() / "methods").glob("*.json"))) == 2


def test_a_real_child_answers_as_the_class_in_this_process_does(folder):
    from harness.api import resolve
    from harness.registry.methods import load_method

    content = find_content(folder.path)
    overrides = {"mask_ratio": 0.5, "encoder": {"width": 24}}
    answer = describe(
        content,
        ["plain", "broken"],
        [Request("masked", "small", overrides), Request("masked", "tiny", {"x": 1})],
    )
    method = load_method(content.roots, "masked")
    expected = resolve(method.Settings, "small", overrides).model_dump(mode="json")
    assert answer.resolved[0].settings == expected
    assert answer.resolved[1].errors[0][0] == ("x",)
    about = answer.methods["masked"]
    assert (about.title, about.version, about.dims) == ("Hide and predict.", 3, (3,))
    assert about.role == "pretrained"
    assert "mask_ratio" in about.settings
    assert answer.methods["plain"].role == "baseline"
    assert "a_module_that_is_not_there" in answer.failures["broken"]
    assert not cache_folder().exists(), "a failed import is asked again next time"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1\n", "must define one class that extends Method, found none"),
        ("from harness.api import Method\nclass A(Method):\n    pass\n"
         "class B(Method):\n    pass\n", "found A, B"),
        ("from harness.api import Method\nclass A(Method):\n    pass\n",
         "A.Settings must extend MethodSettings"),
        ("from harness.api import *\nfrom harness.api import Method, MethodSettings\n"
         "class A(Method):\n    Settings = MethodSettings\n",
         "A.version must be an integer"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_method_is_refused(bench, source, said):
    bench.add("methods/odd.py", source)
    answer = describe(find_content(bench.path), ["odd"], [])
    assert said in answer.failures["odd"]


def test_a_child_that_dies_is_one_sentence(bench, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(module.sys, "executable", "/bin/false")
    with pytest.raises(UserError, match="describes the methods failed: no message"):
        module._ask_child({})


def test_a_damaged_cache_is_asked_again(bench):
    matrix = bench.load()
    (cached,) = (cache_folder() / "methods").glob("*.json")
    cached.write_text("{")
    assert bench.load().methods == matrix.methods
    assert cached.read_text() != "{"


def test_a_rule_of_the_method_is_told_as_the_method_says_it(bench):
    path = bench.root / "methods" / "masked.py"
    rule = (
        '    @model_validator(mode="after")\n'
        "    def _rule(self):\n"
        "        if self.batch % 2:\n"
        '            raise ValueError("batch must be even")\n'
        "        return self\n"
    )
    mark = "mask_ratio: float = Field(0.6, gt=0, lt=1)\n"
    path.write_text(path.read_text().replace(mark, mark + rule))
    text = "tier: tiny\ncorpus: toys\nmethods:\n  masked: {batch: 3}\n"
    text += "protocols: [finetune]\ntasks: [organs]\n"
    ((line, message),) = bench.mistakes(text)
    assert line == 4
    assert message.endswith("batch must be even")


def test_the_cache_lies_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDSSL_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("MEDSSL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "medssl-bench"
