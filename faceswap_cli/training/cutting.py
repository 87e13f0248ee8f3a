"""A face as training keeps it: its canvas, masks and landmarks, packed into one row of bytes."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faceswap_cli.config import TrainConfig
from faceswap_cli.errors import MediaError, WorkspaceError
from faceswap_cli.faces.faceset import AlignedFace, read_face, read_mask, read_record
from faceswap_cli.faces.store import FaceFiles
from faceswap_cli.faces.templates import FACE_TYPES, crop_from_frame
from faceswap_cli.geometry import Similarity, resizing, warp
from faceswap_cli.imaging import read_grey
from faceswap_cli.masks import eyes_mouth_mask, hull_mask
from faceswap_cli.training.augment import COVER
from faceswap_cli.types import GreyImage

DETAIL = 1.25
"""Pixels of a canvas per pixel of a view: what the resampling of a view costs in sharpness."""
_LANDMARK_BYTES = 68 * 2 * 4


@dataclass(frozen=True)
class Rows:
    """Some faces, unpacked."""

    images: Tensor
    """(N, 3, C, C), uint8, RGB; C is the side of the canvas."""
    masks: Tensor
    """(N, 2, C / 2, C / 2), uint8: the face; its eyes and mouth. Soft enough for half the size."""
    landmarks: Tensor
    """(N, 68, 2), float32, -1..1 of the canvas."""


@dataclass(frozen=True)
class Layout:
    """How a face is packed."""

    side: int
    """C, pixels, even."""

    @classmethod
    def of(cls, resolution: int) -> "Layout":
        """Return the layout for a model of that resolution."""
        return cls(2 * math.ceil(resolution * COVER * DETAIL / 2.0))

    @property
    def row_bytes(self) -> int:
        """Length of a packed face."""
        return 3 * self.side**2 + 2 * (self.side // 2) ** 2 + _LANDMARK_BYTES

    def unpack(self, rows_NR: Tensor) -> Rows:
        """Return views of packed faces, (N, row_bytes), uint8, on any device."""
        side, half = self.side, self.side // 2
        image, masks, points = rows_NR.split([3 * side**2, 2 * half**2, _LANDMARK_BYTES], dim=1)
        return Rows(
            image.unflatten(1, (3, side, side)),
            masks.unflatten(1, (2, half, half)),
            points.contiguous().view(torch.float32).unflatten(1, (68, 2)),
        )

    def pack(
        self, image: NDArray[np.uint8], masks: NDArray[np.uint8], landmarks: NDArray[np.float32]
    ) -> bytes:
        """Return a face, (C, C, 3), (2, C / 2, C / 2) and (68, 2), as one row."""
        planes = np.ascontiguousarray(image.transpose(2, 0, 1))
        row = planes.tobytes() + np.ascontiguousarray(masks).tobytes() + landmarks.tobytes()
        assert len(row) == self.row_bytes
        return row


def canvas_from_frame(face: AlignedFace, face_type: str, side: int) -> Similarity:
    """Return the transform of a canvas: a crop of the face type, COVER times as wide."""
    view_px = side / COVER
    view_from_frame = crop_from_frame(face.record.landmarks, face_type, view_px)
    margin = (side - view_px) / 2.0
    return Similarity(np.array([[1.0, 0.0, margin], [0.0, 1.0, margin]])).after(view_from_frame)


def cut_face(picture: Path, edited_mask: Path, config: TrainConfig) -> tuple[bytes, float]:
    """Read an aligned picture and pack it.

    Args:
        picture: With its record inside.
        edited_mask: What a person made of its mask; may be absent.
        config: Resolution, face type, how far the mask reaches.

    Returns:
        The row, and the yaw of the head, degrees.

    Raises:
        FaceswapError: The picture, its record or its mask cannot be used.
    """
    edited = read_grey(edited_mask) if edited_mask.exists() else None
    return _cut(AlignedFace(picture, read_record(picture)), edited, config)


def cut_named(files: FaceFiles, name: str, config: TrainConfig) -> tuple[bytes, float]:
    """Read a picture of a folder or a pack, with its mask, and pack it; as cut_face."""
    return _cut(read_face(files, name), read_mask(files, name), config)


def _cut(
    face: AlignedFace, edited_mask: GreyImage | None, config: TrainConfig
) -> tuple[bytes, float]:
    _check_face_type(face, config.face_type)
    layout = Layout.of(config.resolution)
    side, half = layout.side, layout.side // 2
    canvas_from = canvas_from_frame(face, config.face_type, side)
    canvas_from_picture = canvas_from.after(face.record.crop.inverse())
    image = warp(face.image(), canvas_from_picture, size_wh=(side, side))
    landmarks = canvas_from.apply(face.record.landmarks)
    smaller = resizing(0.5)
    if edited_mask is not None:
        half_from_mask = smaller.after(canvas_from_picture).after(_picture_from(edited_mask, face))
        mask = warp(edited_mask, half_from_mask, size_wh=(half, half), border=0.0)
    else:
        unit_px = half / COVER / FACE_TYPES[config.face_type].side
        jaw_px = config.jaw / 100.0 * unit_px
        mask = hull_mask(smaller.apply(landmarks), (half, half), jaw_px=jaw_px)
    parts = eyes_mouth_mask(smaller.apply(landmarks), (half, half))
    normal = ((landmarks + 0.5) * (2.0 / side) - 1.0).astype(np.float32)
    return layout.pack(image, np.stack([mask, parts]), normal), face.record.pose_deg[1]


def _picture_from(mask: GreyImage, face: AlignedFace) -> Similarity:
    """Return the transform of a mask, which may have been saved at another size."""
    height, width = mask.shape
    if width != height:
        raise MediaError(
            f"its mask has {width}x{height} pixels, the picture {face.record.size_px} each way",
            seen_in=face.path,
            fix="make the mask square and of the size of the picture, or delete it",
        )
    return resizing(face.record.size_px / width)


def _check_face_type(face: AlignedFace, wanted: str) -> None:
    """Refuse a crop that shows less of the head than the model sees: the rest is not there."""
    shown = face.record.face_type
    if shown not in FACE_TYPES:
        raise WorkspaceError(f"a crop of an unknown face type, {shown!r}", seen_in=face.path)
    if FACE_TYPES[shown].side < FACE_TYPES[wanted].side:
        raise WorkspaceError(
            f"a {shown} crop shows less of the head than a {wanted} model sees",
            seen_in=face.path,
            fix=f"extract with --face-type {wanted} or larger, or train with --face-type {shown}",
        )
