"""Noise of a camera or a film: measuring it beside edges, pores and hair, and making more of it.

Noise is seen where there is nothing else: in the quarter of the blocks that is flattest when
seen from afar, where noise has averaged out and does not choose. Three bands of it, of single
pixels, of squares of 4 and of 16, tell its strength and the size of its grain.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.merging.sharpness import luma_of, scale_colours
from faceswap_cli.types import FloatImage

MAX_GRAIN_PX = 1.5
_CURVE = (1.0, -2.0, 1.0)
"""Along both axes: blind to slopes. Immerkaer, "Fast noise variance estimation", 1996."""
# The same of the means of 2 and of 4 pixels, along one axis.
_CURVE_OF_2 = (0.5, 0.5, -1.0, -1.0, 0.5, 0.5)
_CURVE_OF_4 = (*(0.25,) * 4, *(-0.5,) * 4, *(0.25,) * 4)
_ROUNDING = 1.0 / 12.0 / 255.0**2
"""Variance of rounding to 8 bits: no noise of the camera, and the result is rounded again."""
_FLAT_SHARE = 0.25
_BLOCK_PX, _SMALL_BLOCK_PX = 16, 8
_MANY_BLOCKS = 8  # along the shorter side; with fewer, the blocks are made smaller
_CELLS = 4  # along a block, seen from afar
_SPREAD = 0.1  # of brightness; with less it is not known what noise does with brightness
_MAX_SLOPE = 3.0
_MIDDLE = 0.5
_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0))


@dataclass(frozen=True)
class Noise:
    """What noise there is on a picture of values 0..1."""

    covariance: NDArray[np.float64]
    """(6,): red red, green green, blue blue, red green, green blue, blue red; at brightness 0.5."""
    slope: float = 0.0
    """At brightness b it is exp(slope * (b - 0.5)) of that."""
    grain_px: float = 0.0
    """Sigma of the Gaussian blur that makes white noise as coarse."""

    @property
    def sigma(self) -> NDArray[np.float64]:
        """(3,): standard deviation of each channel at brightness 0.5."""
        return np.asarray(np.sqrt(self.covariance[:3].clip(0.0)))

    def at(self, brightness: float) -> NDArray[np.float64]:
        """Return the covariance at another brightness, (3, 3)."""
        matrix = np.zeros((3, 3))
        for value, (i, j) in zip(self.covariance, _PAIRS, strict=True):
            matrix[i, j] = matrix[j, i] = value
        return np.asarray(matrix * np.exp(self.slope * (brightness - _MIDDLE)))


NO_NOISE = Noise(np.zeros(6))


def measure_noise(image: FloatImage, region: FloatImage) -> Noise:
    """Find the noise of a picture.

    Args:
        image: (H, W, 3).
        region: (H, W), 0..1: where to look.

    Returns:
        The noise; none where the region is empty.
    """
    height, width = region.shape
    is_small = min(height, width) < _MANY_BLOCKS * _BLOCK_PX
    block_px = _SMALL_BLOCK_PX if is_small else _BLOCK_PX
    grid_wh = (width // block_px, height // block_px)
    if 0 in grid_wh:
        return NO_NOISE
    # Whole blocks only: those cv2 averages many times as fast.
    whole = np.s_[: grid_wh[1] * block_px, : grid_wh[0] * block_px]
    image, luma = image[whole], luma_of(image[whole])
    is_flat = _flat_blocks(luma, _means(region[whole], grid_wh) > 0.5)
    if not is_flat.any():
        return NO_NOISE
    squares = _halved(image)
    colours = cv2.split(_curvature(squares))
    products = cv2.merge([cv2.multiply(colours[i], colours[j]) for i, j in _PAIRS])
    seen = _means(products, grid_wh)[is_flat].astype(float)  # (N, 6)
    dark = [luma, _halved(luma), _halved(_halved(luma))]
    energies = [float(np.median(_means(_curvature(x) ** 2, grid_wh)[is_flat])) for x in dark]
    grain_px = _grain_px(energies)
    covariance = np.median(seen, axis=0) / _energy(_CURVE_OF_2, grain_px)
    covariance[:3] = np.maximum(covariance[:3] - _ROUNDING, 0.0)
    brightness = _means(luma, grid_wh)[is_flat].astype(float)
    slope = _slope(seen[:, :3].sum(axis=1), brightness)
    return Noise(covariance * np.exp(slope * (_MIDDLE - np.median(brightness))), slope, grain_px)


def add_noise(
    image: FloatImage, mask: FloatImage, noise: Noise, *, amount: float, seed: int
) -> FloatImage:
    """Add what a picture lacks of a noise.

    Args:
        image: (H, W, 3). It is measured where the mask is, and what noise it has is not added.
        mask: (H, W), 0..1.
        noise: How noisy the picture shall be.
        amount: 1: as noisy; 2: noise of twice the strength.
        seed: The same seed, the same grain, to the bit.

    Returns:
        (H, W, 3); it may leave 0..1 a little.
    """
    wanted = amount**2 * noise.at(_MIDDLE) - measure_noise(image, mask).at(_MIDDLE)
    variances, axes = np.linalg.eigh(wanted)
    if variances.max() <= _ROUNDING / 4.0:
        return image
    mix = (axes * np.sqrt(variances.clip(0.0))).astype(np.float32)  # (3, 3)
    white = np.random.default_rng(seed).standard_normal(image.shape, np.float32)
    kernel = _kernel(noise.grain_px)
    grain = cv2.sepFilter2D(white, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)
    grain = cv2.transform(grain, mix)
    if noise.slope != 0.0:
        bright = luma_of(image).clip(0.0, 1.0) - np.float32(_MIDDLE)
        grain = scale_colours(grain, cv2.exp(bright * np.float32(noise.slope / 2.0)))
    return np.asarray(image + grain, np.float32)


def _flat_blocks(luma: FloatImage, is_seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the blocks, of those that are seen, with the least to see from afar."""
    rows, columns = is_seen.shape
    afar = _means(luma, (columns * _CELLS, rows * _CELLS))
    slopes = [cv2.Sobel(afar, cv2.CV_32F, *order) for order in ((1, 0), (0, 1))]
    structure = _means(slopes[0] ** 2 + slopes[1] ** 2, (columns, rows))
    if not is_seen.any():
        return is_seen
    return is_seen & (structure <= np.quantile(structure[is_seen], _FLAT_SHARE))


