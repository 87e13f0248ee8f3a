"""The faces of a side, decoded once: a file of rows, and an index of what each row holds.

The index is written after the rows it names are on the disk, so that a kill at any moment leaves
a cache that is whole, if shorter. Which faces there are is asked of the folder of aligned
pictures, or of the pack, at every start: what was deleted there is not in the cache any more.

Rows are read by position into memory of ours. A mapped file would count every face ever seen as
memory of the process, and a file cut short by somebody else would kill it (SIGBUS).
"""

import json
import logging
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import torch
from torch import Tensor

from faceswap_cli.config import TrainConfig
from faceswap_cli.errors import FaceswapError, WorkspaceError
from faceswap_cli.faces.store import FaceFiles, open_files
from faceswap_cli.files import explain_write_error, fingerprint, write_atomic
from faceswap_cli.training.cutting import Layout, cut_named
from faceswap_cli.types import Side

if TYPE_CHECKING:
    from tqdm import tqdm

FORMAT = 2
"""1 took crops that show less of the head than the model sees."""
FLUSH_EVERY = 512
"""Faces between two writes of the index: what a kill costs at most."""
MAX_WAITING_BYTES = 128 * 2**20
"""Of faces that are cut and not yet written."""
_log = logging.getLogger(__name__)


class Stamp(NamedTuple):
    """What changes when a picture or its edited mask does: sizes in bytes, times in ns.

    Of what lies in a pack it is the CRC instead of the time.
    """

    size: int
    mtime_ns: int
    mask_size: int = -1
    mask_mtime_ns: int = -1


class Entry(NamedTuple):
    """A picture that was looked at."""

    stamp: Stamp
    row: int
    """In the file of rows; -1: it cannot be used."""
    yaw_deg: float = 0.0
    reason: str = ""
    """Why it cannot be used."""


@dataclass(frozen=True)
class CachedFaces:
    """The faces of a side, read from the file when they are asked for."""

    names: tuple[str, ...]
    yaws_deg: tuple[float, ...]
    layout: Layout
    _rows: tuple[int, ...]
    _file: int
    _path: Path

    def __len__(self) -> int:
        return len(self.names)

    def take(self, index: Tensor, *, pin: bool = False) -> Tensor:
        """Return some faces, (n, row_bytes), uint8, on the CPU.

        Args:
            index: (n,), int64.
            pin: Into page-locked memory, from which a GPU copies by itself.

        Raises:
            WorkspaceError: The file was cut short or cannot be read.
        """
        size = self.layout.row_bytes
        rows = torch.empty(len(index), size, dtype=torch.uint8, pin_memory=pin)
        for place, face in enumerate(index.tolist()):
            self._read(self._rows[face] * size, memoryview(rows[place].numpy().data))
        return rows

    def _read(self, start: int, into: memoryview) -> None:
        done = 0
        try:
            while done < len(into):
                got = os.preadv(self._file, [into[done:]], start + done)
                if got == 0:
                    raise OSError(f"ends after {start + done} bytes")
                done += got
        except OSError as error:
            raise WorkspaceError(
                f"the cache of training faces cannot be read: {error.strerror or error}",
                seen_in=self._path,
                fix="run the same command again: what is missing is decoded again",
            ) from error

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


@dataclass(frozen=True)
class Cache:
    """Where the cache of a side lies, and of what it is made."""

    folder: Path
    side: Side
    pictures: Path
    """A folder, or a pack."""
    masks: Path
    """Folder of edited masks; they go before those in a pack."""
    config: TrainConfig

    @property
    def rows(self) -> Path:
        """The file of rows."""
        return self.folder / f"faces_{self.side}.bin"

    @property
    def index(self) -> Path:
        """Which picture each row holds, JSON."""
        return self.folder / f"faces_{self.side}.json"

    @property
    def layout(self) -> Layout:
        """Of the rows."""
        return Layout.of(self.config.resolution)

    def open(self) -> tuple[CachedFaces, dict[str, str]]:
        """Return the faces as the index has them, and the reason by name of those left out."""
        entries = self.read_index()
        usable = {name: entry for name, entry in sorted(entries.items()) if entry.row >= 0}
        faces = CachedFaces(
            tuple(usable),
            tuple(entry.yaw_deg for entry in usable.values()),
            self.layout,
            tuple(entry.row for entry in usable.values()),
            os.open(self.rows, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644),
            self.rows,
        )
        return faces, {name: e.reason for name, e in sorted(entries.items()) if e.row < 0}

    def read_index(self) -> dict[str, Entry]:
        """Return what the cache holds; nothing if it is damaged or of other settings."""
        try:
            saved = json.loads(self.index.read_bytes())
            if saved["key"] != self._key():
                return {}
            entries = {
                str(name): Entry(Stamp(*map(int, stamp)), int(row), float(yaw), str(reason))
                for name, stamp, row, yaw, reason in saved["faces"]
            }
            there = self.rows.stat().st_size // self.layout.row_bytes
        except (OSError, ValueError, TypeError, KeyError):
            return {}
        whole = {name: entry for name, entry in entries.items() if -1 <= entry.row < there}
        used = [entry.row for entry in whole.values() if entry.row >= 0]
        return whole if len(set(used)) == len(used) else {}

    def write_index(self, entries: dict[str, Entry]) -> None:
        """Replace the index, in one step."""
        faces = [[name, *entry] for name, entry in entries.items()]
        write_atomic(self.index, json.dumps({"key": self._key(), "faces": faces}).encode())

    def _key(self) -> str:
        return fingerprint(
            format=FORMAT,
            side=self.layout.side,
            face_type=self.config.face_type,
            jaw=self.config.jaw,
        )


