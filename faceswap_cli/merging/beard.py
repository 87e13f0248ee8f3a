"""Where the footage has a beard that the new face has not.

Nothing is known of beards but that they are darker and greyer than the skin that they grow on,
and that they begin inside of the jaw line, where the plate, under the new face, shows them.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from faceswap_cli.merging.lower_face import LowerFace, ramp, seen_colours, squares
from faceswap_cli.types import FloatImage

EDGE = 12.0
"""Beyond where a beard is looked for: there nothing is one, per cent of the face."""
_BAND = 16.0  # inside of the jaw: here a beard is seen if there is one, per cent of the face
_WITHIN = 20.0  # further inside there is the new face, and may be a hand; per cent of the face
_NEAR = 9.0  # the part of it whose look tells that of what hangs over the edge
_CHIN = (range(5, 9), range(8, 12))
_THERE = (0.3, 0.5)
"""Share of the band that is beard, in the half of the chin that has less: up to the first there
is none, from the second on one. Of 8 people without one it is 0.21 at most, of two clips of one
with a beard 0.58 at least. Elsewhere along the jaw long hair may hang."""
_BEARD = (0.2, 0.4)
"""Unlike skin: up to the first it is none, from the second on beard."""
_AS_BEARD = (0.55, 0.8)
"""Of what the beard is unlike skin: up to the first it does not go on, from the second it does."""
_COUNTED = (0.15, 0.7)  # the least and the most of that: there are grey hairs among black ones
_NECK = (0.2, 0.45)
"""Of what the beard is unlike skin: up to the first, what is outside of the jaw is skin."""
_AS_INSIDE = (0.4, 0.65)
"""On the way from the colour outside of the jaw to that inside."""
_ANOTHER = (0.12, 0.22)
"""Off that way, 0..1: another thing than both."""
_EARS = (6.0, 24.0)
"""From the middle of the ears down, per cent of the face: above the first hair is left."""
_NOT_SKIN = (0.2, 0.5)
"""The same where hairs are seen."""
_TOLD = (0.1, 0.35)
"""How much smoother skin and background are: up to the first, hairs tell nothing."""
_AS_ROUGH = (0.4, 0.7)
"""From smooth to as rough as a beard."""
_SURE = 3.0  # as far inside of the jaw line there is face in any case, per cent of it
_GAPS = (7.0, 3.5)
"""Half of gaps that are beard, too, per cent of the face: hair as grey as what is behind it. The
first beside the jaw, the second also below it, where the neck begins."""
_BESIDE = 12.0  # so far from the jaw line, per cent of the face
_SPECK = 1.5  # half of what is too small to tell
_TAIL = 4.0  # half of what is too narrow for a beard: something dark behind it
_SPREADS = (0.15, 0.1, 0.07)
"""Of 0..1: how far a drawn colour may be from that of the skin around it, first roughly."""
_OTHER_HUE = 0.15  # red without blue, of 0..1: no shade is that
_LEVEL = np.array([0.0, 1.0, 1.0, 4.0, 4.0, 4.0])  # how little a surface is to bend
_FEATURES = (
    (range(48, 60), 1.25),
    (range(27, 36), 1.3),
    (range(36, 42), 1.6),
    (range(42, 48), 1.6),
    (range(17, 22), 1.5),
    (range(22, 27), 1.5),
)
"""Landmarks, and how much larger than they are what is no skin there."""


@dataclass(frozen=True, eq=False)
class Beard:
    """A beard of the footage; all (H, W), 0..1, in the pixels of the lower face."""

    share: FloatImage
    """How much of it is to be hidden; also a rim of the face inside of the jaw line."""
    neck: FloatImage
    """Where the footage shows a neck, lit or in the shade of the chin."""
    clean: FloatImage
    """Where the new face shows its skin and nothing else."""
    strength: float
    """The largest share: less than 1 where it may be no beard."""
    plain: FloatImage
    """(H, W, 3): what skin that was drawn looks like everywhere."""


def find_beard(at: LowerFace, *, reach: float) -> Beard | None:
    """Find a beard of the footage where the new face has bare skin; None if there is none.

    Args:
        at: Shows what is up to EDGE beyond `reach`.
        reach: How far it may hang over the jaw line, per cent of the face.
    """
    drawn = _drawn_skin(at)
    if drawn is None:
        return None
    clean, plain, tone = drawn
    seen = at.soft(at.footage, 0.7)
    unlike, other_hue = _unlike_skin(seen, tone)
    jaw, mouth = at.jaw(0.0), at.around(range(48, 60), factor=1.2)
    found = ramp(unlike, *_BEARD)
    band = np.clip(jaw - at.jaw(-_BAND), 0.0, 1.0) * (1.0 - mouth) * at.shown
    there = _presence(at, band, found)
    if there == 0.0:
        return None
    near = np.clip(jaw - at.jaw(-_NEAR), 0.0, 1.0) * (np.float32(0.15) + found) * at.shown
    hidden = _hanging(at, _alike(at, seen, unlike, near, at.jaw(reach)), reach=reach)
    hidden = hidden * (1.0 - at.soft(np.maximum(mouth, at.jaw(-_WITHIN)), 2.0)) * at.shown
    bare = (1.0 - ramp(unlike, 0.3, 0.5)) * (1.0 - ramp(-unlike, 0.3, 0.5))
    bare = bare * (1.0 - ramp(other_hue, 0.15, 0.3)) * (1.0 - at.soft(hidden, 1.5))
    neck = bare * (1.0 - at.jaw(3.0)) * at.below_ears(30.0, 45.0) * at.shown
    return Beard(
        np.asarray(hidden * np.float32(there), np.float32),
        np.asarray(neck, np.float32),
        clean,
        there,
        plain,
    )


def _presence(at: LowerFace, band: FloatImage, found: FloatImage) -> float:
    """Return whether the chin has a beard, 0..1, of where a beard was found in the band."""
    shares = []
    for part in _CHIN:
        line = at.points[33] + 1.3 * (at.points[list(part)] - at.points[33])
        half = band * at.inside(np.concatenate([at.points[33:34], line]))
        shares.append(float((half * found).sum()) / max(float(half.sum()), 1e-6))
    return float(ramp(np.float32(min(shares)), *_THERE))


def _drawn_skin(at: LowerFace) -> tuple[FloatImage, FloatImage, FloatImage] | None:
    """Return where the new face shows bare skin, and the tone that skin has everywhere.

    The tone is a surface of the second order that does not follow what it does not fit: along
    the edge of what it has learnt a network draws hair and worse. Beyond the face it goes on
    as at its edge. It is given the light that is on the bare skin of the footage.

    Returns:
        (H, W), 0..1; (H, W, 3), what was drawn; the same in the light of the footage. None if
        hardly any skin is seen.
    """
    skin = at.jaw(-3.0) * ramp(at.drawn, 0.8, 1.0) * at.shown
    for part, factor in _FEATURES:
        skin *= 1.0 - at.around(part, factor=factor)
    some = np.zeros(at.shape, np.bool_)
    some[::2, ::2] = skin[::2, ::2] > 0.05
    y, x = np.nonzero(some)
    if len(x) < 30:
        return None
    rows, columns = np.arange(at.shape[0]).clip(y.min(), y.max()), np.arange(at.shape[1])
    size = 60.0 * at.percent_px
    down = ((rows - at.points[33, 1]) / size).astype(np.float32)[:, None] + np.zeros_like(skin)
    aside = (columns.clip(x.min(), x.max()) - at.points[33, 0]) / size
    aside = aside.astype(np.float32) + np.zeros_like(skin)
    axes = np.dstack([np.ones_like(skin), aside, down, aside**2, aside * down, down**2])
    held, drawn, there = skin[y, x], at.face[y, x], axes[y, x]
    weight = held
    for spread in _SPREADS:
        surface = _fitted(there, drawn, weight, held)
        far = squares(np.asarray(drawn - there @ surface, np.float32))
        weight = np.asarray(held / np.square(1.0 + far / (3.0 * spread**2)), np.float32)
    off = np.asarray(at.face - axes @ surface, np.float32)
    far = squares(off) / np.float32(3.0 * _SPREADS[1] ** 2)
    hue = np.square((off[..., 0] - off[..., 2]) / np.float32(_OTHER_HUE))
    clean = np.asarray(skin / np.square(1.0 + far + hue), np.float32)
    plain = np.asarray(at.face - off, np.float32)
    return clean, plain, plain + _light(at, axes)


def _light(at: LowerFace, axes: FloatImage) -> FloatImage:
    """Return by how much bare skin of the footage is lighter than what was drawn, (H, W, 3)."""
    y, x = (2 * at_every_second for at_every_second in np.nonzero(at.bare[::2, ::2] > 0.5))
    if len(x) < 30:
        return np.zeros_like(at.face)
    level = axes[..., :2].copy()  # from one side to the other; what it is further down, none knows
    level[..., 1] = level[..., 1].clip(level[y, x, 1].min(), level[y, x, 1].max())
    one = np.ones(len(x), np.float32)
    return np.asarray(level @ _fitted(level[y, x], (at.footage - at.face)[y, x], one, one))


def _fitted(
    axes: FloatImage, colours: FloatImage, weight: FloatImage, held: FloatImage
) -> FloatImage:
    """Return the surface through colours, (K, 3): (N, K) axes, (N, 3) colours, (N,) weights."""
    weighted = (axes * weight[:, None]).astype(np.float64)
    stiff = np.diag(_LEVEL[: axes.shape[1]] * 0.02 * float(held.sum()) + 1e-6)
    return np.linalg.solve(weighted.T @ axes + stiff, weighted.T @ colours).astype(np.float32)


def _unlike_skin(seen: FloatImage, tone: FloatImage) -> tuple[FloatImage, FloatImage]:
    """Return how much darker and greyer than skin the footage is, and how far off its hue.

    Returns:
        (H, W) each: 0 as skin, less is lighter or more colourful, 1 is grey; and the sine of
        the angle between the hues.
    """
    light, green_red, blue_yellow = cv2.split(seen_colours(tone))
    light_seen, green_red_seen, blue_yellow_seen = cv2.split(seen_colours(seen))
    colour = cv2.magnitude(green_red, blue_yellow)
    colour_seen = cv2.magnitude(green_red_seen, blue_yellow_seen)
    greyer = 1.0 - colour_seen / np.maximum(colour, 5.0)
    darker = 1.0 - light_seen / np.maximum(light, 5.0)
    across = np.abs(green_red_seen * blue_yellow - blue_yellow_seen * green_red)
    across /= np.maximum(colour * colour_seen, 25.0)
    return np.asarray(greyer + 0.5 * darker, np.float32), np.asarray(across, np.float32)


def _alike(
    at: LowerFace, seen: FloatImage, unlike: FloatImage, near: FloatImage, domain: FloatImage
) -> FloatImage:
    """Return how much something looks as just inside of the jaw, not as outside; (H, W).

    Args:
        at: The lower face.
        seen: (H, W, 3), its footage, blurred a little.
        unlike: (H, W), see _unlike_skin.
        near: (H, W), where it is just inside.
        domain: (H, W), where it is not quite outside.
    """
    size = 2 * round(EDGE * at.percent_px) + 1
    beyond = cv2.dilate(domain, np.ones((size, size), np.uint8)) - domain
    inner = at.spread(np.dstack([at.footage, unlike]), near, by=6.0)
    outer = at.spread(np.dstack([at.footage, unlike]), beyond * at.shown, by=10.0)
    way, gone = (inner - outer)[..., :3], seen - outer[..., :3]
    along = np.einsum("hwc,hwc->hw", way, gone) / np.maximum(squares(way), np.float32(0.06**2))
    off = np.sqrt(squares(gone - along[..., None] * way))
    beard = inner[..., 3].clip(*_COUNTED)
    between = ramp(along, *_AS_INSIDE) * (1.0 - ramp(off, *_ANOTHER))
    # Where a neck is behind, it is enough not to be skin.
    between = np.maximum(between, 1.0 - ramp(outer[..., 3] / beard, *_NECK))
    share = unlike / beard
    # A pixel more: the outermost hairs are only partly there.
    by_colour = cv2.dilate(between * ramp(share, *_AS_BEARD), np.ones((3, 3), np.uint8))
    rough, told = _hairy(at, near, beyond)
    by_hairs = rough * ramp(share, *_NOT_SKIN)
    alike = by_colour + told * (by_hairs - by_colour)
    return np.asarray(alike * at.soft(domain, 1.5), np.float32)


def _hairy(at: LowerFace, near: FloatImage, beyond: FloatImage) -> tuple[FloatImage, FloatImage]:
    """Return where there are hairs, and where one can tell; (H, W) each, 0..1.

    One cannot where the footage is blurred, or what is behind is as rough as a beard.
    """
    sides = [
        at.spread(at.rough[..., None], held, by=8.0)[..., 0] for held in (near, beyond * at.shown)
    ]
    inner = np.maximum(sides[0], np.float32(1e-4))
    smooth = np.minimum(sides[1], at.skin_rough)
    told = ramp(np.asarray(1.0 - np.maximum(sides[1], at.skin_rough) / inner, np.float32), *_TOLD)
    rough = (at.rough - smooth) / np.maximum(inner - smooth, np.float32(1e-4))
    return ramp(np.asarray(rough, np.float32), *_AS_ROUGH), told


def _hanging(at: LowerFace, alike: FloatImage, *, reach: float) -> FloatImage:
    """Return what hangs together with the inside of the jaw, without holes and tails; (H, W)."""
    sure = at.jaw(-_SURE)
    # Specks go first: else the gaps between them would be closed.
    alike = cv2.morphologyEx(np.maximum(alike, sure), cv2.MORPH_OPEN, at.disc(_SPECK))
    far, near = (cv2.morphologyEx(alike, cv2.MORPH_CLOSE, at.disc(gap)) for gap in _GAPS)
    alike = np.maximum(near, far * at.jaw(_BESIDE))
    steps = math.ceil((reach + _SURE + 8.0) * at.percent_px)
    # What the outside does not reach is a hole.
    whole = 1.0 - _flooded(1.0 - at.jaw(reach), 1.0 - alike, steps=steps)
    held = _flooded(sure, whole, steps=steps) * at.below_ears(*_EARS)
    held = cv2.morphologyEx(held, cv2.MORPH_OPEN, at.disc(_TAIL))
    return at.soft(np.asarray(held, np.float32), 0.7)


def _flooded(start: FloatImage, within: FloatImage, *, steps: int) -> FloatImage:
    """Let values grow by a pixel a step, as far as `within` lets them; (H, W)."""
    grown, three = np.minimum(start, within), np.ones((3, 3), np.uint8)
    for _ in range(steps):
        grown = np.minimum(cv2.dilate(grown, three), within)
    return np.asarray(grown, np.float32)
