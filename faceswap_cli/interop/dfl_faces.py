"""An aligned picture of DeepFaceLab: a JPEG with a pickled dict in its segment APP15.

Pixels are never touched. The dict is read by interop/pickles.py and checked value by value; it
is written so that DeepFaceLab's own reader, Python 3.7 with numpy 1.19, loads it.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.errors import MediaError
from faceswap_cli.interop.checked import coordinates, file_name
from faceswap_cli.interop.encoded import jpeg_parts
from faceswap_cli.interop.hostile import HostileError
from faceswap_cli.interop.pickle_writer import write_pickle
from faceswap_cli.interop.pickles import num_rows, numbers, plain_data, raw_bytes
from faceswap_cli.interop.polygons import Polygon
from faceswap_cli.media.picture_header import read_header
from faceswap_cli.types import Points

T = TypeVar("T")
MAX_FACE_PX: Final = 4096
MAX_PAYLOAD: Final = 65_533
"""Of a segment: its length, itself included, has two bytes."""
MAX_POLYGONS: Final = 100
MAX_POINTS: Final = 5000
"""In all polygons of a face."""
_MEMORY = 16 * 2**20
_APP15, _APPS = b"\xef", frozenset(bytes([marker]) for marker in range(0xE0, 0xF0))


@dataclass(frozen=True, eq=False)
class DflFace:
    """What DeepFaceLab knows about an aligned picture; None is what it does not know."""

    size_px: int
    """Side of the picture, pixels."""
    face_type: str
    """In its own words: whole_face, midfull_face, ..."""
    landmarks: Points
    """(68, 2), pixels of the picture."""
    source_filename: str = ""
    """File name of the frame."""
    source_rect: NDArray[np.float64] | None = None
    """Box of the detector, (4,): left, top, right, bottom, frame pixels."""
    source_landmarks: Points | None = None
    """(68, 2), frame pixels."""
    image_to_face_mat: NDArray[np.float64] | None = None
    """(2, 3), from pixels of the frame to pixels of the picture; integers are centres of both."""
    eyebrows_expand_mod: float = 1.0
    polygons: tuple[Polygon, ...] = field(default=())
    """Drawn by a person, to teach XSeg."""
    mask: bytes | None = None
    """What XSeg has made of it: an encoded grey picture."""


def has_dfl_data(data: bytes) -> bool:
    """Tell whether an encoded picture has a segment of DeepFaceLab; False if it is damaged."""
    try:
        return any(part.kind == _APP15 for part in jpeg_parts(data))
    except HostileError:
        return False


def read_dfl_face(data: bytes, name: object) -> DflFace:
    """Return what DeepFaceLab has put into an encoded JPEG.

    Args:
        data: The whole file.
        name: For the message.

    Raises:
        MediaError: No JPEG, cut short, not square, or what is in it cannot be used, or would
            do harm.
    """
    try:
        parts = jpeg_parts(data)
        payloads = [part.payload for part in parts if part.kind == _APP15]
        if not payloads:
            raise HostileError("no data of DeepFaceLab inside")
        width, height = read_header(data, name).size_wh
        if width != height or not 16 <= width <= MAX_FACE_PX:
            raise HostileError(f"{width}x{height} pixels: not an aligned face")
        return _checked(_loaded(payloads[-1]), width)
    except HostileError as error:
        raise MediaError(
            str(error), seen_in=name, fix="extract it again with DeepFaceLab, or leave it out"
        ) from error


def with_dfl_face(data: bytes, face: DflFace) -> bytes:
    """Return the same JPEG with this face in place of what DeepFaceLab knew before.

    Raises:
        MediaError: No JPEG, or polygons and mask are too large for it.
    """
    try:
        for part in reversed([part for part in jpeg_parts(data) if part.kind == _APP15]):
            data = data[: part.start] + data[part.end :]
        payload = write_pickle(_as_dict(face))
        if len(payload) > MAX_PAYLOAD:
            raise HostileError(f"{len(payload)} bytes of data, a JPEG has room for {MAX_PAYLOAD}")
        at = max((part.end for part in jpeg_parts(data) if part.kind in _APPS), default=2)
    except HostileError as error:
        raise MediaError(str(error), fix="simplify its polygons or its mask") from error
    return data[:at] + b"\xff" + _APP15 + struct.pack(">H", len(payload) + 2) + payload + data[at:]


def _loaded(payload: bytes) -> Any:
    try:
        return plain_data(payload, max_bytes=MAX_PAYLOAD, max_memory=_MEMORY)
    except HostileError as error:
        raise HostileError(f"its data is not plain, and was not run: {error}") from error


def _checked(known: Any, size_px: int) -> DflFace:
    if not isinstance(known, dict):
        raise HostileError(f"its data is no dict, but {type(known).__name__}")

    def get(key: str, convert: Callable[[Any], T]) -> T | None:
        value = known.get(key)
        try:
            return None if value is None else convert(value)
        except HostileError as error:
            raise HostileError(f"its {key}: {error}") from error

    landmarks = get("landmarks", lambda value: coordinates(value, (68, 2)))
    if landmarks is None:
        raise HostileError("it has no landmarks")
    mod = get("eyebrows_expand_mod", lambda value: float(numbers(value, ())))
    return DflFace(
        size_px=size_px,
        face_type=get("face_type", file_name) or "full_face",
        landmarks=landmarks,
        source_filename=get("source_filename", lambda value: file_name(value) if value else "")
        or "",
        source_rect=get("source_rect", lambda value: coordinates(value, (4,))),
        source_landmarks=get("source_landmarks", lambda value: coordinates(value, (68, 2))),
        image_to_face_mat=get("image_to_face_mat", lambda value: coordinates(value, (2, 3))),
        eyebrows_expand_mod=1.0 if mod is None else min(max(mod, 0.0), 10.0),
        polygons=get("seg_ie_polys", _polygons) or (),
        mask=get("xseg_mask", raw_bytes),
    )


def _name_or_none(value: Any) -> str:
    return "" if value == "" else file_name(value)


def _polygons(value: Any) -> tuple[Polygon, ...]:
    """Return the polygons, of today's form or the old one: a list of (type, points)."""
    listed = value.get("polys") if isinstance(value, dict) else value
    if not isinstance(listed, list | tuple) or len(listed) > MAX_POLYGONS:
        raise HostileError("no list, or more polygons than a person draws")
    found, left = [], MAX_POINTS
    for item in listed:
        kind, points = _type_and_points(item)
        left -= num_rows(points)
        if left < 0:
            raise HostileError(f"more than {MAX_POINTS} points")
        if num_rows(points):
            at = coordinates(points, (num_rows(points), 2))
            found.append(Polygon(is_face=kind == 1, points=at))
    return tuple(found)


