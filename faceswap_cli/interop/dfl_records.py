"""A face of DeepFaceLab <-> our record of it."""

from typing import Final

import numpy as np

from faceswap_cli.errors import GeometryError, MediaError
from faceswap_cli.faces.pose import estimate_pose
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.templates import crop_from_frame
from faceswap_cli.geometry import Similarity, estimate_similarity
from faceswap_cli.interop.checked import similarity
from faceswap_cli.interop.dfl_faces import DflFace
from faceswap_cli.interop.frame_finder import Place, name_for_others
from faceswap_cli.interop.hostile import HostileError
from faceswap_cli.interop.polygons import Polygon, decode_mask, draw_polygons
from faceswap_cli.masks import hull_mask
from faceswap_cli.types import GreyImage, Points

ENGINE: Final = "DeepFaceLab"
OUR_TYPES: Final = {
    "half_face": "half",
    "midfull_face": "mid_full",
    "full_face": "full",
    "whole_face": "whole_face",
    "head": "head",
}
REFUSED_TYPES: Final = {
    "full_face_no_align": "its face is not upright",
    "head_no_align": "its face is not upright",
    "mark_only": "it is a whole frame, not a face",
}
SAME_PX: Final = 0.01
MAX_SHARE: Final = 1.5
"""Of the size of a face in its crop, against what is usual for its type."""
MAX_DISAGREEMENT: Final = 0.02
"""Between matrix and landmarks, of the side of the picture."""


def record_of(face: DflFace, place: Place, *, track: int = 0) -> FaceRecord:
    """Return our record of a face; the pixels of its picture stay as they are.

    DeepFaceLab's matrix is the one its warp was called with, and a warp counts both pictures
    from the centres of their pixels: it is our `crop_from_frame`, unchanged. What differs is
    which part of the head it chooses: its template begins at the centre of the first pixel,
    ours at the corner. Everything lies half a pixel further right and down in its crops than in
    ours, and the record says so.

    Raises:
        MediaError: Its type of face cannot be used, or its numbers contradict each other.
    """
    try:
        face_type = _our_type(face.face_type)
        in_frame, crop = _registered(face)
        _check_share(in_frame, crop, face_type, face.size_px)
    except (HostileError, GeometryError) as error:
        reason = error.what if isinstance(error, GeometryError) else str(error)
        raise MediaError(reason, fix="extract it again, or leave it out") from error
    size_wh = place.size_wh or _seen_size(in_frame)
    pitch, yaw, roll = (round(angle, 2) for angle in estimate_pose(in_frame))
    left, top, right, bottom = _box(face, in_frame)
    return FaceRecord(
        face_type=face_type,
        size_px=face.size_px,
        landmarks_frame=tuple((x, y) for x, y in in_frame.tolist()),
        landmarks_crop=tuple((x, y) for x, y in face.landmarks.tolist()),
        crop_from_frame=(tuple(crop.matrix[0].tolist()), tuple(crop.matrix[1].tolist())),
        source_name=place.source_name,
        frame_name=place.frame_name,
        frame_index=place.index,
        frame_time_s=place.time_s,
        frame_size_wh=size_wh,
        box=(left, top, right, bottom),
        score=1.0,
        pose_deg=(pitch, yaw, roll),
        track=track,
        engines=(ENGINE,),
    )


def lies_in(record: FaceRecord) -> bool:
    """Tell whether the middle of a face lies inside of its frame: else it is of another one."""
    x, y = np.median(record.landmarks, axis=0)
    width, height = record.frame_size_wh
    return bool(0 <= x < width and 0 <= y < height)


def agree(record: FaceRecord, face: DflFace) -> bool:
    """Tell whether a record of ours inside a picture still says what DeepFaceLab says."""
    theirs = OUR_TYPES.get(face.face_type), face.size_px
    apart = np.abs(np.array(record.landmarks_crop) - face.landmarks).max()
    return (record.face_type, record.size_px) == theirs and bool(apart < SAME_PX)


