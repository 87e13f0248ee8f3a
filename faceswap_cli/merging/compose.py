"""Painting drawn faces into a frame: float inside the box of a face, rounded once.

Erosion, growth and feather are in per cent of the face's size: `face_px`, the side of the
unit square of the mean face (see faces.templates) in frame pixels. It depends on brows, eyes,
nose and mouth corners together, so that it does not change when the jaw drops, and the
same number looks the same at every resolution of frame and model.
"""

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.geometry import Similarity, resizing, warp
from faceswap_cli.imaging import to_float, to_uint8
from faceswap_cli.masks import erode, feather, hull_mask, raise_brows
from faceswap_cli.types import FloatImage, GreyImage, Points, RgbImage

MaskName = Literal["hull*learned", "hull", "learned"]
_MARGIN_PX = 3  # around everything that is drawn: anti-aliasing and the cubic's reach


@dataclass(frozen=True)
class Look:
    """How a face is put in; per cent are of its size."""

    mask: MaskName = "hull*learned"
    jaw: float = 0.0
    """How far the hull reaches below the jaw line, per cent."""
    grow: float = 0.0
    """Of the hull, before all else, per cent."""
    erode: float = 0.0
    """Of the mask, per cent; negative grows it."""
    feather: float = 0.0
    """Width of the fade at the edge, half of it inside, per cent."""
    sharpen: float = 0.0
    """Amount of the unsharp mask; 0 is none."""


@dataclass(frozen=True)
class Shown:
    """Where a face of the footage is really seen: not where a hand is in front of it."""

    mask: FloatImage
    """(H, W), 0..1."""
    mask_from_frame: Similarity


@dataclass(frozen=True)
class Drawn:
    """A face that a model has drawn, and where it belongs."""

    face: FloatImage
    """(S, S, 3), RGB 0..1, colours already matched."""
    mask: FloatImage | None
    """(S, S), 0..1, where the model thinks the face is; None counts as everywhere."""
    landmarks: Points
    """(68, 2), frame pixels."""
    crop_from_frame: Similarity
    """To the pixels of `face`."""
    face_px: float
    """Side of the mean face's unit square, frame pixels."""
    shown: Shown | None = None
    """None: all of it is."""


