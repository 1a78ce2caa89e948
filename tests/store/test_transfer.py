"""Nodes go from one results folder to another, whole or not at all."""

import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from harness.schema.errors import UserError
from harness.store import Store
from harness.store.runs import runs_table
from harness.store.sources import opened
from harness.store.tables import read_tables
from harness.store.transfer import export, import_nodes

WRITTEN = Path(__file__).with_name("written") / "aac7597"


@pytest.fixture
def old(tmp_path):
    return Store(shutil.copytree(WRITTEN, tmp_path / "old"))


@pytest.fixture
def new(tmp_path):
    return Store(tmp_path / "new")


@pytest.fixture
def tar(old, tmp_path):
    path = tmp_path / "nodes.tar"
    assert export(old, old.done(), path) == 5
    return path


def take(store, path):
    with opened(path) as source:
        return import_nodes(store, source)


def everything(root):
    """All files below a folder: what must not change."""
    return {p: p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def rewritten(tar, change):
    """Write the tar anew; change: (name, bytes) -> bytes, or None to leave it out."""
    path = tar.with_name("changed.tar")
    with tarfile.open(tar) as source, tarfile.open(path, "w") as target:
        for member in source:
            data = change(member.name, source.extractfile(member).read())
            if data is not None:
                member.size = len(data)
                target.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("how", ["tar", "tar.gz", "folder", "unpacked"])
def test_nodes_arrive_as_they_were(old, new, tmp_path, how):
    path = tmp_path / f"nodes.{how}"
    if how == "folder":
        path = old.root
    else:
        export(old, old.done(), path)
    if how == "unpacked":
        folder = tmp_path / "by-hand"
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter="data")
        path = folder
    found = take(new, path)
    assert set(found.added) == set(old.done())
    assert (found.there, found.conflicts, found.refused) == ([], [], {})
    assert new.verify() == []
    for key in old.done():
        assert new.manifest(key) == old.manifest(key)
        assert new.spec(key) == old.spec(key)
        for name in old.manifest(key).files:
            assert new.file(key, name).read_bytes() == old.file(key, name).read_bytes()
    rows = [row for row in runs_table(old).to_pylist() if row["state"] == "done"]
    assert runs_table(new).num_rows == len(rows)
    packages = [path.name for path in (new.root / "provenance").iterdir()]
    assert packages == [path.name for path in (old.root / "provenance").iterdir()]
    assert not list(new.root.glob(".import*"))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_twice_is_once(new, tar):
    take(new, tar)
    before = everything(new.root / "nodes") | everything(new.root / "done")
    found = take(new, tar)
    assert (found.added, len(found.there)) == ([], 5)
    assert everything(new.root / "nodes") | everything(new.root / "done") == before


def test_what_was_computed_here_stays_and_is_said(old, new, tar, make_rows):
    from harness.store.tables import write_table

    done = old.done()
    key = next(k for k in done if done[k].kind == "evaluate"
               and "cases.parquet" in done[k].files)  # fmt: skip
    new.write_spec(old.spec(key))
    with new.begin(key, made_by={}) as attempt:
        write_table(attempt.path("cases.parquet"), make_rows(key, (0.125,)))
        attempt.publish()
    found = take(new, tar)
    assert found.conflicts == [key]
    assert len(found.added) == 4
    rows = read_tables("cases", [new.file(key, "cases.parquet")])
    assert rows["value"].to_pylist() == [0.125]


def test_a_damaged_node_here_is_replaced_by_a_sound_one(old, new, tar):
    take(new, tar)
    key = next(k for k in new.done() if "cases.parquet" in new.manifest(k).files)
    path = new.file(key, "cases.parquet")
    path.write_bytes(b"x" * path.stat().st_size)
    assert new.set_aside(key)
    found = take(new, tar)
    assert found.added == [key]
    assert new.verify() == []
    assert new.file(key, "cases.parquet") != path
    assert read_tables("cases", [new.file(key, "cases.parquet")]).num_rows == 3