def mask_of(face: DflFace, record: FaceRecord) -> GreyImage | None:
    """Return the mask that XSeg or a person has made, (size_px, size_px); None without one.

    As DeepFaceLab does, XSeg's goes first. Where a person has only drawn what is in front of
    the face, that is cut out of the hull of the landmarks.

    Raises:
        MediaError: It cannot be decoded.
    """
    side = record.size_px
    try:
        if face.mask is not None:
            return decode_mask(face.mask, side)
    except HostileError as error:
        raise MediaError(f"its mask: {error}", fix="remove its mask in DeepFaceLab") from error
    if not face.polygons:
        return None
    empty = np.zeros((side, side), np.uint8)
    shows_face = any(polygon.is_face for polygon in face.polygons)
    base = empty if shows_face else hull_mask(face.landmarks, (side, side))
    return draw_polygons(face.polygons, base)


def face_of(
    record: FaceRecord,
    *,
    mask: bytes | None = None,
    polygons: tuple[Polygon, ...] = (),
    source_filename: str = "",
) -> DflFace:
    """Return what DeepFaceLab is told of a record.

    Args:
        record: Ours.
        mask: Encoded, as polygons.encode_mask does it.
        polygons: As they were read, if it comes from DeepFaceLab.
        source_filename: Of the frame; empty: what DeepFaceLab would have called it.

    Raises:
        MediaError: It has no name for this type of face.
    """
    theirs = {ours: name for name, ours in OUR_TYPES.items()}
    if record.face_type not in theirs:
        raise MediaError(f"a crop of the type {record.face_type}: DeepFaceLab has none such")
    name = name_for_others(record.source_name, record.frame_name, record.frame_index)
    return DflFace(
        size_px=record.size_px,
        face_type=theirs[record.face_type],
        landmarks=np.array(record.landmarks_crop, np.float64),
        source_filename=source_filename or name,
        source_rect=np.array(record.box, np.float64),
        source_landmarks=record.landmarks,
        image_to_face_mat=record.crop.matrix,
        polygons=polygons,
        mask=mask,
    )


def _our_type(name: str) -> str:
    if name in OUR_TYPES:
        return OUR_TYPES[name]
    raise HostileError(f"a crop of the type {name}: {REFUSED_TYPES.get(name, 'not known')}")


def _registered(face: DflFace) -> tuple[Points, Similarity]:
    """Return landmarks in the frame, and crop_from_frame, each from the others if need be."""
    if face.image_to_face_mat is not None:
        crop = similarity(face.image_to_face_mat)
    elif face.source_landmarks is not None:
        crop = estimate_similarity(face.source_landmarks, face.landmarks)
    else:
        raise HostileError("it has neither a matrix nor landmarks in the frame")
    if face.source_landmarks is None:
        return crop.inverse().apply(face.landmarks), crop
    apart = np.linalg.norm(crop.apply(face.source_landmarks) - face.landmarks, axis=1).max()
    if apart > MAX_DISAGREEMENT * face.size_px:
        raise HostileError(f"matrix and landmarks contradict each other by {apart:.3g} px")
    return face.source_landmarks, crop


def _check_share(in_frame: Points, crop: Similarity, face_type: str, size_px: int) -> None:
    """Refuse a crop that shows far more or less of the head than its type of face does."""
    share = crop.scale / crop_from_frame(in_frame, face_type, size_px).scale
    if not 1 / MAX_SHARE < share < MAX_SHARE:
        raise HostileError(f"a face of {share:.3g} times the size that a {face_type} crop shows")


def _box(face: DflFace, in_frame: Points) -> tuple[float, float, float, float]:
    corners = (in_frame.min(axis=0), in_frame.max(axis=0))
    box = np.concatenate(corners) if face.source_rect is None else face.source_rect
    left, top, right, bottom = box.round(2).tolist()
    return left, top, right, bottom


def _seen_size(in_frame: Points) -> tuple[int, int]:
    """Return the least size of a frame that holds a face: it is not known better."""
    width, height = np.ceil(in_frame.max(axis=0)).clip(min=1).astype(int) + 1
    return int(width), int(height)
