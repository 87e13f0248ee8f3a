"""Whether one sees where the new face ends.

The picture is unrolled along the edge of the mask, into a strip: one row for each place of
the edge, one column for each step across. It is smoothed along the edge, so that skin, hair
and noise cancel out and what remains is what runs along the edge, as a seam does. Then the
steepest slope across is compared with that of the footage at the same place.

The mean slope would not do: over the whole width of an edge it is the height of the step,
whether the step is hard or soft.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.types import FloatImage, Points, RgbImage

ALONG = 0.02
"""Of the face, sigma: over how much of the edge the strip is smoothed."""
NARROWEST, WIDEST = 0.03, 0.15
"""Of the face: reach of the strip to either side; between, it is the width of the fade."""
NOISE_PX = 0.7
SMOOTH = 0.25
"""Levels a pixel that nobody sees; added to both, so that flat pictures have a ratio."""
_SHORTEST = 0.3
"""Of the face: edges of smaller islands are left out."""


@dataclass(frozen=True, eq=False)
class Edge:
    """The edge of a mask, a point each pixel."""

    points: Points
    """(N, 2), pixels of the part of the frame."""
    outwards: Points
    """(N, 2), of length 1."""
    reach_px: float
    """How far the strip goes to either side."""


def find_edge(mask: FloatImage, face_px: float) -> Edge | None:
    """Return where a mask crosses one half, None if it does nowhere.

    Args:
        mask: (H, W), 0..1.
        face_px: Side of the mean face's unit square, pixels.
    """
    inside = (mask >= 0.5).astype(np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    lines = [_evened(contour[:, 0].astype(np.float64), face_px) for contour in contours]
    kept = [line for line in lines if line is not None]
    if not kept:
        return None
    points = np.concatenate([points for points, _ in kept])
    fading = float(np.count_nonzero((mask > 0.05) & (mask < 0.95)))
    reach_px = np.clip(fading / len(points), NARROWEST * face_px, WIDEST * face_px)
    outwards = np.concatenate([outwards for _, outwards in kept])
    return Edge(points, outwards, max(2.0, float(reach_px)))


def seam_energy(image: RgbImage, edge: Edge, face_px: float) -> float:
    """Return the mean of the steepest slopes across the edge, levels a pixel; NaN if unseen.

    Args:
        image: (H, W, 3), the part of the frame that the edge was found in.
        edge: Of the mask.
        face_px: As for find_edge.
    """
    steps = np.arange(-np.ceil(edge.reach_px), np.ceil(edge.reach_px) + 1.0)
    place = edge.points[:, None] + steps[None, :, None] * edge.outwards[:, None]
    x, y = place[..., 0].astype(np.float32), place[..., 1].astype(np.float32)
    height, width = image.shape[:2]
    seen = ((x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)).all(axis=1)
    if np.count_nonzero(seen) < 8:
        return float("nan")
    soft = cv2.GaussianBlur(image, (0, 0), NOISE_PX).astype(np.float32)
    strip = cv2.remap(soft, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    weight = np.broadcast_to(seen[:, None, None], strip.shape).astype(np.float32)
    sigma = max(1.0, ALONG * face_px)
    along = _smoothed(strip * weight, sigma) / np.maximum(_smoothed(weight, sigma), 1e-6)
    slopes = np.abs(np.diff(along, axis=1)).mean(axis=2)
    return float(slopes.max(axis=1)[seen].mean())


def seam_ratio(result: RgbImage, footage: RgbImage, mask: FloatImage, face_px: float) -> float:
    """Return the energy of one over that of the other: above 1 is an edge that was not there.

    Args:
        result: (H, W, 3), a part of the frame.
        footage: (H, W, 3), the same part.
        mask: (H, W), 0..1.
        face_px: Side of the mean face's unit square, pixels.

    Returns:
        NaN if there is no edge.
    """
    edge = find_edge(mask, face_px)
    if edge is None:
        return float("nan")
    after, before = (seam_energy(image, edge, face_px) for image in (result, footage))
    return (after + SMOOTH) / (before + SMOOTH)


def _evened(line: Points, face_px: float) -> tuple[Points, Points] | None:
    """Return a closed line of pixels, smoothed, a point a pixel, and which way is outwards."""
    if len(line) < max(16.0, _SHORTEST * face_px):
        return None
    smooth = _smoothed(line, max(1.0, 0.5 * ALONG * face_px))
    steps = np.linalg.norm(np.diff(smooth, axis=0, append=smooth[:1]), axis=1)
    way = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = np.arange(0.0, way[-1])
    closed = np.concatenate([smooth, smooth[:1]])
    points = np.column_stack([np.interp(wanted, way, closed[:, axis]) for axis in (0, 1)])
    along = np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    turned = np.column_stack([along[:, 1], -along[:, 0]])
    x, y = points.T
    is_clockwise = float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) > 0.0  # as seen
    return points, turned if is_clockwise else -turned


def _smoothed(rows: NDArray[np.floating], sigma: float) -> NDArray[np.float64]:
    """Return the rows of a closed line, smoothed from row to row."""
    reach = min(int(np.ceil(4.0 * sigma)), len(rows))
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    around = np.concatenate([flat[len(rows) - reach :], flat, flat[:reach]])
    soft = cv2.GaussianBlur(around, (1, 2 * reach + 1), sigmaX=1.0, sigmaY=sigma)
    return np.asarray(soft[reach : reach + len(rows)].reshape(rows.shape), np.float64)
