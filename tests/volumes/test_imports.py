"""Planning imports this package: it must not bring torch (or MONAI) with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import harness.volumes

FOLDER = Path(harness.volumes.__file__).parent
MAY_USE_TORCH = {"crops", "augment"}


def test_only_crops_and_augment_import_torch():
    modules = []
    for path in sorted(FOLDER.rglob("*.py")):
        parts = path.relative_to(FOLDER).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if parts and parts[-1] in MAY_USE_TORCH:
            continue
        modules.append(".".join(("harness", "volumes", *parts)))
    assert "harness.volumes.cache" in modules
    assert "harness.volumes.formats" in modules
    code = (
        f"import importlib, sys\nfor name in {modules}: importlib.import_module(name)\n"
        "print([name for name in ('torch', 'monai') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
