"""How the mask network sees a face: one geometry for training, for masks and for merging."""

from dataclasses import dataclass

import numpy as np

from faceswap_cli.faces.faceset import AlignedFace
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.templates import crop_from_frame
from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.masks import hull_mask, mesh_hull_mask
from faceswap_cli.types import GreyImage, Points, RgbImage

COVER = 1.3
"""Sides of the crop that a canvas holds: what shifts and turns bring into view."""
NO_MESH_BROWS = 2.0
"""See raise_brows: a forehead for faces that have no mesh."""


@dataclass(frozen=True, eq=False)
class Canvas:
    """A face with all that is known about it, a little larger than the network sees it."""

    image: RgbImage
    """(S, S, 3)."""
    label: GreyImage
    """(S, S), 255: face."""
    drawn: bool
    """Whether a person has drawn the label; else it is the hull of the landmarks."""
    hull: GreyImage
    """(S, S), from the landmarks, whatever lies over the face."""
    known: GreyImage | None
    """(S, S), 0 beyond the border of the aligned picture; None: there is no such place."""
    landmarks: Points
    """(68, 2), canvas pixels."""
    weight: GreyImage | None = None
    """(S, S), 255: the label is believed; None: everywhere."""
    trust: float = 1.0
    """Whether the face seems free, 0..1; see guess.py."""


def net_from_frame(landmarks: Points, face_type: str, resolution: int) -> Similarity:
    """Return the transform from a frame to what the network sees.

    Args:
        landmarks: (68, 2), frame pixels.
        face_type: That the network was trained on.
        resolution: Side that it sees, pixels.
    """
    return crop_from_frame(landmarks, face_type, resolution)


def canvas_side(resolution: int) -> int:
    """Return the side of a canvas, pixels."""
    return 2 * round(resolution * COVER / 2.0)


def canvas_from_frame(landmarks: Points, face_type: str, resolution: int) -> Similarity:
    """Return the transform of a canvas: the crop in its middle."""
    margin = (canvas_side(resolution) - resolution) / 2.0
    inside = net_from_frame(landmarks, face_type, resolution)
    return Similarity(np.array([[1.0, 0.0, margin], [0.0, 1.0, margin]])).after(inside)


def automatic_mask(
    record: FaceRecord, out_from_frame: Similarity, size_wh: tuple[int, int]
) -> GreyImage:
    """Draw the face of a record from its landmarks, with the forehead of its mesh.

    Args:
        record: Of the face.
        out_from_frame: To pixels of the result.
        size_wh: Of the result.

    Returns:
        (height, width), 255 inside; what lies over the face is inside too.
    """
    landmarks = out_from_frame.apply(record.landmarks)
    if record.mesh_frame is None:
        return hull_mask(landmarks, size_wh, brows=NO_MESH_BROWS)
    mesh = out_from_frame.apply(np.array(record.mesh_frame, np.float64)[:, :2])
    return mesh_hull_mask(mesh, landmarks, size_wh)


def cut_canvas(
    face: AlignedFace, drawn: GreyImage | None, *, face_type: str, resolution: int
) -> Canvas:
    """Cut a face out of its aligned picture.

    Args:
        face: Of any face type and size.
        drawn: The label that a person drew, as large as the picture; None: there is none.
        face_type: That the network is to see.
        resolution: Side that it is to see, pixels.

    Raises:
        FaceswapError: The picture cannot be read, or its landmarks coincide.
    """
    record, side = face.record, canvas_side(resolution)
    size_wh = (side, side)
    canvas_from = canvas_from_frame(record.landmarks, face_type, resolution)
    canvas_from_picture = canvas_from.after(record.crop.inverse())
    hull = automatic_mask(record, canvas_from, size_wh)
    whole = np.full((record.size_px,) * 2, 255, np.uint8)
    known = warp(whole, canvas_from_picture, size_wh=size_wh, border=0.0)
    label = hull
    if drawn is not None:
        label = warp(drawn, canvas_from_picture, size_wh=size_wh, border=0.0)
    return Canvas(
        image=warp(face.image(), canvas_from_picture, size_wh=size_wh),
        label=label,
        drawn=drawn is not None,
        hull=hull,
        known=None if known.min() >= 254 else known,
        landmarks=canvas_from.apply(record.landmarks),
    )
