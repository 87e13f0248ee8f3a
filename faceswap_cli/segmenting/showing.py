"""Pictures of faces with their masks, for people to look at."""

from collections.abc import Sequence

import cv2
import numpy as np

from faceswap_cli.segmenting.cutting import Canvas
from faceswap_cli.segmenting.inference import Segmenter, segment
from faceswap_cli.types import GreyImage, RgbImage

GAP_PX = 2
_FACE, _OVER = np.array([60, 220, 90], np.float32), np.array([200, 40, 60], np.float32)
_STRENGTH = 0.35


def draw_page(segmenter: Segmenter, canvases: Sequence[Canvas]) -> RgbImage:
    """Tile one row a face: face, label, what the network says, the face within it.

    Args:
        segmenter: The network.
        canvases: Made for its resolution.
    """
    side = segmenter.resolution
    rows: list[RgbImage] = []
    for canvas in canvases:
        margin = (canvas.image.shape[0] - side) // 2
        inner = slice(margin, margin + side)
        crop = np.ascontiguousarray(canvas.image[inner, inner])
        said = segment(segmenter, [crop])[0][..., None]
        label = np.repeat(canvas.label[inner, inner, None], 3, axis=2)
        masked = np.rint(crop * said).astype(np.uint8)
        rows.append(np.hstack([crop, label, _grey3(said[..., 0]), masked]))
    return np.vstack(rows)


def tinted(image: RgbImage, mask: GreyImage, name: str = "") -> RgbImage:
    """Return a picture, green where the mask is, red where it is not, its edge drawn.

    Args:
        image: (H, W, 3).
        mask: (H, W).
        name: Written into a corner.
    """
    share = mask[..., None] / np.float32(255)
    colour = share * _FACE + (1 - share) * _OVER
    strength = _STRENGTH * (1.2 - share)
    drawn = np.rint(image * (1 - strength) + colour * strength).astype(np.uint8)
    outlines, _ = cv2.findContours(
        (mask > 127).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(drawn, outlines, -1, (255, 255, 0), 1)
    if name:
        at = (4, image.shape[0] - 6)
        for colour_rgb, thick in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(drawn, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour_rgb, thick)
    return drawn


def resized(image: RgbImage, side_px: int) -> RgbImage:
    """Return a square picture at another size."""
    how = cv2.INTER_AREA if side_px < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (side_px, side_px), interpolation=how), np.uint8)


def sheet(pictures: Sequence[RgbImage], columns: int) -> RgbImage:
    """Return pictures of one size side by side, on black, in rows."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    page = np.zeros((rows * (height + GAP_PX), columns * (width + GAP_PX), 3), np.uint8)
    for number, picture in enumerate(pictures):
        top, left = (number // columns) * (height + GAP_PX), (number % columns) * (width + GAP_PX)
        page[top : top + height, left : left + width] = picture
    return page


def _grey3(mask: np.ndarray) -> RgbImage:
    return np.repeat(np.rint(mask * 255).astype(np.uint8)[..., None], 3, axis=2)
