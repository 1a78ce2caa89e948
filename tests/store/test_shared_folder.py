"""A results folder that a group shares: what one writes, the others can read and write."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

WRITTEN = Path(__file__).with_name("written") / "aac7597"
# In a process of its own: the umask is the process's.
WORK = """
import os, sys
from pathlib import Path
os.umask(int(sys.argv[3], 8))
from harness.store import Store
from harness.store.collect import collect
from harness.store.sources import opened
from harness.store.sql import ask
from harness.store.transfer import export, import_nodes
old, new = Store(sys.argv[1]), Store(sys.argv[2])
collect(old)
export(old, old.done(), Path(sys.argv[2]).with_name("nodes.tar"))
with opened(Path(sys.argv[2]).with_name("nodes.tar")) as source:
    import_nodes(new, source)
collect(new)
ask(new, "select count(*) from cases")
key = next(iter(new.done()))
new.begin(key, made_by={"packages": {"a": "1"}}).fail("code", "it broke")
new.file(key, next(iter(new.manifest(key).files))).write_bytes(b"x")
assert new.set_aside(key)
"""


def work(tmp_path, mask):
    old = shutil.copytree(WRITTEN, tmp_path / "old")
    new = tmp_path / "new"
    new.mkdir()
    new.chmod(0o2775)
    arguments = [str(old), str(new), f"{mask:o}"]
    subprocess.run([sys.executable, "-c", WORK, *arguments], check=True)
    return new


@pytest.mark.parametrize("mask", [0o002, 0o077])
def test_everything_is_made_with_the_users_umask(tmp_path, mask):
    new = work(tmp_path, mask)
    paths = list(new.rglob("*"))
    names = {path.name for path in paths}
    assert {
        "CURRENT",
        "snapshot.json",
        "cases.parquet",
        "spec.json",
        "run.json",
    } <= names
    assert any(name.endswith(".bad-1") for name in names)
    for path in paths:
        mode = path.stat().st_mode
        usual = 0o777 if path.is_dir() else 0o666
        assert stat.S_IMODE(mode) & 0o777 == usual & ~mask, path
    assert stat.S_IMODE((tmp_path / "nodes.tar").stat().st_mode) == 0o666 & ~mask


def test_new_folders_keep_the_group_of_a_setgid_folder(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root may give a folder to any group")
    shared = tmp_path / "shared"
    shared.mkdir()
    os.chown(shared, -1, 12345)
    shared.chmod(0o2775)
    code = (
        "import os, sys\nos.umask(0o002)\n"
        "from harness.store import Store\nfrom harness.store.collect import collect\n"
        "from harness.store.sources import opened\n"
        "from harness.store.transfer import import_nodes\nfrom pathlib import Path\n"
        "store = Store(sys.argv[1])\n"
        "with opened(Path(sys.argv[2])) as source:\n    import_nodes(store, source)\n"
        "collect(store)\n"
    )
    arguments = [str(shared), str(WRITTEN)]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    paths = list(shared.rglob("*"))
    assert len(paths) > 20
    for path in paths:
        assert path.stat().st_gid == 12345, path
        if path.is_dir():
            assert path.stat().st_mode & stat.S_ISGID, path


def test_labels_and_names_are_data_and_never_sql(tmp_path):
    from harness.store import Store
    from harness.store.collect import collect
    from harness.store.query import case_scores
    from harness.store.sql import ask

    evil = "x'; drop table runs; --"
    store = Store(shutil.copytree(WRITTEN, tmp_path / f"results {evil}"))
    for path in store.root.glob("nodes/*/*/attempts/*/run.json"):
        record = json.loads(path.read_text())
        record["labels"]["method"] = evil
        path.write_text(json.dumps(record))
    collect(store)
    rows = ask(store, "select distinct method from runs").rows
    assert rows == [(evil,)]
    done = store.done()
    key = next(k for k in done if "cases.parquet" in done[k].files)
    files = {key: done.table(key, "cases")}
    assert case_scores(files, metric=evil, charge={}).num_rows == 0
    assert case_scores(files, metric="dice", charge={}).num_rows == 3
