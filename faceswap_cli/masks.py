"""Masks of a face, from its landmarks: pure pixel code."""

import math

import cv2
import numpy as np

from faceswap_cli.types import FloatImage, GreyImage, Points

# The hulls whose union is the face, as index lists into the 68 landmarks: jaw halves,
# brow to jaw, and nose. One convex hull of all points would swallow the background beside
# a turned nose. Same partition as DeepFaceLab's, so that its users find their masks.
_HULLS = (
    (*range(0, 9), 17),
    (*range(8, 17), 26),
    (17, 18, 19, 8),
    (24, 25, 26, 8),
    (19, 20, 21, 22, 23, 24, 8),
    (17, 18, 19, 20, 21, 27, 31, 32, 33, 34, 35, 8),
    (22, 23, 24, 25, 26, 27, 31, 32, 33, 34, 35, 8),
    (27, 28, 29, 30, 31, 32, 33, 34, 35),
)
_SUBPIXEL_BITS = 4
_RADIUS_PX = 5  # of one erosion; discs add up, and this one is the roundest
_NUM_LEVELS = 24  # of an erosion that differs from place to place; between them it is mixed
_WIDENING = 2.5  # from one blur to the next, of one that differs from place to place
# The outline of MediaPipe's face mesh (its FACEMESH_FACE_OVAL), clockwise from the hairline,
# and how much of a rise of the forehead each of its upper points takes part in.
FACE_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
_RISING = {10: 1.0, 338: 0.95, 297: 0.8, 332: 0.55, 284: 0.3, 251: 0.1}
_RISING |= {109: 0.95, 67: 0.8, 103: 0.55, 54: 0.3, 21: 0.1}
_CHIN, _TOP = 152, 10
HAIRLINE = 0.08
"""How far above the mesh a hairline lies, in heights of the mesh: its top is amid the forehead."""


def raise_brows(landmarks: Points, *, amount: float = 1.0) -> Points:
    """Push the brows outwards, so that a hull holds them whole and some forehead.

    Args:
        landmarks: (68, 2), any pixels.
        amount: 0 leaves them; 1 moves each brow point away from the lid below it by half
            their distance.
    """
    points = landmarks.copy()
    for brows, lid, ear in (
        (range(17, 22), (36, 37, 38, 39), 0),
        (range(22, 27), (42, 43, 44, 45), 16),
    ):
        corner = lid[0] if ear == 0 else lid[-1]
        outer = (points[corner] + (points[corner] + points[ear]) / 2.0) / 2.0
        inner = [points[i] for i in lid]
        line = [outer, *inner] if ear == 0 else [*inner, outer]
        for brow, below in zip(brows, line, strict=True):
            points[brow] = points[brow] + 0.5 * amount * (points[brow] - below)
    return points


def lower_jaw(landmarks: Points, *, amount_px: float) -> Points:
    """Push the jaw line outwards, so that a hull also covers a beard.

    Args:
        landmarks: (68, 2), any pixels.
        amount_px: At the chin; less towards the ears, where nothing moves.
    """
    points = landmarks.copy()
    outwards = points[:17] - points[33]  # from the base of the nose
    outwards /= np.maximum(np.linalg.norm(outwards, axis=1, keepdims=True), 1e-9)
    # Steep: beside the mouth a little more already shows the hair of long-haired people.
    share = np.sin(np.linspace(0.0, np.pi, 17)).clip(min=0.0)[:, None] ** 3
    points[:17] += amount_px * share * outwards
    return points


def hull_mask(
    landmarks: Points, size_wh: tuple[int, int], *, brows: float = 1.0, jaw_px: float = 0.0
) -> GreyImage:
    """Draw the face as the union of the hulls of its parts.

    Args:
        landmarks: (68, 2), pixels of the picture.
        size_wh: Of the picture, pixels.
        brows: See raise_brows.
        jaw_px: See lower_jaw.

    Returns:
        (height, width), 255 inside, 0 outside, the edge anti-aliased.
    """
    width, height = size_wh
    mask = np.zeros((height, width), np.uint8)
    points = lower_jaw(raise_brows(landmarks, amount=brows), amount_px=jaw_px)
    fixed = np.rint(np.clip(points, -1e5, 1e5) * 2**_SUBPIXEL_BITS).astype(np.int32)
    part = np.empty_like(mask)
    for hull in _HULLS:
        outline = cv2.convexHull(fixed[list(hull)].reshape(-1, 1, 2))
        part[:] = 0
        cv2.fillConvexPoly(part, outline, color=255, lineType=cv2.LINE_AA, shift=_SUBPIXEL_BITS)
        np.maximum(mask, part, out=mask)
    return mask


def mesh_hull_mask(
    mesh: Points, landmarks: Points, size_wh: tuple[int, int], *, rise: float = HAIRLINE
) -> GreyImage:
    """Draw the face with its forehead: the outline of the mesh, united with hull_mask.

    Args:
        mesh: (N, 2), N >= 468, of MediaPipe's order, pixels of the picture.
        landmarks: (68, 2), pixels of the picture.
        size_wh: Of the picture, pixels.
        rise: How far the middle of the forehead reaches above the mesh, in its heights.

    Returns:
        (height, width), 255 inside, 0 outside, the edge anti-aliased.
    """
    points = mesh.copy()
    for index, share in _RISING.items():
        points[index] += rise * share * (mesh[_TOP] - mesh[_CHIN])
    fixed = np.rint(np.clip(points[list(FACE_OVAL)], -1e5, 1e5) * 2**_SUBPIXEL_BITS)
    mask = hull_mask(landmarks, size_wh)
    oval = np.zeros_like(mask)
    outline = fixed.astype(np.int32).reshape(-1, 1, 2)
    cv2.fillPoly(oval, [outline], color=(255,), lineType=cv2.LINE_AA, shift=_SUBPIXEL_BITS)
    return np.asarray(np.maximum(mask, oval), np.uint8)


