"""Between the numbers of a frame, fractions of them, and light.

The numbers of a file are spaced as eyes see; light adds up as photons do. What is half face
and half footage is half the light of each, and neither a dark nor a bright rim. The curve is
that of sRGB, IEC 61966-2-1. Film of high dynamic range (PQ, HLG) has other curves: its numbers
are blended as they are, light="signal".
"""

from functools import lru_cache
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

from faceswap_cli.merging.look import FrameImage
from faceswap_cli.types import FloatImage

Light = Literal["linear", "signal"]

_TOE, _TOE_LIGHT = 0.04045, 0.0031308  # below it the curve is a line
_SLOPE, _OFFSET, _GAMMA = 12.92, 0.055, 2.4


def signal_from_frame(frame: FrameImage) -> FloatImage:
    """Convert whole levels of 8 or 16 bits to 0..1; any shape."""
    return np.asarray(cv2.multiply(frame, _each(1.0 / largest(frame.dtype)), dtype=cv2.CV_32F))


def frame_from_signal(signal: FloatImage, dtype: DTypeLike) -> FrameImage:
    """Convert 0..1 to whole levels, rounded to the nearest; what lies beyond is clipped.

    Args:
        signal: (H, W, 3) or (H, W).
        dtype: uint8 or uint16.
    """
    depth = cv2.CV_8U if np.dtype(dtype) == np.uint8 else cv2.CV_16U
    return np.asarray(cv2.multiply(signal, _each(largest(dtype)), dtype=depth))


def light_from_frame(frame: FrameImage, light: Light) -> FloatImage:
    """Return a frame as what is added up when it is blended, 0..1."""
    if light == "linear" and frame.dtype == np.uint8:
        return np.asarray(cv2.LUT(frame, _light_of_levels()))
    return light_from_signal(signal_from_frame(frame), light)


def light_from_signal(signal: FloatImage, light: Light) -> FloatImage:
    """Return what is added up when pictures are blended, 0..1; (H, W, 3) or (H, W)."""
    return linear_from_signal(signal) if light == "linear" else signal


def signal_from_light(image: FloatImage, light: Light) -> FloatImage:
    """Undo light_from_signal."""
    return signal_from_linear(image) if light == "linear" else image


def linear_from_signal(signal: FloatImage) -> FloatImage:
    """Convert sRGB to linear light, both clipped to 0..1."""
    signal = np.clip(signal, 0.0, 1.0)
    raised = (signal + np.float32(_OFFSET)) * np.float32(1.0 / (1.0 + _OFFSET))
    line = signal * np.float32(1.0 / _SLOPE)
    return _joined(cv2.pow(raised, _GAMMA), line, is_line=signal < np.float32(_TOE))


def signal_from_linear(linear: FloatImage) -> FloatImage:
    """Convert linear light to sRGB, both clipped to 0..1."""
    linear = np.clip(linear, 0.0, 1.0)
    curve = cv2.pow(linear, 1.0 / _GAMMA) * np.float32(1.0 + _OFFSET) - np.float32(_OFFSET)
    line = linear * np.float32(_SLOPE)
    return _joined(curve, line, is_line=linear < np.float32(_TOE_LIGHT))


def largest(dtype: DTypeLike) -> int:
    """Return the level of white."""
    return int(np.iinfo(dtype).max)


def _each(factor: float) -> tuple[float, ...]:
    return (factor,) * 4  # cv2 takes a single number for that of the first channel alone


@lru_cache(maxsize=1)
def _light_of_levels() -> FloatImage:
    return linear_from_signal(np.arange(256, dtype=np.float32) / np.float32(255.0)).ravel()


def _joined(curve: Any, line: FloatImage, *, is_line: NDArray[np.bool_]) -> FloatImage:
    # np.where takes three times as long.
    return np.asarray(cv2.copyTo(line, is_line.view(np.uint8), curve), np.float32)
