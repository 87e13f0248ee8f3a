"""What the engines saw in a clip, on disk: a feature-length film does not fit into memory.

A SQLite file. A batch of frames is added in one transaction, so that a kill at any moment leaves
whole frames; what is in the file was made with the settings it names, and other settings begin
it anew: it holds nothing that cannot be seen again.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.errors import WorkspaceError
from faceswap_cli.faces.sighting import Origin, Sighting
from faceswap_cli.files import discard

FORMAT = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS frames (
    frame INTEGER PRIMARY KEY, time_s TEXT, width INTEGER, height INTEGER, thumbnail BLOB,
    rows INTEGER, small INTEGER, weak INTEGER);
CREATE TABLE IF NOT EXISTS faces (
    id INTEGER PRIMARY KEY, frame INTEGER, left REAL, top REAL, right REAL, bottom REAL,
    score REAL, presence REAL, roll_deg REAL, sharpness REAL, points BLOB, mesh BLOB,
    appearance BLOB, origin TEXT, tile BLOB, track INTEGER, person INTEGER);
CREATE INDEX IF NOT EXISTS faces_by_frame ON faces (frame, id);
"""
_INSERT = (
    "INSERT INTO faces (frame, left, top, right, bottom, score, presence, roll_deg, sharpness,"
    " points, mesh, appearance, origin, tile, track, person)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, -1, -1)"
)
_LEAN = (
    "id, frame, left, top, right, bottom, score, presence, roll_deg, sharpness, points,"
    " appearance, origin, track, person"
)


@dataclass(frozen=True, eq=False)
class SeenFrame:
    """A frame that was looked at."""

    frame: int
    time_s: str
    """A Fraction as text."""
    size_wh: tuple[int, int]
    thumbnail: NDArray[np.uint8]
    """(h, w, 3)."""
    small: int
    """Faces that were too small."""
    weak: int
    """Faces that were too uncertain."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A sighting with its place in the store, and whose it is."""

    id: int
    sighting: Sighting
    track: int
    """-1: not linked yet."""
    person: int
    """-1: not known yet."""


