"""From the numbers of a video to light, for compositors who work in linear floats."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.types import FloatImage

PQ_NITS_PER_ONE = 100.0
"""1.0 is the white of a usual screen; the brightest that PQ can say is then 100."""
_LINEAR, _GAMMA22, _GAMMA28, _SRGB, _PQ, _HLG = 8, 4, 5, 13, 16, 18  # H.273, table 3


def linear_from_signal(image: NDArray[np.uint8] | NDArray[np.uint16], transfer: int) -> FloatImage:
    """Return light, 1.0 for the white of video.

    Of BT.709, BT.601, BT.2020 and whatever is not known, the camera's own curve is undone:
    light as it was in the scene, as compositing programs do with "rec709". HLG is undone in
    the same way, 0..1. PQ tells the light of the screen; 1.0 is PQ_NITS_PER_ONE cd/m2.

    Args:
        image: Of any shape.
        transfer: The code of ITU-T H.273.
    """
    return np.asarray(_table(transfer, image.dtype.itemsize)[image], np.float32)


@lru_cache(maxsize=4)
def _table(transfer: int, num_bytes: int) -> FloatImage:
    """Return the light of each number."""
    signal = np.linspace(0.0, 1.0, 2 ** (8 * num_bytes))
    return _curve(signal, transfer).astype(np.float32)


def _curve(signal: NDArray[np.float64], transfer: int) -> NDArray[np.float64]:
    if transfer == _LINEAR:
        return signal
    if transfer in (_GAMMA22, _GAMMA28):
        return np.asarray(signal ** (2.2 if transfer == _GAMMA22 else 2.8))
    if transfer == _SRGB:
        return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    if transfer == _PQ:
        return _pq(signal)
    if transfer == _HLG:
        return _hlg(signal)
    alpha, beta = 1.09929682680944, 0.018053968510807  # BT.2020, table 4; BT.709 rounds them
    return np.where(
        signal < 4.5 * beta, signal / 4.5, ((signal + alpha - 1.0) / alpha) ** (1.0 / 0.45)
    )


def _pq(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """SMPTE ST 2084, equation 4.1."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = signal ** (1.0 / m2)
    nits = 10_000.0 * (np.maximum(power - c1, 0.0) / (c2 - c3 * power)) ** (1.0 / m1)
    return np.asarray(nits / PQ_NITS_PER_ONE)


def _hlg(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of ITU-R BT.2100, table 5."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3.0, (np.exp((signal - c) / a) + b) / 12.0)
