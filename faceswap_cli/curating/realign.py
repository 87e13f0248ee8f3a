"""A face cut anew by landmarks that a person has placed; nothing is detected."""

import json
from typing import Any

import numpy as np

from faceswap_cli.curating.landmark_files import ManualFace
from faceswap_cli.errors import FaceswapError, WorkspaceError
from faceswap_cli.faces.pose import estimate_pose
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.templates import crop_from_frame
from faceswap_cli.geometry import Similarity, estimate_similarity, warp
from faceswap_cli.types import GreyImage, Points, RgbImage

MANUAL = "manual"
SAME_PX = 0.01
"""Landmarks that moved less are the same: files are rounded to a thousandth."""
MESH_MISFIT = 0.1
"""Of the side of the face: if the landmarks moved that differently, it was another face."""


def is_same(record: FaceRecord, face: ManualFace) -> bool:
    """Tell whether a face already has these landmarks."""
    return bool(np.abs(record.landmarks - face.points68).max() < SAME_PX)


def check_in_frame(points: Points, size_wh: tuple[int, int]) -> None:
    """Raise WorkspaceError if points lie further outside than the frame is large."""
    size = np.array(size_wh)
    if (points < -size).any() or (points > 2 * size).any():
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        raise WorkspaceError(
            f"landmarks from ({left:.0f}, {top:.0f}) to ({right:.0f}, {bottom:.0f}) lie far"
            f" outside of the frame, {size_wh[0]}x{size_wh[1]}"
        )


def realigned(record: FaceRecord, face: ManualFace) -> FaceRecord:
    """Return the record of the same face with other landmarks.

    Crop and pose follow them. The mesh is moved along by the similarity between the old
    landmarks and the new, so that the forehead keeps its place; it is dropped if no
    similarity comes near.

    Raises:
        GeometryError: No crop can be estimated from the landmarks.
        WorkspaceError: They lie far outside of the frame.
    """
    mesh = _moved_mesh(record, face.points68)
    facts = _facts(face, record.face_type, record.size_px, record.frame_size_wh)
    engines = (record.engines[0] if record.engines else MANUAL, MANUAL)
    return record.model_copy(update=facts | {"mesh_frame": mesh, "engines": engines})


def new_record(face: ManualFace, *, face_type: str, size_px: int, **where: Any) -> FaceRecord:
    """Return the record of a face that nobody had found.

    Args:
        face: As a person placed it.
        face_type: A key of FACE_TYPES.
        size_px: Side of its picture.
        where: Source, frame, track, person: fields of FaceRecord.

    Raises:
        As realigned.
    """
    facts = _facts(face, face_type, size_px, where["frame_size_wh"])
    shape = {"face_type": face_type, "size_px": size_px, "engines": (MANUAL, MANUAL)}
    return FaceRecord(**shape, **where, **facts)


def crop_from_crop(old: FaceRecord, new: FaceRecord) -> Similarity:
    """Return the transform from the old aligned picture to the new one."""
    return new.crop.after(old.crop.inverse())


def recut(image: RgbImage, old: FaceRecord, new: FaceRecord) -> RgbImage:
    """Return the new aligned picture, made from the old one: what that did not show is smeared."""
    size_wh = (new.size_px, new.size_px)
    return np.asarray(warp(image, crop_from_crop(old, new), size_wh=size_wh), np.uint8)


def moved_mask(mask: GreyImage, old: FaceRecord, new: FaceRecord) -> GreyImage:
    """Return an edited mask for the new picture; black where the old one did not show."""
    # A mask may have another size than its picture.
    scale = new.size_px / mask.shape[0]
    crop_from_mask = Similarity(
        np.array([[scale, 0.0, (scale - 1) / 2], [0.0, scale, (scale - 1) / 2]])
    )
    moved = crop_from_crop(old, new).after(crop_from_mask)
    size_wh = (new.size_px, new.size_px)
    return np.asarray(warp(mask, moved, size_wh=size_wh, border=0.0), np.uint8)


def moved_labels(data: bytes, old: FaceRecord, new: FaceRecord) -> bytes:
    """Return a labelme file for the new picture: its polygons moved, its picture left out.

    Raises:
        WorkspaceError: It is no such file.
    """
    try:
        labels = json.loads(data)
        for shape in labels["shapes"]:
            points = np.array(shape["points"], np.float64).reshape(-1, 2)
            shape["points"] = crop_from_crop(old, new).apply(points).round(3).tolist()
        labels["imageData"] = None
        return json.dumps(labels, indent=2).encode()
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise WorkspaceError("its labels (.json) are damaged, and stay where they are") from error


def _facts(
    face: ManualFace, face_type: str, size_px: int, frame_size_wh: tuple[int, int]
) -> dict[str, Any]:
    """Return the fields of a record that follow from the landmarks."""
    landmarks = face.points68.round(3)
    check_in_frame(landmarks, frame_size_wh)
    crop = crop_from_frame(landmarks, face_type, size_px)
    pitch, yaw, roll = (round(angle, 2) for angle in estimate_pose(landmarks))
    left, top, right, bottom = (round(value, 2) for value in face.bounds)
    return {
        "landmarks_frame": tuple((x, y) for x, y in landmarks.tolist()),
        "landmarks_crop": tuple((x, y) for x, y in crop.apply(landmarks).round(3).tolist()),
        "crop_from_frame": (tuple(crop.matrix[0].tolist()), tuple(crop.matrix[1].tolist())),
        "box": (left, top, right, bottom),
        "score": 1.0,
        "pose_deg": (pitch, yaw, roll),
        "origin": MANUAL,
    }


def _moved_mesh(
    record: FaceRecord, points: Points
) -> tuple[tuple[float, float, float], ...] | None:
    if record.mesh_frame is None:
        return None
    try:
        new_from_old = estimate_similarity(record.landmarks, points)
    except FaceswapError:
        return None
    misfit = np.sqrt(np.mean((new_from_old.apply(record.landmarks) - points) ** 2))
    if misfit > MESH_MISFIT * np.ptp(points, axis=0).max():
        return None
    mesh = np.array(record.mesh_frame, np.float64)
    moved = np.column_stack([new_from_old.apply(mesh[:, :2]), mesh[:, 2] * new_from_old.scale])
    return tuple((x, y, z) for x, y, z in moved.round(2).tolist())
