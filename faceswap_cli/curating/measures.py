"""What can be measured of one aligned face.

Pixels are measured in one and the same view of every face, whatever its face type and the
size of its picture: `full`, VIEW_PX wide. Numbers of different facesets can be compared.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.faces.faceset import AlignedFace
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.templates import crop_from_frame
from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.masks import eyes_mouth_mask, hull_mask
from faceswap_cli.types import FloatImage, Points, RgbImage

VIEW, VIEW_PX = "full", 256
INSET_PX = 4
"""Pixels of the view along the edge of the face that are left out: the edge is no texture."""
FINE_PX, COARSE_PX = 1.0, 4.0
"""Where the bands of detail begin, sigma; each ends at twice that."""
BINS = 32
"""Of the histogram of a channel."""
EDGE_PX, COMPARED_PX = 0.6, 2.0
"""Blurs, sigma, between which the slope of an edge is compared: noise is gone at the first."""
EDGES, SHARPEST = 0.2, 0.9
"""The steepest so much of the face are edges; of their ratios this quantile counts."""
LOOK_PX, LOOK_BITS = 32, 8
"""Side of the picture, and of the block of its lowest frequencies, that make up the look."""
SAMPLES = 33
"""Along a side of the picture, to see how much of it lies beyond the frame."""
_LEVELS = 255.0
_EYES = ((36, 39, (37, 41), (38, 40)), (42, 45, (43, 47), (44, 46)))
"""Corners, then pairs of upper and lower lid."""
_MOUTH_WIDTH, _LIPS = (48, 54), ((61, 67), (62, 66), (63, 65))
_LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class Measures:
    """All that faces are sorted by, and reported on."""

    name: str
    """Of the picture."""
    sharpness: float
    """How much steeper the sharpest edges of brows, nose and skin are than if they were
    blurred, 0 and more. Light, contrast and noise hardly change it, nor do closed eyes or an
    open mouth: these are left out."""
    steadiness: float
    """Fine detail across the blur by that along it, 0 to 1: below 0.4 the face was moving."""
    brightness: float
    """Mean of the brightest channel inside the face, 0 to 1."""
    hue_deg: float
    """Mean hue inside the face, -180 to 180; 0 is red, positive is towards yellow."""
    outside: float
    """Share of the picture that lies beyond the border of the frame, 0 to 1."""
    side_px: float
    """What the picture's side measures in the frame: the detail that there was to begin with."""
    pitch_deg: float
    yaw_deg: float
    roll_deg: float
    mouth: float
    """Gap between the inner lips by the width of the mouth."""
    eyes: float
    """Gap between the lids by the width of the eye; the eye that is wider open."""
    source: str
    """File name of the footage."""
    frame: int
    track: int
    person: int
    """-1: not known."""
    colours: NDArray[np.float32]
    """(3 * BINS,): square roots of the shares of the bins, of length 1. The product of two is
    their Bhattacharyya coefficient, the mean of the channels'."""
    look: NDArray[np.bool_]
    """(LOOK_BITS ** 2,): a perceptual hash; nearly equal pictures differ in few places."""


def measure(face: AlignedFace) -> Measures:
    """Measure a face, or raise MediaError if its picture cannot be decoded."""
    image, record = face.image(), face.record
    landmarks = np.array(record.landmarks_crop, np.float64)
    view_from_crop = crop_from_frame(landmarks, VIEW, VIEW_PX)
    view = np.asarray(warp(image, view_from_crop, size_wh=(VIEW_PX, VIEW_PX)), np.uint8)
    inside = _inside(view_from_crop.apply(landmarks))
    at_rest = inside & ~_parts_that_move(view_from_crop.apply(landmarks))
    grey = cv2.cvtColor(view, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine, coarse = _band(grey, FINE_PX), _band(grey, COARSE_PX)
    brightness, hue_deg = _colour(view[inside])
    pitch, yaw, roll = record.pose_deg
    return Measures(
        name=face.path.name,
        sharpness=_sharpness(grey, at_rest if at_rest.any() else inside),
        steadiness=_steadiness(_gradients(fine, inside), _gradients(coarse, inside)),
        brightness=brightness,
        hue_deg=hue_deg,
        outside=share_outside(record.crop, record.size_px, record.frame_size_wh),
        side_px=side_in_frame(record),
        pitch_deg=pitch,
        yaw_deg=yaw,
        roll_deg=roll,
        mouth=mouth_opening(record.landmarks),
        eyes=eye_opening(record.landmarks),
        source=record.source_name,
        frame=record.frame_index,
        track=record.track,
        person=-1 if record.person is None else record.person,
        colours=colour_roots(image),
        look=look_of(grey),
    )


def side_in_frame(record: FaceRecord) -> float:
    """Return how many pixels of the frame the side of the picture shows."""
    return record.size_px / max(record.crop.scale, _LEAST)


def share_outside(crop: Similarity, size_px: int, frame_size_wh: tuple[int, int]) -> float:
    """Return the share of a crop that lies beyond the frame, 0 to 1, to a few per mille.

    Args:
        crop: crop_from_frame.
        size_px: Side of the crop.
        frame_size_wh: Of the frame, pixels.
    """
    along = np.linspace(-0.5, size_px - 0.5, SAMPLES)
    grid = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)
    seen = crop.inverse().apply(grid)
    within = (seen >= -0.5) & (seen <= np.array(frame_size_wh) - 0.5)
    return float(1.0 - within.all(axis=1).mean())


def mouth_opening(landmarks: Points) -> float:
    """Return the gap between the inner lips by the width of the mouth; (68, 2) points."""
    gaps = [np.linalg.norm(landmarks[upper] - landmarks[lower]) for upper, lower in _LIPS]
    return float(np.mean(gaps) / _distance(landmarks, *_MOUTH_WIDTH))