def test_export_refuses_what_is_damaged_and_what_exists(old, tmp_path):
    path = tmp_path / "nodes.tar"
    path.write_text("mine")
    with pytest.raises(UserError, match=r"nodes\.tar exists: name a new file"):
        export(old, old.done(), path)
    assert path.read_text() == "mine"
    with pytest.raises(UserError, match=r"cannot be written .*: name another file"):
        export(old, old.done(), tmp_path / "none" / "nodes.tar")
    keys = list(old.done())
    key = next(k for k in keys if "cases.parquet" in old.manifest(k).files)
    file = old.file(key, "cases.parquet")
    file.write_bytes(b"x" * file.stat().st_size)
    target = tmp_path / "other.tar"
    with pytest.raises(
        UserError, match=rf"node {key[:16]} cannot be exported, since its"
    ):
        export(old, keys, target)
    assert [p.name for p in tmp_path.iterdir() if "other" in p.name] == []


def spoiled(data):
    changed = bytearray(data)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


CHANGES = {
    "a file has other bytes": (
        "cases.parquet", spoiled, "its file cases.parquet has other content"),
    "a file is longer": (
        "cases.parquet", lambda d: d + b"x", "its file cases.parquet has other content"),
    "a file is shorter": (
        "cases.parquet", lambda d: d[:-1], "its file cases.parquet has other content"),
    "a file is missing": (
        "cases.parquet", lambda _: None, "its file cases.parquet is missing"),
    "the spec is missing": ("spec.json", lambda _: None, "spec.json is missing"),
    "the spec is torn": ("spec.json", lambda d: d[:50], "its spec.json is damaged"),
    "the spec is of another node": (
        "spec.json", lambda d: d.replace(b"0.001", b"0.002"),
        "its spec.json is of another node"),
    "the manifest is torn": ("done", lambda d: d[:50], "manifest is not valid JSON"),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_what_cannot_be_trusted_is_refused_and_leaves_nothing(old, new, tar, what):
    part, change, message = CHANGES[what]
    key = next(k for k in old.done() if "cases.parquet" in old.manifest(k).files)

    def one(name, data):
        mine = key[:16] in name and (name.endswith(part) or name.startswith(part))
        return change(data) if mine else data

    found = take(new, rewritten(tar, one))
    assert [refused[:16] for refused in found.refused] == [key[:16]]
    assert message in next(iter(found.refused.values()))
    assert len(found.added) == 4
    assert not (new.node_dir(key) / "attempts").exists()
    assert new.why_not(key) == "never published"
    assert not list(new.root.glob(".import*"))


def evil(tar, key, names):
    """Let a manifest list files by `names`, and put files of these names into the tar."""
    base = f"nodes/{key[:2]}/{key[:16]}/attempts/"

    def change(name, data):
        if name == f"done/{key[:2]}/{key[:16]}.json":
            document = json.loads(data)
            entry = next(iter(document["files"].values()))
            document["files"] = dict.fromkeys(names, entry)
            return json.dumps(document).encode()
        return data

    path = rewritten(tar, change)
    with tarfile.open(path, "a") as archive:
        for name in names:
            for member in (name, base + name, f"{base}x/{name}"):
                info = tarfile.TarInfo(member)
                info.size = 4
                archive.addfile(info, io.BytesIO(b"evil"))
    return path


@pytest.mark.parametrize(
    "name",
    ["../../../../../../evil", "/tmp/evil-of-the-tests", "a/../../evil", ".hidden",
     "x\x00y", "-rf", "a//b", "C:\\evil"],
)  # fmt: skip
def test_names_cannot_lead_out_of_the_results_folder(old, new, tar, tmp_path, name):
    key = next(iter(old.done()))
    path = evil(tar, key, [name])
    before = everything(tmp_path)
    found = take(new, path)
    assert "names that are not allowed" in found.refused[key[:16]]
    outside = {
        path: data
        for path, data in everything(tmp_path).items()
        if not path.is_relative_to(new.root)
    }
    assert outside == before
    assert not Path("/tmp/evil-of-the-tests").exists()


@pytest.mark.parametrize("attempt", ["../../../evil", "a/b", "/evil", ".."])
def test_the_name_of_an_attempt_cannot_lead_out_either(old, new, tar, attempt):
    key = next(iter(old.done()))

    def change(name, data):
        if name.startswith("done/") and key[:16] in name:
            return json.dumps({**json.loads(data), "attempt": attempt}).encode()
        return data

    found = take(new, rewritten(tar, change))
    assert "not allowed" in found.refused[key[:16]]


def test_links_and_devices_are_not_followed(old, new, tar, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    key = next(k for k in old.done() if "cases.parquet" in old.manifest(k).files)
    path = rewritten(
        tar, lambda name, data: None if name.endswith("cases.parquet") else data
    )
    manifest = old.manifest(key)
    place = f"nodes/{key[:2]}/{key[:16]}/attempts/{manifest.attempt}/cases.parquet"
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo(place)
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(link)
    assert take(new, path).refused[key] == "its file cases.parquet is missing"
    file = old.file(key, "cases.parquet")
    moved = tmp_path / "elsewhere.parquet"
    file.rename(moved)
    file.symlink_to(moved)
    assert take(new, old.root).refused[key] == "its file cases.parquet is missing"


def test_what_else_a_tar_holds_is_never_unpacked(new, tar, tmp_path):
    with tarfile.open(tar, "a") as archive:
        for name in ("done/aa/../../evil.json", "../evil", "format.json", "cache/evil"):
            info = tarfile.TarInfo(name)
            info.size = 4
            archive.addfile(info, io.BytesIO(b"evil"))
    assert len(take(new, tar).added) == 5
    assert not [path for path in tmp_path.rglob("*evil*")]
    assert json.loads((new.root / "format.json").read_text())["format"] == 1


@pytest.mark.parametrize("data", [b"", b"no tar at all", b"\x1f\x8bnot really"])
def test_what_is_no_tar_is_said(new, tmp_path, data):
    path = tmp_path / "nodes.tar"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"nodes\.tar cannot be read as a tar file"):
        take(new, path)


def test_a_cut_tar_is_said_and_what_came_before_stays(new, old, tmp_path):
    path = tmp_path / "nodes.tar.gz"
    export(old, old.done(), path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UserError, match="cannot be read as a tar file"):
        take(new, path)
    assert new.verify() == []


def test_an_import_that_is_killed_halfway_goes_on(new, tar, monkeypatch):
    from harness.store import manifests

    real, count = manifests.publish, []

    def dies(root, manifest):
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt
        return real(root, manifest)

    monkeypatch.setattr(manifests, "publish", dies)
    with pytest.raises(KeyboardInterrupt):
        take(new, tar)
    assert len(new.done()) == 2
    assert len(take(new, tar).added) == 3
    assert new.verify() == []


def test_a_newer_manifest_is_refused(new, tar):
    path = rewritten(
        tar, lambda name, data: data.replace(b'"format":1', b'"format":2', 1)
        if name.startswith("done/") else data,
    )  # fmt: skip
    with pytest.raises(UserError, match="format 2, and this harness knows"):
        take(new, path)


def test_weights_that_are_not_kept_are_no_conflict(old, new, tmp_path, make_spec):
    from harness.store import manifests

    spec = make_spec(7)
    old.write_spec(spec)
    with old.begin(spec["key"], made_by={}) as attempt:
        attempt.path("model.safetensors").write_bytes(b"weights")
        attempt.path("scores.txt").write_text("0.5")
        attempt.publish()
    export(old, [spec["key"]], tmp_path / "whole.tar")
    take(new, tmp_path / "whole.tar")
    assert manifests.remove(new.root, spec["key"], ["model.safetensors"])
    found = take(new, tmp_path / "whole.tar")
    assert (found.there, found.conflicts) == ([spec["key"]], [])
    export(new, [spec["key"]], tmp_path / "scores.tar")
    third = Store(tmp_path / "third")
    assert take(third, tmp_path / "scores.tar").added == [spec["key"]]
    assert list(third.manifest(spec["key"]).files) == ["scores.txt"]
    assert take(third, tmp_path / "whole.tar").there == [spec["key"]]