def _grain_px(energies: list[float]) -> float:
    """Return how coarse noise is whose three bands have these energies.

    What is no noise lies in the coarser bands, and where noise is weak, rounding hides the
    finest: both make it look coarser than it is. So the smaller of two answers counts.
    """
    curves = (_CURVE, _CURVE_OF_2, _CURVE_OF_4)
    sizes = np.linspace(0.0, MAX_GRAIN_PX, 31)
    tables = [np.array([_energy(curve, size) for size in sizes]) for curve in curves]
    net = [
        max(energy - _ROUNDING * table[0], 1e-12)
        for energy, table in zip(energies, tables, strict=True)
    ]
    answers = [
        np.interp(net[i] / net[i + 1], (tables[i] / tables[i + 1])[::-1], sizes[::-1])
        for i in (0, 1)
    ]
    return float(min(answers))


@lru_cache(maxsize=256)
def _energy(curve: tuple[float, ...], grain_px: float) -> float:
    """Return what a filter along both axes makes of noise of variance 1."""
    return float((np.convolve(_kernel(grain_px), curve) ** 2).sum() ** 2)


def _kernel(grain_px: float) -> FloatImage:
    """Return the blur of such a grain along one axis; it keeps the variance of white noise."""
    if grain_px < 0.1:
        return np.ones(1, np.float32)
    x = np.arange(-6, 7)  # four sigmas of the coarsest
    kernel = np.exp(-(x**2) / (2.0 * grain_px**2))
    return np.asarray(kernel / np.sqrt((kernel**2).sum()), np.float32)


def _slope(energy: NDArray[np.float64], brightness: NDArray[np.float64]) -> float:
    """Return how the logarithm of an energy rises with brightness; near 0 if it cannot be told."""
    about = brightness - brightness.mean()
    levels = np.log(energy + _ROUNDING)
    slope = about @ (levels - levels.mean()) / (about @ about + len(about) * _SPREAD**2)
    return float(np.clip(slope, -_MAX_SLOPE, _MAX_SLOPE))


def _curvature(image: FloatImage) -> FloatImage:
    kernel = np.array(_CURVE)
    return np.asarray(
        cv2.sepFilter2D(image, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT_101), np.float32
    )


def _halved(image: FloatImage) -> FloatImage:
    return _means(image, (image.shape[1] // 2, image.shape[0] // 2))


def _means(image: FloatImage, size_wh: tuple[int, int]) -> FloatImage:
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.float32)
