import errno
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from faceswap_cli.errors import WorkspaceError
from faceswap_cli.files import (
    Manifest,
    expand_user,
    fingerprint,
    only_one,
    read_manifest,
    replacing,
    sweep_partials,
    write_atomic,
)

SETTINGS = {"size_px": 512, "engine": "mesh"}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.bin"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["a.bin"]


def test_failure_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_atomic(path, b"old")
    with pytest.raises(ZeroDivisionError), replacing(path) as partial:
        partial.write_bytes(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_interrupt_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_atomic(path, b"old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as partial:
        partial.write_bytes(b"half")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["a.bin"]


def test_kill_9_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from faceswap_cli.files import write_atomic\n"
        "path, n = Path(sys.argv[1]), 0\n"
        "while True:\n"
        "    write_atomic(path, bytes([n % 256]) * 2_000_000)\n"
        "    n += 1\n"
        "    if n == 2: print('going', flush=True)\n"
    )
    path = tmp_path / "a.bin"
    command = [sys.executable, "-c", code, str(path)]
    for _ in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        data = path.read_bytes()
        assert len(data) == 2_000_000
        assert len(set(data)) == 1
    sweep_partials(tmp_path)
    assert names(tmp_path) == ["a.bin"]


def test_sweep_takes_only_what_was_being_made(tmp_path: Path) -> None:
    for name in (".a.png.partial", "a.png", ".hidden", "b.partial"):
        (tmp_path / name).write_bytes(b"x")
    sweep_partials(tmp_path, tmp_path / "missing")
    assert names(tmp_path) == [".hidden", "a.png", "b.partial"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EROFS, "the folder is read-only"),
        (errno.EACCES, "writing is not permitted"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_failed_write_says_why_and_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: str
) -> None:
    path = tmp_path / "a.bin"
    write_atomic(path, b"old")

    def fail(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:2])
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(WorkspaceError) as caught:
        write_atomic(path, b"new bytes")
    assert f"cannot write a.bin: {reason}" in str(caught.value)
    assert f"seen in: {tmp_path}" in str(caught.value)
    assert "fix: " in str(caught.value)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_disk_that_really_fills_is_explained(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from faceswap_cli.errors import WorkspaceError\n"
        "from faceswap_cli.files import write_atomic\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "path = Path(sys.argv[1])\n"
        "write_atomic(path, b'old')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    write_atomic(path, bytes(5000))\n"
        "except WorkspaceError as error:\n"
        "    print(error)\n"
    )
    assert resource.RLIMIT_FSIZE is not None
    path = tmp_path / "a.bin"
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert "cannot write a.bin: File too large" in run.stdout
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_file_in_place_of_a_folder_is_explained(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"")
    with pytest.raises(WorkspaceError, match=r"cannot write a\.bin"):
        write_atomic(tmp_path / "model" / "a.bin", b"x")


def test_fingerprint_changes_with_any_part_and_not_with_the_order() -> None:
    assert fingerprint(a=1, b=[2, 3]) == fingerprint(b=[2, 3], a=1)
    assert fingerprint(a=1, b=[2, 3]) != fingerprint(a=1, b=[3, 2])
    assert len(fingerprint(a=1)) == 12


def test_manifest_remembers_what_is_done(tmp_path: Path) -> None:
    path = tmp_path / "stages" / "extract.jsonl"
    manifest = Manifest.open(path, SETTINGS)
    manifest.add("000001", {"faces": 2})
    manifest.add("000002", None)
    assert Manifest.open(path, SETTINGS).items == {"000001": {"faces": 2}, "000002": None}
    assert read_manifest(path) == (SETTINGS, {"000001": {"faces": 2}, "000002": None})


def test_half_line_of_a_kill_is_redone_and_eats_no_other(tmp_path: Path) -> None:
    path = tmp_path / "extract.jsonl"
    manifest = Manifest.open(path, SETTINGS)
    for index in range(3):
        manifest.add(f"{index:06d}", index)
    path.write_bytes(path.read_bytes()[:-4])
    again = Manifest.open(path, SETTINGS)
    assert list(again.items) == ["000000", "000001"]
    again.add("000002", 2)
    assert list(Manifest.open(path, SETTINGS).items) == ["000000", "000001", "000002"]


