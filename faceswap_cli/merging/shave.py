"""Hiding a beard of the footage that hangs out from under a new face without one.

A mask ends where the network knows what to draw, and a beard does not. Around the new face its
own skin goes on then, as far as the beard does; below the jaw it is shaded, and becomes that of
the neck. The rim of what was drawn is skin, too: there networks draw worst.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.merging.beard import EDGE, Beard, find_beard
from faceswap_cli.merging.look import Box, Drawn, FrameImage
from faceswap_cli.merging.lower_face import LowerFace, cut_lower_face, ramp, seen_colours, squares
from faceswap_cli.types import FloatImage

_RIM = 5.0  # per cent of the face inside of the jaw line that are skin in any case
_INNER = 16.0  # as far inside, per cent of the face, what was drawn may be no skin by mistake
_NO_SKIN = (5.0, 10.0)
"""Units of Lab from skin: up to the first it is skin, from the second on a mistake."""
_DETAIL = 3.0  # per cent of the face: what is smaller is not carried on
_TAIL = 0.1  # how much the skin around counts: what the rim of the face has by mistake goes
_SHADE = 0.15
"""Of its light skin loses as it turns away at the jaw: a chin without an edge is too large."""
_SHADE_FROM = (-3.0, 5.0)
"""Below the jaw line where half of that is lost, and the width of the change; per cent."""
_NECK_FROM = (6.0, 2.0)
"""The same for where the neck begins, if there is one behind the beard."""
_NECK_NEAR = (0.02, 0.3)
"""Share of neck around: up to the first there is none behind the beard."""
_NECK_REACH = 6.0  # per cent of the face: what is called around
_LEAST = 0.02  # of a share: less is none


@dataclass(frozen=True, eq=False)
class Shaven:
    """What is painted for a beard; pictures in the pixels of a LowerFace."""

    skin: FloatImage
    """(H, W, 3)."""
    share: FloatImage
    """(H, W), 0..1: how much of it is painted."""
    lost: FloatImage
    """(H, W), 0..1: how much the new face is taken back there."""
    from_frame: Similarity
    box: Box
    """Of the frame: beyond it nothing is painted."""

    def joined(self, face: FloatImage, mask: FloatImage, box: Box) -> tuple[FloatImage, FloatImage]:
        """Return the face with the skin around it, (H, W, 3), and the mask of both, (H, W).

        Args:
            face: (H, W, 3), RGB 0..1, of a box.
            mask: (H, W), 0..1, of the face alone. Where it is nowhere full, the beard is not
                fully hidden, either.
            box: Of the frame.
        """
        part = _common(box, self.box)
        if 0 in part.size_wh:
            return face, mask
        from_lower = part.box_from_frame.after(self.from_frame.inverse())
        there = _slices(box, part)
        skin = warp(self.skin, from_lower, size_wh=part.size_wh)
        both = np.dstack([self.share, self.lost])
        both = warp(both, from_lower, size_wh=part.size_wh, border=0.0).clip(0.0, 1.0)
        # A face that is nowhere full fades as one picture, its beard with it.
        full = max(float(mask.max()), 1e-6)
        above = mask[there] * (1.0 - both[..., 1]) / np.float32(full)
        joined = 1.0 - (1.0 - above) * (1.0 - both[..., 0])
        above /= np.maximum(joined, np.float32(1e-6))
        face, mask = face.copy(), mask.copy()
        old = face[there]
        old -= skin
        old *= above[..., None]
        old += skin
        mask[there] = joined * np.float32(full)
        return face, mask


def shave(frame: FrameImage, drawn: Drawn, *, reach: float) -> Shaven | None:
    """Return what is painted for a beard around a new face; None if there is nothing to hide.

    Args:
        frame: (H, W, 3), 8 or 16 bits, as it was filmed.
        drawn: In its pixels. Where something is before it, nothing is painted.
        reach: How far a beard may hang over the jaw line, per cent of the face; 0: none is
            looked for.
    """
    if reach == 0.0:
        return None
    at = cut_lower_face(frame, drawn, reach=reach + EDGE)
    beard = None if at is None else find_beard(at, reach=reach)
    if at is None or beard is None:
        return None
    share = np.asarray(beard.share * (beard.share > _LEAST), np.float32)
    left, top, width, height = cv2.boundingRect((share > 0.0).view(np.uint8))
    if width == 0:
        return None
    # Two more on each side: so far does a cubic reach, when it is enlarged.
    low, high = np.array([left, top]) - 2.5, np.array([left + width, top + height]) + 1.5
    corners = np.array([low, [high[0], low[1]], [low[0], high[1]], high])
    quad = at.from_frame.inverse().apply(corners)
    (left, top), (right, bottom) = quad.min(axis=0), quad.max(axis=0)
    box = Box(math.floor(left), math.floor(top), math.ceil(right) + 1, math.ceil(bottom) + 1)
    skin = _skin(at, beard)
    return Shaven(skin, share, share * _mistaken(at, skin), at.from_frame, box)


def _skin(at: LowerFace, beard: Beard) -> FloatImage:
    """Return skin for everywhere, (H, W, 3): that of the face, and below its jaw of the neck."""
    face = at.spread(at.face, beard.clean, by=_DETAIL, tail=_TAIL)
    neck = at.spread(at.footage, beard.neck, by=_DETAIL, tail=_TAIL)
    shaded, below = (
        at.soft(1.0 - at.jaw(start), width) for start, width in (_SHADE_FROM, _NECK_FROM)
    )
    face = face * (1.0 - np.float32(_SHADE) * shaded)[..., None]
    share = below * ramp(at.soft(beard.neck, _NECK_REACH), *_NECK_NEAR)
    return np.asarray(face + share[..., None] * (neck - face), np.float32)


def _mistaken(at: LowerFace, skin: FloatImage) -> FloatImage:
    """Return where the drawn face is not to be trusted, (H, W), 0..1: its rim, and near it."""
    off = seen_colours(at.soft(at.face, 1.0)) - seen_colours(skin)
    wrong = cv2.dilate(ramp(np.sqrt(squares(off)), *_NO_SKIN), at.disc(2.0))
    near, rim = at.soft(1.0 - at.jaw(-_INNER), 2.5), at.soft(1.0 - at.jaw(-_RIM), 2.0)
    return np.asarray(np.maximum(wrong * near, rim), np.float32)


def _common(one: Box, other: Box) -> Box:
    """Return what lies in both; it may be empty."""
    left, top = max(one.left, other.left), max(one.top, other.top)
    right, bottom = min(one.right, other.right), min(one.bottom, other.bottom)
    return Box(left, top, max(left, right), max(top, bottom))


def _slices(box: Box, part: Box) -> tuple[slice, slice]:
    """Return the rows and columns of a box that show a part of it."""
    rows = slice(part.top - box.top, part.bottom - box.top)
    return rows, slice(part.left - box.left, part.right - box.left)
