"""Where a face is painted: laws of its mask, in frame pixels."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from faceswap_cli.errors import ConfigError
from faceswap_cli.faces.templates import FACE_TYPES, crop_from_frame
from faceswap_cli.geometry import Similarity
from faceswap_cli.masks import feather, feather_by, shrink, shrink_by
from faceswap_cli.merging.look import Box, Drawn, Look, Shown
from faceswap_cli.merging.masking import crop_fade, face_box, face_mask, placed
from faceswap_cli.types import FloatImage, Points
from tests.made_faces import face_at

CENTRE = 150
PX = 100.0
HULL = Look(mask="hull", feather=6.0)
LOOKS = [
    HULL,
    replace(HULL, mask="hull*learned", jaw=8.0, erode=1.3, feather=8.0),
    replace(HULL, erode_left=9.0, erode_top=-6.0, feather_bottom=14.0),
    replace(HULL, grow=5.0, erode=-4.0, erode_right=-7.0, feather_left=9.0),
]


def drawn_at(
    landmarks: Points, *, face_type: str = "whole_face", crop_px: int = 96, **changes: Any
) -> Drawn:
    crop = crop_from_frame(landmarks, face_type, crop_px)
    face_px = crop_px / FACE_TYPES[face_type].side / crop.scale
    return Drawn(np.zeros((crop_px, crop_px, 3), np.float32), landmarks, crop, face_px, **changes)


def made(**changes: Any) -> Drawn:
    return drawn_at(face_at((CENTRE, CENTRE), PX), **changes)


def turned(drawn: Drawn, degrees: float) -> Drawn:
    """The same face after the picture was turned clockwise about its centre."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    linear, middle = np.array([[cos, -sin], [sin, cos]]), np.full(2, float(CENTRE))
    move = Similarity(np.column_stack([linear, middle - linear @ middle]))
    return moved(drawn, move)


def moved(drawn: Drawn, move: Similarity) -> Drawn:
    crop = drawn.crop_from_frame.after(move.inverse())
    return replace(drawn, landmarks=move.apply(drawn.landmarks), crop_from_frame=crop)


def picture(drawn: Drawn, look: Look, side: int = 2 * CENTRE + 1) -> FloatImage:
    """Return the mask in a square picture, (side, side)."""
    box = face_box(drawn, look)
    mask = face_mask(drawn, box, look)
    assert mask.shape == box.size_wh[::-1]
    assert mask.dtype == np.float32
    result = np.zeros((side, side), np.float32)
    part = box.within((side, side))
    result[part.top : part.bottom, part.left : part.right] = mask[
        part.top - box.top : part.bottom - box.top, part.left - box.left : part.right - box.left
    ]
    return result


def ends(mask: FloatImage) -> tuple[float, float, float, float]:
    """Return how far it reaches to the left, right, top and bottom of the centre, pixels."""
    row, column = mask[CENTRE], mask[:, CENTRE]
    parts = (row[:CENTRE], row[CENTRE:], column[:CENTRE], column[CENTRE:])
    return tuple(float(part.sum()) for part in parts)  # type: ignore[return-value]


# What the mask is made of


def test_masks_of_the_crop_are_seen_in_the_frame_and_what_is_absent_is_everywhere() -> None:
    left = np.zeros((96, 96), np.float32)
    left[:, :48] = 1.0
    drawn = made(masks={"learned_src": left, "seg_dst": 1.0 - left})
    plain = picture(made(), HULL)
    for name, shows_left in (("learned_src", True), ("seg_dst", False), ("full-seg_dst", True)):
        mask = picture(drawn, replace(HULL, mask=f"hull*({name})"))
        near, far = (120, 180) if shows_left else (180, 120)
        assert mask[CENTRE, near] == pytest.approx(plain[CENTRE, near], abs=1e-6)
        assert plain[CENTRE, far] > 0.99
        assert mask[CENTRE, far] < 1e-6
    np.testing.assert_array_equal(picture(drawn, replace(HULL, mask="hull*seg_src")), plain)


