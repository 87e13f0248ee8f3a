"""Writing files so that a crash leaves the old one or the new one, never half of one.

A file in the making is called `.NAME.partial` beside its final place; `sweep_partials`
removes those that a killed run left behind. Nothing else in the package deletes files.
"""

import errno
import fcntl
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from faceswap_cli.errors import WorkspaceError

_SUFFIX = ".partial"
_REASONS = {
    errno.ENOSPC: ("the disk is full", "free some space, then run the same command again"),
    errno.EDQUOT: ("the disk quota is used up", "free some space, then run it again"),
    errno.EROFS: ("the folder is read-only", "work on a copy in a folder you may write to"),
    errno.EACCES: ("writing is not permitted", "work in a folder you may write to, or chmod it"),
    errno.EPERM: ("writing is not permitted", "work in a folder you may write to, or chmod it"),
    errno.EEXIST: ("a file stands where a folder is needed", "move that file away"),
    errno.ENOTDIR: ("a file stands where a folder is needed", "move that file away"),
}


def explain_write_error(error: OSError, path: Path) -> WorkspaceError:
    """Return what the user is told when `path` could not be written."""
    reason, fix = _REASONS.get(
        error.errno or 0, (error.strerror or str(error), "see the message, then run it again")
    )
    return WorkspaceError(f"cannot write {path.name}: {reason}", seen_in=path.parent, fix=fix)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; what was written there replaces `path` when the block ends well.

    The bytes are on the disk (fsync) before the name appears.

    Raises:
        WorkspaceError: The disk is full, the folder read-only, ...; `path` is as before.
    """
    partial = path.with_name(f".{path.name}{_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        with suppress(OSError):  # where not even that works, the first error is the one to tell
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise explain_write_error(error, path) from error
        raise


def write_atomic(path: Path, data: bytes | memoryview) -> None:
    """Replace `path` in one step, or raise WorkspaceError and leave it as it was."""
    with replacing(path) as partial:
        partial.write_bytes(data)


def sweep_partials(*folders: Path) -> None:
    """Remove the unfinished files that a killed run left in these folders."""
    for folder in folders:
        for path in folder.glob(f".*{_SUFFIX}"):
            path.unlink(missing_ok=True)


def discard(*paths: Path) -> None:
    """Remove files of ours that can be made again."""
    for path in paths:
        path.unlink(missing_ok=True)


def fingerprint(**parts: Any) -> str:
    """Return 12 hex digits that change when any part (anything JSON can hold) changes."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def checksum(data: bytes) -> list[int]:
    """Return what tells a file of ours from one that somebody has changed: length and CRC-32."""
    return [len(data), zlib.crc32(data)]


def expand_user(path: str | Path) -> Path:
    """Return a path with the home of a user in place of `~`.

    Of a user who is not there it is left as it is: then there is no such file, which is what
    whoever opens it says.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


@contextmanager
def only_one(folder: Path, stage: str) -> Iterator[None]:
    """Hold the folder for one stage; a second process is told instead of mixing in.

    The lock lives in the kernel and dies with the process: kill -9 leaves nothing behind.

    Raises:
        WorkspaceError: Another process holds it, or the folder cannot be made.
    """
    target = folder / f".{stage}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(target, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise explain_write_error(error, target) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WorkspaceError(
                f"another process runs {stage} on this workspace",
                seen_in=folder.parent,
                fix="wait for it, or stop it first",
            ) from error
        yield
    finally:
        os.close(handle)


class Manifest:
    """What a stage has finished: one JSON value a line, the first one names the settings."""

    def __init__(self, path: Path, done: dict[str, Any]) -> None:
        self._path, self._done = path, done

    @classmethod
    def open(
        cls,
        path: Path,
        settings: dict[str, Any],
        *,
        command: str = "",
        redo: bool = False,
        mixed: Mapping[str, Any] | None = None,
    ) -> "Manifest":
        """Read the manifest, or begin one.

        Args:
            path: A .jsonl file.
            settings: All that decides what the items look like.
            command: What the user runs to make them; named in the error.
            redo: Begin anew even if it was made with these settings.
            mixed: Each item tells itself what it was made with: go on with other settings, and
                add these items in the same step. After a redo the names are still there, with
                None: a run without it goes on among files that are known to be ours.

        Raises:
            WorkspaceError: The work was done with other settings: two kinds of items in
                one folder would spoil the result without a word. Names what differs.
        """
        settings = json.loads(json.dumps(settings, default=str))
        is_there = path.exists() and path.stat().st_size > 0
        was, items = read_manifest(path)
        if mixed is not None and is_there and (redo or was != settings):
            _begin(path, settings, (dict.fromkeys(items) if redo else items) | dict(mixed))
        elif redo or not is_there:
            _begin(path, settings, {})
        text = path.read_text("utf-8", errors="replace")
        if not text.endswith("\n"):
            _append(path, "\n")  # the last line was cut by a kill; it must not eat the next one
        first, *rest = text.splitlines()
        was = _settings(first)
        if was != settings:
            raise WorkspaceError(
                f"{path.stem} was run with other settings: {_difference(was, settings)}",
                seen_in=path,
                fix=f"restore the settings, or do it again: {command} --redo",
            )
        return cls(path, dict(_whole_lines(rest)))

    @property
    def items(self) -> dict[str, Any]:
        """What is done: result by name, in the order of the file."""
        return self._done

    def add(self, name: str, result: Any) -> None:
        """Record an item. Call it last, when the files of the item are on disk."""
        try:
            _append(self._path, json.dumps([name, result]) + "\n")
        except OSError as error:
            raise explain_write_error(error, self._path) from error
        self._done[name] = result


def read_manifest(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings and the items of a manifest, both empty if there is none."""
    if not path.exists() or not path.stat().st_size:
        return {}, {}
    first, *rest = path.read_text("utf-8", errors="replace").splitlines()
    return _settings(first), dict(_whole_lines(rest))


def _begin(path: Path, settings: Mapping[str, Any], items: Mapping[str, Any]) -> None:
    lines = [json.dumps({"settings": settings}), *(json.dumps(item) for item in items.items())]
    write_atomic(path, "\n".join(lines).encode() + b"\n")


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def _settings(line: str) -> dict[str, Any]:
    try:
        return dict(json.loads(line)["settings"])
    except (ValueError, KeyError, TypeError):
        return {"manifest": "damaged"}


def _difference(was: dict[str, Any], now: dict[str, Any]) -> str:
    keys = sorted(key for key in was.keys() | now.keys() if was.get(key) != now.get(key))
    return ", ".join(f"{key} was {was.get(key)!r}, is {now.get(key)!r}" for key in keys)


def _whole_lines(lines: list[str]) -> Iterator[tuple[str, Any]]:
    for line in lines:
        try:
            name, result = json.loads(line)
        except (ValueError, TypeError):
            continue  # cut short when the run was killed: the item is simply redone
        yield str(name), result
