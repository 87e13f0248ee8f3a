"""A face as faceswap stores it: in the header of a face PNG, and in an alignments file.

Its pictures are crops of its own kind, and how one was cut is not stored with it. What is
stored are landmarks, in pixels of the frame: faces are cut from the footage again, as ours.
"""

import zlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from faceswap_cli.errors import GeometryError, MediaError
from faceswap_cli.faces.pose import estimate_pose
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.templates import crop_from_frame
from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.interop.checked import coordinates, file_name, similarity
from faceswap_cli.interop.encoded import png_parts
from faceswap_cli.interop.frame_finder import Place
from faceswap_cli.interop.hostile import HostileError, shown
from faceswap_cli.interop.literal import MAX_CHARACTERS, parse_literal
from faceswap_cli.interop.pickles import num_rows, numbers, raw_bytes
from faceswap_cli.types import GreyImage, Points

ENGINE: Final = "faceswap"
MAX_MASK_PX: Final = 1024
MAX_SCALE: Final = 100.0
"""Between a mask and the crop, either way."""
_KEYWORD: Final = b"faceswap\x00\x00\x00\x00\x00"  # no compression, language or translation
_DRAWN: Final = ("components", "extended")
"""Masks that are drawn from the landmarks; we have our own."""
_NUM_LANDMARKS: Final = 68


@dataclass(frozen=True, eq=False)
class StoredMask:
    """A mask, compressed."""

    name: str
    packed: bytes
    """zlib of (side, side), uint8."""
    side: int
    mask_from_frame: Similarity


@dataclass(frozen=True, eq=False)
class StoredFace:
    """A face of a frame."""

    frame: str
    """File name of the frame; of a video: NAME_000001.mp4, counted from 1."""
    index: int
    """Among the faces of the frame."""
    landmarks: Points
    """(68, 2), frame pixels."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom, frame pixels."""
    masks: tuple[StoredMask, ...]


def read_face_png(data: bytes, name: object) -> StoredFace:
    """Return what faceswap has put into the header of a face PNG.

    Args:
        data: The whole file.
        name: For the message.

    Raises:
        MediaError: No PNG, not of faceswap, or what is in it cannot be used.
    """
    try:
        texts = [
            part.payload.removeprefix(_KEYWORD)
            for part in png_parts(data)
            if part.kind == b"iTXt" and part.payload.startswith(_KEYWORD)
        ]
        if not texts:
            raise HostileError("no data of faceswap inside")
        if len(texts[0]) > MAX_CHARACTERS:
            raise HostileError(f"a header of {len(texts[0])} bytes")
        known = parse_literal(texts[0].decode("utf-8", "replace"))
        source, face = _dict(known, "source"), _dict(known, "alignments")
        index = source.get("face_index", 0)
        if type(index) is not int or not 0 <= index < 10_000:
            raise HostileError(f"a face of number {shown(index)}")
        return stored_face(face, frame=file_name(source.get("source_filename")), index=index)
    except HostileError as error:
        raise MediaError(
            f"not a face of faceswap: {error}", seen_in=name, fix="extract it again, or leave it"
        ) from error


def stored_face(known: Any, *, frame: str, index: int) -> StoredFace:
    """Return a checked face of a header or of an alignments file, or raise HostileError."""
    if not isinstance(known, dict):
        raise HostileError("a face that is no dict")
    marks = known.get("landmarks_xy")
    if num_rows(marks) != _NUM_LANDMARKS:
        raise HostileError(f"{num_rows(marks)} landmarks, {_NUM_LANDMARKS} are needed")
    left, top, width, height = (
        float(coordinates(known.get(key), ())) for key in ("x", "y", "w", "h")
    )
    masks = known.get("mask") or {}
    if not isinstance(masks, dict) or len(masks) > 100:
        raise HostileError("masks that are no dict")
    return StoredFace(
        frame=frame,
        index=index,
        landmarks=coordinates(marks, (_NUM_LANDMARKS, 2)),
        box=(left, top, left + width, top + height),
        masks=tuple(_mask(name, value) for name, value in masks.items()),
    )