def test_learned_is_the_smaller_outline_of_the_two() -> None:
    small, large = np.zeros((2, 96, 96), np.float32)
    small[30:60, 30:60], large[20:70, 25:65] = 1.0, 1.0
    look = replace(HULL, mask="learned")
    both = picture(made(masks={"learned_src": large, "learned_dst": small}), look)
    np.testing.assert_array_equal(both, picture(made(masks={"learned_src": small}), look))
    either = picture(made(masks={"learned_src": large, "learned_dst": small}),
                     replace(look, mask="learned_src+learned_dst"))  # fmt: skip
    np.testing.assert_allclose(either, picture(made(masks={"learned_src": large}), look), atol=1e-6)


def test_what_is_no_mask_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean hull"):
        face_box(made(), Look(mask="hul"))


@pytest.mark.parametrize(
    "look",
    [
        *LOOKS,
        replace(HULL, feather=0.0, erode_top=-25.0),
        replace(HULL, feather=0.0, erode=5.0, erode_left=-25.0),
        replace(HULL, feather=0.0, grow=25.0),
        replace(HULL, feather=0.0, jaw=20.0),
        replace(HULL, feather=0.0, feather_right=50.0),
    ],
)
def test_box_holds_all_of_the_mask(look: Look) -> None:
    drawn = turned(made(masks={"learned_src": np.ones((96, 96), np.float32)}), 20)
    box = face_box(drawn, look)
    wide = Box(box.left - 40, box.top - 40, box.right + 40, box.bottom + 40)
    mask = face_mask(drawn, wide, look)
    mask[40:-40, 40:-40] = 0.0
    assert mask.max() < 1e-3
    np.testing.assert_allclose(
        face_mask(drawn, wide, look)[40:-40, 40:-40], face_mask(drawn, box, look), atol=1e-3
    )


@pytest.mark.parametrize("name", ["hull", "learned", "hull*learned", "full", "hull+learned"])
def test_mask_is_zero_where_the_crop_ends(name: str) -> None:
    drawn = turned(made(face_type="half"), 30)  # ends above the chin
    ys, xs = np.nonzero(picture(drawn, replace(HULL, mask=name, erode_top=-9.0)))
    crop = drawn.crop_from_frame.apply(np.stack([xs, ys], axis=1).astype(np.float64))
    assert crop.min() > 0
    assert crop.max() < len(drawn.face) - 1
    assert (crop.max() - crop.min()) > 85


def test_erosion_begins_at_the_border_of_the_crop_too() -> None:
    drawn = made(crop_px=256)
    corners = np.array([[0.0, 0.0], [255.0, 255.0]])
    low, high = drawn.crop_from_frame.inverse().apply(corners)
    mask = picture(drawn, replace(HULL, mask="full", erode=10.0, feather=2.0))
    (ys, xs) = np.nonzero(mask > 0.5)
    assert [xs.min(), ys.min()] == pytest.approx(low + 10.0, abs=1.5)
    assert [xs.max(), ys.max()] == pytest.approx(high - 10.0, abs=1.5)


def test_hull_grows_on_all_sides_and_the_jaw_alone_below() -> None:
    plain = np.array(ends(picture(made(), HULL)))
    grown = np.array(ends(picture(made(), replace(HULL, grow=6.0))))
    np.testing.assert_allclose(grown - plain, 6.0, atol=0.6)
    left, right, top, bottom = ends(picture(made(), replace(HULL, jaw=9.0))) - plain
    assert bottom == pytest.approx(9.0, abs=0.6)
    assert max(left, right, abs(top)) < 2.0


def test_growing_is_of_the_hull_alone() -> None:
    outline = np.zeros((96, 96), np.float32)
    outline[36:60, 36:60] = 1.0
    drawn, look = made(masks={"learned_src": outline}), replace(HULL, mask="hull*learned")
    grown = picture(drawn, replace(look, grow=6.0))
    np.testing.assert_allclose(grown, picture(drawn, look), atol=1e-5)


def test_crop_fade_is_as_long_as_it_says() -> None:
    drawn = made(crop_px=256)
    corners = np.array([[0.0, 0.0], [255.0, 255.0]])
    (left, _), (right, _) = drawn.crop_from_frame.inverse().apply(corners)
    row = crop_fade(drawn, Box(0, CENTRE, 301, CENTRE + 1), fade_px=20.0)[0]
    x = np.arange(301)
    expected = np.clip(np.minimum(x - left, right - x) / 20.0, 0.0, 1.0)
    np.testing.assert_allclose(row, expected, atol=1e-4)


