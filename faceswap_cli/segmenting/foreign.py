"""Mask pictures that other programs or people made, read defensively."""

import struct
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.errors import MediaError
from faceswap_cli.types import GreyImage

MAX_BYTES = 64 * 2**20
MAX_PIXELS = 64 * 10**6
"""More is no mask of a face, and would fill the memory."""
_MAGIC = b"\x89PNG\r\n\x1a\n"
_IHDR = struct.Struct(">I4sII")


def read_foreign_mask(path: Path) -> GreyImage:
    """Read a mask PNG of any kind as (H, W), 0..255.

    Grey counts as it is, colours by their brightness, 16 bits by their upper 8. Of a picture
    with transparency that is all of one colour, the transparency is the mask; else what is
    transparent is not face.

    Raises:
        MediaError: Not a PNG, damaged, or of more than MAX_PIXELS pixels.
    """
    data = _read(path)
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None:
        raise MediaError("damaged, or not a picture", seen_in=path)
    picture = _in_8_bits(np.asarray(found), path)
    if picture.ndim == 2:
        return picture
    if picture.shape[2] == 4:
        return _by_transparency(picture)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise MediaError(f"{path.stat().st_size >> 20} MiB: too large", seen_in=path)
        data = path.read_bytes()
    except OSError as error:
        raise MediaError(f"cannot be read: {error.strerror}", seen_in=path) from error
    if not data.startswith(_MAGIC) or len(data) < len(_MAGIC) + _IHDR.size:
        raise MediaError("not a PNG" if data else "empty", seen_in=path)
    _, kind, width, height = _IHDR.unpack_from(data, len(_MAGIC))
    if kind != b"IHDR" or not width or not height:
        raise MediaError("a PNG without a header", seen_in=path)
    if width * height > MAX_PIXELS:
        raise MediaError(
            f"{width}x{height}: more than {MAX_PIXELS // 10**6} megapixels", seen_in=path
        )
    return data


def _in_8_bits(picture: NDArray[np.generic], path: Path) -> NDArray[np.uint8]:
    if picture.dtype == np.uint16:
        return np.asarray(picture.astype(np.uint16) >> 8, np.uint8)
    if picture.dtype != np.uint8:
        raise MediaError(f"pixels of type {picture.dtype}", seen_in=path)
    return np.asarray(picture, np.uint8)


def _by_transparency(picture: NDArray[np.uint8]) -> GreyImage:
    alpha = picture[..., 3]
    shown = picture[..., :3][alpha > 0]
    if alpha.min() < 255 and (not len(shown) or np.ptp(shown, axis=0).max() == 0):
        return np.ascontiguousarray(alpha)
    grey = cv2.cvtColor(np.ascontiguousarray(picture[..., :3]), cv2.COLOR_BGR2GRAY)
    share = alpha.astype(np.float32) / 255.0
    return np.asarray(np.rint(grey * share), np.uint8)