def record_of(
    face: StoredFace, place: Place, *, face_type: str, size_px: int
) -> tuple[FaceRecord, Similarity]:
    """Return the record of a face as we cut it, and crop_from_frame.

    Raises:
        MediaError: Its landmarks coincide, or lie outside of the frame.
    """
    width, height = place.size_wh or (0, 0)
    x, y = np.median(face.landmarks, axis=0)
    if not (0 <= x < width and 0 <= y < height):
        raise MediaError(f"it lies at ({x:.0f}, {y:.0f}), outside of the frame {width}x{height}")
    try:
        crop = crop_from_frame(face.landmarks, face_type, size_px)
    except GeometryError as error:
        raise MediaError(error.what) from error
    pitch, yaw, roll = (round(a, 2) for a in estimate_pose(face.landmarks))
    in_crop = crop.apply(face.landmarks).round(3)
    record = FaceRecord(
        face_type=face_type,
        size_px=size_px,
        landmarks_frame=tuple((x, y) for x, y in face.landmarks.tolist()),
        landmarks_crop=tuple((x, y) for x, y in in_crop.tolist()),
        crop_from_frame=(tuple(crop.matrix[0].tolist()), tuple(crop.matrix[1].tolist())),
        source_name=place.source_name,
        frame_name=place.frame_name,
        frame_index=place.index,
        frame_time_s=place.time_s,
        frame_size_wh=(width, height),
        box=face.box,
        score=1.0,
        pose_deg=(pitch, yaw, roll),
        track=0,
        engines=(ENGINE,),
    )
    return record, crop


def crop_mask(face: StoredFace, crop: Similarity, size_px: int) -> GreyImage | None:
    """Return its first mask that a network has made, as we cut it; None if it has none.

    Args:
        face: With masks of any size and place.
        crop: crop_from_frame.
        size_px: Side of the crop; where the stored mask does not reach, it is 0.

    Raises:
        MediaError: It does not decompress, or has another size than it says.
    """
    chosen = next((mask for mask in face.masks if mask.name not in _DRAWN), None)
    if chosen is None:
        return None
    num_bytes = chosen.side**2
    try:
        # One byte more than it may have: a bomb stops there.
        raw = zlib.decompressobj().decompress(chosen.packed, num_bytes + 1)
    except zlib.error as error:
        raise MediaError(f"its mask {chosen.name} is damaged: {error}") from error
    if len(raw) != num_bytes:
        raise MediaError(f"its mask {chosen.name} is not {chosen.side} pixels each way")
    grey = np.frombuffer(raw, np.uint8).reshape(chosen.side, chosen.side)
    crop_from_mask = crop.after(chosen.mask_from_frame.inverse())
    if not 1 / MAX_SCALE < crop_from_mask.scale < MAX_SCALE:  # a low-pass would take for ever
        raise MediaError(f"its mask {chosen.name} is of another size than the face")
    return np.asarray(warp(grey, crop_from_mask, size_wh=(size_px, size_px), border=0.0), np.uint8)


def _mask(name: Any, known: Any) -> StoredMask:
    if not isinstance(name, str) or not isinstance(known, dict):
        raise HostileError("a mask that is no dict")
    side, rows = known.get("stored_size"), known.get("affine_matrix")
    if type(side) is not int or not 1 <= side <= MAX_MASK_PX:
        raise HostileError(f"a mask of size {shown(side)}")
    matrix = numbers(rows, (num_rows(rows), 3))[:2]
    if matrix.shape != (2, 3):
        raise HostileError("a mask without a matrix")
    return StoredMask(shown(name), raw_bytes(known.get("mask")), side, similarity(matrix))


def _dict(known: Any, key: str) -> dict[Any, Any]:
    value = known.get(key) if isinstance(known, dict) else None
    if not isinstance(value, dict):
        raise HostileError(f"no {key} in it")
    return value
