"""Blocks of 8 pixels, as JPEG and MPEG leave them: how strong, and making as many."""

import cv2
import numpy as np

from faceswap_cli.imaging import decode_image, encode_image, to_float, to_uint8
from faceswap_cli.merging.sharpness import luma_of
from faceswap_cli.types import FloatImage

BLOCK_PX = 8
MIN_STRENGTH = 0.1 / 255.0
"""Steps of less cannot be told from chance."""
_LARGEST_STEP = 8.0 / 255.0  # between blocks; larger ones are edges of what was filmed
# With lower ones than the first, steps become no larger, as whole blocks turn into one colour.
_QUALITIES = (20, 30, 40, 50, 60, 70, 80, 85, 90, 94, 97)


def measure_blocks(luma: FloatImage, region: FloatImage, corner_xy: tuple[int, int]) -> float:
    """Return how much larger the steps between blocks are than those within, 0..1.

    Args:
        luma: (H, W).
        region: (H, W), 0..1: where to look.
        corner_xy: Where in the frame it begins, pixels: blocks are counted from the frame's.
    """
    steps = [
        _excess(luma, region, corner_xy[0]),
        _excess(luma.T, region.T, corner_xy[1]),
    ]
    return max(0.0, float(np.mean(steps)))


def compress_to(
    image: FloatImage, mask: FloatImage, strength: float, corner_xy: tuple[int, int]
) -> FloatImage:
    """Return a picture as JPEG leaves it at the quality that shows blocks of this strength.

    The strongest blocks are those of quality 20.

    Args:
        image: (H, W, 3).
        mask: (H, W), 0..1: where blocks are looked for.
        strength: As measure_blocks returns it.
        corner_xy: See there.
    """
    if strength < MIN_STRENGTH:
        return image
    left, top = (at % BLOCK_PX for at in corner_xy)
    padded = cv2.copyMakeBorder(to_uint8(image), top, 0, left, 0, cv2.BORDER_REPLICATE)
    own = to_float(padded[top:, left:])

    def pressed(index: int) -> tuple[float, FloatImage]:
        part = own
        if index < len(_QUALITIES):
            data = encode_image(padded, ".jpg", jpeg_quality=_QUALITIES[index])
            part = to_float(decode_image(data, "a face")[top:, left:])
        return measure_blocks(luma_of(part), mask, corner_xy), part

    low, high = 0, len(_QUALITIES)
    (most, strong), (least, weak) = pressed(low), pressed(high)
    while high - low > 1:
        middle = (low + high) // 2
        found, part = pressed(middle)
        if found >= strength:
            low, most, strong = middle, found, part
        else:
            high, least, weak = middle, found, part
    # Between two qualities: in a shot, blocks shall not jump from the one to the other.
    share = np.clip((strength - least) / max(most - least, MIN_STRENGTH), 0.0, 1.0)
    return np.asarray(image + (weak - own) + np.float32(share) * (strong - weak), np.float32)


def _excess(luma: FloatImage, region: FloatImage, left: int) -> float:
    steps = np.minimum(np.abs(np.diff(luma, axis=1)), np.float32(_LARGEST_STEP))
    weights = np.minimum(region[:, 1:], region[:, :-1])
    columns, seen = ((steps * weights).sum(axis=0), weights.sum(axis=0))
    is_border = (left + 1 + np.arange(len(seen))) % BLOCK_PX == 0
    if not (seen[is_border].any() and seen[~is_border].any()):
        return 0.0
    between, within = (
        columns[part].sum(dtype=float) / seen[part].sum(dtype=float)
        for part in (is_border, ~is_border)
    )
    return float(between - within)