def _type_and_points(item: Any) -> tuple[int, Any]:
    is_pair = isinstance(item, list | tuple) and len(item) == 2
    kind, points = item if is_pair else (None, None)
    if isinstance(item, dict):
        kind, points = item.get("type"), item.get("pts")
    if type(kind) is not int or kind not in (0, 1):
        raise HostileError("a polygon that is neither face nor not")
    return kind, points


def _as_dict(face: DflFace) -> dict[str, Any]:
    """Return the dict as DeepFaceLab writes it: what is None is left out."""
    rect = face.source_rect
    polygons = [
        {"type": int(polygon.is_face), "pts": polygon.points.astype(np.float32)}
        for polygon in face.polygons
    ]
    known = {
        "face_type": face.face_type,
        "landmarks": face.landmarks,
        "source_filename": face.source_filename,
        "source_rect": None if rect is None else np.rint(rect).astype(np.int32),
        "source_landmarks": face.source_landmarks,
        "image_to_face_mat": face.image_to_face_mat,
        "eyebrows_expand_mod": face.eyebrows_expand_mod,
        "seg_ie_polys": {"polys": polygons} if polygons else None,
        "xseg_mask": None if face.mask is None else np.frombuffer(face.mask, np.uint8),
    }
    return {key: value for key, value in known.items() if value is not None}
