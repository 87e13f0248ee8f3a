"""Cutting faces out of frames, for models to see."""

# Shape suffixes: B batch, H = W = side of the crop.

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from faceswap_cli.errors import GeometryError
from faceswap_cli.faces.templates import FACE_TYPES, crop_from_frame
from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.imaging import to_float
from faceswap_cli.masks import hull_mask
from faceswap_cli.merging.look import FrameImage, Shown
from faceswap_cli.merging.regions import colour_region
from faceswap_cli.models import Faces
from faceswap_cli.types import FloatImage, Points, RgbImage

MIN_FACE_PX, MAX_FACE_PX = 0.5, 8192.0
"""Side of the mean face's unit square: what is said of a face takes memory, or time, of its
square, and landmarks may come from anywhere. A frame of 8K is 4320 pixels high."""
_LEVELS_16 = 257  # levels of 16 bits for one of 8


@dataclass(frozen=True)
class Cut:
    """A face of the footage, as a model sees it."""

    image: RgbImage
    """(S, S, 3)."""
    mask: FloatImage
    """(S, S), the hull."""
    region: FloatImage
    """(S, S), where skin is to be expected."""
    landmarks: Points
    """(68, 2), frame pixels."""
    crop_from_frame: Similarity
    face_px: float
    """Side of the mean face's unit square, frame pixels."""
    frame_index: int = 0
    track: int = 0
    shown: Shown | None = None
    """See Drawn."""
    pose_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    motion_px: tuple[float, float] = (0.0, 0.0)
    plate: NDArray[np.float32] | None = None


def cut_face(frame: FrameImage, landmarks: Points, *, face_type: str, size_px: int) -> Cut:
    """Cut a face out of a picture.

    Args:
        frame: (H, W, 3); of 16 bits the upper 8 are what a model sees.
        landmarks: (68, 2), pixels of `frame`.
        face_type: A key of FACE_TYPES.
        size_px: Side of the crop, pixels.

    Raises:
        GeometryError: The landmarks are not finite or coincide, or are of no face for its size.
    """
    crop_from = crop_from_frame(landmarks, face_type, size_px)
    face_px = size_px / max(FACE_TYPES[face_type].side * crop_from.scale, 1e-12)
    if not MIN_FACE_PX <= face_px <= MAX_FACE_PX:
        raise GeometryError(f"landmarks of a face of {face_px:.3g} pixels")
    points = crop_from.apply(landmarks)
    image = warp(frame, crop_from, size_wh=(size_px, size_px))
    if image.dtype == np.uint16:
        image = np.rint(image / np.float32(_LEVELS_16)).astype(np.uint8)
    return Cut(
        image=image,
        mask=to_float(hull_mask(points, (size_px, size_px))),
        region=colour_region(points, size_px),
        landmarks=landmarks,
        crop_from_frame=crop_from,
        face_px=face_px,
    )


def to_faces(cuts: Sequence[Cut], device: torch.device) -> Faces:
    """Return the cuts as a batch on a device."""
    img = torch.from_numpy(np.stack([cut.image for cut in cuts])).to(device)
    mask = torch.from_numpy(np.stack([cut.mask for cut in cuts])).to(device)
    side = len(cuts[0].image)
    points = np.stack([cut.crop_from_frame.apply(cut.landmarks) for cut in cuts])
    return Faces(
        # A view of (B, H, W, 3) is in channels-last order already, what networks like best.
        img=img.permute(0, 3, 1, 2).float() / 255.0,
        lms=torch.from_numpy(((points + 0.5) * (2.0 / side) - 1.0).astype(np.float32)).to(device),
        mask=mask[:, None],
    )
