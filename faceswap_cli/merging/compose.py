"""Painting drawn faces into a frame: float inside the box of a face, rounded once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.geometry import warp
from faceswap_cli.merging.blending import blend, overlay
from faceswap_cli.merging.light import (
    frame_from_signal,
    light_from_frame,
    light_from_signal,
    signal_from_frame,
    signal_from_light,
)
from faceswap_cli.merging.look import Box, Drawn, FrameImage, Look
from faceswap_cli.merging.masking import crop_fade, face_box, face_mask, placed
from faceswap_cli.merging.plate import match_plate
from faceswap_cli.merging.shave import Shaven, shave
from faceswap_cli.types import FloatImage, GreyImage

LEAST = np.float32(1.0 / 4096.0)
"""Less than this much of a face is none: the tail of a Gaussian never ends, and a quarter of a
level of 8 bits is the most that it is worth in the darkest shade."""
_PLATE_MARGIN_PX = 8  # around what is painted: sharpening and blurring look beyond it


@dataclass(frozen=True)
class Pasted:
    """A frame with its new faces."""

    image: FrameImage
    """(H, W, 3), of the frame's dtype."""
    mask: GreyImage
    """(H, W), how much of each pixel was painted; 0 only where none of it was."""
    layer: NDArray[np.uint8] | NDArray[np.uint16] | None
    """(H, W, 4), of the frame's dtype: the new faces alone, straight alpha. Over the frame,
    mixed in the light of the look, they give `image`."""


def paste_faces(
    frame: FrameImage,
    faces: Sequence[Drawn],
    look: Look,
    *,
    with_layer: bool = False,
    corner_xy: tuple[int, int] = (0, 0),
) -> Pasted:
    """Paint faces into a copy of a frame, small ones first: the largest is the nearest.

    In raw-face the whole square that was drawn is painted, and nothing is done to it; in
    raw-mask the same square shows the mask in grey. Both are for a look at what there is and
    for compositors, and neither fades into the frame.

    Args:
        frame: (H, W, 3), 8 or 16 bits, or a part of one. Where the mask is 0, its pixels are
            returned to the bit. Footage of high dynamic range (PQ, HLG) asks for light="signal".
        faces: In any order, in the pixels of `frame`; see Drawn.shifted.
        look: The same for all of them.
        with_layer: Also return the faces alone.
        corner_xy: Where in the whole frame this part of it begins, pixels: for what lies on the
            frame's grid, such as the blocks of a JPEG.

    Raises:
        ConfigError: look.mask is no mask expression.
    """
    shape = frame.shape[:2]
    layer = np.zeros((*shape, 4), frame.dtype) if with_layer else None
    pasted = Pasted(frame.copy(), np.zeros(shape, np.uint8), layer)
    for drawn in sorted(faces, key=lambda drawn: drawn.face_px):
        _paint(pasted, placed(drawn, look), look, corner_xy)
    return pasted


def _paint(pasted: Pasted, drawn: Drawn, look: Look, corner_xy: tuple[int, int]) -> None:
    box = face_box(drawn, replace(look, mask="full") if _is_raw(look) else look)
    alpha = _alpha(drawn, box, look)
    size_wh = (pasted.image.shape[1], pasted.image.shape[0])
    wide = _painted_box(alpha, box, size_wh)
    if 0 in wide.within(size_wh).size_wh:
        return
    shaven = None if _is_raw(look) else shave(pasted.image, drawn, reach=look.shave)
    if shaven is not None:
        beside = shaven.box.within(size_wh)
        wide = _united(wide, beside)
        alpha, box = _widened(alpha, box, beside)
    part = wide.within(size_wh)
    there = np.s_[part.top : part.bottom, part.left : part.right]
    background: FrameImage = pasted.image[there].copy()
    mask = _cut(alpha, box, part)
    if look.mode == "raw-mask":
        grey = _cut(face_mask(drawn, box, look), box, part)
        image = np.asarray(cv2.merge([grey] * 3), np.float32)
    else:
        image, mask = _picture(background, mask, drawn, (wide, part), look, corner_xy, shaven)
    # Now, not after it is mixed: a layer cannot hold more than white.
    image = np.clip(image, 0.0, 1.0)
    pasted.mask[there] = united(pasted.mask[there], mask)
    if pasted.layer is not None:
        pasted.layer[there] = _over(pasted.layer[there], image, mask, look)
    pasted.image[there] = overlay(background, image, mask, look.light)


def _is_raw(look: Look) -> bool:
    return look.mode in ("raw-face", "raw-mask")


def _alpha(drawn: Drawn, box: Box, look: Look) -> FloatImage:
    """Return how much of each pixel of a box is painted, 0..1."""
    if _is_raw(look):
        return crop_fade(drawn, box, fade_px=0.0)
    mask = face_mask(drawn, box, look)
    mask[mask < LEAST] = 0.0
    mask[mask > 1.0 - LEAST] = 1.0
    return mask


