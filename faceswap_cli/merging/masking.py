"""Where a drawn face is painted: its mask, in float, at the frame's resolution.

Sides are those of the face held upright, as its crop shows it: left is what is left in the
picture then, top is the forehead. A side's setting is added to the plain one: in full straight
to that side of the hull's centre, half of it in the corner, nothing at the next side.
"""

import math
from dataclasses import replace

import numpy as np

from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.imaging import to_float
from faceswap_cli.mask_expression import LEARNED, LEARNED_OF, MaskExpression, parse
from faceswap_cli.masks import feather, feather_by, hull_mask, raise_brows, shrink, shrink_by
from faceswap_cli.merging.look import Box, Drawn, Look, MaskName
from faceswap_cli.types import FloatImage, Points

PROFILE_DEG = 25.0
"""From where the mask of a face that turns away begins to fade to where it has gone."""
_MARGIN_PX = 3  # around everything that is drawn: anti-aliasing and the cubic's reach
_HULL = "hull"
_STAYING: MaskName = "seg_dst"  # tells of the footage: what is before a face does not move with it


def placed(drawn: Drawn, look: Look) -> Drawn:
    """Return the new face enlarged about its own centre, and moved, as the look says.

    All that says where it is painted goes along, the hull too: landmarks, outlines, face_px. What
    tells of the footage stays where it is: `shown` and seg_dst, which keep the hand before
    a face. The centre is that of the crop: it hangs on 33 landmarks together and does
    not tremble with any one of them.
    """
    if look.face_scale == look.face_x == look.face_y == 0.0:
        return drawn
    factor = 1.0 + look.face_scale / 100.0
    middle = np.full((1, 2), (len(drawn.face) - 1) / 2.0)
    centre = drawn.crop_from_frame.inverse().apply(middle)[0]
    offset = np.array([look.face_x, look.face_y]) * (drawn.face_px / 100.0)
    shift = centre + offset - factor * centre
    moved_from_frame = Similarity(np.column_stack([factor * np.eye(2), shift]))
    crop_from_moved = drawn.crop_from_frame.after(moved_from_frame.inverse())
    masks = dict(drawn.masks)
    if _STAYING in drawn.masks:
        new_from_old = crop_from_moved.after(drawn.crop_from_frame.inverse())
        size_wh = drawn.masks[_STAYING].shape[::-1]
        stayed = warp(drawn.masks[_STAYING], new_from_old, size_wh=size_wh)
        masks[_STAYING] = np.asarray(stayed.clip(0.0, 1.0), np.float32)
    return replace(
        drawn,
        landmarks=moved_from_frame.apply(drawn.landmarks),
        crop_from_frame=crop_from_moved,
        face_px=factor * drawn.face_px,
        masks=masks,
    )


def face_box(drawn: Drawn, look: Look) -> Box:
    """Return where the mask can be above zero: the crop, or the hull with its soft edge."""
    size_px = len(drawn.face)
    corners = np.array([[0, 0], [size_px, 0], [0, size_px], [size_px, size_px]], np.float64) - 0.5
    quad = drawn.crop_from_frame.inverse().apply(corners)
    low, high = quad.min(axis=0), quad.max(axis=0)
    if parse(look.mask).is_within(_HULL):
        growth = max(0.0, -look.erode - min(0.0, *_sides_of(look, "erode")))
        softness = look.feather + max(_sides_of(look, "feather"))
        reach = look.jaw + max(0.0, look.grow) + growth + softness
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

    Raises:
        ConfigError: look.mask is no mask expression.
    """
    value = parse(look.mask)
    mask = value.evaluate(_values(value, drawn, box, look))
    depth, shown = _depth_in_crop(drawn, box), _shown_in(drawn, box)
    mask = _within_crop(mask, depth, slope_px=1.0)
    mask = _softened(mask if shown is None else mask * shown, drawn, box, look)
    if shown is not None:
        mask = mask * shown  # a soft edge towards the face; none that lies on the hand
    fade_px = look.feather * drawn.face_px / 100.0
    mask = _within_crop(mask, depth, slope_px=fade_px * drawn.crop_from_frame.scale)
    return mask * np.float32(_presence(drawn, look))


def crop_fade(drawn: Drawn, box: Box, *, fade_px: float) -> FloatImage:
    """Return 1 well inside the crop and 0 from its outermost pixel on.

    Args:
        drawn: Gives the crop.
        box: Where it is drawn.
        fade_px: Length of the slope between, frame pixels.
    """
    one, depth = np.ones((), np.float32), _depth_in_crop(drawn, box)
    return _within_crop(one, depth, slope_px=fade_px * drawn.crop_from_frame.scale)


def _depth_in_crop(drawn: Drawn, box: Box) -> FloatImage:
    """Return how far from the outermost pixel of the crop, crop pixels; negative beyond it."""
    crop_from_box = drawn.crop_from_frame.after(box.box_from_frame.inverse())
    half = (len(drawn.face) - 1) / 2.0
    aside, down = _axes(crop_from_box, box, centre=np.full(2, half), extent=np.ones(2))
    depth = np.maximum(np.abs(aside, out=aside), np.abs(down, out=down), out=down)
    return np.asarray(np.subtract(np.float32(half), depth, out=depth), np.float32)


def _within_crop(mask: FloatImage, depth: FloatImage, *, slope_px: float) -> FloatImage:
    """Let a mask fade to 0 at the border of the crop, over at least one of its pixels."""
    fade = depth * np.float32(1.0 / max(slope_px, 1.0))
    return np.asarray(np.multiply(mask, np.clip(fade, 0.0, 1.0, out=fade), out=fade), np.float32)


def _values(value: MaskExpression, drawn: Drawn, box: Box, look: Look) -> dict[str, FloatImage]:
    """Return the masks that an expression is made of, (height, width) of the box each."""
    whole = np.ones(box.size_wh[::-1], np.float32)
    values: dict[str, FloatImage] = dict.fromkeys(value.names, whole)
    if _HULL in value.names:
        percent_px = drawn.face_px / 100.0
        points = box.box_from_frame.apply(drawn.landmarks)
        hull = to_float(hull_mask(points, box.size_wh, jaw_px=look.jaw * percent_px))
        values[_HULL] = shrink(hull, amount_px=-look.grow * percent_px)
    known: dict[str, FloatImage] = {name: mask for name, mask in drawn.masks.items()}
    outlines = [known[name] for name in LEARNED_OF if name in known]
    if outlines:
        known[LEARNED] = np.minimum.reduce(outlines)
    values |= {name: _in_box(known[name], drawn, box) for name in value.names & known.keys()}
    return values


def _in_box(mask: FloatImage, drawn: Drawn, box: Box) -> FloatImage:
    """Return a mask of the crop, (S, S), at the frame's resolution; 0 beyond the crop."""
    box_from_crop = box.box_from_frame.after(drawn.crop_from_frame.inverse())
    warped = warp(mask, box_from_crop, size_wh=box.size_wh, border=0.0)
    return np.asarray(np.clip(warped, 0.0, 1.0, out=warped), np.float32)


