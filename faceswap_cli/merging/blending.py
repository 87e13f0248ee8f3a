"""How a new face and the footage become one picture: inside a box, in float.

Every mode makes the picture that is then laid over the footage with the mask as its alpha.
What the mask leaves out is therefore untouched in all of them, and the same layer over the
same footage gives the same result in another program.
"""

import math

import cv2
import numpy as np

from faceswap_cli.merging.histogram import match_histogram
from faceswap_cli.merging.light import (
    Light,
    frame_from_signal,
    light_from_frame,
    light_from_signal,
    signal_from_light,
)
from faceswap_cli.merging.look import FrameImage, Look
from faceswap_cli.merging.poisson import coarseness, span_membrane
from faceswap_cli.merging.pyramid import blend_bands
from faceswap_cli.types import FloatImage

_SEAM_DETAIL = 0.02
"""Of the face: what is smaller at the edge of the footage, such as its grain or the stubble of
a beard, is not carried into the face."""
_SPREADS = (0.16, 0.1)
"""Of the range of a frame's numbers: how far the difference between face and footage may lie
from what it is along most of the edge, first roughly. What differs more is hair or background,
not light."""
_LEVEL = 0.2
"""How much a plane that is level is preferred, in shares of the edge."""
_NO_EDGE = 4.0 * 0.1 * 0.9
_COARSEST_BAND = 0.12
"""Of the face: over how long a way the coarsest band changes over. Longer ones would reach
across the soft edge, and end where the mask does."""


def blend(
    face: FloatImage, footage: FloatImage, mask: FloatImage, look: Look, *, face_px: float
) -> FloatImage:
    """Return the picture that is laid over the footage, mask as alpha.

    Args:
        face: (H, W, 3), sRGB or whatever curve the footage has, 0..1.
        footage: (H, W, 3), the same part of the frame.
        mask: (H, W), 0..1.
        look: Tells the mode; see LookConfig. Raw modes take the face as it is.
        face_px: Side of the mean face's unit square, pixels.

    Returns:
        (H, W, 3). It is not rounded and may leave 0..1.
    """
    if look.mode in ("hist", "seamless+hist"):
        face = match_histogram(face, footage, mask)
    if look.mode in ("seamless", "seamless+hist"):
        return clone(face, footage, mask, face_px=face_px)
    if look.mode == "pyramid":
        return _blend_bands(face, footage, mask, light=look.light, face_px=face_px)
    return face


def overlay(
    background: FrameImage, image: FloatImage, mask: FloatImage, light: Light
) -> FrameImage:
    """Return image where mask is 1 and, to the bit, background where it is 0, rounded once.

    Args:
        background: (H, W, 3), 8 or 16 bits.
        image: (H, W, 3), 0..1; what lies beyond is clipped.
        mask: (H, W), 0..1.
        light: What is mixed: linear light, as an eye sees a soft edge, or the numbers.
    """
    result = frame_from_signal(image, background.dtype)
    # Light is reckoned with only where there is something to mix: a quarter of all pixels.
    mixed = np.flatnonzero((mask > 0.0) & (mask < 1.0))
    if len(mixed) > 0:  # cv2 returns None for nothing
        alpha = mask.ravel()[mixed, None]
        below = light_from_frame(background.reshape(-1, 3).take(mixed, axis=0), light)
        above = light_from_signal(image.reshape(-1, 3).take(mixed, axis=0), light)
        signal = signal_from_light(below + alpha * (above - below), light)
        result.reshape(-1, 3)[mixed] = frame_from_signal(signal, background.dtype)
    cv2.copyTo(background, (mask <= 0.0).view(np.uint8), result)
    return result


def clone(face: FloatImage, footage: FloatImage, mask: FloatImage, *, face_px: float) -> FloatImage:
    """Return a face with the detail it has and the light that the footage has around it.

    It is Poisson cloning with an edge that is neither hard nor trusted everywhere: the soft
    edge of the mask holds the membrane (see poisson), the less, the more the two pictures
    differ there from what they do elsewhere. A strand of hair over the forehead does not
    darken the cheek.

    Args:
        face: (H, W, 3), 0..1.
        footage: (H, W, 3), 0..1.
        mask: (H, W), 0..1. Where it is cut by the border of the picture nothing is matched.
        face_px: Side of the mean face's unit square, pixels.
    """
    difference = footage - face
    detail_px = max(1.0, _SEAM_DETAIL * face_px)
    firm = _trusted(difference, _seam(mask)) * np.float32(1.0 / detail_px**2)
    return face + span_membrane(difference, firm, coarse=coarseness(detail_px))


def _seam(mask: FloatImage) -> FloatImage:
    """Return how much each pixel belongs to the edge of a mask, 0..1.

    It is 1 where the mask is one half, or beside it if the edge is hard, and 0 from a tenth
    off either end: what a network is not quite sure of, amid the face, is no edge.
    """
    soft = np.clip((4.0 * mask * (1.0 - mask) - _NO_EDGE) / (1.0 - _NO_EDGE), 0.0, 1.0)
    inside = (mask > 0.5).astype(np.uint8)
    beside = cv2.dilate(inside, np.ones((3, 3), np.uint8)) > inside
    return np.asarray(np.maximum(soft, beside), np.float32)


def _trusted(difference: FloatImage, seam: FloatImage) -> FloatImage:
    """Return how much the difference counts, (H, W), 0..1, of what lies in the seam.

    It counts less, the further it is from what a light from one side would make of it: a plane,
    fitted so that it does not follow what it does not fit.
    """
    y, x = np.nonzero(seam)
    if len(x) == 0:
        return seam
    height, width = seam.shape
    axes = np.stack([np.ones(len(x)), 2.0 * x / width - 1.0, 2.0 * y / height - 1.0], axis=1)
    found = difference[y, x].astype(np.float64)
    plane = np.zeros((3, 3))
    plane[0] = np.median(found, axis=0)
    held = seam[y, x].astype(np.float64)
    for spread in _SPREADS:
        distance = np.square(found - axes @ plane).mean(axis=1)
        # Geman-McClure's weight: it falls with the fourth power, and has no edge to flicker at.
        weight = held / np.square(1.0 + distance / spread**2)
        weighted = axes * weight[:, None]
        tilt = np.diag([0.0, 1.0, 1.0]) * (_LEVEL * held.sum())
        plane = np.linalg.solve(weighted.T @ axes + tilt + 1e-9 * np.eye(3), weighted.T @ found)
    trusted = np.zeros_like(seam)
    trusted[y, x] = weight
    return trusted


def _blend_bands(
    face: FloatImage, footage: FloatImage, mask: FloatImage, *, light: Light, face_px: float
) -> FloatImage:
    num_halvings = max(1, round(math.log2(max(2.0, _COARSEST_BAND * face_px))))
    # The mask has a soft edge that is meant for an overlay: the inner half of it is enough.
    inner = np.clip(2.0 * mask - 1.0, 0.0, 1.0)
    blended = blend_bands(
        light_from_signal(face, light),
        light_from_signal(footage, light),
        inner,
        num_halvings=num_halvings,
    )
    return signal_from_light(blended, light)