def test_what_is_before_the_face_is_never_painted_and_its_edge_is_soft_towards_the_face() -> None:
    seen = np.zeros((301, 301), np.float32)
    seen[:, :CENTRE] = 1.0
    shown = Shown(seen, Similarity(np.eye(2, 3)))
    mask = picture(made(shown=shown), HULL)
    assert mask[:, CENTRE:].max() == 0.0
    row = mask[CENTRE, CENTRE - 8 : CENTRE]
    assert row.tolist() == sorted(row.tolist(), reverse=True)
    assert row[0] == pytest.approx(1.0, abs=1e-3)
    assert row[-1] < 0.7


# Erosion and feather


def test_erosion_moves_an_edge_by_fractions_of_a_pixel() -> None:
    disc = np.clip(60.5 - np.hypot(*(np.mgrid[:161, :161] - 80.0)), 0.0, 1.0).astype(np.float32)
    for amount in (0.4, 1.0, 2.5, 3.0, 7.25, 20.6, -0.5, -4.5, -15.3):
        radius = math.sqrt(shrink(disc, amount_px=amount).sum() / math.pi)
        assert radius == pytest.approx(60.0 - amount, abs=0.2), amount


def test_erosion_has_no_jump_at_any_amount() -> None:
    mask = feather(picture(made(), HULL), width_px=8.0)
    for amount in range(-13, 20):
        less, more = (shrink(mask, amount_px=amount + change) for change in (-1e-3, 1e-3))
        assert np.abs(less - more).max() < 2e-3, amount


def test_erosion_of_nothing_leaves_a_mask_and_what_lies_beyond_the_picture_is_outside() -> None:
    mask = np.ones((20, 30), np.float32)
    assert shrink(mask, amount_px=0.0) is mask
    assert shrink(mask, amount_px=-3.5).min() == 1.0
    inner = shrink(mask, amount_px=7.0)
    assert inner.sum() == inner[7:-7, 7:-7].sum() == 6 * 16


def test_erosion_is_the_same_along_both_axes() -> None:
    mask = feather(picture(made(), HULL), width_px=5.0)
    for amount in (1.0, 2.0, 4.5, 13.0, -6.0):
        along, across = shrink(mask, amount_px=amount), shrink(mask.T.copy(), amount_px=amount).T
        np.testing.assert_array_equal(along, across)


def test_mask_grows_evenly_while_a_face_does() -> None:
    # Rounded to whole pixels it jumps by 1.2 of them between two frames; see shrink.
    look = replace(HULL, erode=2.0, feather=8.0)
    radii = []
    for px in np.linspace(70.0, 80.0, 41):
        drawn = drawn_at(face_at((CENTRE + 0.3, CENTRE - 0.2), px))
        radii.append(math.sqrt(picture(drawn, look).sum() / math.pi))
    steps = np.diff(radii)
    assert np.abs(steps - steps.mean()).max() < 0.1


@pytest.mark.parametrize("amount", [0.0, 3.7, -2.2])
def test_an_amount_that_is_the_same_everywhere_is_the_plain_one(amount: float) -> None:
    mask = feather(picture(made(), HULL), width_px=5.0)
    amounts = np.full_like(mask, amount)
    expected = shrink(mask, amount_px=float(np.float32(amount)))
    np.testing.assert_array_equal(shrink_by(mask, amounts), expected)
    widths = np.abs(amounts)
    expected = feather(mask, width_px=float(np.float32(abs(amount))))
    np.testing.assert_array_equal(feather_by(mask, widths), expected)


def test_an_amount_that_differs_is_at_each_place_nearly_its_own() -> None:
    mask = np.zeros((241, 200), np.float32)
    mask[:, 100:] = 1.0
    slope = np.linspace(-24.0, 24.0, 241, dtype=np.float32)[:, None] + np.zeros_like(mask)
    eroded, soft = shrink_by(mask, slope), feather_by(mask, np.abs(slope) * 2)
    for y in (30, 50, 80, 110, 150, 180, 210):
        amount = float(slope[y, 0])
        assert eroded[y, :170].sum() == pytest.approx(70.0 - amount, abs=0.5)
        even = feather(mask, width_px=2 * abs(amount))[y]
        assert np.abs(soft[y] - even).max() < 0.05