def _shown_in(drawn: Drawn, box: Box) -> FloatImage | None:
    """Return where the face is seen, (height, width) of the box, 0..1; None: everywhere."""
    if drawn.shown is None:
        return None
    box_from_mask = box.box_from_frame.after(drawn.shown.mask_from_frame.inverse())
    seen = warp(drawn.shown.mask, box_from_mask, size_wh=box.size_wh)
    return np.asarray(seen.clip(0.0, 1.0), np.float32)


def _softened(mask: FloatImage, drawn: Drawn, box: Box, look: Look) -> FloatImage:
    """Erode and feather, each by its own amount on each side."""
    percent_px = drawn.face_px / 100.0
    if any(_sides_of(look, "erode")):
        amounts = look.erode + _by_side(drawn, box, _sides_of(look, "erode"))
        mask = shrink_by(mask, np.asarray(amounts * np.float32(percent_px), np.float32))
    else:
        mask = shrink(mask, amount_px=look.erode * percent_px)
    if any(_sides_of(look, "feather")):
        widths = look.feather + _by_side(drawn, box, _sides_of(look, "feather"))
        return feather_by(mask, np.asarray(widths * np.float32(percent_px), np.float32))
    return feather(mask, width_px=look.feather * percent_px)


def _sides_of(look: Look, name: str) -> tuple[float, float, float, float]:
    """Return left, right, top and bottom of erode or feather."""
    left, right, top, bottom = (
        float(getattr(look, f"{name}_{side}")) for side in ("left", "right", "top", "bottom")
    )
    return left, right, top, bottom


def _by_side(drawn: Drawn, box: Box, sides: tuple[float, float, float, float]) -> FloatImage:
    """Return what is added at each place, (height, width) of the box; 0 at the centre."""
    left, right, top, bottom = (np.float32(value) for value in sides)
    aside, down = _upright(drawn, box)
    # Cubes: with squares a side caves in, with fourth powers it ends in a step.
    aside_part, down_part = np.abs(aside) * aside**2, np.abs(down) * down**2
    distance = aside_part + down_part + np.float32(1e-6)
    added = aside_part * np.where(aside < 0.0, left, right)
    added += down_part * np.where(down < 0.0, top, bottom)
    return np.asarray(added / distance, np.float32)


def _presence(drawn: Drawn, look: Look) -> float:
    """Return how much of a face is left that turns away, 0..1.

    The whole of it alike: with its far half first, the two eyes would be of two people.
    """
    if look.profile_fade == 0.0:
        return 1.0
    beyond_deg = abs(drawn.pose_deg[1]) - look.profile_fade
    if not beyond_deg > 0.0:  # nor where the pose is not known: not a number
        return 1.0
    return max(1.0 - beyond_deg / PROFILE_DEG, 0.0)


def _upright(drawn: Drawn, box: Box) -> tuple[FloatImage, FloatImage]:
    """Return how far to the right and how far down of the face each pixel lies.

    Both (height, width) of the box, 0 at the centre of the hull, 1 at its right end and its
    lower one, along the axes of the crop.
    """
    crop_from_box = drawn.crop_from_frame.after(box.box_from_frame.inverse())
    points: Points = drawn.crop_from_frame.apply(raise_brows(drawn.landmarks))
    low, high = points.min(axis=0), points.max(axis=0)
    extent = np.maximum((high - low) / 2.0, 1e-6)
    return _axes(crop_from_box, box, centre=(low + high) / 2.0, extent=extent)


def _axes(
    crop_from_box: Similarity, box: Box, *, centre: Points, extent: Points
) -> tuple[FloatImage, FloatImage]:
    """Return x and y of each pixel of the box, in crop pixels from a centre, over an extent.

    Both (height, width); `centre` and `extent` are (2,).
    """
    width, height = box.size_wh
    linear = crop_from_box.matrix[:, :2] / extent[:, None]
    shift = (crop_from_box.matrix[:, 2] - centre) / extent
    by_x = linear[:, 0, None] * np.arange(width)
    by_y = linear[:, 1, None] * np.arange(height) + shift[:, None]
    across, down = by_x.astype(np.float32), by_y.astype(np.float32)
    return down[0][:, None] + across[0], down[1][:, None] + across[1]
