"""Giving a face the histogram of another picture, channel by channel."""

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.types import FloatImage

NUM_BINS = 256
"""A bin is centred on each level of 8 bits: finer ones would be empty in most footage."""
MIN_WEIGHT_PX = 16.0
MAX_RISE = 1.5
"""How much steeper than it is a face may become. A beard in the footage alone spreads its levels
so far that a plain match turns the brows of the face black, and its forehead white."""
_SMOOTH_BINS = 9
Shares = NDArray[np.float64]
_SAME = 1e-9  # shares that differ by less are equal: they are sums


def match_histogram(face: FloatImage, like: FloatImage, weight: FloatImage) -> FloatImage:
    """Move the levels of a face so that it has about as many of each as another picture.

    Per channel, x' = C_like^-1(C_face(x)), C the share of the weight at or below a level, but
    nowhere steeper than MAX_RISE. Within a bin levels count as spread evenly, so that the map
    is continuous and 16 bits stay 16.

    Args:
        face: (H, W, 3), 0..1.
        like: (H, W, 3), 0..1.
        weight: (H, W), 0..1, how much each pixel counts, in both. All pixels are mapped.

    Returns:
        (H, W, 3), 0..1. `face` itself if less than 16 pixels count.
    """
    counted = weight > 0.0
    weights = weight[counted].astype(np.float64)
    if weights.sum() < MIN_WEIGHT_PX:
        return face
    matched = np.empty_like(face)
    for channel in range(face.shape[2]):
        shares = _shares(face[..., channel][counted], weights)
        like_shares = _shares(like[..., channel][counted], weights)
        levels = _bounded(_levels_at(shares, like_shares), shares)
        matched[..., channel] = _looked_up(face[..., channel], levels)
    return np.clip(matched, 0.0, 1.0)


def _shares(values: FloatImage, weights: NDArray[np.float64]) -> Shares:
    """Return the share of the weight below each edge of the bins, (NUM_BINS + 1,), 0 to 1."""
    bins = np.rint(values.clip(0.0, 1.0) * np.float32(NUM_BINS - 1)).astype(np.intp)
    counts = np.bincount(bins, weights, minlength=NUM_BINS)
    return np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])


def _levels_at(shares: Shares, like_shares: Shares) -> Shares:
    """Return the level up to which a histogram has each share; amid a gap, if it lies in one."""
    upper = np.searchsorted(like_shares, shares - _SAME, side="left").clip(1, NUM_BINS)
    lower = np.searchsorted(like_shares, shares + _SAME, side="right").clip(1, NUM_BINS) - 1
    # Of a gap `upper` is the lower end. It has none below the first level and above the last.
    from_below = upper - 1 + _part(shares, like_shares, upper - 1)
    from_above = lower + _part(shares, like_shares, lower)
    middle = (from_below + from_above) / 2.0
    middle = np.where(
        shares <= _SAME, from_above, np.where(shares >= 1 - _SAME, from_below, middle)
    )
    return np.asarray((middle - 0.5) / (NUM_BINS - 1), np.float64)


def _part(shares: Shares, like_shares: Shares, below: NDArray[np.intp]) -> Shares:
    """Return where between an edge and the next one the shares lie, 0..1."""
    height = np.maximum(like_shares[below + 1] - like_shares[below], _SAME)
    return np.asarray(((shares - like_shares[below]) / height).clip(0.0, 1.0))


def _bounded(levels: Shares, shares: Shares) -> Shares:
    """Return levels that rise evenly and not too fast; that of the median stays what it is."""
    plain = (np.arange(NUM_BINS + 1) - 0.5) / (NUM_BINS - 1)
    first = int(np.searchsorted(shares, _SAME, side="right")) - 1
    last = int(np.searchsorted(shares, 1.0 - _SAME, side="left"))
    # Beyond the face's own levels there is nothing to learn from.
    shift = (levels - plain)[np.arange(NUM_BINS + 1).clip(first, last)]
    wide = np.pad(shift, _SMOOTH_BINS // 2, mode="edge")
    levels = plain + np.convolve(wide, np.full(_SMOOTH_BINS, 1.0 / _SMOOTH_BINS), mode="valid")
    steps = np.minimum(np.diff(levels), MAX_RISE / (NUM_BINS - 1))
    risen = np.concatenate([[0.0], np.cumsum(steps)])
    return np.asarray(risen + np.interp(0.5, shares, levels) - np.interp(0.5, shares, risen))


def _looked_up(values: FloatImage, levels: Shares) -> FloatImage:
    """Map values 0..1, by the levels at the edges of the bins."""
    position = values.clip(0.0, 1.0) * np.float32(NUM_BINS - 1) + np.float32(0.5)
    index = position.astype(np.int32)  # 0 to NUM_BINS - 1: 0.5 to 255.5
    part = position - index
    starts, rises = levels[:-1].astype(np.float32), np.diff(levels).astype(np.float32)
    return np.asarray(np.take(starts, index) + part * np.take(rises, index), np.float32)
