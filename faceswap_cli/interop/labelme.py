"""Labels drawn in labelme: its JSON files, read defensively and written.

A shape whose label is in INCLUDE is face; one whose label is in EXCLUDE lies over the face. All
that is face is drawn first, then what lies over it is taken away, whatever the order in the file.
polygon, rectangle (two corners) and circle (centre and a point of its rim) have an area and count;
line, linestrip, point, points and labelme's own masks have none, or none that we read: they are
left out, and told. The picture inside the file (imageData) is never decoded.

A point of labelme counts from the corner of the top left pixel, ours from its centre.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faceswap_cli.errors import MediaError
from faceswap_cli.types import Points

INCLUDE = frozenset({"face", "include"})
EXCLUDE = frozenset(
    {"not_face", "not face", "exclude", "occluder", "hand", "hair", "microphone", "glasses"}
)
VERSION = "5.5.0"
"""Of labelme, whose layout is written."""
MAX_BYTES = 64 * 2**20
"""A picture may be inside the file."""
MAX_SHAPES, MAX_POINTS, MAX_SIDE_PX = 1000, 20_000, 65_536
_CIRCLE_POINTS = 64
_WITHOUT_AREA = frozenset({"line", "linestrip", "point", "points", "mask"})
_FIX = "open it in labelme and save it again, or delete it"


@dataclass(frozen=True, eq=False)
class Outline:
    """A closed line around something."""

    points: Points
    """(N, 2), N >= 3, pixels."""
    include: bool
    """Whether it is face; else it lies over the face."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """What a person drew on one picture."""

    outlines: tuple[Outline, ...]
    """Within the picture, in its pixels."""
    left_out: tuple[str, ...] = ()
    """Kinds of shapes that were not read."""


def read_labelme(path: Path, size_wh: tuple[int, int]) -> Drawing:
    """Read the labels of a picture.

    Args:
        path: A JSON file of labelme.
        size_wh: Of the picture, pixels; labels made on another size are scaled.

    Raises:
        MediaError: It is too large, not of labelme's layout, or holds a label we do not know.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _bad(f"{size >> 20} MiB, more than {MAX_BYTES >> 20} MiB", path)
        return parse_labelme(path.read_bytes(), size_wh, seen_in=path)
    except OSError as error:
        raise MediaError(f"cannot be read: {error.strerror}", seen_in=path) from error


