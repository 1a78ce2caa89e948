import os
import subprocess

import pytest

from harness.schema.identity import key_of_identity
from harness.store import Store
from harness.store.tables import build, write_table


def spec_of(number=0, *, kind="evaluate", inputs=None, labels=None):
    identity = {
        "kind": kind,
        "implementation": "fake",
        "version": 1,
        "settings": {"number": number},
        "data": {},
        "seeds": {"seed": number},
        "inputs": inputs or {},
    }
    return {
        "key": key_of_identity(identity),
        "kind": kind,
        "identity": identity,
        "labels": {"method": "fake", "task": "toy", "seed": number, **(labels or {})},
        "where": {"data_roots": ["/somewhere"]},
    }


def case_rows(key, values=(0.5, 0.25)):
    count = len(values)
    return build(
        "cases",
        {
            "key": [key] * count,
            "case_id": [f"case{i}" for i in range(count)],
            "group_id": [f"patient{i}" for i in range(count)],
            "structure": ["liver"] * count,
            "metric": ["dice"] * count,
            "value": list(values),
            "diagonal_mm": [100.0] * count,
        },
    )


@pytest.fixture
def make_spec():
    return spec_of


@pytest.fixture
def make_rows():
    return case_rows


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


@pytest.fixture
def planned(store):
    """Write the spec of a new node and return its key."""

    def plan(number=0, **more):
        spec = spec_of(number, **more)
        store.write_spec(spec)
        return spec["key"]

    return plan


@pytest.fixture
def published(store, planned):
    """Publish a new node with one table and return its key."""

    def publish(number=0, values=(0.5, 0.25), **more):
        key = planned(number, **more)
        with store.begin(key, made_by={}) as attempt:
            write_table(attempt.path("cases.parquet"), case_rows(key, values))
            assert attempt.publish() == "published"
        return key

    return publish


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB; skips where it cannot be mounted."""
    yield from _mounted(tmp_path / "small", "size=1m")


@pytest.fixture
def read_only(tmp_path):
    """A function that makes a folder read-only, even for root."""
    undo = []

    def seal(folder):
        if os.geteuid() != 0:
            folder.chmod(0o555)
            undo.append(lambda: folder.chmod(0o755))
            return
        _mount("--bind", folder, folder)
        undo.append(lambda: subprocess.run(["umount", folder], check=True))
        _mount("-o", "remount,bind,ro", folder)

    yield seal
    for step in undo:
        step()


def _mount(*arguments):
    done = subprocess.run(["mount", *arguments], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("mounting is not allowed here")


def _mounted(folder, options):
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", options, "tmpfs", folder)
    yield folder
    subprocess.run(["umount", folder], check=True)
