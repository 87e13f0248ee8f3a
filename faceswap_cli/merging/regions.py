"""Parts of a face from which its skin can be judged."""

import cv2
import numpy as np

from faceswap_cli.types import FloatImage, Points

# A vertex (i, j, t) lies at landmark i, moved by t of the way to landmark j; t < 0 is away
# from it. Eyes, brows, lips, nostrils, the moustache and the zone of beard and sideburns
# are left out: there two people differ by more than the tone of their skin.
_LEFT_CHEEK = (
    (41, 48, 0.3),
    (40, 31, 0.45),
    (31, 2, 0.15),
    (31, 3, 0.4),
    (2, 30, 0.35),
    (1, 30, 0.3),
)
_RIGHT_CHEEK = (
    (46, 54, 0.3), (47, 35, 0.45), (35, 14, 0.15), (35, 13, 0.4), (14, 30, 0.35), (15, 30, 0.3),
)  # fmt: skip
_NOSE = ((27, 28, 0.0), (31, 30, 0.3), (30, 33, 0.2), (35, 30, 0.3))
_BETWEEN_BROWS = ((21, 22, 0.3), (22, 21, 0.3), (27, 28, 0.0), (28, 27, 2.6))
SKIN = (_LEFT_CHEEK, _RIGHT_CHEEK, _NOSE, _BETWEEN_BROWS)
_SUBPIXEL_BITS = 4


def colour_region(landmarks: Points, size_px: int) -> FloatImage:
    """Draw where bare skin is to be expected, whoever it is.

    Args:
        landmarks: (68, 2), crop pixels.
        size_px: Side of the crop, pixels.

    Returns:
        (size_px, size_px), 1 on the cheeks, the nose and between the brows, else 0.
    """
    region = np.zeros((size_px, size_px), np.uint8)
    for part in SKIN:
        start, end = landmarks[[i for i, _, _ in part]], landmarks[[j for _, j, _ in part]]
        share = np.array([[t] for _, _, t in part])
        vertices = np.clip(start + share * (end - start), -1e4, 1e4) * 2**_SUBPIXEL_BITS
        outline = cv2.convexHull(np.rint(vertices).astype(np.int32).reshape(-1, 1, 2))
        cv2.fillConvexPoly(region, outline, color=1, shift=_SUBPIXEL_BITS)
    return region.astype(np.float32)