@pytest.mark.parametrize("look", LOOKS[:2])
def test_sides_of_nothing_change_no_bit(look: Look) -> None:
    names = [f"{kind}_{side}" for kind in ("erode", "feather") for side in ("left", "top")]
    zeros = replace(look, **dict.fromkeys(names, -0.0))  # type: ignore[arg-type]
    np.testing.assert_array_equal(picture(made(), look), picture(made(), zeros))


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("percent", [8.0, -5.0])
def test_each_side_is_eroded_alone(at: int, percent: float) -> None:
    side = ("left", "right", "top", "bottom")[at]
    plain = picture(made(), HULL)
    eroded = picture(made(), replace(HULL, **{f"erode_{side}": percent}))  # type: ignore[arg-type]
    gone = np.subtract(ends(plain), ends(eroded))
    assert gone[at] == pytest.approx(percent * PX / 100.0, abs=1.0)
    assert np.abs(np.delete(gone, at)).max() < 0.2
    assert ((eroded <= plain + 1e-6) if percent > 0 else (eroded >= plain - 1e-6)).all()


def test_each_side_is_feathered_alone() -> None:
    plain = picture(made(), HULL)
    wide = picture(made(), replace(HULL, feather_left=12.0))
    row, plain_row = wide[CENTRE], plain[CENTRE]

    def fade_px(part: FloatImage) -> int:
        return int(((part > 0.025) & (part < 0.975)).sum())

    assert 5 <= fade_px(plain_row[:CENTRE]) <= 7
    assert 15 <= fade_px(row[:CENTRE]) <= 20
    np.testing.assert_allclose(row[CENTRE:], plain_row[CENTRE:], atol=0.02)
    np.testing.assert_allclose(wide[:, CENTRE], plain[:, CENTRE], atol=0.02)


def test_sides_turn_with_the_face() -> None:
    # Upside down, the left of the upright face is at the right of the picture.
    look = replace(HULL, erode_left=10.0, feather_top=8.0)
    upright, upside_down = picture(made(), look), picture(turned(made(), 180), look)
    np.testing.assert_allclose(upside_down[::-1, ::-1], upright, atol=0.05)
    quarter = picture(turned(made(), 90), look)
    np.testing.assert_allclose(np.rot90(quarter), upright, atol=0.05)


def test_sides_of_a_long_face_are_long() -> None:
    points = face_at((CENTRE, CENTRE), PX)
    points[:, 1] = CENTRE + 1.8 * (points[:, 1] - CENTRE)
    drawn = replace(made(face_type="head", crop_px=200), landmarks=points)
    plain, eroded = (picture(drawn, replace(HULL, erode_left=p)) for p in (0.0, 10.0))
    for y in (CENTRE - 50, CENTRE + 40):
        moved_px = plain[y, :CENTRE].sum() - eroded[y, :CENTRE].sum()
        assert moved_px > 8.5  # measured in pixels, not in faces, it is 6.3 and 7.4


def test_from_one_side_to_the_next_the_edge_does_not_jump() -> None:
    mask = picture(made(), replace(HULL, mask="hull", erode_left=12.0))
    rows = range(CENTRE - 20, CENTRE + 55)
    edges = np.array([mask[y, :CENTRE].sum() for y in rows])
    plain = np.array([picture(made(), HULL)[y, :CENTRE].sum() for y in rows])
    assert np.abs(np.diff(edges - plain)).max() < 1.5


# Turning away


def test_profile_fades_over_25_degrees_and_before_that_not_at_all() -> None:
    look = replace(HULL, profile_fade=40.0)
    plain = picture(made(), HULL)
    for yaw, left_over in ((0, 1), (-40, 1), (45, 0.8), (-45, 0.8), (60, 0.2), (65, 0), (90, 0)):
        mask = picture(made(pose_deg=(0.0, yaw, 0.0)), look)
        np.testing.assert_allclose(mask, plain * np.float32(left_over), atol=1e-6)
    np.testing.assert_array_equal(picture(made(pose_deg=(0.0, 90.0, 0.0)), HULL), plain)