@pytest.mark.parametrize("junk", [b"\xff\xfe\x00\n", b'"text"\n', b"[1]\n", b"[[1], 2]\n", b"3\n"])
def test_damaged_line_is_left_out(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "extract.jsonl"
    Manifest.open(path, SETTINGS).add("a", 1)
    path.write_bytes(path.read_bytes() + junk)
    Manifest.open(path, SETTINGS).add("b", 2)
    items = Manifest.open(path, SETTINGS).items
    assert {name: items[name] for name in ("a", "b")} == {"a": 1, "b": 2}


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "extract.jsonl"
    Manifest.open(path, SETTINGS).add("a", 1)
    with pytest.raises(WorkspaceError) as caught:
        Manifest.open(path, SETTINGS | {"size_px": 256})
    assert "size_px was 512, is 256" in str(caught.value)
    assert "engine" not in str(caught.value)
    assert "--redo" in str(caught.value)
    assert read_manifest(path)[1] == {"a": 1}


def test_redo_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "extract.jsonl"
    Manifest.open(path, SETTINGS).add("a", 1)
    assert Manifest.open(path, SETTINGS | {"size_px": 256}, redo=True).items == {}


def test_items_that_tell_their_own_settings_outlive_others_and_their_names_a_redo(
    tmp_path: Path,
) -> None:
    path, more = tmp_path / "merge.jsonl", {"*": "unfinished"}
    Manifest.open(path, SETTINGS, mixed=more).add("a", 1)
    assert Manifest.open(path, SETTINGS, mixed=more).items == {"a": 1}
    other = SETTINGS | {"size_px": 256}
    assert Manifest.open(path, other, mixed=more).items == {"a": 1} | more
    assert read_manifest(path) == (other, {"a": 1} | more)
    assert Manifest.open(path, other, redo=True, mixed=more).items == {"a": None} | more
    empty = tmp_path / "sequence.jsonl"
    Manifest.open(empty, {}, mixed={}).add("a", 1)
    assert Manifest.open(empty, {}, redo=True, mixed={}).items == {"a": None}


def test_damaged_first_line_is_refused_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "extract.jsonl"
    Manifest.open(path, SETTINGS).add("a", 1)
    path.write_text("{broken\n" + path.read_text().split("\n", 1)[1])
    with pytest.raises(WorkspaceError, match="--redo"):
        Manifest.open(path, SETTINGS)


def test_settings_that_json_cannot_tell_apart_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "extract.jsonl"
    Manifest.open(path, {"size_wh": (3, 4), "root": Path("a")})
    Manifest.open(path, {"size_wh": [3, 4], "root": "a"})


def test_missing_or_empty_manifest_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "extract.jsonl"
    assert read_manifest(path) == ({}, {})
    path.touch()
    assert read_manifest(path) == ({}, {})
    assert Manifest.open(path, SETTINGS).items == {}


def test_lines_of_a_manifest_are_json(tmp_path: Path) -> None:
    path = tmp_path / "extract.jsonl"
    Manifest.open(path, SETTINGS).add("ä\n\u2028", 1)
    assert [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]
    assert Manifest.open(path, SETTINGS).items == {"ä\n\u2028": 1}


def test_second_process_is_told(tmp_path: Path) -> None:
    stages = tmp_path / "stages"
    with (
        only_one(stages, "train"),
        pytest.raises(WorkspaceError) as caught,
        only_one(stages, "train"),
    ):
        raise AssertionError("both ran")
    assert "another process runs train on this workspace" in str(caught.value)
    assert f"seen in: {tmp_path}" in str(caught.value)


def test_an_error_of_the_work_is_not_taken_for_a_second_process(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError), only_one(tmp_path, "train"):
        raise BlockingIOError(errno.EAGAIN, "stderr is full")


def test_lock_ends_with_its_owner(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from faceswap_cli.files import only_one\n"
        "with only_one(Path(sys.argv[1]), 'train'):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(WorkspaceError, match="another process"), only_one(tmp_path, "train"):
            raise AssertionError("both ran")
        process.kill()
    with only_one(tmp_path, "train"):
        pass


def test_different_stages_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with only_one(tmp_path, "extract"), only_one(tmp_path, "train"):
        pass


def test_threads_may_write_beside_each_other(tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=write_atomic, args=(tmp_path / f"{index}.bin", bytes(1000)))
        for index in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(tmp_path)) == 8


def test_home_of_a_user_who_is_not_there_is_a_path_like_any_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expand_user("~/models") == tmp_path / "models"
    assert expand_user(Path("~no_such_user/models")) == Path("~no_such_user/models")
