"""Whether the colour of the new face fits the neck below it."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, rgb2lab

from faceswap_cli.masks import hull_mask
from faceswap_cli.types import FloatImage, Points, RgbImage

CHEEKS = ((1, 3, 48, 31, 41), (15, 13, 54, 35, 46))
SHRUNK = 0.55
"""Of a cheek, what is looked at: not the nose, not the lid, not the edge of the mask."""
BELOW = 0.5
"""Of the face: how far below the jaw the neck is looked for."""
GAP = 0.02
"""Of the face: between the end of the mask and what counts as outside of it."""
SKIN_AB, SKIN_L = 16.0, 40.0
"""In CIELAB: what is further from the cheeks of the footage is hair, cloth or deep shadow."""
LEAST = 0.005
"""Of the square of the face: less skin tells nothing."""
MOST_SAMPLES = 4000

Lab = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tones:
    """Mean colours of one picture, CIELAB, D65."""

    cheeks: Lab
    """(3,)."""
    neck: Lab | None
    """(3,); None: no skin is seen below the jaw."""


def measure_tones(
    pictures: tuple[RgbImage, RgbImage], mask: FloatImage, landmarks: Points, face_px: float
) -> tuple[Tones, Tones] | None:
    """Return the tones of result and footage at the same pixels; None: no cheek is seen.

    Args:
        pictures: Result and footage, (H, W, 3) each, the same part of the frame.
        mask: (H, W), 0..1: what was painted.
        landmarks: (68, 2), pixels of the part, of the footage.
        face_px: Side of the mean face's unit square, pixels.
    """
    result, footage = pictures
    least = max(12, round(LEAST * face_px**2))
    cheeks = _sampled(_cheeks(landmarks, mask.shape) & (mask > 0.5))
    if len(cheeks[0]) < min(least, MOST_SAMPLES // 2):
        return None
    tones = [_lab(image[cheeks]).mean(axis=0) for image in (result, footage)]
    neck = _sampled(_below(mask, landmarks, face_px))
    lab = _lab(footage[neck])
    away = lab - tones[1]
    is_skin = (np.hypot(away[:, 1], away[:, 2]) < SKIN_AB) & (np.abs(away[:, 0]) < SKIN_L)
    if np.count_nonzero(is_skin) < min(least, MOST_SAMPLES // 4):
        return Tones(tones[0], None), Tones(tones[1], None)
    of_result = _lab(result[neck])[is_skin].mean(axis=0)
    return Tones(tones[0], of_result), Tones(tones[1], lab[is_skin].mean(axis=0))


def face_to_neck(result: Tones, footage: Tones) -> float:
    """Return how much further face and neck are apart than in the footage, CIEDE2000.

    Negative if they are nearer; NaN if no neck is seen.
    """
    if result.neck is None or footage.neck is None:
        return float("nan")
    return apart(result.cheeks, result.neck) - apart(footage.cheeks, footage.neck)


def tone_shift(result: Tones, footage: Tones) -> float:
    """Return how far the cheeks have moved from their colour in the footage, CIEDE2000.

    What neck and cheeks have both moved is no shift. Unlike face_to_neck it also sees a face
    that has come nearer to the colour of a darker neck.
    """
    if result.neck is None or footage.neck is None:
        return apart(result.cheeks, footage.cheeks)
    return apart(result.cheeks, footage.cheeks + (result.neck - footage.neck))


def tone_jump(result: tuple[Tones, Tones], footage: tuple[Tones, Tones]) -> float:
    """Return how much more the cheeks change from one frame to the next, CIEDE2000."""
    return apart(*(tone.cheeks for tone in result)) - apart(*(tone.cheeks for tone in footage))


def apart(one: Lab, other: Lab) -> float:
    """Return the difference of two colours, (3,) each, CIEDE2000."""
    return float(deltaE_ciede2000(one, other))


def _cheeks(landmarks: Points, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    drawn = np.zeros(shape[:2], np.uint8)
    for cheek in CHEEKS:
        corners = landmarks[list(cheek)]
        middle = corners.mean(axis=0)
        shrunk = np.clip(middle + SHRUNK * (corners - middle), -1e5, 1e5)
        outline = cv2.convexHull(np.rint(shrunk).astype(np.int32).reshape(-1, 1, 2))
        cv2.fillConvexPoly(drawn, outline, color=255)
    return np.asarray(drawn > 0, np.bool_)


def _below(mask: FloatImage, landmarks: Points, face_px: float) -> NDArray[np.bool_]:
    """Return what lies below the jaw, and outside of the mask."""
    size_wh = (mask.shape[1], mask.shape[0])
    reach = hull_mask(landmarks, size_wh, jaw_px=BELOW * face_px) > 127
    reach &= hull_mask(landmarks, size_wh) == 0
    side = 2 * max(1, round(GAP * face_px)) + 1
    painted = cv2.dilate((mask > 0.02).astype(np.uint8), np.ones((side, side), np.uint8))
    return np.asarray(reach & (painted == 0), np.bool_)


def _sampled(where: NDArray[np.bool_]) -> Any:
    """Return the places of some of the pixels, evenly, as an index."""
    rows, columns = np.nonzero(where)
    step = max(1, len(rows) // MOST_SAMPLES)
    return rows[::step], columns[::step]


def _lab(pixels: RgbImage) -> Lab:
    """Return (N, 3) in CIELAB."""
    if not len(pixels):
        return np.zeros((0, 3))
    return np.asarray(rgb2lab(pixels[None].astype(np.float64) / 255.0)[0], np.float64)
