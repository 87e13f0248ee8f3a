"""Hiding a beard of the footage that hangs out from under a new face without one.

A mask ends where the network knows what to draw, and a beard does not. What is left of it is
made skin in the shade of the new jaw: of the neck where there is one behind it, else of the face.
So the new jaw line is seen, and the outline of the head stays. The finest detail of the beard
stays, too, as faint as that of skin: what is smooth looks painted.
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

_OWN = 0.5  # of the reach: so far below the jaw line of the footage the new face may go on
_INNER = 16.0  # inside of the jaw line, per cent of the face, what was drawn may be no skin
_NO_SKIN = (10.0, 16.0)
"""Units of Lab from skin: up to the first it is skin, from the second on a mistake, as hair."""
_BESIDE = 4.5  # around a mistake, per cent of the face: so far its sharpened edge reaches
_BESIDE_EARS = (-6.0, 6.0)
"""From the middle of the ears down, per cent of the face: above the first mistakes are left."""
_DETAIL = 3.0  # per cent of the face: what is smaller is not carried on
_TAILS = (0.02, 0.1)
"""How much all of the face counts, against what is next to the beard; and all of the neck."""
_SHADES = (0.39, 0.3)
"""Of its light skin loses as it turns away beside the jaw, and the neck right below the chin:
without them the new face would be as large as the beard was."""
_FAR = 0.45
"""Of the first, so much is left where the new face is far: no jaw shades all of a cheek."""
_TINT = np.array([0.93, 1.02, 1.07], np.float32)
"""Of that by channel: light that has gone through skin is red; grey is the shade of hair."""
_NECK_NEAR = (0.02, 0.3)
"""Share of neck around: up to the first there is none behind the beard."""
_NECK_REACH = 6.0  # per cent of the face: what is called around
_HAIRS = 3.0  # the outermost hairs over the neck, too light to be seen as beard; per cent
_OVER_NECK = (0.1, 0.3)
"""The same as _NECK_NEAR for them, nearer by half."""
_LEAST = 0.02  # of a share: less is none


@dataclass(frozen=True, eq=False)
class Shaven:
    """What is painted for a beard; pictures in the pixels of a LowerFace."""

    skin: FloatImage
    """(H, W, 3)."""
    shares: FloatImage
    """(H, W, 3), 0..1: how much of it is painted; how much the new face is taken back there; how
    much of the fine detail is left."""
    strength: float
    """The largest of the first."""
    from_frame: Similarity
    fine: FloatImage
    """(height, width): what there is in the box, in its pixels."""
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
        shares = warp(self.shares, from_lower, size_wh=part.size_wh, border=0.0)
        share, lost, left = cv2.split(shares.clip(0.0, 1.0))
        # Here its outline is made sharp, not in pixels that are so large that it would have steps.
        share = ramp(share, 0.2 * self.strength, 0.8 * self.strength) * np.float32(self.strength)
        share = np.maximum(share, lost)
        skin += (left * self.fine[_slices(self.box, part)])[..., None]
        # A face that is nowhere full fades as one picture, its beard with it.
        full = max(float(mask.max()), 1e-6)
        above = mask[there] * (1.0 - lost) / np.float32(full)
        joined = 1.0 - (1.0 - above) * (1.0 - share)
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
    own = np.minimum(at.drawn, at.jaw(_OWN * reach))
    wrong = _mistaken(at, beard) * ramp(own, 0.4, 0.9)
    lost = at.soft(cv2.dilate(wrong, at.disc(_BESIDE)), 1.5) * at.below_ears(*_BESIDE_EARS)
    lost = at.soft(lost * ramp(own, 0.1, 0.6), 1.0) * at.shown * np.float32(beard.strength)
    share = np.asarray(at.soft(_hidden(at, beard), 1.5), np.float32)
    left = np.minimum(1.0, at.skin_rough / np.maximum(at.rough, np.float32(1e-4)))
    shares = np.asarray(np.dstack([share, lost, left]), np.float32)
    shares[shares < _LEAST] = 0.0
    fine, around = at.fine
    box = _common(_box(at, shares[..., :2].max(axis=2)), around)
    if 0 in box.size_wh:
        return None
    fine = fine[_slices(around, box)].clip(-3.0 * at.skin_rough, 3.0 * at.skin_rough)
    skin = _skin(at, beard, own * (1.0 - wrong), lost)
    return Shaven(skin, shares, beard.strength, at.from_frame, fine, box)


def _mistaken(at: LowerFace, beard: Beard) -> FloatImage:
    """Return where what was drawn near the jaw line is no skin, (H, W), 0..1."""
    off = seen_colours(at.face) - seen_colours(beard.plain)
    near = at.soft(1.0 - at.jaw(-_INNER), 2.5)
    return np.asarray(ramp(np.sqrt(squares(off)), *_NO_SKIN) * near, np.float32)


def _hidden(at: LowerFace, beard: Beard) -> FloatImage:
    """Return the beard with its outermost hairs over the neck, (H, W), 0..1."""
    more = at.soft(cv2.dilate(beard.share, at.disc(_HAIRS)), 1.0)
    neck = ramp(at.soft(beard.neck, _NECK_REACH / 2.0), *_OVER_NECK) * (1.0 - at.jaw(0.0))
    return np.asarray(np.maximum(beard.share, more * neck * at.shown), np.float32)


def _skin(at: LowerFace, beard: Beard, own: FloatImage, lost: FloatImage) -> FloatImage:
    """Return skin for everywhere, (H, W, 3), in the shade of the new face.

    Args:
        at: The lower face.
        beard: What is hidden.
        own: (H, W), 0..1: where the new face shows what is to be seen.
        lost: (H, W), 0..1: where its colours are not to be trusted.
    """
    own = ramp(at.soft(own, 2.0), 0.3, 0.7)  # no teeth
    mouth = at.around(range(48, 60), factor=1.25)
    bare = own * at.jaw(-1.0) * (1.0 - mouth) * (1.0 - lost)
    bare = np.maximum(bare, np.float32(1e-4) * beard.clean)
    face = at.spread(at.face, bare, by=_DETAIL, tail=_TAILS[0])
    neck = at.spread(at.footage, beard.neck, by=_DETAIL, tail=_TAILS[1])
    within = at.soft(own, 2.5)
    below = ramp(at.soft(beard.neck, _NECK_REACH), *_NECK_NEAR) * (1.0 - ramp(within, 0.3, 0.8))
    # The shade of the chin ends before the beard does: there the neck is as it was filmed.
    cast = ramp(within, -0.15, 0.4) * ramp(at.soft(beard.share, 2.0), 0.3, 0.9)
    near = ramp(at.soft(own, 6.0), 0.05, 0.35)
    shade = np.float32(_SHADES[0]) * (np.float32(_FAR) + np.float32(1.0 - _FAR) * near)
    shade = shade + below * (np.float32(_SHADES[1]) * cast - shade)
    shade = (shade * (1.0 - ramp(within, 0.4, 0.95)))[..., None]
    skin = face + below[..., None] * (neck - face)
    return np.asarray(skin * (1.0 - shade * _TINT), np.float32)


def _box(at: LowerFace, painted: FloatImage) -> Box:
    """Return the box of the frame that holds what is painted, also beyond the picture."""
    left, top, width, height = cv2.boundingRect((painted > 0.0).view(np.uint8))
    if width == 0:
        return Box(0, 0, 0, 0)
    # Two more on each side: so far does a cubic reach, when it is enlarged.
    low, high = np.array([left, top]) - 2.5, np.array([left + width, top + height]) + 1.5
    corners = np.array([low, [high[0], low[1]], [low[0], high[1]], high])
    quad = at.from_frame.inverse().apply(corners)
    (left, top), (right, bottom) = quad.min(axis=0), quad.max(axis=0)
    return Box(math.floor(left), math.floor(top), math.ceil(right) + 1, math.ceil(bottom) + 1)


def _common(one: Box, other: Box) -> Box:
    """Return what lies in both; it may be empty."""
    left, top = max(one.left, other.left), max(one.top, other.top)
    right, bottom = min(one.right, other.right), min(one.bottom, other.bottom)
    return Box(left, top, max(left, right), max(top, bottom))


def _slices(box: Box, part: Box) -> tuple[slice, slice]:
    """Return the rows and columns of a box that show a part of it."""
    rows = slice(part.top - box.top, part.bottom - box.top)
    return rows, slice(part.left - box.left, part.right - box.left)
