"""Contact sheets: many faces on one picture, with their names and values."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from faceswap_cli.errors import FaceswapError
from faceswap_cli.geometry import resizing, warp
from faceswap_cli.imaging import read_image
from faceswap_cli.types import RgbImage

COLUMNS, ROWS = 10, 10
THUMB_PX, CAPTION_PX, TITLE_PX, GAP_PX = 128, 30, 26, 4
_PAPER, _INK, _RED = (28, 28, 28), (230, 230, 230), (220, 40, 40)
_FONT, _LETTERS = cv2.FONT_HERSHEY_SIMPLEX, 0.36
_MOST_LETTERS = 21
"""That fit below a picture."""


@dataclass(frozen=True)
class Cell:
    """One face on a sheet."""

    path: Path
    lines: tuple[str, str]
    """Below it."""
    is_marked: bool
    """Framed and struck out: it falls out."""


def pages(cells: Sequence[Cell]) -> Iterator[Sequence[Cell]]:
    """Yield the cells page by page."""
    size = COLUMNS * ROWS
    for start in range(0, len(cells), size):
        yield cells[start : start + size]


def draw_sheet(title: str, cells: Sequence[Cell]) -> RgbImage:
    """Return a page, (H, W, 3); a picture that cannot be read is an empty place.

    Args:
        title: Its headline, ASCII.
        cells: At most COLUMNS * ROWS.
    """
    rows = -(-len(cells) // COLUMNS)
    step_x, step_y = THUMB_PX + GAP_PX, THUMB_PX + CAPTION_PX + GAP_PX
    height, width = TITLE_PX + rows * step_y + GAP_PX, COLUMNS * step_x + GAP_PX
    page = np.full((height, width, 3), _PAPER, np.uint8)
    _write(page, title, (GAP_PX, TITLE_PX - 9), scale=1.4 * _LETTERS)
    for number, cell in enumerate(cells):
        left = GAP_PX + number % COLUMNS * step_x
        top = TITLE_PX + number // COLUMNS * step_y
        page[top : top + THUMB_PX, left : left + THUMB_PX] = _thumb(cell.path)
        if cell.is_marked:
            corner, other = (left, top), (left + THUMB_PX - 1, top + THUMB_PX - 1)
            cv2.rectangle(page, corner, other, _RED, thickness=2)
            cv2.line(page, corner, other, _RED, thickness=1, lineType=cv2.LINE_AA)
        for line, text in enumerate(cell.lines):
            _write(page, shortened(text), (left, top + THUMB_PX + 12 + 13 * line), scale=_LETTERS)
    return page


def shortened(text: str) -> str:
    """Return a text that fits below a picture; its middle is left out."""
    if len(text) <= _MOST_LETTERS:
        return text
    half = (_MOST_LETTERS - 2) // 2
    return f"{text[:half]}..{text[-half:]}"


def _thumb(path: Path) -> RgbImage:
    try:
        image = read_image(path)
    except FaceswapError:
        return np.zeros((THUMB_PX, THUMB_PX, 3), np.uint8)
    factor = THUMB_PX / max(image.shape[:2])
    return np.asarray(warp(image, resizing(factor), size_wh=(THUMB_PX,) * 2, border=0.0), np.uint8)


def _write(page: RgbImage, text: str, at: tuple[int, int], *, scale: float) -> None:
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(page, plain, at, _FONT, scale, _INK, 1, cv2.LINE_AA)
