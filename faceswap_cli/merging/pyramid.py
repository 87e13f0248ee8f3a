"""Blending in bands: fine detail changes over at once, colour and light over a long way.

Source: Burt and Adelson, "A Multiresolution Spline With Application to Image Mosaics", ACM
Transactions on Graphics 2(4), 1983.
"""

import cv2
import numpy as np

from faceswap_cli.types import FloatImage


def blend_bands(
    face: FloatImage, footage: FloatImage, mask: FloatImage, *, num_halvings: int
) -> FloatImage:
    """Return the pictures blended band by band, each over a distance of its own wavelength.

    Args:
        face: (H, W, 3), shown where the mask is 1.
        footage: (H, W, 3), shown where the mask is 0.
        mask: (H, W), 0..1.
        num_halvings: Of the picture's size, down to the coarsest band; 0 is an overlay.

    Returns:
        (H, W, 3). It differs from the footage beyond the mask, too: by what coarse bands
        carry out of it. It may leave 0..1 where there are edges.
    """
    # The bands of a difference are the differences of the bands: one pyramid for both.
    difference = face - footage
    masks, bands = [cv2.merge([mask] * 3)], []
    for _ in range(num_halvings):
        if min(difference.shape[:2]) < 2:
            break
        smaller = cv2.pyrDown(difference)
        bands.append(difference - _expanded(smaller, difference))
        masks.append(cv2.pyrDown(masks[-1]))
        difference = smaller
    blended = masks[-1] * difference
    for band, share in zip(reversed(bands), reversed(masks[:-1]), strict=True):
        blended = _expanded(blended, band) + share * band
    return np.asarray(footage + blended, np.float32)


def _expanded(image: FloatImage, like: FloatImage) -> FloatImage:
    return np.asarray(cv2.pyrUp(image, dstsize=(like.shape[1], like.shape[0])), np.float32)
