"""The face cut out of both pictures in the same way: how it changes, and how sharp it is."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.faces.templates import crop_from_frame
from faceswap_cli.geometry import warp
from faceswap_cli.masks import hull_mask
from faceswap_cli.types import FloatImage, Points, RgbImage

VIEW, VIEW_PX = "full", 192
INSET = 0.06
"""Of the side of the view, along the edge of the face: the edge itself is no detail."""
STILL = 0.25
"""Grey levels of change that nobody sees, so that a still face has a ratio."""
FLAT = 1.0
"""The same for detail, squared levels of the Laplacian."""


@dataclass(frozen=True, eq=False)
class View:
    """A face of a frame, upright, of the same size in every frame."""

    image: FloatImage
    """(VIEW_PX, VIEW_PX, 3), levels 0..255."""
    inside: NDArray[np.bool_]
    """(VIEW_PX, VIEW_PX): where the face of the footage is."""


def cut_view(image: RgbImage, landmarks: Points) -> View:
    """Return a face of a frame.

    Args:
        image: (H, W, 3), a frame.
        landmarks: (68, 2), its pixels, those of the footage for both pictures.

    Raises:
        GeometryError: They are not finite, or coincide.
    """
    view_from_frame = crop_from_frame(landmarks, VIEW, VIEW_PX)
    view = warp(image, view_from_frame, size_wh=(VIEW_PX, VIEW_PX)).astype(np.float32)
    hull = hull_mask(view_from_frame.apply(landmarks), (VIEW_PX, VIEW_PX))
    side = 2 * round(INSET * VIEW_PX) + 1
    inside = cv2.erode(hull, np.ones((side, side), np.uint8)) > 127
    return View(view, inside if inside.any() else np.ones_like(inside))


def change(before: View, after: View) -> float:
    """Return the mean difference inside the face, levels."""
    where = before.inside & after.inside
    if not where.any():
        where = after.inside
    return float(np.abs(after.image - before.image)[where].mean())


def flicker_ratio(of_result: float, of_footage: float) -> float:
    """Return one change over the other: 1 is as steady as the footage."""
    return (of_result + STILL) / (of_footage + STILL)


def detail(view: View) -> float:
    """Return the variance of the Laplacian of its lightness inside the face, squared levels."""
    grey = cv2.cvtColor(view.image, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F)[view.inside].astype(np.float64).var())


def sharpness_ratio(result: View, footage: View) -> float:
    """Return the detail of one over that of the other: 1 is as sharp as the footage."""
    return (detail(result) + FLAT) / (detail(footage) + FLAT)
