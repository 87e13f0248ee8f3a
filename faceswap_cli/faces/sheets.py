"""Contact sheets: one person at a glance."""

import math
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.types import RgbImage

TILES: Final = 24
"""Faces on a sheet, at most."""
TILE_PX: Final = 128
COLUMNS: Final = 8
_CAPTION_PX, _HEADING_PX, _GAP_PX = 18, 34, 6
_PAPER, _INK, _FAINT = (250, 250, 248), (20, 20, 20), (90, 90, 90)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LETTER_PX: Final = 21
"""Height of its capitals at scale 1."""


def choose_spread(
    frames: Sequence[int], yaw_deg: Sequence[float], *, number: int = TILES
) -> list[int]:
    """Return which faces to show: spread over time and over what the head turns.

    One face after the other, each as far as can be from those chosen, where the whole of the
    time and the whole of the yaw count alike; then in order of time.

    Args:
        frames: Of each face.
        yaw_deg: Of each face, degrees.
        number: How many, at most.

    Returns:
        Indices of faces, by frame.
    """
    if not frames or number < 1:
        return []
    place = np.stack([_even(frames), _even(yaw_deg)], axis=1)
    chosen = [int(np.argmin(np.abs(place[:, 1] - np.median(place[:, 1]))))]
    apart = np.full(len(frames), np.inf)
    while len(chosen) < min(number, len(frames)):
        apart = np.minimum(apart, _distance(place, chosen[-1]))
        apart[chosen] = -1.0
        chosen.append(int(np.argmax(apart)))
    return sorted(chosen, key=lambda index: (frames[index], index))


def contact_sheet(tiles: Sequence[RgbImage], captions: Sequence[str], *, heading: str) -> RgbImage:
    """Return the tiles in rows, each with its caption, below a heading.

    Args:
        tiles: Upright crops of any size, squares look best; each is drawn at TILE_PX.
        captions: ASCII, one short line for each tile.
        heading: ASCII, one line; what does not fit is cut off.

    Returns:
        (H, W, 3); a sheet without tiles is its heading.
    """
    columns = min(COLUMNS, max(4, len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    step_x, step_y = TILE_PX + _GAP_PX, TILE_PX + _CAPTION_PX + _GAP_PX
    size = (_HEADING_PX + rows * step_y + _GAP_PX, columns * step_x + _GAP_PX, 3)
    sheet = np.full(size, _PAPER, np.uint8)
    _write(sheet, heading, (_GAP_PX, _HEADING_PX - 12), height_px=12, colour=_INK)
    for index, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        left = _GAP_PX + index % columns * step_x
        top = _HEADING_PX + index // columns * step_y
        sheet[top : top + TILE_PX, left : left + TILE_PX] = _fitted(tile)
        below = top + TILE_PX + _CAPTION_PX - 6
        _write(sheet[:, : left + TILE_PX], caption, (left, below), height_px=9, colour=_FAINT)
    return sheet


def _even(values: Sequence[float]) -> NDArray[np.float64]:
    """Return the values from 0 to 1; where all are the same, 0."""
    value = np.asarray(values, np.float64)
    return np.asarray((value - value.min()) / max(1e-9, float(np.ptp(value))), np.float64)


def _distance(place: NDArray[np.float64], index: int) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(place - place[index], axis=1), np.float64)


def _fitted(tile: RgbImage) -> RgbImage:
    is_larger = min(tile.shape[:2]) >= TILE_PX
    how = cv2.INTER_AREA if is_larger else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(tile, (TILE_PX, TILE_PX), interpolation=how), np.uint8)


def _write(
    sheet: RgbImage,
    text: str,
    at: tuple[int, int],
    *,
    height_px: int,
    colour: tuple[int, int, int],
) -> None:
    drawn = np.ascontiguousarray(sheet)
    scale = height_px / _LETTER_PX
    cv2.putText(drawn, text, at, _FONT, scale, colour, 1, cv2.LINE_AA)
    sheet[:] = drawn
