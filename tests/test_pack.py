"""Facesets in one file: written, read in place of a folder, taken apart, and not believed."""

import errno
import json
import os
import random
import resource
import shutil
import stat
import struct
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from faceswap_cli.commands.packing import pack as pack_command
from faceswap_cli.commands.packing import unpack as unpack_command
from faceswap_cli.config import TrainConfig
from faceswap_cli.errors import ConfigError, FaceswapError, MediaError, WorkspaceError
from faceswap_cli.faces import pack as pack_module
from faceswap_cli.faces.faceset import open_faceset, picture_paths, write_aligned
from faceswap_cli.faces.metadata import with_comment
from faceswap_cli.faces.pack import Pack, is_plain
from faceswap_cli.faces.store import FacePack, find_aligned, open_files
from faceswap_cli.imaging import encode_image, write_image
from faceswap_cli.stages.pack import run_pack, run_unpack
from faceswap_cli.training.cache import Cache, refresh
from faceswap_cli.workspace import Workspace
from tests.facesets import blob, record, write_faceset

TOY = TrainConfig(resolution=32)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Six faces a side; of src, one has an edited mask, one a label."""
    made = write_faceset(tmp_path / "anna")
    write_image(made.edited_masks("src") / "000001_00.png", np.full((64, 64), 200, np.uint8))
    (made.aligned("src") / "000002_00.json").write_text('{"shapes": []}')
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def cached(workspace: Workspace) -> dict[str, bytes]:
    """Return the rows that training would see, by name."""
    place = find_aligned(workspace, "src")
    cache = Cache(workspace.cache, "src", place, workspace.edited_masks("src"), TOY)
    refresh(cache)
    faces, _ = cache.open()
    rows = faces.take(torch.arange(len(faces)))
    return {name: row.numpy().tobytes() for name, row in zip(faces.names, rows, strict=True)}


def zip_of(path: Path, members: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def face_bytes(index: int = 0) -> bytes:
    """Return an aligned picture."""
    encoded = encode_image(blob(64, (200, 90, 90), index), ".png")
    return with_comment(encoded, record(index).model_dump_json())


def test_packed_and_unpacked_is_the_same_to_the_byte(workspace: Workspace) -> None:
    before = contents(workspace.aligned("src"))
    [report] = run_pack(workspace, "src")
    assert (report.done, report.failed) == (8, {})
    assert report.facts["faces"], report.facts["masks"] == (6, 1)
    assert contents(workspace.aligned("src")) == before
    shutil.rmtree(workspace.aligned("src"))
    [report] = run_unpack(workspace, "src")
    assert (report.done, report.kept, report.failed) == (8, 0, {})
    assert contents(workspace.aligned("src")) == before


def test_it_is_an_ordinary_zip_with_stored_members(workspace: Workspace) -> None:
    run_pack(workspace, "src")
    with zipfile.ZipFile(workspace.packed("src")) as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert "mask/000001_00.png" in archive.namelist()
        about = json.loads(archive.read("faceset.json"))
    assert (about["version"], about["faces"], about["masks"], about["labels"]) == (1, 6, 1, 1)


def test_the_same_faces_make_the_same_pack(workspace: Workspace) -> None:
    run_pack(workspace, "src")
    first = workspace.packed("src").read_bytes()
    os.utime(workspace.aligned("src") / "000001_00.png", ns=(1, 1))
    run_pack(workspace, "src")
    assert workspace.packed("src").read_bytes() == first


def test_training_sees_the_same_in_the_pack_as_in_the_folder(workspace: Workspace) -> None:
    run_pack(workspace, "src")
    folder = cached(workspace)
    assert len(folder) == 6
    shutil.move(workspace.aligned("src"), workspace.root / "away")
    assert find_aligned(workspace, "src") == workspace.packed("src")
    assert cached(workspace) == folder


def test_the_folder_goes_before_the_pack(workspace: Workspace) -> None:
    run_pack(workspace, "src")
    assert find_aligned(workspace, "src") == workspace.aligned("src")
    for path in picture_paths(workspace.aligned("src")):
        path.unlink()
    assert find_aligned(workspace, "src") == workspace.packed("src")  # masks alone are no faceset
    workspace.packed("src").unlink()
    assert find_aligned(workspace, "src") == workspace.aligned("src")


def test_a_changed_member_is_decoded_again_and_no_other(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faceswap_cli.training import cache as cache_module

    run_pack(workspace, "src")
    members = dict(contents_of_zip(workspace.packed("src")))
    shutil.rmtree(workspace.aligned("src"))
    before, real, decoded = cached(workspace), cache_module._cut, list[str]()

    def counted(files: Any, name: str, config: TrainConfig) -> Any:
        decoded.append(name)
        return real(files, name, config)

    monkeypatch.setattr(cache_module, "_cut", counted)
    assert cached(workspace) == before
    assert decoded == []
    changed = bytearray(members["000003_00.png"])
    changed[-20] ^= 1  # as long as it was
    zip_of(workspace.packed("src"), members | {"000003_00.png": bytes(changed)})
    cached(workspace)
    assert decoded == ["000003_00.png"]
    black = encode_image(np.zeros((64, 64), np.uint8), ".png")
    zip_of(workspace.packed("src"), members | {"mask/000001_00.png": black})
    assert cached(workspace)["000001_00.png"] != before["000001_00.png"]
    assert decoded == ["000003_00.png", "000001_00.png", "000003_00.png"]


def contents_of_zip(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_mask_edited_since_goes_before_that_of_the_pack(workspace: Workspace) -> None:
    run_pack(workspace, "src")
    for path in picture_paths(workspace.aligned("src")):
        path.unlink()
    before = cached(workspace)
    write_image(workspace.edited_masks("src") / "000001_00.png", np.zeros((64, 64), np.uint8))
    after = cached(workspace)
    assert after["000001_00.png"] != before["000001_00.png"]
    assert {name: row for name, row in after.items() if before[name] != row}.keys() == {
        "000001_00.png"
    }


def test_records_and_pixels_of_a_pack_are_those_of_the_folder(workspace: Workspace) -> None:
    run_pack(workspace, "src")
    folder = open_faceset(workspace.aligned("src"))
    packed = open_faceset(workspace.packed("src"))
    assert [face.record for face in packed.faces] == [face.record for face in folder.faces]
    assert [face.path.name for face in packed.faces] == [face.path.name for face in folder.faces]
    for one, two in zip(packed.faces, folder.faces, strict=True):
        np.testing.assert_array_equal(one.image(), two.image())


def test_opening_reads_the_directory_and_no_picture(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_pack(workspace, "src")
    real, read = os.pread, list[int]()

    def counted(file: int, length: int, offset: int) -> bytes:
        read.append(length)
        return real(file, length, offset)

    monkeypatch.setattr(os, "pread", counted)
    files = FacePack(workspace.packed("src"))
    assert len(files.versions()) == 6
    smallest = min(path.stat().st_size for path in picture_paths(workspace.aligned("src")))
    assert len(read) == 5  # the tail, the directory; of faceset.json its two headers and itself
    assert max(read[1:]) < smallest
    read.clear()
    assert files.head("000000_00.png", 8) == b"\x89PNG\r\n\x1a\n"
    assert sum(read) < 100
    files.close()


def test_many_threads_read_one_pack(workspace: Workspace) -> None:
    run_pack(workspace, "src")
    files = open_files(workspace.packed("src"))
    expected = {path.name: path.read_bytes() for path in picture_paths(workspace.aligned("src"))}
    with ThreadPoolExecutor(8) as pool:
        names = list(expected) * 50
        assert list(pool.map(files.read, names)) == [expected[name] for name in names]
    files.close()


def test_a_pack_that_another_program_compressed_is_read(workspace: Workspace) -> None:
    run_pack(workspace, "src")
    before = contents(workspace.aligned("src"))
    members = contents_of_zip(workspace.packed("src"))
    zip_of(workspace.packed("src"), members | {"mask/": b""}, method=zipfile.ZIP_DEFLATED)
    shutil.rmtree(workspace.aligned("src"))
    assert len(cached(workspace)) == 6
    [report] = run_unpack(workspace, "src")
    assert report.failed == {}
    assert contents(workspace.aligned("src")) == before


def test_a_large_zip_is_read_by_its_64_bit_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)  # 65,535: takes long to write
    path = zip_of(tmp_path / "many.zip", {f"{i}.jpg": b"%d" % i for i in range(5)})
    data = bytearray(path.read_bytes())
    assert b"PK\6\6" in data
    # Where 16 and 32 bits are too few, the short form says so; zipfile had no need to.
    struct.pack_into("<2H2L", data, data.rfind(b"PK\5\6") + 8, *[0xFFFF] * 2, *[0xFFFFFFFF] * 2)
    path.write_bytes(data)
    assert Pack(path).read("4.jpg") == b"4"
    for place, value in ((32, 10**15), (40, 2**63), (48, 2**64 - 1)):  # members, length, start
        lying = data.copy()
        struct.pack_into("<Q", lying, data.rfind(b"PK\6\6") + place, value)
        path.write_bytes(lying)
        with pytest.raises(WorkspaceError, match="cannot be opened"):
            Pack(path)


def test_a_large_member_has_its_sizes_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive, archive.open("a.jpg", "w", force_zip64=True) as to:
        to.write(b"picture")
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\1\2")
    extra = struct.pack("<HHQQ", 1, 16, 7, 7)
    name = struct.unpack_from("<H", data, at + 28)[0]
    struct.pack_into("<LL", data, at + 20, 0xFFFFFFFF, 0xFFFFFFFF)
    struct.pack_into("<H", data, at + 30, len(extra))
    data[at + 46 + name : at + 46 + name] = extra
    end = data.rfind(b"PK\5\6")
    struct.pack_into("<L", data, end + 12, end - at)
    path.write_bytes(data)
    assert Pack(path).read("a.jpg") == b"picture"
    struct.pack_into("<Q", data, at + 46 + name + 4, 2**63 + 5)  # now it lies
    path.write_bytes(data)
    with pytest.raises(MediaError, match="too large"):
        Pack(path).read("a.jpg")


@pytest.mark.parametrize(
    "name", ["a.jpg", "anna, best one.JPG", "ä a.jpeg", "mask/a.png", "a.json"]
)
def test_plain_names_are_allowed(name: str) -> None:
    assert is_plain(name)
    assert not is_plain(name.replace("a", "a\0"))


EVIL = [
    *("../a.jpg", "/a.jpg", "mask/../a.png", "mask/../../a.png", "..\\a.jpg", "sub/a.jpg"),
    *(
        "mask/a.jpg",
        "mask/.png",
        ".jpg",
        ".hidden.jpg",
        "a.exe",
        "a.jpg/",
        "mask//a.png",
        "C:\\a.png",
    ),
    *("a\n.jpg", "a\x7f.png", "n" * 300 + ".jpg", "mask/mask/a.png", "~/a.jpg"),
]


@pytest.mark.parametrize("name", EVIL)
def test_other_names_are_not_written_anywhere(name: str, tmp_path: Path) -> None:
    assert not is_plain(name)
    workspace = write_faceset(tmp_path / "in" / "anna", count=1)
    members = {"good.png": face_bytes(), name: b"evil"}
    zip_of(workspace.packed("src"), members)
    before = set(tmp_path.rglob("*"))
    [report] = run_unpack(workspace, "src")
    assert len(report.failed) == 1
    made = sorted(set(tmp_path.rglob("*")) - before)
    assert [path.name for path in made if path.is_file()] == ["good.png", ".extract.lock"]
    assert (workspace.aligned("src") / "good.png").read_bytes() == members["good.png"]


def test_what_is_refused_is_named_printable(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", {"../\x1b[31mevil.jpg": b"", "a.png": face_bytes()})
    assert list(Pack(path).refused) == ["../\\x1b[31mevil.jpg"]
    assert list(Pack(path).members) == ["a.png"]


def special(path: Path, mode: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("link.jpg")
        info.external_attr = mode << 16
        archive.writestr(info, "/etc/passwd")


def encrypted(path: Path) -> None:
    patched(path, 6, 8, struct.pack("<H", 1))


def patched(path: Path, local_at: int, entry_at: int, value: bytes) -> None:
    """Write a pack of one member with something else in both of its headers."""
    zip_of(path, {"link.jpg": b"picture" * 10})
    data = bytearray(path.read_bytes())
    entry = data.find(b"PK\1\2")
    data[local_at : local_at + len(value)] = value
    data[entry + entry_at : entry + entry_at + len(value)] = value
    path.write_bytes(data)


def twice(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("link.jpg", b"one")
        archive.writestr("link.jpg", b"two")


def bomb(path: Path) -> None:
    zip_of(path, {"link.jpg": bytes(20_000_000)}, method=zipfile.ZIP_DEFLATED)


def lying_length(path: Path) -> None:
    """Inflates to more than its header says."""
    zip_of(path, {"link.jpg": bytes(60_000)}, method=zipfile.ZIP_DEFLATED)
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<L", 60_000), struct.pack("<L", 100)))


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "symlink": (lambda path: special(path, stat.S_IFLNK | 0o777), "a link or a folder"),
    "pipe": (lambda path: special(path, stat.S_IFIFO | 0o666), "a link or a folder"),
    "encrypted": (encrypted, "it is encrypted"),
    "bzip2": (lambda p: patched(p, 8, 10, struct.pack("<H", 12)), "by method 12: store it"),
    "twice": (twice, "in the pack twice"),
    "bomb": (bomb, "would become 20000000"),
    "more than it says": (lying_length, "not the 100 bytes"),
    "stored longer": (lambda p: patched(p, 22, 24, struct.pack("<L", 9999)), "70"),
    "check sum": (lambda p: patched(p, 14, 16, b"\1\2\3\4"), "check sum"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_member_that_lies_is_refused_with_the_reason(kind: str, tmp_path: Path) -> None:
    make, reason = HOSTILE[kind]
    workspace = write_faceset(tmp_path, count=1)
    make(workspace.packed("src"))
    [report] = run_unpack(workspace, "src")
    assert reason in report.failed["link.jpg"]
    assert not os.path.lexists(workspace.aligned("src") / "link.jpg")
    assert reason in open_faceset(workspace.packed("src")).skipped["link.jpg"]


def test_two_headers_that_differ_are_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", {"a.jpg": b"picture"})
    data = bytearray(path.read_bytes())
    data[30:35] = b"b.jpg"
    path.write_bytes(data)
    with pytest.raises(MediaError, match="two names"):
        Pack(path).read("a.jpg")


def test_members_that_lie_over_one_another_are_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", {f"{i}.jpg": bytes(1000) for i in range(5)})
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\1\2")
    while at >= 0:  # all of them name the bytes of the first
        struct.pack_into("<L", data, at + 42, 0)
        at = data.find(b"PK\1\2", at + 4)
    path.write_bytes(data)
    problems = [member.problem for member in Pack(path).members.values()]
    assert problems == ["it lies over another in the pack"] * 4 + [""]


def test_the_sum_of_all_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_module, "TOTAL_SLACK_BYTES", 1000)
    members = {f"{i}.png": bytes(60_000) for i in range(50)}
    path = zip_of(tmp_path / "a.zip", members, method=zipfile.ZIP_DEFLATED)
    with pytest.raises(WorkspaceError, match="would become 2 MiB"):
        Pack(path)


def test_what_is_no_zip_is_an_error_with_a_fix(tmp_path: Path) -> None:
    for data in (b"", b"PK\5\6", b"text", face_bytes(), b"PK\5\6" + b"\xff" * 18):
        path = tmp_path / "a.zip"
        path.write_bytes(data)
        with pytest.raises(WorkspaceError, match=r"a\.zip cannot be opened") as told:
            open_files(path)
        assert "faceset pack" in str(told.value)
    with pytest.raises(WorkspaceError, match="not a file"):
        Pack(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WorkspaceError, match="not a file"):
        Pack(tmp_path / "pipe")


def test_a_zip_without_a_face_is_an_empty_faceset(tmp_path: Path) -> None:
    for members in ({}, {"notes.txt": b"mine"}):
        faceset = open_faceset(zip_of(tmp_path / "a.zip", members))
        assert (faceset.faces, faceset.skipped) == ([], {})


def test_a_pack_of_a_newer_version_says_to_update(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", {"faceset.json": b'{"version": 2}'})
    with pytest.raises(WorkspaceError, match="has version 2, this program reads up to 1") as told:
        FacePack(path)
    assert "update faceswap-cli" in str(told.value)
    for odd in (b"", b"[]", b'{"version": "x"}', b'{"version": 1e999}', b"[" * 60_000):
        FacePack(zip_of(path, {"faceset.json": odd})).close()


def test_nothing_that_is_there_is_replaced(workspace: Workspace) -> None:
    run_pack(workspace, "src")
    mine = workspace.aligned("src") / "000003_00.png"
    write_aligned(mine, blob(64, (1, 2, 3), 0.0), record(3), jpeg_quality=95)
    (workspace.aligned("src") / "000004_00.png").unlink()
    (workspace.aligned("src") / "000004_00.png").symlink_to(workspace.root / "nowhere")
    (workspace.aligned("src") / "000005_00.png").unlink()
    kept = mine.read_bytes()
    [report] = run_unpack(workspace, "src")
    assert (report.done, report.kept) == (1, 5)
    assert report.failed.keys() == {"000003_00.png", "000004_00.png"}
    assert "left as it is" in report.failed["000003_00.png"]
    assert mine.read_bytes() == kept
    assert not (workspace.root / "nowhere").exists()


def test_a_damaged_picture_is_reported_and_the_rest_goes_on(workspace: Workspace) -> None:
    run_pack(workspace, "src")
    data = bytearray(workspace.packed("src").read_bytes())
    data[data.find(b"000002_00.png") + 400] ^= 0xFF
    workspace.packed("src").write_bytes(data)
    shutil.rmtree(workspace.aligned("src"))
    assert len(cached(workspace)) == 5
    [report] = run_unpack(workspace, "src")
    assert report.failed == {"000002_00.png": "damaged in the pack: its check sum differs"}
    assert report.done == 7


def test_a_file_that_cannot_be_packed_is_reported(workspace: Workspace) -> None:
    folder = workspace.aligned("src")
    (folder / "folder.png").mkdir()
    (folder / "line\nbreak.jpg").write_bytes(face_bytes())
    (folder / "nowhere.jpg").symlink_to(folder / "none")
    shutil.copy(folder / "000000_00.png", folder / "faceset.png")
    (folder / "faceset.json").write_text("{}")
    (folder / "notes.txt").write_text("mine")
    [report] = run_pack(workspace, "src")
    assert report.failed.keys() == {"folder.png", "line\nbreak.jpg", "nowhere.jpg", "faceset.json"}
    assert (report.done, "next" in report.facts) == (9, False)
    assert Pack(workspace.packed("src")).refused == {}


def test_a_pack_is_not_replaced_if_faces_would_be_lost(workspace: Workspace) -> None:
    run_pack(workspace, "src")
    before = workspace.packed("src").read_bytes()
    (workspace.aligned("src") / "000003_00.png").unlink()
    with pytest.raises(WorkspaceError, match="1 pictures that the folder has not: 000003") as told:
        run_pack(workspace, "src")
    assert "--redo" in str(told.value)
    assert workspace.packed("src").read_bytes() == before
    [report] = run_pack(workspace, "src", redo=True)
    assert report.facts["faces"] == 5
    other = workspace.root / "letters.zip"
    other.write_bytes(b"my own")
    with pytest.raises(WorkspaceError, match=r"letters\.zip that is no packed faceset"):
        run_pack(workspace, "src", output=other, redo=True)
    assert other.read_bytes() == b"my own"


def test_a_full_disk_leaves_the_old_pack(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_pack(workspace, "src")
    before = workspace.packed("src").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "writestr", full)
        with pytest.raises(WorkspaceError, match=r"cannot write aligned\.zip: the disk is full"):
            run_pack(workspace, "src")
    usage = shutil.disk_usage(workspace.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=10))
    for run in (run_pack, run_unpack):
        with pytest.raises(WorkspaceError, match="the disk is full: aligned"):
            run(workspace, "src")
    assert workspace.packed("src").read_bytes() == before
    assert not list(workspace.folder("src").glob(".*.partial"))


def test_a_disk_that_fills_up_inside_a_picture_leaves_nothing_behind(workspace: Workspace) -> None:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, old[1]))  # bytes of a file
    try:
        with pytest.raises(WorkspaceError, match=r"cannot write aligned\.zip: File too large"):
            run_pack(workspace, "src")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert [path.name for path in workspace.folder("src").iterdir()] == ["aligned"]


def test_both_sides_and_one_file(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--output names one file, and there are two sides"):
        run_pack(workspace, "both", output=tmp_path / "a.zip")
    with pytest.raises(ConfigError, match="--input names one file"):
        run_unpack(workspace, "both", source=tmp_path / "a.zip")
    assert [report.facts["side"] for report in run_pack(workspace, "both")] == ["src", "dst"]
    shutil.rmtree(workspace.aligned("dst"))
    workspace.packed("dst").unlink()
    assert [report.facts["side"] for report in run_pack(workspace, "both")] == ["src"]
    assert [report.facts["side"] for report in run_unpack(workspace, "both")] == ["src"]
    with pytest.raises(WorkspaceError, match="no aligned faces of dst"):
        run_pack(workspace, "dst")
    with pytest.raises(WorkspaceError, match=r"there is no aligned\.zip"):
        run_unpack(workspace, "dst")


def test_the_commands_move_a_faceset(workspace: Workspace, tmp_path: Path) -> None:
    box = tmp_path / "box.zip"
    arguments = [str(workspace.root), "--side", "src"]
    made = CliRunner().invoke(pack_command, [*arguments, "--output", str(box), "--json"])
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["faces"] == 6
    other = Workspace(tmp_path / "other")
    other.folder("src").mkdir(parents=True)
    arguments = [str(other.root), "--side", "src", "--input", str(box)]
    assert CliRunner().invoke(unpack_command, arguments).exit_code == 0
    assert contents(other.aligned("src")) == contents(workspace.aligned("src"))
    (other.aligned("src") / "000001_00.png").write_bytes(b"mine")
    again = CliRunner().invoke(unpack_command, arguments)
    assert again.exit_code == 4
    assert "FAILED 000001_00.png: another file of this name is there" in again.stdout


def test_mutated_packs_are_errors_and_never_a_crash(tmp_path: Path) -> None:
    members = {f"{i}.png": face_bytes(i)[:600] for i in range(4)} | {"mask/1.png": b"mask"}
    sources = [
        zip_of(tmp_path / "stored.zip", members).read_bytes(),
        zip_of(tmp_path / "deflated.zip", members, method=zipfile.ZIP_DEFLATED).read_bytes(),
    ]
    random_ = random.Random(5)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, outcomes = time.monotonic(), {"refused": 0, "member": 0, "whole": 0}
    path = tmp_path / "mutated.zip"
    for number in range(500):
        path.write_bytes(mutated(sources[number % 2], random_))
        try:
            files = FacePack(path)
        except FaceswapError:
            outcomes["refused"] += 1
            continue
        for name in [*files.pack.members]:
            try:
                assert files.read(name) == members.get(name, b"") or name not in members
                outcomes["whole"] += 1
            except FaceswapError:
                outcomes["member"] += 1
        files.close()
    assert time.monotonic() - started < 8
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 200_000
    assert min(outcomes.values()) > 20, outcomes


def mutated(data: bytes, random_: random.Random) -> bytes:
    """Return it cut, with bytes changed, or with a number of its directory made extreme."""
    changed = bytearray(data)
    directory = data.find(b"PK\1\2")
    kind = random_.randrange(4)
    if kind == 0:
        return data[: random_.randrange(len(data))]
    if kind == 1:
        for _ in range(random_.randrange(1, 20)):
            changed[random_.randrange(len(changed))] = random_.randrange(256)
    if kind == 2:
        at = random_.randrange(directory, len(data) - 8)
        changed[at : at + 4] = random_.choice(
            [b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80"]
        )
    if kind == 3:
        at = random_.randrange(len(data))
        changed[at:at] = random_.randbytes(random_.randrange(1, 40))
    return bytes(changed)