def test_a_face_whose_pose_is_no_number_does_not_fade() -> None:
    # Such a mask is neither 0 nor 1: it was taken for 1, and the whole box was painted.
    unknown = made(pose_deg=(math.nan, math.nan, math.nan))
    found = picture(unknown, replace(HULL, profile_fade=40.0))
    np.testing.assert_array_equal(found, picture(made(), HULL))


# Scale and offset


def test_nothing_asked_is_the_same_face() -> None:
    drawn = made()
    assert placed(drawn, HULL) is drawn


def test_scale_enlarges_face_and_mask_about_the_centre_of_the_crop() -> None:
    drawn, look = made(), replace(HULL, face_scale=20.0)
    large = placed(drawn, look)
    middle = np.full((1, 2), 47.5)
    centre = drawn.crop_from_frame.inverse().apply(middle)
    np.testing.assert_allclose(large.crop_from_frame.inverse().apply(middle), centre)
    assert large.crop_from_frame.scale == pytest.approx(drawn.crop_from_frame.scale / 1.2)
    assert large.face_px == pytest.approx(1.2 * drawn.face_px)
    np.testing.assert_allclose(large.landmarks, centre + 1.2 * (drawn.landmarks - centre))
    area, plain = picture(large, look).sum(), picture(drawn, HULL).sum()
    assert area / plain == pytest.approx(1.44, abs=0.01)


def test_offset_is_in_per_cent_of_the_face_along_the_axes_of_the_frame() -> None:
    drawn, look = turned(made(), 30), replace(HULL, face_x=20.0, face_y=-10.0)
    aside = placed(drawn, look)
    np.testing.assert_allclose(aside.landmarks - drawn.landmarks, np.tile([20.0, -10.0], (68, 1)))
    mask = picture(aside, look)
    np.testing.assert_allclose(mask[:-10, 20:], picture(drawn, HULL)[10:, :-20], atol=1e-3)
    assert aside.face_px == drawn.face_px


def test_centre_of_the_scale_does_not_tremble_with_the_jaw() -> None:
    drawn, look = made(), replace(HULL, face_scale=30.0)
    open_mouth = drawn.landmarks.copy()
    open_mouth[5:12, 1] += 12.0
    crops = [placed(d, look).crop_from_frame.matrix for d in (drawn, drawn_at(open_mouth))]
    np.testing.assert_array_equal(crops[0], crops[1])


def test_hand_before_a_face_stays_while_the_new_face_is_moved() -> None:
    seen, drawn = np.ones((96, 96), np.float32), made()
    hidden_from = 60
    seen[:, hidden_from:] = 0.0
    edge = drawn.crop_from_frame.inverse().apply(np.array([[hidden_from - 0.5, 0.0]]))[0, 0]
    shown = Shown(seen, drawn.crop_from_frame)
    look = replace(HULL, face_x=15.0, face_scale=10.0, feather=0.0)
    for hidden, name in (
        (replace(drawn, shown=shown), "hull"),
        (replace(drawn, masks={"seg_dst": seen}), "hull*seg_dst"),
    ):
        row = picture(placed(hidden, look), replace(look, mask=name))[CENTRE]
        whole = picture(placed(drawn, look), look)[CENTRE]
        assert whole[: int(edge) - 2].sum() == pytest.approx(row[: int(edge) - 2].sum(), abs=0.1)
        assert whole[int(edge) + 3] == 1.0
        assert row[int(edge) + 3 :].max() < 0.05


def test_outline_of_the_new_face_goes_with_it() -> None:
    outline = np.zeros((96, 96), np.float32)
    outline[30:70, 30:66] = 1.0
    drawn = made(masks={"learned_src": outline, "learned_dst": outline})
    look = replace(HULL, mask="learned", face_x=10.0, feather=0.0)
    mask, plain = picture(placed(drawn, look), look), picture(drawn, look)
    np.testing.assert_allclose(mask[:, 10:], plain[:, :-10], atol=1e-3)
