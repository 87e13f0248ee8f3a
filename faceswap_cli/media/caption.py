"""A few words in the corner of a picture."""

import cv2

from faceswap_cli.types import RgbImage

HEIGHT, LEAST_PX = 0.04, 10
"""Of the letters: share of the height of the picture, but legible."""
_FONT, _FONT_PX = cv2.FONT_HERSHEY_SIMPLEX, 21  # height of its capitals at scale 1
_LIGHT, _DARK = (255, 255, 255), (0, 0, 0)


def with_caption(image: RgbImage, text: str) -> RgbImage:
    """Return a copy, (H, W, 3), with ASCII text at the lower left: light letters, dark outline."""
    drawn = image.copy()
    height_px = max(LEAST_PX, HEIGHT * len(image))
    scale, width = height_px / _FONT_PX, max(1, round(height_px / 10))
    at = (round(height_px / 2), len(image) - round(height_px / 2))
    for colour, thickness in ((_DARK, 3 * width), (_LIGHT, width)):
        cv2.putText(drawn, text, at, _FONT, scale, colour, thickness, cv2.LINE_AA)
    return drawn
