"""Sketches of faces made of numbers: a face before a wall, and what a network drew for it."""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.geometry import Similarity
from faceswap_cli.imaging import to_float
from faceswap_cli.merging.look import MaskName
from faceswap_cli.merging.steady import Sketch
from faceswap_cli.types import FloatImage, RgbImage
from tests.made_faces import smooth_picture

STILL = Similarity(np.eye(2, 3))


def disc(side: int, radius: float) -> FloatImage:
    """Return a soft disc in the middle, (side, side)."""
    y, x = np.indices((side, side)) - (side - 1) / 2.0
    return np.asarray(np.clip(radius - np.hypot(x, y) + 0.5, 0.0, 1.0), np.float32)


def footage_of(seed: int = 1, side: int = 64, *, moved_px: float = 0.0) -> RgbImage:
    """Return a picture of blobs in which `moved_px` have gone by to the right."""
    large = smooth_picture(seed, (side * 2, side), detail_px=side / 16.0)
    shift = np.array([[1.0, 0.0, -side / 2.0 + moved_px], [0.0, 1.0, 0.0]])
    moved = cv2.warpAffine(large, shift, (side, side), flags=cv2.INTER_CUBIC)
    return np.asarray(moved, np.uint8)


def sketch(
    frame_index: int,
    *,
    footage: RgbImage | None = None,
    face: FloatImage | None = None,
    masks: Mapping[MaskName, FloatImage] | None = None,
    colour: NDArray[np.floating] | None = None,
    plate: NDArray[np.floating] | None = None,
) -> Sketch:
    """Return a sketch; what is not given is always the same."""
    face = to_float(smooth_picture(2, (64, 64))) if face is None else face
    numbers = np.array([1.0, 0.5]) if colour is None else colour
    return Sketch(
        frame_index=frame_index,
        track=0,
        face=face,
        masks={"learned_dst": disc(len(face), 20.0)} if masks is None else masks,
        colour=numbers.astype(np.float32),
        plate=None if plate is None else plate.astype(np.float32),
        footage=footage_of() if footage is None else footage,
        crop_from_frame=STILL,
        face_px=40.0,
    )
