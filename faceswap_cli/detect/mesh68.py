"""The 68 points of iBUG 300-W and dlib, taken from the 468 of the face mesh.

Each is a fixed blend of a few mesh points, so that they move with the mesh and nothing
jumps. The right half of the face (the person's: the left of the picture) is written
down, the left half follows from the mesh's mirror pairs.

Source: the blends are ours. Jaw: nine points at equal steps along the mesh's outline, from
the temple at the height of the eye to the chin, in the mean of ten faces seen from the
front. Others: the point of the same anatomy, blended with its neighbours where the mean of
those faces, aligned to dlib's mean face, lay beside dlib's point: brows a quarter down from
their upper edge, lids between the mesh's points, the base of the nose a little lower.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.types import Points

Blend = dict[int, float]
"""Mesh points and their weights, which sum to 1."""

# From the temple (dlib 0) to the chin (dlib 8, on the midline).
JAW: Final[list[Blend]] = [
    {127: 1.0},
    {234: 0.73, 93: 0.27},
    {93: 0.52, 132: 0.48},
    {132: 0.4, 58: 0.6},
    {58: 0.22, 172: 0.78},
    {136: 0.77, 150: 0.23},
    {150: 0.17, 149: 0.83},
    {176: 0.43, 148: 0.57},
]
# dlib 17 to 21, from the temple to the nose.
BROW: Final[list[Blend]] = [
    {70: 0.85, 46: 0.15},
    {63: 0.65, 53: 0.2, 105: 0.15},
    {105: 0.5, 66: 0.25, 52: 0.25},
    {66: 0.5, 107: 0.25, 65: 0.25},
    {107: 0.5, 55: 0.5},
]
# dlib 27 to 30, down the ridge, on the midline.
RIDGE: Final[list[Blend]] = [{168: 0.6, 6: 0.4}, {197: 1.0}, {5: 1.0}, {4: 0.5, 1: 0.5}]
# dlib 31 and 32.
NOSTRIL: Final[list[Blend]] = [{240: 0.5, 98: 0.5}, {97: 1.0}]
# dlib 36 to 41: outer corner, upper lid, inner corner, lower lid.
EYE: Final[list[Blend]] = [
    {33: 1.0},
    {160: 0.5, 159: 0.5},
    {158: 0.75, 157: 0.25},
    {133: 1.0},
    {153: 1.0},
    {144: 1.0},
]
# dlib 48, 49, 50: the upper edge of the lips, from the corner; 58 and 59: the lower, back to it.
UPPER_LIP: Final[list[Blend]] = [{61: 1.0}, {39: 0.5, 40: 0.5}, {37: 1.0}]
LOWER_LIP: Final[list[Blend]] = [{84: 1.0}, {181: 0.65, 91: 0.35}]
# dlib 60, 61 and 67: where the lips meet.
INNER_LIPS: Final[list[Blend]] = [{78: 1.0}, {82: 0.75, 81: 0.25}, {87: 0.75, 178: 0.25}]
CHIN, SUBNASALE, LIP_TOP, LIP_BOTTOM, INNER_TOP, INNER_BOTTOM = (
    {152: 1.0},
    {2: 0.7, 164: 0.3},
    {0: 1.0},
    {17: 1.0},
    {13: 1.0},
    {14: 1.0},
)

# The mesh's mirror pairs among the points used above: right, left.
MIRROR: Final[dict[int, int]] = {
    **{127: 356, 234: 454, 93: 323, 132: 361, 58: 288, 172: 397, 136: 365, 150: 379},
    **{149: 378, 176: 400, 148: 377, 70: 300, 46: 276, 63: 293, 53: 283, 105: 334},
    **{52: 282, 66: 296, 65: 295, 107: 336, 55: 285, 240: 460, 98: 327, 97: 326},
    **{33: 263, 160: 387, 159: 386, 158: 385, 157: 384, 133: 362, 153: 380, 144: 373},
    **{61: 291, 39: 269, 40: 270, 37: 267, 181: 405, 91: 321, 84: 314, 78: 308},
    **{82: 312, 81: 311, 87: 317, 178: 402},
}


def _mirrored(blends: list[Blend]) -> list[Blend]:
    """Return the left half's blends, in the opposite order."""
    return [{MIRROR[point]: w for point, w in blend.items()} for blend in reversed(blends)]


def _weights() -> NDArray[np.float64]:
    """Return (68, 468): the weight of each mesh point in each of the 68."""
    outer, upper, lower, inner = EYE[:1], EYE[1:3], EYE[4:], EYE[3:4]
    blends = [
        *(*JAW, CHIN, *_mirrored(JAW)),
        *(*BROW, *_mirrored(BROW)),
        *RIDGE,
        *(*NOSTRIL, SUBNASALE, *_mirrored(NOSTRIL)),
        *EYE,  # the left eye begins at its inner corner: both go clockwise from the picture's left
        *_mirrored(inner),
        *_mirrored(upper),
        *_mirrored(outer),
        *_mirrored(lower),
        *(*UPPER_LIP, LIP_TOP, *_mirrored(UPPER_LIP)),
        *(*_mirrored(LOWER_LIP), LIP_BOTTOM, *LOWER_LIP),
        *(*INNER_LIPS[:2], INNER_TOP, *_mirrored(INNER_LIPS[:2])),
        *(*_mirrored(INNER_LIPS[2:]), INNER_BOTTOM, INNER_LIPS[2]),
    ]
    weights = np.zeros((68, 468))
    for row, blend in zip(weights, blends, strict=True):
        row[list(blend)] = list(blend.values())
    return weights


WEIGHTS: Final = _weights()


def points68_from_mesh(mesh: NDArray[np.float64]) -> Points:
    """Return the 68 points (68, 2) of a mesh (468, 3), in its pixels."""
    return np.asarray(WEIGHTS @ mesh[:, :2], np.float64)
