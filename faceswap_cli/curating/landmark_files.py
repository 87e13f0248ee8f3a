"""Landmarks as JSON, for editing elsewhere: faceswap's import layout, and a little more.

    {"000012.png": [{"detected": [left, top, right, bottom], "landmarks_2d": [[x, y], ... 68],
                     "name": "000012_00.jpg", "track": 0, "person": 0}]}

`name`, `track` and `person` are ours, and optional; so is the box. Pixels of the frame. A file
comes from anywhere: all of it is checked, and everything that is wrong is told at once.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faceswap_cli.errors import WorkspaceError
from faceswap_cli.faces.sighting import Box
from faceswap_cli.types import Points

MAX_BYTES = 128 * 2**20
"""Of a file: about 90,000 faces, an hour of footage."""
MAX_CONTAINERS = 8_000_000
"""Lists and objects in it, which is what takes memory: 70 a face."""
MAX_FACES_A_FRAME = 1000
MAX_NAME = 255
FAR_PX = 100_000.0
"""No frame is that large."""
LEAST_FACE_PX = 4.0
"""Landmarks that lie closer together are no face."""
NUM_POINTS = 68
PROBLEMS_TOLD = 20
_OTHER_LAYOUTS = {
    4: "the corners of a face: it cannot be aligned by them",
    5: "eyes, nose and mouth corners",
    51: "without the jaw line",
    98: "the layout of WFLW",
    468: "a face mesh",
    478: "a face mesh",
}


@dataclass(frozen=True, eq=False)
class ManualFace:
    """A face as a person, or another program, has placed it."""

    box: Box | None
    """Left, top, right, bottom, frame pixels; None if the file has none."""
    points68: Points
    """(68, 2), frame pixels."""
    name: str | None = None
    """Of the aligned picture that it was exported from."""
    track: int | None = None
    person: int | None = None

    @property
    def bounds(self) -> Box:
        """The box, or else what the points span."""
        if self.box is not None:
            return self.box
        (left, top), (right, bottom) = self.points68.min(axis=0), self.points68.max(axis=0)
        return float(left), float(top), float(right), float(bottom)


class _UnusableError(Exception):
    """One face or frame that cannot be used, and why."""


def read_landmarks_file(path: Path) -> dict[str, list[ManualFace]]:
    """Return the faces of each frame, by the name of the frame as the file has it.

    Raises:
        WorkspaceError: It is no such file, or any of its faces cannot be used; names all.
    """
    found: dict[str, list[ManualFace]] = {}
    problems: list[str] = []
    for frame, faces in _parse(path).items():
        shown = _shown(frame)
        if not frame or len(frame) > MAX_NAME or not frame.isprintable():
            problems.append(f"{shown}: not the name of a frame")
        elif not isinstance(faces, list) or len(faces) > MAX_FACES_A_FRAME:
            problems.append(f"{shown}: not a list of at most {MAX_FACES_A_FRAME} faces")
        else:
            found[frame] = []
            for number, face in enumerate(faces):
                try:
                    found[frame].append(_face(face))
                except _UnusableError as error:
                    problems.append(f"{shown}, face {number}: {error}")
    if not problems and not any(found.values()):
        problems.append("there is no face in it")
    if problems:
        raise _unusable(path, problems)
    return found


def landmarks_json(frames: Mapping[str, Sequence[ManualFace]], *, with_names: bool) -> bytes:
    """Return the contents of a file, a frame a line.

    Args:
        frames: Faces by the name of the frame.
        with_names: Also what only we know; other programs may not expect it.
    """
    lines = []
    for frame, faces in frames.items():
        entries = [_entry(face, with_names=with_names) for face in faces]
        lines.append(f"{json.dumps(frame)}: {json.dumps(entries, separators=(',', ':'))}")
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _entry(face: ManualFace, *, with_names: bool) -> dict[str, Any]:
    # faceswap reads whole pixels of a box.
    entry: dict[str, Any] = {
        "detected": [round(value) for value in face.bounds],
        "landmarks_2d": face.points68.round(3).tolist(),
    }
    if with_names:
        known = {"name": face.name, "track": face.track, "person": face.person}
        entry["detected"] = [round(value, 2) for value in face.bounds]
        entry |= {key: value for key, value in known.items() if value is not None}
    return entry


def _parse(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            size = path.stat().st_size >> 20
            raise _unusable(path, [f"{size} MiB, at most {MAX_BYTES >> 20} are read"])
        data = path.read_bytes()
    except OSError as error:
        raise WorkspaceError(
            f"cannot be read: {error.strerror or error}", seen_in=path, fix="check the path"
        ) from error
    if data.count(b"[") + data.count(b"{") > MAX_CONTAINERS:
        raise _unusable(path, [f"more than {MAX_CONTAINERS} lists in it"])
    try:
        # utf-8-sig: editors of some systems begin a file with a mark.
        found = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)[:120]
        raise _unusable(path, [f"not JSON: {reason}"]) from error
    if not isinstance(found, dict):
        raise _unusable(path, ["not an object of frames: {frame: [face, ...]}"])
    return found


def _face(entry: Any) -> ManualFace:
    if not isinstance(entry, dict):
        raise _UnusableError("not an object with landmarks_2d")
    points = _points(entry.get("landmarks_2d"))
    name = entry.get("name")
    if name is not None and not _is_file_name(name):
        raise _UnusableError(f"{_shown(name)} is not the name of a picture")
    return ManualFace(
        box=_box(entry.get("detected")),
        points68=points,
        name=name,
        track=_count(entry, "track"),
        person=_count(entry, "person"),
    )


def _points(value: Any) -> Points:
    if not isinstance(value, list):
        raise _UnusableError("no list landmarks_2d")
    if len(value) != NUM_POINTS:
        what = _OTHER_LAYOUTS.get(len(value))
        raise _UnusableError(
            f"{len(value)} points{f' ({what})' if what else ''}, {NUM_POINTS} are needed: those"
            " of iBUG 300-W, as dlib and FAN give them"
        )
    for number, point in enumerate(value):
        if not (isinstance(point, list) and len(point) == 2 and all(map(_is_near, point))):
            raise _UnusableError(
                f"point {number} is {_shown(point)}, not [x, y] in pixels of the frame"
            )
    points = np.array(value, np.float64)
    if np.ptp(points, axis=0).max() < LEAST_FACE_PX:
        raise _UnusableError(f"all points lie within {LEAST_FACE_PX:g} pixels")
    return points


def _box(value: Any) -> Box | None:
    if value is None:
        return None
    if not (isinstance(value, list) and len(value) == 4 and all(map(_is_near, value))):
        raise _UnusableError(
            f"detected is {_shown(value)}, not [left, top, right, bottom] in pixels"
        )
    left, top, right, bottom = map(float, value)
    if left >= right or top >= bottom:
        raise _UnusableError(
            f"detected is {_shown(value)}: right of left, bottom below top is needed"
        )
    return left, top, right, bottom


def _count(entry: Mapping[str, Any], key: str) -> int | None:
    value = entry.get(key)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < 2**31:
        raise _UnusableError(f"{key} is {_shown(value)}, not a number from 0 on")
    return value


def _is_near(value: Any) -> bool:
    """Tell whether a value is a coordinate that a picture may have."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and -FAR_PX <= value <= FAR_PX and math.isfinite(value)


def _is_file_name(value: Any) -> bool:
    return (
        isinstance(value, str)
        and 0 < len(value) <= MAX_NAME
        and value.isprintable()
        and not set("/\\") & set(value)
        and not value.startswith(".")
    )


def _shown(value: Any) -> str:
    """Return a piece of the file for a message, short and on one line."""
    if isinstance(value, (dict, list)) and len(value) > 4:
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, (dict, list)):
        return f"{type(value).__name__} of {', '.join(type(inner).__name__ for inner in value)}"
    if isinstance(value, int) and not -(10**12) < value < 10**12:
        return "a huge number"
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _unusable(path: Path, problems: Sequence[str]) -> WorkspaceError:
    more = len(problems) - PROBLEMS_TOLD
    listed = [*problems[:PROBLEMS_TOLD], *([f"... and {more} more"] if more > 0 else [])]
    return WorkspaceError(
        "not landmarks that can be used:\n  " + "\n  ".join(listed),
        seen_in=path,
        fix="mend or remove these; `faceswap-cli landmarks export` writes a file of the kind",
    )