def refresh(cache: Cache, bar: "tqdm[NoReturn] | None" = None) -> None:
    """Bring a cache up to date with the aligned pictures.

    Args:
        cache: Of a side; is made if it is missing, damaged or of other settings.
        bar: Moves with every face that is decoded.

    Raises:
        WorkspaceError: The disk is full or read-only: says what is needed. Or there is a pack
            that cannot be opened.
    """
    with closing(open_files(cache.pictures, cache.masks)) as files:
        _refresh(cache, files, bar)


def _refresh(cache: Cache, files: FaceFiles, bar: "tqdm[NoReturn] | None") -> None:
    wanted = _stamps(files)
    known = cache.read_index()
    kept = {name: entry for name, entry in known.items() if wanted.get(name) == entry.stamp}
    missing = sorted(wanted.keys() - kept.keys())
    if kept.keys() != known.keys() or not cache.index.exists():
        # Before a row is used again, no index may name it any more.
        cache.write_index(kept)
    if not missing:
        return
    if known:
        _log.info("%s: %d faces are new or changed", cache.rows.name, len(missing))
    _check_space(cache, len(missing), {entry.row for entry in kept.values()})
    try:
        if bar is not None:
            bar.reset(total=len(missing))
        _append(cache, files, kept, wanted, missing, bar)
    except OSError as error:
        raise explain_write_error(error, cache.rows) from error


def _append(
    cache: Cache,
    files: FaceFiles,
    entries: dict[str, Entry],
    wanted: dict[str, Stamp],
    names: list[str],
    bar: "tqdm[NoReturn] | None",
) -> None:
    free = _free_rows({entry.row for entry in entries.values()})
    size = cache.layout.row_bytes
    file = os.open(cache.rows, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        with ThreadPoolExecutor(thread_name_prefix="cut") as pool:
            at_once = max(1, min(FLUSH_EVERY, MAX_WAITING_BYTES // size))
            for start in range(0, len(names), at_once):
                chunk = names[start : start + at_once]
                rows = pool.map(lambda name: _cut(files, name, cache.config), chunk)
                for name, made in zip(chunk, rows, strict=True):
                    if bar is not None:
                        bar.update()
                    if isinstance(made, str):
                        entries[name] = Entry(wanted[name], -1, reason=made)
                        continue
                    row = next(free)
                    _write(file, made[0], row * size)
                    entries[name] = Entry(wanted[name], row, made[1])
                os.fsync(file)
                cache.write_index(entries)
    finally:
        os.close(file)


def _cut(files: FaceFiles, name: str, config: TrainConfig) -> tuple[bytes, float] | str:
    """Return the row and the yaw of a picture, or why it cannot be used."""
    try:
        return cut_named(files, name, config)
    except FaceswapError as error:
        return error.what


def _write(file: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(file, view, at)
        view, at = view[done:], at + done


def _free_rows(used: set[int]) -> Iterator[int]:
    return (row for row in count() if row not in used)


def _check_space(cache: Cache, new: int, used: set[int]) -> None:
    """Refuse before an hour of decoding, not after it."""
    there = cache.rows.stat().st_size if cache.rows.exists() else 0
    rows = len(used - {-1}) + new
    needed = rows * cache.layout.row_bytes - there
    free = shutil.disk_usage(cache.folder).free
    if needed > free:
        raise WorkspaceError(
            f"the disk is full: the cache of {new} training faces of {cache.side} needs "
            f"{needed / 1e9:.2f} GB more, {free / 1e9:.2f} GB are free",
            seen_in=cache.folder,
            fix="free some space, or put the workspace on a larger disk",
        )


def _stamps(files: FaceFiles) -> dict[str, Stamp]:
    """Return the pictures that there are now, by name."""
    masks = files.mask_versions()
    return {
        name: Stamp(*version, *masks.get(Path(name).stem, ()))
        for name, version in files.versions().items()
    }
