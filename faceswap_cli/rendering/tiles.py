"""Merged faces side by side, to choose settings by eye."""

from collections.abc import Sequence

import cv2
import numpy as np

from faceswap_cli.geometry import bounding_box
from faceswap_cli.media.caption import with_caption
from faceswap_cli.merging.look import FrameImage
from faceswap_cli.types import Points, RgbImage

TILE_PX = 360
AROUND = 0.45
"""Shown around the landmarks, sides of their box."""
_GAP_PX = 4
_PAPER = 250


def face_tile(image: FrameImage, landmarks: Points, caption: str) -> RgbImage:
    """Return a face with what is around it, as high and wide as TILE_PX.

    Args:
        image: (H, W, 3).
        landmarks: (68, 2), its pixels.
        caption: Written into it, ASCII.
    """
    size_wh = (image.shape[1], image.shape[0])
    reach = float((landmarks.max(axis=0) - landmarks.min(axis=0)).max()) * (0.5 + AROUND)
    centre = (landmarks.max(axis=0) + landmarks.min(axis=0)) / 2.0
    left, top, right, bottom = bounding_box(centre[None], size_wh, pad=reach)
    part = image[top:bottom, left:right]
    if part.dtype == np.uint16:
        part = (part >> 8).astype(np.uint8)
    scale = TILE_PX / max(part.shape[:2])
    how = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC
    small = cv2.resize(np.ascontiguousarray(part), None, fx=scale, fy=scale, interpolation=how)
    tile = np.full((TILE_PX, TILE_PX, 3), _PAPER, np.uint8)
    height, width = min(TILE_PX, small.shape[0]), min(TILE_PX, small.shape[1])
    tile[:height, :width] = small[:height, :width]
    return with_caption(tile, caption)


def table(rows: Sequence[Sequence[RgbImage]]) -> RgbImage:
    """Return rows of tiles as one picture, (H, W, 3); shorter rows end in paper."""
    columns = max(len(row) for row in rows)
    step = TILE_PX + _GAP_PX
    shape = (len(rows) * step + _GAP_PX, columns * step + _GAP_PX, 3)
    sheet = np.full(shape, _PAPER, np.uint8)
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            top, left = _GAP_PX + y * step, _GAP_PX + x * step
            sheet[top : top + TILE_PX, left : left + TILE_PX] = tile
    return sheet


def in_rows(tiles: Sequence[RgbImage], columns: int) -> list[Sequence[RgbImage]]:
    """Return tiles as rows of so many."""
    return [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