def _painted_box(alpha: FloatImage, box: Box, size_wh: tuple[int, int]) -> Box:
    """Return the part of a box that is painted, with a margin, also beyond the picture."""
    left, top, width, height = cv2.boundingRect((alpha > 0.0).view(np.uint8))
    if width == 0:
        return Box(0, 0, 0, 0)
    (frame_width, frame_height), margin = size_wh, _PLATE_MARGIN_PX
    return Box(
        max(box.left + left - margin, box.left, -margin),
        max(box.top + top - margin, box.top, -margin),
        min(box.left + left + width + margin, box.right, frame_width + margin),
        min(box.top + top + height + margin, box.bottom, frame_height + margin),
    )


def _united(one: Box, other: Box) -> Box:
    """Return the smallest box that holds both."""
    left, top = min(one.left, other.left), min(one.top, other.top)
    return Box(left, top, max(one.right, other.right), max(one.bottom, other.bottom))


def _widened(mask: FloatImage, box: Box, other: Box) -> tuple[FloatImage, Box]:
    """Return a mask of a box with nothing around it, so that it also holds another box."""
    both = _united(box, other)
    margins = (
        box.top - both.top, both.bottom - box.bottom, box.left - both.left, both.right - box.right
    )  # fmt: skip
    return np.asarray(cv2.copyMakeBorder(mask, *margins, cv2.BORDER_CONSTANT), np.float32), both


def _cut(image: FloatImage, box: Box, part: Box) -> FloatImage:
    """Return what an image of a box shows in a part of it."""
    rows = slice(part.top - box.top, part.bottom - box.top)
    columns = slice(part.left - box.left, part.right - box.left)
    return np.ascontiguousarray(image[rows, columns])


def _picture(
    background: FrameImage,
    mask: FloatImage,
    drawn: Drawn,
    boxes: tuple[Box, Box],
    look: Look,
    corner_xy: tuple[int, int],
    shaven: Shaven | None,
) -> tuple[FloatImage, FloatImage]:
    """Return what is laid over a part of a frame, (height, width, 3), and its mask.

    Args:
        background: The part of the frame, (height, width, 3).
        mask: (height, width), 0..1, of the face.
        drawn: What is put there.
        boxes: With the margin beyond the picture's border, and the part itself.
        look: How it is put there.
        corner_xy: Of the frame, see paste_faces.
        shaven: What is painted for a beard; None: nothing.
    """
    wide, part = boxes
    wide_from_crop = wide.box_from_frame.after(drawn.crop_from_frame.inverse())
    face = np.asarray(warp(drawn.face, wide_from_crop, size_wh=wide.size_wh), np.float32)
    if look.mode == "raw-face":
        return _cut(face, wide, part), mask
    footage = signal_from_frame(background)
    # Sharpening and blurring look beyond the border: there the face goes on, the footage not.
    beyond = (
        part.top - wide.top, wide.bottom - part.bottom,
        part.left - wide.left, wide.right - part.right,
    )  # fmt: skip
    framed = cv2.copyMakeBorder(footage, *beyond, cv2.BORDER_REPLICATE) if any(beyond) else footage
    seen = cv2.copyMakeBorder(mask, *beyond, cv2.BORDER_CONSTANT) if any(beyond) else mask
    corner_xy = (corner_xy[0] + wide.left, corner_xy[1] + wide.top)
    left_to_do = look
    if shaven is not None:
        # The face is compared with what it hides, no beard beside it; grain lies on all skin.
        first = replace(look, jpeg=0.0, grain=0.0)
        left_to_do = replace(look, match_sharpness=0.0, sharpen=0.0, motion_blur=0.0)
        face = match_plate(face, framed, seen, drawn, first, corner_xy=corner_xy)
        face, seen = shaven.joined(face, seen, wide)
        mask = _cut(seen, wide, part)
    face = match_plate(face, framed, seen, drawn, left_to_do, corner_xy=corner_xy)
    return blend(_cut(face, wide, part), footage, mask, look, face_px=drawn.face_px), mask


def united(painted: GreyImage, mask: FloatImage) -> GreyImage:
    """Return how much is painted by both; never 0 where something is."""
    levels = np.maximum(frame_from_signal(mask, np.uint8), (mask > 0.0).view(np.uint8))
    if not painted.any():
        return levels
    shown = 255.0 - (255.0 - painted.astype(np.float32)) * (1.0 - mask)
    return np.maximum(np.rint(shown).astype(np.uint8), levels)


def _over(layer: FrameImage, image: FloatImage, mask: FloatImage, look: Look) -> FrameImage:
    """Return the layer with one more face on top, (H, W, 4)."""
    under = signal_from_frame(layer[..., 3])[..., None] * (1.0 - mask[..., None])
    alpha = under + mask[..., None]
    share = mask[..., None] / np.maximum(alpha, LEAST)
    below = light_from_frame(layer[..., :3].copy(), look.light)
    above = light_from_signal(image, look.light)
    colour = signal_from_light(below + share * (above - below), look.light)
    colour[alpha[..., 0] <= 0.0] = 0.0
    result = frame_from_signal(np.concatenate([colour, alpha], axis=2), layer.dtype)
    result[..., 3] = np.maximum(result[..., 3], alpha[..., 0] > 0.0)
    return result
