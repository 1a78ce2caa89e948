from __future__ import annotations

import io
import stat
import tarfile
import zipfile

import pytest

from harness.schema.errors import DataError
from harness.volumes.unpack import is_unpacked, unpack


def tar_of(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content
                tar.addfile(info)
    return path


def zip_of(path, members):
    with zipfile.ZipFile(path, "w") as zipped:
        for name, content in members.items():
            if isinstance(content, bytes):
                zipped.writestr(name, content)
            else:
                info = zipfile.ZipInfo(name)
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
                zipped.writestr(info, content[1])
    return path


MAKE = {"tar": tar_of, "zip": zip_of}


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_files_and_folders_lie_beside_the_archive(tmp_path, kind):
    members = {
        "set/a.txt": b"a",
        "set/sub/b.txt": b"b",
        "set/._a.txt": b"",
        "._set": b"",
    }
    archive = MAKE[kind](tmp_path / f"x.{kind}", members)
    assert not is_unpacked(archive)
    unpack(archive, kind)
    assert is_unpacked(archive)
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*"))
    marker = f"x.{kind}.unpacked"
    assert found == [
        "set",
        "set/a.txt",
        "set/sub",
        "set/sub/b.txt",
        f"x.{kind}",
        marker,
    ]
    assert (tmp_path / "set" / "sub" / "b.txt").read_bytes() == b"b"


HOSTILE = [
    ("../out.txt", b"x", "leads out of"),
    ("set/../../out.txt", b"x", "leads out of"),
    ("/tmp/out.txt", b"x", "leads out of"),
    ("..\\out.txt", b"x", "leads out of"),
    ("set/link", (tarfile.SYMTYPE, "/etc"), "link or device"),
]


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize(("name", "content", "said"), HOSTILE)
def test_members_that_would_leave_the_folder(tmp_path, kind, name, content, said):
    inside = tmp_path / "in"
    inside.mkdir()
    archive = MAKE[kind](inside / f"x.{kind}", {"set/good.txt": b"ok", name: content})
    with pytest.raises(DataError, match=said):
        unpack(archive, kind)
    assert [p.name for p in tmp_path.rglob("*")] == ["in", f"x.{kind}"]


@pytest.mark.parametrize("link", [tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_hard_links_and_devices(tmp_path, link):
    archive = tar_of(tmp_path / "x.tar", {"a": (link, "b")})
    with pytest.raises(DataError, match="link or device"):
        unpack(archive, "tar")


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_broken_archives_leave_nothing(tmp_path, kind):
    archive = MAKE[kind](tmp_path / f"x.{kind}", {"a.txt": bytes(range(256)) * 400})
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="not a readable archive"):
        unpack(archive, kind)
    assert [p.name for p in tmp_path.iterdir()] == [f"x.{kind}"]


def test_what_is_there_is_not_overwritten(tmp_path):
    archive = tar_of(tmp_path / "x.tar", {"set/a.txt": b"new"})
    (tmp_path / "set").mkdir()
    with pytest.raises(DataError, match=r"set exists already; move it away"):
        unpack(archive, "tar")
    assert not (tmp_path / "set" / "a.txt").exists()
