"""A visible label in a corner of every frame: light letters on a dark, translucent plate."""

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.errors import ConfigError

Corner = Literal["lower-left", "lower-right", "upper-left", "upper-right"]
EM, LEAST_EM_PX = 0.03, 9.0
"""Size of the type: share of the height of the picture, but legible."""
LEADING = 1.25
"""From one line to the next, em."""
PADDING, MARGIN = 0.45, 0.6
"""Around the letters and around the plate, em."""
PLATE = 0.55
"""How much of the picture the plate covers."""
WHITE = {16: 0.58, 18: 0.75}
"""Of the signal, by H.273's transfer codes: paper white of PQ and HLG (ITU-R BT.2408, table 1).

The full signal would be a lamp in the face: 10 000 cd/m2.
"""
EM_TRIED_PX = 32.0
_FONT = Path("fonts", "ttf", "DejaVuSans-Bold.ttf")

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


def check_label(text: str) -> None:
    """Raise ConfigError if a letter of the label is in no font of this machine."""
    if not text.isprintable():
        raise ConfigError(
            f"the label holds a control character: {text!r}",
            seen_in="video.label",
            fix="write it in one line",
        )
    _find_font(text)


def draw_label(
    image: Pixels, text: str, *, corner: Corner = "lower-left", transfer: int = 1
) -> Pixels:
    """Return a copy of a frame with the label drawn in.

    It is drawn once for each size of frame, and pasted from then on.

    Args:
        image: (H, W, 3), uint8 or uint16 over its full range.
        text: Any script that a font of this machine has; of spaces only: no label.
        corner: Where.
        transfer: H.273's code of the footage's curve, so that white is paper white in HDR.

    Raises:
        ConfigError: A letter is in no font; see check_label.
    """
    drawn = image.copy()
    height, width = image.shape[:2]
    white = WHITE.get(transfer, 1.0) * np.iinfo(image.dtype).max
    if not text.strip():
        return drawn
    kept, added = _plate(text, (width, height), white)
    plate_height, plate_width = kept.shape[:2]
    margin = round(MARGIN * _em_px(height))
    down, across = corner.split("-")
    top = max(0, height - margin - plate_height) if down == "lower" else margin
    left = max(0, width - margin - plate_width) if across == "right" else margin
    part = drawn[top : top + plate_height, left : left + plate_width]
    rows, columns = part.shape[:2]  # of a picture smaller than the plate, less
    blended = part * kept[:rows, :columns] + added[:rows, :columns]
    np.rint(blended, out=blended)
    part[...] = blended
    return drawn


def _em_px(height: int) -> float:
    return max(LEAST_EM_PX, EM * height)


@lru_cache(maxsize=8)
def _plate(
    text: str, size_wh: tuple[int, int], white: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what is kept of the picture and what is added, (h, w, 1) both."""
    width, height = size_wh
    em_px = _em_px(height)
    room_px = width - 2 * (PADDING + MARGIN) * em_px
    font = _open(_find_font(text))
    font.set_size(em_px, 72)  # points are pixels then
    cover = np.pad(_set(font, _lines(font, text, room_px), em_px), round(PADDING * em_px))[
        ..., None
    ]
    kept = (1.0 - cover) * np.float32(1.0 - PLATE)
    return kept, cover * np.float32(white)


def _lines(font: Any, text: str, room_px: float) -> list[str]:
    """Break the text between words, so that a line is no wider than there is room."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        font.set_text(longer)
        if lines and font.get_width_height()[0] / 64 <= room_px:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _set(font: Any, lines: list[str], em_px: float) -> NDArray[np.float32]:
    """Return how much of each pixel the letters cover, (h, w), 0..1."""
    drawn = []
    for line in lines:
        font.set_text(line)
        font.draw_glyphs_to_bitmap(antialiased=True)
        ink = np.asarray(font.get_image(), np.float32) / np.float32(255.0)
        drawn.append((ink, len(ink) - round(font.get_descent() / 64)))
    above = max(1, max(ascent for _, ascent in drawn))
    below = max(len(ink) - ascent for ink, ascent in drawn)
    step = round(LEADING * em_px)
    rows = above + step * (len(drawn) - 1) + below
    cover = np.zeros((rows, max(ink.shape[1] for ink, _ in drawn)), np.float32)
    for number, (ink, ascent) in enumerate(drawn):
        top = above + number * step - ascent
        place = cover[top : top + len(ink), : ink.shape[1]]
        np.maximum(place, ink, out=place)
    return cover


@lru_cache(maxsize=8)
def _find_font(text: str) -> Path:
    """Return the first font that has all the letters: ours, or else one of the system's."""
    from matplotlib import get_data_path  # a second to import, and few ask for a label
    from matplotlib.font_manager import findSystemFonts

    ours = Path(get_data_path()) / _FONT
    missing = _missing(ours, text)
    if not missing:
        return ours
    for path in sorted(findSystemFonts()):
        try:
            _open(Path(path)).set_size(EM_TRIED_PX, 72)  # one of fixed pictures has no sizes
            if not _missing(Path(path), text):
                return Path(path)
        except (OSError, RuntimeError):
            continue  # a font that FreeType cannot read, or cannot enlarge
    raise ConfigError(
        f"no font on this machine has the letters {''.join(missing)!r} of the label {text!r}",
        seen_in="video.label",
        fix="install a font for this script, or write the label in another",
    )


def _open(path: Path) -> Any:
    from matplotlib.ft2font import FT2Font

    return FT2Font(str(path))


def _missing(path: Path, text: str) -> list[str]:
    font = _open(path)
    return sorted({letter for letter in text if not font.get_char_index(ord(letter))})