@dataclass(frozen=True)
class Box:
    """A rectangle of frame pixels, half-open; it may reach beyond the picture."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return self.right - self.left, self.bottom - self.top

    @property
    def box_from_frame(self) -> Similarity:
        """The shift to its own pixels."""
        return Similarity(np.array([[1.0, 0.0, -self.left], [0.0, 1.0, -self.top]]))

    def within(self, size_wh: tuple[int, int]) -> "Box":
        """Return the part inside a picture; it may be empty."""
        width, height = size_wh
        left, right = (min(max(x, 0), width) for x in (self.left, self.right))
        top, bottom = (min(max(y, 0), height) for y in (self.top, self.bottom))
        return Box(left, top, max(left, right), max(top, bottom))


def paste_faces(frame: RgbImage, faces: list[Drawn], look: Look) -> tuple[RgbImage, GreyImage]:
    """Paint faces into a copy of a frame, small ones first: the largest is the nearest.

    Args:
        frame: (H, W, 3). Where no mask is, its pixels are returned bit for bit.
        faces: In any order.
        look: The same for all of them.

    Returns:
        The new frame, (H, W, 3), and where it was painted, (H, W), 0 to 255.
    """
    result, painted = frame.copy(), np.zeros(frame.shape[:2], np.uint8)
    size_wh = (frame.shape[1], frame.shape[0])
    for drawn in sorted(faces, key=lambda drawn: drawn.face_px):
        box = face_box(drawn, look)
        part = box.within(size_wh)
        if 0 in part.size_wh:
            continue
        inner = np.s_[
            part.top - box.top : part.bottom - box.top, part.left - box.left : part.right - box.left
        ]
        mask, face = face_mask(drawn, box, look)[inner], _in_box(drawn, box, look)[inner]
        outer = np.s_[part.top : part.bottom, part.left : part.right]
        result[outer] = blend(result[outer], face, mask)
        painted[outer] = np.maximum(painted[outer], to_uint8(mask))
    return result, painted


def blend(frame: RgbImage, face: FloatImage, mask: FloatImage) -> RgbImage:
    """Return face where mask is 1 and, to the bit, frame where it is 0; (H, W, 3)."""
    background = to_float(frame)
    return to_uint8(background + mask[..., None] * (face - background))


def face_box(drawn: Drawn, look: Look) -> Box:
    """Return where the mask can be above zero: the crop, or the hull with its soft edge."""
    size_px = len(drawn.face)
    frame_from_crop = drawn.crop_from_frame.inverse()
    corners = np.array([[0, 0], [size_px, 0], [0, size_px], [size_px, size_px]], np.float64) - 0.5
    quad = frame_from_crop.apply(corners)
    low, high = quad.min(axis=0), quad.max(axis=0)
    if look.mask != "learned":
        reach = look.jaw + max(0.0, look.grow) + max(0.0, -look.erode) + look.feather
        pad = reach / 100.0 * drawn.face_px + _MARGIN_PX
        points = raise_brows(drawn.landmarks)
        low = np.maximum(low, points.min(axis=0) - pad)
        high = np.minimum(high, points.max(axis=0) + pad)
    left, top = (math.floor(value) - _MARGIN_PX for value in low)
    right, bottom = (math.ceil(value) + 1 + _MARGIN_PX for value in np.maximum(low, high))
    return Box(left, top, right, bottom)


def face_mask(drawn: Drawn, box: Box, look: Look) -> FloatImage:
    """Return where and how strongly the face is painted, (height, width) of the box, 0..1.

    It is drawn at the frame's resolution, and has faded to zero where the crop ends. What
    lies beyond the picture does not touch it: a face cut by the picture's border is
    painted up to that border.
    """
    percent_px = drawn.face_px / 100.0
    mask = np.ones(box.size_wh[::-1], np.float32)
    if look.mask != "learned":
        points, jaw_px = box.box_from_frame.apply(drawn.landmarks), look.jaw * percent_px
        hull = hull_mask(points, box.size_wh, jaw_px=jaw_px)
        mask = erode(to_float(hull), amount_px=-look.grow * percent_px)
    if look.mask != "hull" and drawn.mask is not None:
        mask = mask * _warped(drawn.mask, drawn, box, border=0.0).clip(0.0, 1.0)
    mask = mask * crop_fade(drawn, box, fade_px=0.0)
    shown = _shown_in(drawn, box)
    mask = feather(
        erode(mask * shown, amount_px=look.erode * percent_px), width_px=look.feather * percent_px
    )
    mask = mask * shown  # a soft edge towards the face; none that lies on the hand
    return np.asarray(mask * crop_fade(drawn, box, fade_px=look.feather * percent_px), np.float32)


def _shown_in(drawn: Drawn, box: Box) -> FloatImage:
    """Return where the face is seen, (height, width) of the box, 0..1."""
    if drawn.shown is None:
        return np.ones(box.size_wh[::-1], np.float32)
    box_from_mask = box.box_from_frame.after(drawn.shown.mask_from_frame.inverse())
    seen = warp(drawn.shown.mask, box_from_mask, size_wh=box.size_wh)
    return np.asarray(seen.clip(0.0, 1.0), np.float32)


def mask_from_frame(record: FaceRecord, mask: GreyImage) -> Similarity:
    """Return the transform to the pixels of a mask of an aligned picture, of whatever size."""
    return resizing(len(mask) / record.size_px).after(record.crop)


def crop_fade(drawn: Drawn, box: Box, *, fade_px: float) -> FloatImage:
    """Return 1 well inside the crop and 0 from its outermost pixel on.

    Args:
        drawn: Gives the crop.
        box: Where it is drawn.
        fade_px: Length of the slope between, frame pixels.
    """
    size_px, scale = len(drawn.face), drawn.crop_from_frame.scale
    box_from_crop = box.box_from_frame.after(drawn.crop_from_frame.inverse())
    width, height = box.size_wh
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    (a, b, shift_x), (c, d, shift_y) = box_from_crop.inverse().matrix.astype(np.float32)
    crop_x, crop_y = a * x + b * y + shift_x, c * x + d * y + shift_y
    last = np.float32(size_px - 1)
    inside = np.minimum(np.minimum(crop_x, last - crop_x), np.minimum(crop_y, last - crop_y))
    slope_px = max(fade_px * scale, 1.0)  # crop pixels
    return np.asarray(np.clip(inside / np.float32(slope_px), 0.0, 1.0), np.float32)


def unsharp(image: FloatImage, *, amount: float, radius_px: float) -> FloatImage:
    """Add `amount` times what a blur of `radius_px` (its sigma) takes away; (H, W, 3)."""
    soft = cv2.GaussianBlur(image, ksize=(0, 0), sigmaX=radius_px, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(image + np.float32(amount) * (image - soft), np.float32)


def _in_box(drawn: Drawn, box: Box, look: Look) -> FloatImage:
    """Return the face at the frame's resolution, (height, width, 3) of the box."""
    face = _warped(drawn.face, drawn, box, border=None)
    if look.sharpen > 0.0:
        # A pixel of the crop is this wide in the frame: finer detail than that is not there.
        radius_px = max(0.5, 1.0 / drawn.crop_from_frame.scale)
        face = unsharp(face, amount=look.sharpen, radius_px=radius_px)
    return face


def _warped(image: FloatImage, drawn: Drawn, box: Box, *, border: float | None) -> FloatImage:
    box_from_crop = box.box_from_frame.after(drawn.crop_from_frame.inverse())
    return np.asarray(warp(image, box_from_crop, size_wh=box.size_wh, border=border), np.float32)
