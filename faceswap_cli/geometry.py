"""Similarity transforms between a frame and an aligned crop.

Convention, in the whole package: a point is (x, y), x to the right and y down, and
(0, 0) is the centre of the top left pixel. A transform is named `<to>_from_<from>`,
so that a chain reads right to left: crop_from_frame.apply(points_in_frame).
"""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.errors import GeometryError
from faceswap_cli.types import Points

_MARGIN_PX = 4  # around a region: cubic needs 2, the low-pass fades within the rest


@dataclass(frozen=True)
class Similarity:
    """Scale, rotation and shift; no reflection."""

    matrix: NDArray[np.float64]
    """(2, 3): p_to = matrix[:, :2] @ p_from + matrix[:, 2]."""

    @property
    def scale(self) -> float:
        """Output pixels per input pixel."""
        return math.hypot(self.matrix[0, 0], self.matrix[1, 0])

    def apply(self, points: Points) -> Points:
        """Map (N, 2) points."""
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]

    def after(self, b_from_a: "Similarity") -> "Similarity":
        """Return `c_from_a`, self being `c_from_b`."""
        linear = self.matrix[:, :2] @ b_from_a.matrix[:, :2]
        return Similarity(np.column_stack([linear, self.apply(b_from_a.matrix[:, 2])]))

    def inverse(self) -> "Similarity":
        """Return the transform the other way."""
        linear = np.linalg.inv(self.matrix[:, :2])
        return Similarity(np.column_stack([linear, -linear @ self.matrix[:, 2]]))


def estimate_similarity(points_a: Points, points_b: Points) -> Similarity:
    """Find the similarity that best maps one set of points onto another.

    Minimises the mean squared distance, in closed form. Every point weighs the
    same: drop outliers before the call.

    Args:
        points_a: (N, 2), N >= 2, e.g. the landmarks of a face, in frame pixels.
        points_b: (N, 2), e.g. the landmarks of the template, in crop pixels.

    Returns:
        `b_from_a`: its `apply(points_a)` is as close to `points_b` as can be.

    Raises:
        GeometryError: A coordinate is not finite, or all of `points_a` coincide.

    Source:
        Umeyama, "Least-squares estimation of transformation parameters between two
        point patterns", IEEE PAMI 13(4), 1991, equations 38 to 43.
    """
    if not (np.isfinite(points_a).all() and np.isfinite(points_b).all()):
        raise GeometryError("a landmark is not finite")
    mean_a, mean_b = points_a.mean(axis=0), points_b.mean(axis=0)
    centred_a, centred_b = points_a - mean_a, points_b - mean_b
    variance = centred_a.var(axis=0).sum()
    if variance < 1e-12:
        raise GeometryError(f"all {len(points_a)} landmarks are at {mean_a.round(2).tolist()}")

    u, singular, vt = np.linalg.svd(centred_b.T @ centred_a / len(points_a))  # (2, 2)
    signs = np.array([1.0, np.sign(np.linalg.det(u @ vt))])  # -1 would be a reflection
    linear = (singular * signs).sum() / variance * u @ np.diag(signs) @ vt
    return Similarity(np.column_stack([linear, mean_b - linear @ mean_a]))


def resizing(factor: float) -> Similarity:
    """Return `out_from_in` of a resize: corners stay corners, so centres shift by half a pixel."""
    shift = (factor - 1.0) / 2.0
    return Similarity(np.array([[factor, 0.0, shift], [0.0, factor, shift]]))


def warp(
    image: NDArray[Any],
    out_from_image: Similarity,
    *,
    size_wh: tuple[int, int],
    border: float | None = None,
) -> NDArray[Any]:
    """Resample an image through a similarity, cubic, low-passed where it shrinks.

    The only caller of cv2.warpAffine, which has two traps: its fourth positional
    argument is `dst`, not `flags`; and it takes INTER_AREA for INTER_LINEAR, so that
    it aliases when it shrinks (opencv/opencv#21060). We low-pass first, and only the
    part of the image that the result shows.

    Args:
        image: (H, W, 3) or (H, W), uint8 or float32.
        out_from_image: From pixels of `image` to pixels of the result.
        size_wh: Width and height of the result, pixels.
        border: The value beyond the border of `image`; None repeats its last pixel.

    Returns:
        (height, width, 3) or (height, width), of the same dtype. Cubic overshoots: a
        float result may leave the range of its input.
    """
    shrink = 1.0 / out_from_image.scale
    sigma = 0.5 * math.sqrt(max(0.0, shrink**2 - 1.0))  # pixels of `image`
    left, top, right, bottom = _seen_region(image, out_from_image, size_wh, pad=3.0 * sigma)
    part = image[top:bottom, left:right]
    if sigma > 0.0:
        part = cv2.GaussianBlur(part, ksize=(0, 0), sigmaX=sigma, borderType=cv2.BORDER_REPLICATE)
    part_shift = Similarity(np.array([[1.0, 0.0, left], [0.0, 1.0, top]]))
    mode = cv2.BORDER_REPLICATE if border is None else cv2.BORDER_CONSTANT
    return np.asarray(
        cv2.warpAffine(
            part,
            out_from_image.after(part_shift).matrix,
            dsize=size_wh,
            flags=cv2.INTER_CUBIC,
            borderMode=mode,
            borderValue=(border or 0.0,) * 3,
        )
    )


def bounding_box(points: Points, size_wh: tuple[int, int], *, pad: float) -> tuple[int, ...]:
    """Return (left, top, right, bottom), half-open, of the points within a picture.

    Args:
        points: (N, 2), pixels.
        size_wh: Of the picture; the box lies inside and holds at least one pixel.
        pad: Added on every side, pixels.
    """
    limit = np.array(size_wh)
    low = np.clip(np.floor(points.min(axis=0) - pad), 0, limit - 1).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + pad) + 1, low + 1, limit).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _seen_region(
    image: NDArray[Any], out_from_image: Similarity, size_wh: tuple[int, int], *, pad: float
) -> tuple[int, ...]:
    width, height = size_wh
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    seen = out_from_image.inverse().apply(corners - 0.5)
    return bounding_box(seen, (image.shape[1], image.shape[0]), pad=pad + _MARGIN_PX)
