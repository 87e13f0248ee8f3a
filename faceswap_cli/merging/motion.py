"""Blur along a motion, as an open shutter draws it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.merging.light import linear_from_signal, signal_from_linear
from faceswap_cli.types import FloatImage

MIN_PATH_PX = 1.0
"""A shorter path is not seen."""
_STEPS_PER_PX = 8  # of the integral along the path
_SHARES = np.linspace(0.0, 1.0, 5)  # of the path that are tried
_BLOCKS = 16  # along the shorter side
# Two different faces differ by as much when both are sharp: it takes more than that to doubt that
# the shutter was open for as long as was said.
_DOUBT = 0.05
_FADED = 1e-7  # energy of a gradient that tells no direction


def line_kernel(path_px: tuple[float, float]) -> FloatImage:
    """Return what becomes of a point that moves evenly along a straight path.

    Each step of the path is shared out among the four pixels around it, so that any length
    and angle is met. It lies around the middle of the path: what is blurred stays in place.

    Args:
        path_px: Where the path ends, (x, y) from its beginning.

    Returns:
        (K, K), K odd, of sum 1.
    """
    path = np.array(path_px)
    num = max(1, int(np.ceil(np.hypot(*path) * _STEPS_PER_PX)))
    reach = int(np.ceil(np.abs(path).max() / 2.0)) + 1
    steps = reach + ((np.arange(num) + 0.5) / num - 0.5)[:, None] * path  # (num, 2), x and y
    whole = np.floor(steps).astype(int)
    right, below = (steps - whole).T
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    for dx, dy, share in (
        (0, 0, (1 - right) * (1 - below)),
        (1, 0, right * (1 - below)),
        (0, 1, (1 - right) * below),
        (1, 1, right * below),
    ):
        np.add.at(kernel, (whole[:, 1] + dy, whole[:, 0] + dx), share / num)
    return kernel.astype(np.float32)


def blur_along(image: FloatImage, path_px: tuple[float, float]) -> FloatImage:
    """Blur along a path whatever is added up, light or numbers; (H, W, 3) or (H, W)."""
    kernel = line_kernel(path_px)
    return np.asarray(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE), np.float32)


def blur_light_along(image: FloatImage, path_px: tuple[float, float]) -> FloatImage:
    """Blur along a path in linear light, where a highlight draws a streak; (H, W, 3)."""
    return signal_from_linear(blur_along(linear_from_signal(image), path_px))


def choose_path(
    face: FloatImage, footage: FloatImage, mask: FloatImage, path_px: tuple[float, float]
) -> tuple[float, float]:
    """Return how much of a path a face has to be blurred along to look as the footage does.

    A shutter may have been open for less, and what a network draws after a blurred picture
    may be blurred itself. A blur takes from the gradients along it and leaves those across:
    their ratio tells, whatever else differs in sharpness.

    Args:
        face: (H, W), lightness.
        footage: (H, W), of the same place.
        mask: (H, W), 0..1.
        path_px: The longest that may be.

    Returns:
        A part of `path_px`, from its beginning; (0, 0) where none is needed.
    """
    height, width = face.shape
    longest = min(height, width) / 2.0  # of a track that has lost its face
    scale = min(1.0, longest / max(np.hypot(*path_px), MIN_PATH_PX))
    path = np.array(path_px) * scale
    weights = _weights(face, mask)
    if np.hypot(*path) < MIN_PATH_PX or not weights.any():
        return (0.0, 0.0)
    wanted = _direction(footage, path, weights)
    found: list[float] = []
    for share in _SHARES:
        x, y = path * share
        blurred = face if share == 0.0 else blur_along(face, (x, y))
        found.append(_direction(blurred, path, weights) + _DOUBT * (1.0 - share))
        if found[-1] <= wanted:
            break
    falling = np.minimum.accumulate(found)[::-1]
    x, y = path * np.interp(wanted, falling, _SHARES[: len(found)][::-1])
    return (float(x), float(y)) if np.hypot(x, y) >= MIN_PATH_PX else (0.0, 0.0)


def _direction(luma: FloatImage, path: NDArray[np.float64], weights: FloatImage) -> float:
    """Return the logarithm of the energy of gradients along a path, to that across it."""
    x, y = path / np.hypot(*path)
    # A Sobel filter of 5 pixels looks past the noise of single ones.
    across_x, across_y = (
        cv2.Sobel(luma, cv2.CV_32F, *order, ksize=5, scale=1.0 / 128.0)
        for order in ((1, 0), (0, 1))
    )
    size_wh = (weights.shape[1], weights.shape[0])
    along, across = (
        cv2.resize((a * across_x + b * across_y) ** 2, size_wh, interpolation=cv2.INTER_AREA)
        for a, b in ((x, y), (-y, x))
    )
    ratio = np.log((along + _FADED) / (across + _FADED))
    return float(np.average(ratio, weights=weights))


def _weights(luma: FloatImage, mask: FloatImage) -> FloatImage:
    """Return how much there is to see in each block: hair of the footage alone counts little."""
    height, width = luma.shape
    block_px = max(4, min(height, width) // _BLOCKS)
    size_wh = (max(1, width // block_px), max(1, height // block_px))
    slope = cv2.Sobel(luma, cv2.CV_32F, 1, 0) ** 2 + cv2.Sobel(luma, cv2.CV_32F, 0, 1) ** 2
    energy, seen = (
        cv2.resize(part, size_wh, interpolation=cv2.INTER_AREA) for part in (slope, mask)
    )
    return np.asarray(np.sqrt(energy) * (seen > 0.5), np.float32)
