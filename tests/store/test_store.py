import json
import os
import stat
import subprocess
import sys

import pytest

from harness.schema.errors import UserError
from harness.store import Store
from harness.store.tables import read_tables


def snapshot(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_opening_writes_nothing(tmp_path):
    Store(tmp_path / "results").done()
    assert not (tmp_path / "results").exists()


def test_what_is_published_can_be_read(store, published):
    key = published(values=(0.5, None))
    manifest = store.manifest(key)
    assert manifest.key == key
    assert manifest.labels == {"method": "fake", "task": "toy", "seed": 0}
    assert manifest.run["wall_s"] >= 0
    assert store.is_done(key)
    assert store.why_not(key) is None
    rows = read_tables("cases", [store.file(key, "cases.parquet")])
    assert rows["value"].to_pylist() == [0.5, None]
    assert dict(store.done()) == {key: manifest}
    assert store.done()[key[:16]] == manifest
    assert Store(store.root).manifest(key[:16]) == manifest


def test_labels_and_measurements_are_added_when_publishing(store, planned):
    key = planned()
    with store.begin(key, {"backend": "inline"}, made_by={}) as attempt:
        attempt.path("model.bin").write_bytes(b"123")
        attempt.note(device="cpu", trainable_params=7)
        attempt.publish({"n_train": 5})
    manifest = store.done()[key]
    assert manifest.labels["n_train"] == 5
    assert manifest.labels["method"] == "fake"
    assert manifest.run["trainable_params"] == 7
    (run,) = store.attempts(key)
    assert run["labels"]["n_train"] == 5
    assert run["where"] == {"backend": "inline"}


def test_only_finished_files_are_published(store, planned):
    key = planned()
    with store.begin(key, made_by={}) as attempt:
        attempt.path("deep/er/a.txt").write_text("a")
        attempt.log.write_text("hello")
        (attempt.dir / ".a.txt.123").write_text("half a fi")
        attempt.publish()
    assert list(store.manifest(key).files) == ["deep/er/a.txt"]
    assert store.file(key, "deep/er/a.txt").read_text() == "a"
    with pytest.raises(UserError, match=r"published no 'b.txt', only deep/er/a.txt"):
        store.file(key, "b.txt")


@pytest.mark.parametrize(
    "name", ["run.json", "log.txt", "../x", ".hidden", "a b", "/x"]
)
def test_names_that_cannot_be_published_are_refused(store, planned, name):
    with store.begin(planned(), made_by={}) as attempt:
        with pytest.raises(ValueError, match="cannot name a published file"):
            attempt.path(name)
        attempt.fail("code", "over")


def test_links_are_not_published(store, planned):
    key = planned()
    attempt = store.begin(key, made_by={})
    attempt.path("link").symlink_to("/etc/hostname")
    with pytest.raises(ValueError, match="'link' cannot be published"):
        attempt.publish()
    assert attempt.state == "failed"
    assert not store.is_done(key)


def test_the_first_attempt_wins(store, planned):
    key = planned()
    first, second = store.begin(key, made_by={}), store.begin(key, made_by={})
    first.path("a.txt").write_text("first")
    second.path("a.txt").write_text("second")
    assert second.publish() == "published"
    assert first.publish() == "duplicate"
    assert store.file(key, "a.txt").read_text() == "second"
    states = {run["attempt"]: run["state"] for run in store.attempts(key)}
    assert states == {first.id: "duplicate", second.id: "done"}
    with pytest.raises(RuntimeError, match="has ended as done"):
        second.publish()


def test_a_spec_keeps_its_identity_and_refreshes_the_rest(store, make_spec):
    spec = make_spec()
    store.write_spec(spec)
    before = snapshot(store.root)
    store.write_spec(spec)
    assert snapshot(store.root) == before
    moved = {**spec, "where": {"data_roots": ["/elsewhere"]}}
    store.write_spec(moved)
    assert store.spec(spec["key"]) == moved
    with pytest.raises(ValueError, match="is not the key of its identity"):
        store.write_spec({**spec, "identity": {**spec["identity"], "version": 2}})


def test_a_damaged_spec_is_named_and_written_again(store, make_spec):
    spec = make_spec()
    with pytest.raises(
        UserError, match=r"spec.json is missing: run the benchmark again"
    ):
        store.begin(spec["key"])
    store.write_spec(spec)
    (store.node_dir(spec["key"]) / "spec.json").write_text('{"key": ')
    with pytest.raises(
        UserError, match=r"spec.json is damaged: run the benchmark again"
    ):
        store.spec(spec["key"])
    store.write_spec(spec)
    assert store.spec(spec["key"]) == spec


def test_two_keys_with_one_name_are_noticed(store, make_spec):
    spec = make_spec()
    store.write_spec(spec)
    path = store.node_dir(spec["key"]) / "spec.json"
    other = spec["key"][:16] + "0" * 48
    path.write_text(json.dumps({**spec, "key": other}))
    with pytest.raises(ValueError, match="share the name"):
        store.write_spec(spec)


@pytest.mark.parametrize("key", ["", "../../etc", "abc", "G" * 64, "a" * 63])
def test_only_keys_name_folders(store, key):
    with pytest.raises(ValueError, match="is not a node key"):
        store.node_dir(key)


def damage(store, key, how):
    manifest_file = store.root / "done" / key[:2] / f"{key[:16]}.json"
    table = store.file(key, "cases.parquet")
    if how == "missing":
        table.unlink()
        return "its published file cases.parquet is missing"
    if how == "size":
        size = table.stat().st_size
        with table.open("ab") as file:
            file.write(b"x")
        return f"cases.parquet has {size + 1} bytes, expected {size}"
    document = json.loads(manifest_file.read_text())
    if how == "truncated":
        manifest_file.write_text(manifest_file.read_text()[:50])
        os.utime(manifest_file, (1, 1))  # old: nobody can be writing it
        return "its manifest is not valid JSON"
    if how == "lacking":
        del document["files"]
    elif how == "list":
        document = [document]
    elif how == "foreign":
        document["key"] = "0" * 64
    elif how == "escaping":
        document["files"] = {"../../../../x": {"size": 1, "sha256": "0"}}
    manifest_file.write_text(json.dumps(document))
    return {
        "lacking": "its manifest lacks or garbles 'files'",
        "list": "its manifest is not a JSON object",
        "foreign": "its manifest is of another node, 0000000000000000",
        "escaping": "its manifest names no files, or names that are not allowed",
    }[how]


HOWS = ["missing", "size", "truncated", "lacking", "list", "foreign", "escaping"]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("indexed", [False, True])
def test_damage_means_not_done_with_a_reason_and_is_superseded(
    store, published, how, indexed
):
    key, other = published(0), published(1)
    if indexed:
        old = 1_000_000_000
        for shard in (store.root / "done").iterdir():
            os.utime(shard, (old, old))
        assert set(store.done()) == {key, other}
    reason = damage(store, key, how)
    assert reason in store.why_not(key)
    assert not store.is_done(key)
    assert store.manifest(key) is None
    done = store.done()
    assert key not in done
    assert set(done) == {other}
    assert len(done) == 1
    with pytest.raises(KeyError):
        done[key]
    assert reason in done.why_not(key)
    assert list(done.problems()) == [key[:16]]
    with pytest.raises(UserError, match=r"is not done \(.*\): run the benchmark again"):
        store.file(key, "cases.parquet")
    assert [problem.key for problem in store.verify()] == [key[:16]]

    with store.begin(key, made_by={}) as attempt:
        attempt.path("new.txt").write_text("new")
        assert attempt.publish() == "published"
    assert store.file(key, "new.txt").read_text() == "new"
    assert set(store.done()) == {key, other}
    shard = store.root / "done" / key[:2]
    assert (shard / f"{key[:16]}.json.bad-1").exists()
    assert [run["state"] for run in store.attempts(key)] == ["duplicate", "done"]
    assert not [path for path in shard.iterdir() if path.name.startswith(".")]


def test_damaged_manifests_pile_up_without_loss(store, published):
    key = published()
    contents = []
    for _ in range(3):
        path = store.root / "done" / key[:2] / f"{key[:16]}.json"
        contents.append(path.read_bytes())
        for name in store.manifest(key).files:
            store.file(key, name).unlink()
        with store.begin(key, made_by={}) as attempt:
            attempt.path("a.txt").write_text("a")
            assert attempt.publish() == "published"
    aside = [path.with_name(f"{path.name}.bad-{n}").read_bytes() for n in (1, 2, 3)]
    assert aside == contents


def test_a_sound_manifest_that_came_in_between_is_put_back(store, published):
    from harness.store import manifests

    key = published()
    before = store.manifest(key)
    manifests._move_aside(store.root, key, lambda _: True)
    assert store.manifest(key) == before


def test_verify_reads_every_byte(store, published):
    sound, broken = published(0), published(1)
    path = store.file(broken, "cases.parquet")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert store.is_done(broken)  # presence and size are right
    seen = []
    problems = store.verify(progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    assert [problem.key for problem in problems] == [broken]
    assert "cases.parquet has other content" in problems[0].message
    assert store.verify([sound]) == []
    assert store.verify(["0" * 64])[0].message == "never published"


def test_verify_reports_every_fault_of_a_node(store, planned):
    key = planned()
    with store.begin(key, made_by={}) as attempt:
        for name in ("a.txt", "b.txt", "c.txt"):
            attempt.path(name).write_text(name)
        attempt.publish()
    store.file(key, "a.txt").write_text("A.txt")
    store.file(key, "b.txt").write_text("longer than it was")
    (store.node_dir(key) / "attempts" / attempt.id / "c.txt").unlink()
    assert [problem.message for problem in store.verify()] == [
        "its published file a.txt has other content than was published",
        "its published file b.txt has 18 bytes, expected 5",
        "its published file c.txt is missing",
    ]


def test_a_node_that_is_set_aside_is_done_again(store, published):
    sound, broken = published(0), published(1)
    path = store.file(broken, "cases.parquet")
    size = path.stat().st_size
    path.write_bytes(b"x" * size)
    manifest = store.root / "done" / broken[:2] / f"{broken[:16]}.json"
    text = manifest.read_bytes()
    assert not store.set_aside(sound)
    assert store.set_aside(broken)
    assert set(store.done()) == {sound}
    assert store.why_not(broken) == "never published"
    assert manifest.with_name(f"{manifest.name}.bad-1").read_bytes() == text
    (record,) = store.attempts(broken)
    assert record["state"] == "lost"
    assert record["message"] == "it was published, and its manifest is gone or damaged"
    with store.begin(broken, made_by={}) as attempt:
        attempt.path("new.txt").write_text("new")
        assert attempt.publish() == "published"
    assert store.verify() == []


def test_a_node_that_cannot_be_read_is_not_set_aside(store, published, monkeypatch):
    from harness.store import manifests

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    key = published()
    monkeypatch.setattr(manifests, "hash_file", refuse)
    assert store.verify()[0].message == (
        "its published file cases.parquet cannot be read (Permission denied)"
    )
    assert not store.set_aside(key)
    assert store.is_done(key)


def test_a_newer_results_folder_is_refused_and_left_alone(store, published):
    key = published()
    (store.root / "format.json").write_text('{"format": 2}')
    before = snapshot(store.root)
    with pytest.raises(UserError, match=r"written in format 2.*update the harness"):
        Store(store.root)
    (store.root / "format.json").write_text('{"format": 1}')
    path = store.root / "done" / key[:2] / f"{key[:16]}.json"
    path.write_text(path.read_text().replace('"format":1', '"format":2'))
    for read in (store.done, lambda: store.manifest(key), store.verify):
        with pytest.raises(UserError, match=r"written in format 2.*update the harness"):
            read()
    with store.begin(key, made_by={}) as attempt:
        attempt.path("a.txt").write_text("a")
        with pytest.raises(UserError, match="update the harness"):
            attempt.publish()
    assert '"format":2' in path.read_text()
    assert set(before) <= set(snapshot(store.root))


@pytest.mark.parametrize("text", ["", "[]", '{"made_by": "x"}', "{"])
def test_a_damaged_format_file_is_named(tmp_path, text):
    (tmp_path / "format.json").write_text(text)
    with pytest.raises(UserError, match=r"format.json is damaged: restore its line"):
        Store(tmp_path)


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path, make_spec):
    path = tmp_path / "results"
    path.write_text("")
    with pytest.raises(UserError, match="is a file: choose another results folder"):
        Store(path)
    store = Store(tmp_path / "x")
    (tmp_path / "x").write_text("")
    with pytest.raises(UserError, match=r"x cannot be used, since .*x is in the way"):
        store.write_spec(make_spec())


def test_a_read_only_folder_gives_one_sentence(store, published, make_spec, read_only):
    key = published()
    attempt = store.begin(key, made_by={})
    attempt.path("a.txt").write_text("a")
    (store.root / "done" / key[:2] / f"{key[:16]}.json").unlink()
    read_only(store.root)
    message = r"^the results folder .* cannot be written to \(.*\): make it writable"
    with pytest.raises(UserError, match=message):
        store.write_spec(make_spec(9))
    with pytest.raises(UserError, match=message):
        Store(store.root).begin(key, made_by={})
    with pytest.raises(UserError, match=message):
        attempt.publish()


def test_a_read_only_folder_can_be_read(store, published, read_only):
    key = published()
    read_only(store.root)
    assert set(Store(store.root).done()) == {key}
    assert Store(store.root).verify() == []
    assert not (store.root / "cache" / "index").exists()


def test_files_follow_the_users_umask(tmp_path, make_spec):
    code = (
        "import os, sys, json\n"
        "os.umask(0o002)\n"
        "from harness.store import Store\n"
        "from harness.store.tables import build, write_table\n"
        "store, spec = Store(sys.argv[1]), json.loads(sys.argv[2])\n"
        "store.write_spec(spec)\n"
        "with store.begin(spec['key'], made_by={'packages': {}}) as attempt:\n"
        "    curve = dict(key=['k'], split=['train'], quantity=['loss'], step=[1])\n"
        "    write_table(attempt.path('sub/curves.parquet'), build('curves', curve))\n"
        "    attempt.publish()\n"
        "store.done()\n"
    )
    root = tmp_path / "results"
    arguments = [str(root), json.dumps(make_spec())]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    files = [path for path in root.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"run.json", "spec.json", "curves.parquet"}
    assert len(files) >= 7
    for path in root.rglob("*"):
        expected = 0o775 if path.is_dir() else 0o664
        assert stat.S_IMODE(path.stat().st_mode) == expected, path