class SightingStore:
    """The sightings of one clip. For one thread at a time."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path, self._db = path, connection

    @classmethod
    def open(cls, path: Path, settings: Mapping[str, Any]) -> Self:
        """Open the file, or begin it anew if it is damaged or of other settings.

        Raises:
            WorkspaceError: The folder cannot be written.
        """
        wanted = json.dumps({"format": FORMAT, **settings}, sort_keys=True, default=str)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            store = cls(path, _connect(path))
            if store.about("settings") == wanted:
                return store
            store.close()
        except sqlite3.DatabaseError:
            pass
        discard(path, path.with_name(f"{path.name}-journal"))
        try:
            store = cls(path, _connect(path))
            store.tell(settings=wanted)
        except sqlite3.OperationalError as error:
            raise WorkspaceError(
                f"cannot write {path.name}: {error}",
                seen_in=path.parent,
                fix="free some space, or work in a folder you may write to",
            ) from error
        return store

    @classmethod
    def open_as_it_is(cls, path: Path) -> Self | None:
        """Open the file whatever its settings, None if there is none or it is damaged."""
        if not path.is_file():
            return None
        with suppress(sqlite3.DatabaseError):
            store = cls(path, _connect(path))
            if f'"format": {FORMAT},' in (store.about("settings") or ""):
                return store
        return None

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def about(self, key: str) -> str | None:
        """Return a note about the clip."""
        row = self._db.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def tell(self, **notes: str | None) -> None:
        """Write notes about the clip; None takes one back."""
        with self._db:
            for key, value in notes.items():
                self._db.execute("DELETE FROM about WHERE key = ?", (key,))
                if value is not None:
                    self._db.execute("INSERT INTO about VALUES (?, ?)", (key, value))

    def add(
        self, frames: Sequence[SeenFrame], faces: Sequence[tuple[Sighting, bytes | None]]
    ) -> None:
        """Add frames with their faces and the small picture of each, all at once.

        Raises:
            WorkspaceError: The disk is full.
        """
        try:
            with self._db:
                self._db.executemany(
                    "INSERT OR REPLACE INTO frames VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [_frame_row(frame) for frame in frames],
                )
                self._db.executemany(_INSERT, [_row(face, tile) for face, tile in faces])
        except sqlite3.OperationalError as error:
            raise WorkspaceError(
                f"cannot write {self._path.name}: {error}",
                seen_in=self._path.parent,
                fix="free some space, then run the same command again",
            ) from error

    def insert(self, faces: Sequence[Sighting]) -> list[int]:
        """Add faces to frames that are there, and return their ids."""
        ids: list[int] = []
        with self._db:
            for face in faces:
                ids.append(int(self._db.execute(_INSERT, _row(face, None)).lastrowid or 0))
        return ids

    def forget(self, origins: Sequence[Origin]) -> None:
        """Remove the faces that were found in these ways."""
        with self._db:
            self._db.executemany("DELETE FROM faces WHERE origin = ?", [(o,) for o in origins])

    def clear(self) -> None:
        """Forget all that was seen; the settings stay."""
        with self._db:
            self._db.execute("DELETE FROM faces")
            self._db.execute("DELETE FROM frames")
            self._db.execute("DELETE FROM about WHERE key != 'settings'")

    def frame_numbers(self) -> list[int]:
        """Return the frames that were looked at, growing."""
        return [row[0] for row in self._db.execute("SELECT frame FROM frames ORDER BY frame")]

    def frames(self) -> Iterator[SeenFrame]:
        """Yield the frames that were looked at, in order."""
        for frame, time_s, width, height, raw, rows, small, weak in self._db.execute(
            "SELECT * FROM frames ORDER BY frame"
        ):
            thumbnail = np.frombuffer(raw, np.uint8).reshape(rows, -1, 3)
            yield SeenFrame(frame, time_s, (width, height), thumbnail, small, weak)

    def lean(self) -> Iterator[Seen]:
        """Yield all faces by frame, without their meshes."""
        for row in self._db.execute(f"SELECT {_LEAN}, NULL FROM faces ORDER BY frame, id"):
            yield _seen(row)

    def between(self, first: int, last: int) -> list[Seen]:
        """Return the faces of the frames `first` to `last`, both included, by frame."""
        rows = self._db.execute(
            f"SELECT {_LEAN}, mesh FROM faces WHERE frame BETWEEN ? AND ? ORDER BY frame, id",
            (first, last),
        )
        return [_seen(row) for row in rows]

    def assign(self, whose: Mapping[int, tuple[int, int]], **notes: str) -> None:
        """Write (track, person) of faces by id, and notes, all at once."""
        with self._db:
            self._db.executemany(
                "UPDATE faces SET track = ?, person = ? WHERE id = ?",
                [(track, person, face) for face, (track, person) in whose.items()],
            )
            for key, value in notes.items():
                self._db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, value))

    def tiles(self, person: int) -> list[tuple[int, bytes]]:
        """Return id and small encoded picture of the faces of a person that have one."""
        rows = self._db.execute(
            "SELECT id, tile FROM faces WHERE person = ? AND tile IS NOT NULL ORDER BY frame, id",
            (person,),
        )
        return [(int(face), bytes(tile)) for face, tile in rows]


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level="DEFERRED", check_same_thread=False)
    # Not WAL: that needs shared memory, which disks over a network do not have.
    connection.execute("PRAGMA journal_mode = TRUNCATE")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.executescript(_SCHEMA)
    return connection


def _frame_row(seen: SeenFrame) -> tuple[Any, ...]:
    small = seen.thumbnail
    data, rows = small.tobytes(), len(small)
    return seen.frame, seen.time_s, *seen.size_wh, data, rows, seen.small, seen.weak


def _row(s: Sighting, tile: bytes | None) -> tuple[Any, ...]:
    mesh = None if s.mesh is None else s.mesh.astype(np.float32).tobytes()
    return (
        *(s.frame, *s.box, s.score, s.presence, s.roll_deg, s.sharpness),
        *(s.points68.astype(np.float32).tobytes(), mesh),
        *(s.appearance.astype(np.float32).tobytes(), s.origin, tile),
    )


def _seen(row: Sequence[Any]) -> Seen:
    face, frame, left, top, right, bottom, score, presence, roll_deg, sharpness = row[:10]
    points, appearance, origin, track, person, mesh = row[10:]
    sighting = Sighting(
        frame=frame,
        box=(left, top, right, bottom),
        score=score,
        roll_deg=roll_deg,
        points68=np.frombuffer(points, np.float32).reshape(68, 2).astype(np.float64),
        mesh=None
        if mesh is None
        else np.frombuffer(mesh, np.float32).reshape(-1, 3).astype(np.float64),
        appearance=np.frombuffer(appearance, np.float32),
        origin=cast(Origin, origin),
        presence=presence,
        sharpness=sharpness,
    )
    return Seen(face, sighting, track, person)