def parse_labelme(data: bytes, size_wh: tuple[int, int], *, seen_in: object) -> Drawing:
    """Read labels from the bytes of a file; see read_labelme."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _bad(f"no JSON: {str(error)[:80]}", seen_in) from error
    shapes = found.get("shapes") if isinstance(found, dict) else None
    if not isinstance(shapes, list):
        raise _bad("no list of shapes in it: not made by labelme", seen_in)
    if len(shapes) > MAX_SHAPES:
        raise _bad(f"{len(shapes)} shapes, more than {MAX_SHAPES}", seen_in)
    factors = np.array(
        [
            own / _size(found.get(key), own, seen_in)
            for own, key in zip(size_wh, ("imageWidth", "imageHeight"), strict=True)
        ]
    )
    outlines: list[Outline] = []
    left_out: list[str] = []
    for number, shape in enumerate(shapes):
        where = f"{seen_in}, shape {number}"
        kind, include, points = _shape(shape, where)
        if kind in _WITHOUT_AREA:
            left_out.append(kind)
            continue
        inside = clip_outline(_outline(kind, points, where) * factors - 0.5, size_wh)
        if len(inside) >= 3:
            outlines.append(Outline(inside, include))
    return Drawing(tuple(outlines), tuple(left_out))


def labelme_json(drawing: Drawing, picture_name: str, size_wh: tuple[int, int]) -> bytes:
    """Return labels as a file that labelme opens; the picture itself is not put into it.

    Args:
        drawing: In pixels of the picture.
        picture_name: File name of the picture, beside which the file is going to lie.
        size_wh: Of the picture.
    """
    shapes = [
        {
            "label": "face" if outline.include else "not_face",
            "points": (outline.points + 0.5).round(2).tolist(),
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }
        for outline in drawing.outlines
    ]
    content: dict[str, Any] = {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": picture_name,
        "imageData": None,
        "imageHeight": size_wh[1],
        "imageWidth": size_wh[0],
    }
    return json.dumps(content, indent=2).encode()


def clip_outline(points: Points, size_wh: tuple[int, int]) -> Points:
    """Return the part of a polygon that lies within a picture; (0, 2) if there is none.

    Source: Sutherland and Hodgman, "Reentrant polygon clipping", CACM 17(1), 1974.
    """
    for axis, limit, sign in (
        *((axis, -0.5, 1.0) for axis in (0, 1)),
        *((axis, size_wh[axis] - 0.5, -1.0) for axis in (0, 1)),
    ):
        if not len(points):
            break
        depth = sign * (points[:, axis] - limit)
        before, depth_before = np.roll(points, 1, axis=0), np.roll(depth, 1)
        kept: list[Points] = []
        for now, last, inside, inside_before in zip(
            points, before, depth, depth_before, strict=True
        ):
            if (inside >= 0) != (inside_before >= 0):
                share = inside_before / (inside_before - inside)
                kept.append(last + share * (now - last))
            if inside >= 0:
                kept.append(now)
        points = np.array(kept, np.float64).reshape(-1, 2)
    return points


def _shape(shape: Any, where: str) -> tuple[str, bool, Points]:
    """Return its kind, whether it is face, and its points as they stand in the file."""
    if not isinstance(shape, dict):
        raise _bad(f"not a shape: {str(shape)[:40]!r}", where)
    kind = shape.get("shape_type", "polygon") or "polygon"
    label, points = shape.get("label"), shape.get("points")
    if not isinstance(kind, str) or not isinstance(label, str):
        raise _bad("a shape without a label", where)
    name = label.strip().lower()
    if name not in INCLUDE and name not in EXCLUDE:
        raise MediaError(
            f"label {label[:40]!r} is neither face nor something over it",
            seen_in=where,
            fix=f"call it face, or one of {', '.join(sorted(EXCLUDE))}",
        )
    if not isinstance(points, list) or len(points) > MAX_POINTS:
        raise _bad(f"no list of at most {MAX_POINTS} points", where)
    return kind, name in INCLUDE, _points(points, where)


def _points(points: Sequence[Any], where: str) -> Points:
    for point in points:
        if not isinstance(point, list) or len(point) != 2 or not all(map(_is_number, point)):
            raise _bad(f"not a point: {str(point)[:40]!r}", where)
    return np.array(points, np.float64).reshape(-1, 2)


def _outline(kind: str, points: Points, where: str) -> Points:
    if kind == "polygon":
        return points  # fewer than three enclose nothing; labelme's own are never so
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    if kind == "rectangle" and len(points) == 4:
        return points
    if kind == "circle" and len(points) == 2:
        angles = np.linspace(0.0, 2.0 * np.pi, _CIRCLE_POINTS, endpoint=False)
        rim = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return np.asarray(points[0] + rim * np.linalg.norm(points[1] - points[0]), np.float64)
    raise _bad(f"a {kind[:20]!r} of {len(points)} points", where)


def _size(value: Any, own: int, seen_in: object) -> int:
    """Return a side of the picture that the labels were made on; that of ours if none is told."""
    if value is None:
        return own
    if not _is_number(value) or not 1 <= value <= MAX_SIDE_PX or int(value) != value:
        raise _bad(f"a picture of side {str(value)[:20]}", seen_in)
    return int(value)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value) and abs(value) < 1e9
    except OverflowError:
        return False


def _bad(what: str, seen_in: object) -> MediaError:
    return MediaError(f"labels that cannot be used: {what}", seen_in=seen_in, fix=_FIX)
