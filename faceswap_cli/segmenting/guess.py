"""What of a face is visible, guessed without a network: the labels of faces that nobody drew.

The hull of the landmarks knows neither the hair that hangs over it nor the hand before it. Two
looks at the colours mend most of that. A cut along the edges between the colours of the middle of
the face and those of its surroundings takes the hair away and finds the hairline. And a hand comes
from somewhere: where skin lies beside the face and not only in it, more than it does in the
clearest faces of the set, the face is not believed at all; what is around it still counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.masks import erode
from faceswap_cli.segmenting.cutting import Canvas
from faceswap_cli.types import FloatImage, GreyImage, Points

SIDE_PX = 144
"""The cut takes 0.1 s at this size, and four times that at twice the size."""
CLEAR_QUANTILE = 0.05
"""Of the faces: as clear as they get. Fewer would be chance, more could be hands."""
EXCESS = (0.06, 0.15)
"""Skin beside a face beyond that of the clear ones, in areas of the face: from where on it is
trusted less, and from where on not at all. A forearm at the side has 0.3."""
DULL = 3.0
"""How much less a difference says where there is much of the skin's colour around any face: wood,
sand, a warm wall."""
LEAST, MOST = 0.5, 1.5
"""Areas of the cut, in areas of the hull, between which it is believed."""
_EDGE = 0.02
"""On either side of an edge, sides of the canvas: nobody knows it better."""
_EDGE_WEIGHT, _CUT_WEIGHT, _BEARD_WEIGHT = 0.3, 0.7, 0.3
_FOREHEAD = 0.22
"""How far above the hull a face may be found, in distances from the chin to the nose bridge."""
_ODD = 3.5
"""Deviations from the colour of the skin beyond which it is no skin."""
_ROUNDS = 3


@dataclass(frozen=True, eq=False)
class _Face:
    """A canvas, small."""

    image: NDArray[np.uint8]
    hull: FloatImage
    landmarks: Points
    height: NDArray[np.float64]
    """(S, S), along the face: 0 at the chin, 1 at the bridge of the nose."""
    aside: NDArray[np.float64]
    """(S, S), across it, in the same unit, 0 in the middle."""


def guess_labels(canvases: Sequence[Canvas]) -> list[Canvas]:
    """Return the faces with better labels, and with how far each pixel of them is believed.

    Args:
        canvases: Faces of one person, whose labels are the hulls of their landmarks.
    """
    faces = [_small(canvas) for canvas in canvases]
    beside = np.array([skin_beside(face) for face in faces])
    if not len(beside):
        return []
    clear = float(np.quantile(beside, CLEAR_QUANTILE))
    excess = (beside - clear) / (1.0 + DULL * clear)
    trusts = 1.0 - np.clip((excess - EXCESS[0]) / (EXCESS[1] - EXCESS[0]), 0.0, 1.0)
    return [_with_label(*each) for each in zip(canvases, faces, trusts.tolist(), strict=True)]


def _with_label(canvas: Canvas, face: _Face, trust: float) -> Canvas:
    hull = face.hull > 0.5
    cut = _cut(face)
    if not LEAST < cut.sum() / max(1, hull.sum()) < MOST:
        cut = hull
    beard = hull & ~cut & (face.height < _height_of_mouth(face))
    label = (cut | beard).astype(np.float32)
    weight = np.where(hull == cut, 1.0, _CUT_WEIGHT)
    weight[beard] = _BEARD_WEIGHT
    margin = _EDGE * SIDE_PX
    edge = (erode(label, amount_px=-margin) > 0.5) & ~(erode(label, amount_px=margin) > 0.5)
    weight[edge] = np.minimum(weight[edge], _EDGE_WEIGHT)
    weight[hull | cut] *= trust
    return replace(
        canvas,
        label=_large(label, canvas.image.shape[0]),
        weight=_large(weight.astype(np.float32), canvas.image.shape[0]),
        trust=trust,
    )


def skin_beside(face: _Face) -> float:
    """Return how much skin lies beside a face and above it, in areas of the face.

    The neck does not count, nor what is far below.
    """
    colours = np.log(cv2.GaussianBlur(face.image, (0, 0), 1.0).astype(np.float32) + 12.0)
    light = colours.mean(axis=2)
    tint = colours - light[..., None]
    core = erode(face.hull, amount_px=0.06 * SIDE_PX) > 0.5
    if not core.any():
        return 0.0
    middle, usual = np.median(tint[core], axis=0), np.median(light[core])
    spread = 1.5 * np.median(np.abs(tint[core] - middle), axis=0) + 0.03
    contrast = 1.5 * np.median(np.abs(light[core] - usual)) + 0.15
    odd = np.sqrt((((tint - middle) / spread) ** 2).sum(axis=2) + ((light - usual) / contrast) ** 2)
    outside = erode(face.hull, amount_px=-0.025 * SIDE_PX) < 0.5
    neck = (face.height < 0.25) & (face.aside < 0.55)
    around = outside & ~neck & (face.height > -0.35) & (face.height < 1.6)
    return float((around & (odd < _ODD)).sum() / (face.hull > 0.5).sum())


def _cut(face: _Face) -> NDArray[np.bool_]:
    """Return the face as the edges and colours of the picture show it.

    Source: Rother et al., "GrabCut", SIGGRAPH 2004, as in OpenCV.
    """
    points, hull = face.landmarks, face.hull > 0.5
    core = np.zeros(hull.shape, np.uint8)
    inner = np.rint(points[[*range(17, 27), *range(31, 36), 48, 54, 57]]).astype(np.int32)
    cv2.fillConvexPoly(core, cv2.convexHull(inner), (1,))
    up = _FOREHEAD * (points[27] - points[8])
    raised = Similarity(np.column_stack([np.eye(2), up]))
    above = warp(face.hull, raised, size_wh=hull.shape[::-1], border=0.0) > 0.5
    possible = hull | (above & (face.height > 1.0))
    trimap = np.full(hull.shape, cv2.GC_BGD, np.uint8)
    trimap[erode(face.hull, amount_px=-0.05 * SIDE_PX) > 0.5] = cv2.GC_PR_BGD
    trimap[possible] = cv2.GC_PR_FGD
    trimap[core > 0] = cv2.GC_FGD
    if not (trimap == cv2.GC_FGD).any() or (trimap & 1).all():
        return hull
    cv2.setRNGSeed(0)  # its clusters begin at random: a training must find the same again
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(face.image, trimap, None, *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    return _filled(((trimap & 1) == 1) & possible)


def _filled(cut: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest part of a cut, without holes: eyes and spectacles are no holes."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(cut.astype(np.uint8))
    if count < 2:
        return cut
    largest = (parts == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    outlines, _ = cv2.findContours(largest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(largest, outlines, -1, (1,), cv2.FILLED)
    return np.asarray(largest > 0, np.bool_)


def _height_of_mouth(face: _Face) -> float:
    points = face.landmarks
    up = points[27] - points[8]
    corners = (points[48] + points[54]) / 2.0
    return float((corners - points[8]) @ up / max(1e-6, up @ up))


def _small(canvas: Canvas) -> _Face:
    factor = SIDE_PX / canvas.image.shape[0]
    size = (SIDE_PX, SIDE_PX)
    points = (canvas.landmarks + 0.5) * factor - 0.5
    rows, columns = np.mgrid[0:SIDE_PX, 0:SIDE_PX]
    x, y = columns - points[8, 0], rows - points[8, 1]
    up = points[27] - points[8]
    length = max(1e-6, float(up @ up))
    return _Face(
        image=np.asarray(cv2.resize(canvas.image, size, interpolation=cv2.INTER_AREA), np.uint8),
        hull=cv2.resize(canvas.hull, size, interpolation=cv2.INTER_AREA) / np.float32(255),
        landmarks=points,
        height=(x * up[0] + y * up[1]) / length,
        aside=np.abs(x * up[1] - y * up[0]) / length,
    )


def _large(small: FloatImage, side: int) -> GreyImage:
    large = cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.rint(large.clip(0, 1) * 255), np.uint8)