def eye_opening(landmarks: Points) -> float:
    """Return the gap between the lids by the width of the eye; (68, 2) points.

    The wider of the two: the far eye of a turned head is seen badly, and a wink is no blink.
    """
    openings = [
        np.mean([np.linalg.norm(landmarks[upper] - landmarks[lower]) for upper, lower in lids])
        / _distance(landmarks, outer, inner)
        for outer, inner, *lids in _EYES
    ]
    return float(max(openings))


def colour_roots(image: RgbImage) -> NDArray[np.float32]:
    """Return the roots of the histograms of the channels, (3 * BINS,), of length 1."""
    counts = np.concatenate(
        [cv2.calcHist([image], [channel], None, [BINS], [0, 256]).ravel() for channel in range(3)]
    )
    return np.sqrt(counts / max(1.0, float(counts.sum()))).astype(np.float32)


def look_of(grey: FloatImage) -> NDArray[np.bool_]:
    """Return a perceptual hash, (LOOK_BITS ** 2,), of a square grey picture.

    The signs of the lowest frequencies against their median, as pHash has them: light,
    contrast and compression hardly change it.
    """
    small = cv2.resize(grey, (LOOK_PX, LOOK_PX), interpolation=cv2.INTER_AREA)
    lowest = cv2.dct(small)[:LOOK_BITS, :LOOK_BITS].ravel()
    return np.asarray(lowest > np.median(lowest[1:]), np.bool_)


def _distance(landmarks: Points, one: int, other: int) -> float:
    return max(float(np.linalg.norm(landmarks[one] - landmarks[other])), _LEAST)


def _inside(landmarks: Points) -> NDArray[np.bool_]:
    """Return where the face is in the view, without its edge."""
    hull = hull_mask(landmarks, (VIEW_PX, VIEW_PX))
    side = 2 * INSET_PX + 1
    inner = cv2.erode(hull, np.ones((side, side), np.uint8)) > 127
    # Hostile landmarks may have no inside; then the whole view has to do.
    return np.asarray(inner if inner.any() else np.ones_like(inner), np.bool_)


def _band(grey: FloatImage, sigma: float) -> FloatImage:
    """Return the detail between sigma and twice sigma."""
    upper = cv2.GaussianBlur(grey, ksize=(0, 0), sigmaX=sigma)
    return np.asarray(upper - cv2.GaussianBlur(grey, ksize=(0, 0), sigmaX=2.0 * sigma), np.float32)


def _parts_that_move(landmarks: Points) -> NDArray[np.bool_]:
    """Return where eyes and mouth are in the view: open or closed, they differ in detail."""
    return np.asarray(eyes_mouth_mask(landmarks, (VIEW_PX, VIEW_PX)) > 0, np.bool_)


def _sharpness(grey: FloatImage, where: NDArray[np.bool_]) -> float:
    """Return the ratio of slopes, less 1, of the sharpest edges there.

    A step blurred by sigma has a slope of 1 / sigma. Seen through two more blurs a and b, the
    slopes are as sqrt(sigma^2 + b^2) to sqrt(sigma^2 + a^2): a matter of the edge's own blur,
    and not of its height.
    """
    steep, flat = _slope(grey, EDGE_PX)[where], _slope(grey, COMPARED_PX)[where]
    edges = flat >= max(float(np.quantile(flat, 1.0 - EDGES)), _LEAST)
    if not edges.any():
        return 0.0
    return max(0.0, float(np.quantile(steep[edges] / flat[edges], SHARPEST)) - 1.0)


def _slope(grey: FloatImage, sigma: float) -> FloatImage:
    soft = cv2.GaussianBlur(grey, ksize=(0, 0), sigmaX=sigma)
    dx, dy = (cv2.Sobel(soft, cv2.CV_32F, *order, ksize=3) for order in ((1, 0), (0, 1)))
    return np.asarray(cv2.magnitude(dx, dy), np.float32)


def _gradients(band: FloatImage, inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the mean outer product of the gradient, (2, 2): how much detail each way."""
    dx = cv2.Sobel(band, cv2.CV_32F, 1, 0, ksize=3)[inside].astype(np.float64)
    dy = cv2.Sobel(band, cv2.CV_32F, 0, 1, ksize=3)[inside].astype(np.float64)
    cross = np.mean(dx * dy)
    return np.array([[np.mean(dx * dx), cross], [cross, np.mean(dy * dy)]])


def _steadiness(fine: NDArray[np.float64], coarse: NDArray[np.float64]) -> float:
    """Return the least by the greatest ratio of fine to coarse detail over all directions.

    A face has more detail up and down than across, blurred or not: only what the fine band
    has lost against the coarse one counts. Blur that is the same in all directions, as want
    of focus is, leaves the ratio as it is. These are the eigenvalues of fine x = r coarse x.
    """
    steady = coarse + _LEAST * np.eye(2)
    ratios = np.sort(np.linalg.eigvals(np.linalg.solve(steady, fine)).real)
    return float(np.clip(ratios[0] / max(ratios[1], _LEAST), 0.0, 1.0))


def _colour(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Return brightness and hue of (N, 3) pixels."""
    hsv = cv2.cvtColor(pixels[None].astype(np.float32) / _LEVELS, cv2.COLOR_RGB2HSV)[0]
    angle, weight = np.deg2rad(hsv[:, 0]), hsv[:, 1] * hsv[:, 2]  # a grey pixel has no hue
    mean = np.sum(weight * np.sin(angle)), np.sum(weight * np.cos(angle))
    return float(hsv[:, 2].mean()), float(np.rad2deg(np.arctan2(*mean)))