def eyes_mouth_mask(landmarks: Points, size_wh: tuple[int, int]) -> GreyImage:
    """Draw eyes and lips, with a soft margin: where a face is looked at first.

    Args:
        landmarks: (68, 2), pixels of the picture.
        size_wh: Of the picture, pixels.

    Returns:
        (height, width), 255 inside, fading to 0 over a quarter of the eye's width.
    """
    width, height = size_wh
    mask = np.zeros((height, width), np.uint8)
    fixed = np.rint(np.clip(landmarks, -1e5, 1e5)).astype(np.int32)
    for part in (range(36, 42), range(42, 48), range(48, 60)):
        cv2.fillConvexPoly(mask, cv2.convexHull(fixed[list(part)].reshape(-1, 1, 2)), color=255)
    margin_px = 0.25 * float(np.linalg.norm(landmarks[36] - landmarks[39]))
    grown = erode(mask.astype(np.float32), amount_px=-margin_px)
    return np.rint(feather(grown, width_px=margin_px)).astype(np.uint8)


def erode(mask: FloatImage, *, amount_px: float) -> FloatImage:
    """Shrink a mask by so many pixels; a negative amount grows it.

    Args:
        mask: (H, W), 0..1.
        amount_px: Rounded: less than half a pixel leaves it as it is. See also shrink.
    """
    radius = round(abs(amount_px))
    if radius == 0:
        return mask
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    if amount_px > 0:
        # What lies beyond the picture counts as outside: a mask must not end at its border.
        return np.asarray(
            cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=(0.0,)), np.float32
        )
    return np.asarray(cv2.dilate(mask, kernel), np.float32)


def shrink(mask: FloatImage, *, amount_px: float) -> FloatImage:
    """Erode by a fraction of pixels, so that an edge moves evenly when a face changes its size.

    Unlike erode it is the same along both axes: OpenCV's ellipses are not.

    Args:
        mask: (H, W), 0..1.
        amount_px: A negative one grows it. Between two whole numbers their results are mixed:
            an edge in grey lies exactly between, a hard one gets a step of one pixel.
    """
    whole = math.floor(abs(amount_px))
    share = np.float32(abs(amount_px) - whole)
    times, rest = divmod(whole, _RADIUS_PX)
    for _ in range(times):
        mask = _eroded(mask, _RADIUS_PX, grows=amount_px < 0)
    less = _eroded(mask, rest, grows=amount_px < 0)
    if share == 0.0:
        return less
    more = _eroded(mask, rest + 1, grows=amount_px < 0)
    return np.asarray(less + share * (more - less), np.float32)


def shrink_by(mask: FloatImage, amounts_px: FloatImage) -> FloatImage:
    """Erode by another amount at each place.

    Args:
        mask: (H, W), 0..1.
        amounts_px: (H, W), smooth; negative where it grows.
    """
    low, high = float(amounts_px.min()), float(amounts_px.max())
    nearest = min(max(0.0, low), high)  # the least that is done anywhere
    start = shrink(mask, amount_px=nearest)
    result = start.copy()
    for sign, reach in ((1.0, high - nearest), (-1.0, nearest - low)):
        step = max(3, math.ceil(reach / _NUM_LEVELS))  # a smaller disc is none
        beyond = np.float32(sign) * (amounts_px - np.float32(nearest))
        level = start
        for at in range(0, math.ceil(reach), step):
            further = shrink(level, amount_px=sign * step)
            share = np.clip((beyond - np.float32(at)) / np.float32(step), 0.0, 1.0)
            result += share * (further - level)
            level = further
    return result


def _eroded(mask: FloatImage, radius_px: int, *, grows: bool) -> FloatImage:
    """Erode, or dilate, by a disc of 0 to _RADIUS_PX pixels; see erode for the border."""
    if radius_px == 0:
        return mask
    aside = np.square(np.arange(-radius_px, radius_px + 1))
    disc = (aside[:, None] + aside <= radius_px**2 + (radius_px > 1)).astype(np.uint8)
    if grows:
        return np.asarray(cv2.dilate(mask, disc), np.float32)
    eroded = cv2.erode(mask, disc, borderType=cv2.BORDER_CONSTANT, borderValue=(0.0,))
    return np.asarray(eroded, np.float32)


def feather(mask: FloatImage, *, width_px: float) -> FloatImage:
    """Soften the edge of a mask inwards and outwards over so many pixels.

    Args:
        mask: (H, W), 0..1.
        width_px: From where the edge begins to fade to where it has gone, pixels.
    """
    sigma = width_px / 4.0  # 95 % of the fade lies within 4 sigma
    if sigma < 0.1:
        return mask
    blurred = cv2.GaussianBlur(mask, ksize=(0, 0), sigmaX=sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32)


def feather_by(mask: FloatImage, widths_px: FloatImage) -> FloatImage:
    """Soften the edge of a mask over another width at each place.

    Args:
        mask: (H, W), 0..1.
        widths_px: (H, W), smooth; see feather.
    """
    low, high = float(widths_px.min()), float(widths_px.max())
    width, level = low, feather(mask, width_px=low)
    result = level.copy()
    while width < high:
        wider = min(high, max(1.0, width * _WIDENING))
        further = feather(mask, width_px=wider)
        share = np.clip((widths_px - np.float32(width)) / np.float32(wider - width), 0.0, 1.0)
        result += share * (further - level)
        width, level = wider, further
    return result
