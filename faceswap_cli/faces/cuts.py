"""Where one shot ends and the next begins, from small pictures of the frames."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.types import RgbImage

_SHORT_CELLS, _LONG_CELLS = 18, 32
_STRIDE_PX: Final = 8
"""About as many pixels of a frame fall on a cell, along each side; more are passed over."""
_REACH: Final = 1
"""Cells by which a part of the picture may have moved."""
_LEAST_SPREAD: Final = 6.0
"""Grey levels: what varies less is dark or empty, and its noise is no change."""

MIN_CHANGE: Final = 0.1
"""A cut changes the picture by this much at least; see `change`. Two people who were filmed
one after the other before the same wall differ by a little more, a frame and its next by 0.01."""
MIN_PEAK: Final = 4.0
"""And this many times as much as the frames around it change: a fast pan changes them all."""
AROUND: Final = 6
"""Frames looked at on each side."""
SPARED: Final = 3
"""Of those around, the highest: other cuts and flashes."""
FLASH: Final = 3
"""Frames: two peaks this near and this alike are a flash, after which all is as it was before."""
FLASH_ALIKE: Final = 0.67


def thumbnail(image: RgbImage) -> NDArray[np.uint8]:
    """Return a frame at 32 x 18 cells, or 18 x 32 if it is upright, averaged: (18, 32, 3)."""
    height, width = image.shape[:2]
    is_upright = height > width
    size_wh = (_SHORT_CELLS, _LONG_CELLS) if is_upright else (_LONG_CELLS, _SHORT_CELLS)
    down = max(1, height // (size_wh[1] * _STRIDE_PX))
    across = max(1, width // (size_wh[0] * _STRIDE_PX))
    sparse = np.ascontiguousarray(image[::down, ::across])
    return np.asarray(cv2.resize(sparse, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def change(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """Return how much changed from one thumbnail to the next, 0 to 1.

    A cell counts as far as it differs from the most similar one at or beside its place: what
    moves a little has not changed. Brightness and contrast of the whole are taken out first:
    neither a lamp nor a fade is a new shot.

    Args:
        before: (h, w, 3).
        after: (h, w, 3); of another shape it is a change of 1.
    """
    if before.shape != after.shape:
        return 1.0
    old, new = _evened(before), _evened(after)
    both = [_unlike(old, new), _unlike(new, old)]
    return float(np.clip(np.mean(both), 0.0, 1.0))


def find_cuts(frames: Sequence[int], changes: Sequence[float]) -> list[int]:
    """Return the frames that begin a new shot; the first frame of all is none.

    Args:
        frames: Indices, ascending.
        changes: Of each from the one before it, see `change`; that of the first is 0.
    """
    if len(frames) != len(changes):
        raise ValueError(f"{len(frames)} frames, {len(changes)} changes")
    height = np.asarray(changes, np.float64)
    peaks = [i for i in np.flatnonzero(height >= MIN_CHANGE).tolist() if i and _is_peak(height, i)]
    return [frames[peak] for peak in peaks if not _is_flash(height, peak, peaks)]


def _evened(small: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return a thumbnail with the same mean and spread as any other."""
    value = small.astype(np.float32)
    value -= value.mean()
    return np.asarray(value / (value.std() + _LEAST_SPREAD), np.float32)


def _unlike(old: NDArray[np.float32], new: NDArray[np.float32]) -> float:
    """Return the mean difference of each cell of `new` from the nearest to it around in `old`."""
    height, width = new.shape[:2]
    padded = np.pad(old, ((_REACH, _REACH), (_REACH, _REACH), (0, 0)), mode="edge")
    steps = range(2 * _REACH + 1)
    moved = [padded[y : y + height, x : x + width] for y in steps for x in steps]
    nearest = np.min([np.abs(place - new).mean(axis=-1) for place in moved], axis=0)
    return float(nearest.mean())


def _is_peak(height: NDArray[np.float64], at: int) -> bool:
    """Return whether a change stands out from those around it, but for a few."""
    around = np.concatenate([height[max(1, at - AROUND) : at], height[at + 1 : at + 1 + AROUND]])
    usual = np.sort(around)[: max(1, len(around) - SPARED)]
    return not len(usual) or bool(height[at] >= MIN_PEAK * usual[-1])


def _is_flash(height: NDArray[np.float64], at: int, peaks: Sequence[int]) -> bool:
    """Return whether a peak comes with another, of the same height or a higher one."""
    first, end = bisect_left(peaks, at - FLASH), bisect_right(peaks, at + FLASH)
    return any(
        other != at and height[other] >= FLASH_ALIKE * height[at] for other in peaks[first:end]
    )
