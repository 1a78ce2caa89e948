"""No pickle is ever loaded from a results folder, a cache or a foreign checkpoint."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(
    path
    for folder in ("harness", "methods", "tasks", "scripts")
    for path in (ROOT / folder).rglob("*.py")
)
# Modules whose `load` runs what is written in the file.
UNSAFE = {
    "pickle",
    "cloudpickle",
    "dill",
    "joblib",
    "shelve",
    "marshal",
    "torch",
    "jsonpickle",
}
SAFE_NAMES = {"UnpicklingError"}  # what a refusal raises


def calls_that_unpickle(source):
    """Return (line, call) of what would run code from a file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "") in UNSAFE - {
            "torch"
        }:
            names = {alias.name for alias in node.names} - SAFE_NAMES
            found += [(node.lineno, f"from {node.module} import {n}") for n in names]
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner, name = ast.unparse(node.func.value), node.func.attr
        keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
        readers = {"load", "loads", "Unpickler", "open"}
        tensors_only = owner == "torch" and keywords.get("weights_only") == "True"
        arrays = owner in {"np", "numpy"} and name == "load"
        if (
            (owner in UNSAFE and name in readers and not tensors_only)
            or (arrays and keywords.get("allow_pickle") != "False")
            or (name == "read_pickle" or keywords.get("allow_pickle") == "True")
        ):
            found.append((node.lineno, ast.unparse(node)))
    return found


def test_nothing_unpickles():
    found = {
        str(path.relative_to(ROOT)): calls
        for path in SOURCES
        if (calls := calls_that_unpickle(path.read_text()))
    }
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "pickle.load(file)",
        "pickle.loads(data)",
        "from pickle import loads",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "pandas.read_pickle(path)",
        "joblib.load(path)",
    ],
)
def test_the_search_finds_what_it_looks_for(source):
    assert calls_that_unpickle(source)


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=False)",
        "json.load(file)",
        "safetensors.torch.load_file(path)",
    ],
)
def test_the_search_leaves_safe_readers_alone(source):
    assert not calls_that_unpickle(source)
