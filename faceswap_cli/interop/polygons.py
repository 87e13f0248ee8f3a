"""Polygons and stored masks of other programs, as grey pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.geometry import resizing, warp
from faceswap_cli.imaging import decode_grey, encode_image
from faceswap_cli.interop.hostile import HostileError
from faceswap_cli.media.picture_header import read_header
from faceswap_cli.types import GreyImage, Points

MAX_MASK_PX: Final = 2048
STORED_PX: Final = 256
"""Side of the masks that DeepFaceLab's XSeg makes."""
MAX_STORED_BYTES: Final = 50_000
"""DeepFaceLab's own limit: the mask shares a segment of 65,533 bytes with the rest."""


@dataclass(frozen=True, eq=False)
class Polygon:
    """An outline that a person has drawn."""

    is_face: bool
    """What is inside belongs to the face; else it is in front of it."""
    points: Points
    """(N, 2), pixels of the aligned picture."""


def draw_polygons(polygons: Sequence[Polygon], base: GreyImage) -> GreyImage:
    """Draw what belongs to a face, then what does not, as DeepFaceLab does.

    Args:
        polygons: May reach beyond the picture.
        base: (H, W), what is not drawn on stays as it is.

    Returns:
        (H, W), 255 inside, 0 outside.
    """
    mask = base.copy()
    for polygon in sorted(polygons, key=lambda polygon: not polygon.is_face):
        mask[inside(polygon.points, mask.shape)] = 255 if polygon.is_face else 0
    return mask


def inside(points: Points, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which pixels have their centre inside of a polygon, (height, width).

    Args:
        points: (N, 2), pixels; N under 3 has no inside. Where it crosses itself, even-odd.
        shape: Height and width.
    """
    height, width = shape[0], shape[1]
    flips = np.zeros((height, width + 1), np.int32)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        low, high = min(y0, y1), max(y0, y1)
        # Half-open, so that a corner on a row is crossed once.
        rows = np.arange(max(0, int(np.ceil(low))), min(height, int(np.ceil(high))))
        if rows.size:
            columns = np.ceil(x0 + (rows - y0) * ((x1 - x0) / (y1 - y0)))
            np.add.at(flips, (rows, np.clip(columns, 0, width).astype(np.int64)), 1)
    odd = np.cumsum(flips, axis=1)[:, :width] % 2
    return np.asarray(odd == 1)


def decode_mask(data: bytes, size_px: int) -> GreyImage:
    """Return a stored mask, resized to a square of `size_px`.

    Raises:
        HostileError: Neither PNG nor JPEG, too large, or not square.
        MediaError: It is damaged.
    """
    header = read_header(data, "its mask")
    width, height = header.size_wh
    if header.kind not in ("PNG", "JPEG") or width != height or width > MAX_MASK_PX:
        raise HostileError(f"a {header.kind} of {width}x{height} pixels")
    return resized(decode_grey(data, "its mask"), size_px)


def encode_mask(mask: GreyImage) -> bytes:
    """Return a square mask as DeepFaceLab stores it: PNG, or a JPEG if that is too large.

    Raises:
        HostileError: It is not square, or no quality makes it small enough.
    """
    if mask.shape[0] != mask.shape[1]:
        raise HostileError(f"{mask.shape[1]}x{mask.shape[0]} pixels, not square")
    small = resized(mask, STORED_PX)
    data = encode_image(small, ".png")
    for quality in range(95, 0, -10):
        if len(data) <= MAX_STORED_BYTES:
            return data
        data = encode_image(small, ".jpg", jpeg_quality=quality)
    raise HostileError(f"a mask of {len(data)} bytes, at most {MAX_STORED_BYTES} can be stored")


def resized(mask: GreyImage, size_px: int) -> GreyImage:
    """Return a square mask with another side, pixels."""
    if mask.shape == (size_px, size_px):
        return mask
    out_from_mask = resizing(size_px / mask.shape[0])
    return np.asarray(warp(mask, out_from_mask, size_wh=(size_px, size_px)), np.uint8)
