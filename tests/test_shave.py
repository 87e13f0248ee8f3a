"""A beard of the footage around a new face without one: found, hidden, and nothing else touched."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from faceswap_cli.faces.templates import FACE_TYPES, crop_from_frame
from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.imaging import to_float
from faceswap_cli.masks import hull_mask, lower_jaw
from faceswap_cli.merging.beard import EDGE, find_beard
from faceswap_cli.merging.compose import paste_faces
from faceswap_cli.merging.light import frame_from_signal
from faceswap_cli.merging.look import Drawn, FrameImage, Look, MaskName, Shown
from faceswap_cli.merging.lower_face import cut_lower_face
from faceswap_cli.merging.shave import shave
from faceswap_cli.types import FloatImage, Points, RgbImage
from tests.made_faces import face_at

SIDE = 420
PX = 160.0
POINTS = face_at((210, 180), PX)
LOOK = Look(mask="hull", erode=1.0, feather=8.0)
SHAVEN = replace(LOOK, shave=20.0)
SKIN = np.array([0.78, 0.56, 0.45], np.float32)
BACKGROUND = np.array([0.45, 0.55, 0.75], np.float32)
HANGS = 9.0  # per cent of the face: so far over the jaw line


def inside(points: Points) -> FloatImage:
    return to_float(hull_mask(points, (SIDE, SIDE)))


def head() -> FloatImage:
    """A head on a neck, lit from the right, (SIDE, SIDE, 3)."""
    image = np.zeros((SIDE, SIDE, 3), np.float32) + BACKGROUND
    neck = np.zeros((SIDE, SIDE), np.float32)
    neck[200:, 130:290] = 1.0
    body = np.maximum(neck, inside(lower_jaw(POINTS, amount_px=HANGS / 100.0 * PX)))
    body = np.maximum(
        body, cv2.circle(np.zeros((SIDE, SIDE), np.float32), (210, 130), 115, 1.0, -1)
    )
    light = 0.8 + 0.4 * np.arange(SIDE, dtype=np.float32) / SIDE
    skin = np.clip(SKIN * light[None, :, None], 0.0, 1.0)
    return np.asarray(image + body[..., None] * (skin - image), np.float32)


def stubble() -> FloatImage:
    """Where hair grows, (SIDE, SIDE): around the mouth, and over the jaw line."""
    hangs = inside(lower_jaw(POINTS, amount_px=HANGS / 100.0 * PX))
    hangs[: int(POINTS[33, 1])] = 0.0
    lips = cv2.fillPoly(np.zeros((SIDE, SIDE), np.float32), [POINTS[48:60].astype(np.int32)], 1.0)
    return np.asarray(hangs * (1.0 - lips), np.float32)


def frame_of(image: FloatImage, dtype: type[np.uint8] | type[np.uint16] = np.uint8) -> FrameImage:
    return frame_from_signal(image, dtype)


def bearded(*, strength: float = 0.8) -> FloatImage:
    rng = np.random.default_rng(3)
    hair = rng.uniform(0.5, 1.0, (SIDE, SIDE, 1)).astype(np.float32)
    hair = cv2.GaussianBlur(hair, (0, 0), 0.8)[..., None] * strength
    return np.asarray(
        head() + stubble()[..., None] * hair * (np.float32(0.16) - head()), np.float32
    )


def drawn_for(points: Points = POINTS, *, crop_px: int = 128) -> Drawn:
    """A new face that is skin all over, and rubbish beyond what it has learnt."""
    crop = crop_from_frame(points, "full", crop_px)
    face = warp(head(), crop, size_wh=(crop_px, crop_px)).clip(0.0, 1.0)
    outline = warp(inside(POINTS), crop, size_wh=(crop_px, crop_px)).clip(0.0, 1.0)
    face = np.where(outline[..., None] > 0.5, face, np.float32(0.1))
    face_px = crop_px / FACE_TYPES["full"].side / crop.scale
    masks: dict[MaskName, FloatImage] = {"learned_src": np.asarray(outline, np.float32)}
    return Drawn(np.asarray(face, np.float32), points, crop, face_px, masks)


def around_the_face() -> NDArray[np.bool_]:
    """Return where hair is seen around the new face, below the ears; (SIDE, SIDE)."""
    hair = stubble() * (1.0 - cv2.dilate(inside(POINTS), np.ones((5, 5), np.uint8)))
    below_ears = np.arange(SIDE)[:, None] > POINTS[4, 1]
    there: NDArray[np.bool_] = cv2.erode(hair, np.ones((3, 3), np.uint8)) * below_ears > 0.9
    assert there.sum() > 500
    return there


def shade(image: FrameImage) -> FloatImage:
    """Return how light a picture is where bare skin has 1, (SIDE, SIDE)."""
    return np.asarray(image.sum(axis=2) / (255.0 * head().sum(axis=2)), np.float32)


def left_over(image: FrameImage) -> float:
    """Return how much hair is seen around the face, mean distance to skin in levels.

    Skin in the shade of a chin, no darker than that: 0.75 of the light of bare skin, or more.
    """
    skin = shade(image).clip(0.75, 1.0)[..., None] * 255.0 * head()
    return float(np.abs(image.astype(np.float64) - skin)[around_the_face()].mean())


def test_a_beard_around_the_new_face_becomes_skin() -> None:
    frame = frame_of(bearded())
    plain, shaven = (paste_faces(frame, [drawn_for()], look).image for look in (LOOK, SHAVEN))
    assert left_over(plain) > 25.0
    assert left_over(shaven) < left_over(plain) / 5.0


def test_the_new_jaw_is_seen_by_its_shade_and_the_neck_further_down_is_as_it_was() -> None:
    lit = shade(paste_faces(frame_of(bearded()), [drawn_for()], SHAVEN).image)
    (x, y), percent = np.rint(POINTS[8]).astype(int), PX / 100.0
    column = [float(lit[y + round(by * percent), x - 4 : x + 5].mean()) for by in (-10, 4, 14)]
    assert column[0] > 0.95
    assert column[1] < 0.9
    assert column[2] > 0.95
    beside = np.rint(POINTS[[4, 12]] + [[-5.0 * percent, 0.0], [5.0 * percent, 0.0]]).astype(int)
    for x, y in beside:
        assert 0.55 < lit[y - 2 : y + 3, x - 2 : x + 3].mean() < 0.9


def test_as_much_fine_detail_as_skin_has_is_left_of_a_beard() -> None:
    rng, there = np.random.default_rng(5), around_the_face()
    grain = rng.normal(0.0, 0.02, (SIDE, SIDE, 1)).astype(np.float32)
    smooth, grainy = (
        paste_faces(frame_of((bearded() + g).clip(0.0, 1.0)), [drawn_for()], SHAVEN).image
        for g in (np.zeros_like(grain), grain)
    )
    fine = [
        np.subtract(i, cv2.GaussianBlur(i, (0, 0), 2.0), dtype=np.float64) for i in (smooth, grainy)
    ]
    assert fine[0][there].std() < 2.0
    assert 1.5 < fine[1][there].std() < 255.0 * 0.02 * 1.3


def test_without_a_beard_every_bit_is_as_without_the_setting() -> None:
    for light in (1.0, 0.5):
        frame = frame_of(light * head())
        plain, shaven = (paste_faces(frame, [drawn_for()], look) for look in (LOOK, SHAVEN))
        np.testing.assert_array_equal(shaven.image, plain.image)
        np.testing.assert_array_equal(shaven.mask, plain.mask)


def test_a_new_face_with_the_same_beard_keeps_it() -> None:
    crop = drawn_for().crop_from_frame
    same = np.asarray(warp(bearded(), crop, size_wh=(128, 128)).clip(0.0, 1.0), np.float32)
    drawn = replace(drawn_for(), face=same, masks={})
    assert shave(frame_of(bearded()), drawn, reach=20.0) is None


def test_what_hangs_over_the_cheeks_but_not_over_the_chin_is_no_beard() -> None:
    image = bearded()
    image[:, 170:250] = head()[:, 170:250]
    assert shave(frame_of(image), drawn_for(), reach=20.0) is None


def test_off_is_off() -> None:
    assert shave(frame_of(bearded()), drawn_for(), reach=0.0) is None


def test_pixels_beyond_the_mask_and_beyond_the_head_are_those_of_the_frame() -> None:
    frame = frame_of(bearded())
    found = paste_faces(frame, [drawn_for()], SHAVEN)
    outside = found.mask == 0
    np.testing.assert_array_equal(found.image[outside], frame[outside])
    behind = np.abs(head() - BACKGROUND).max(axis=2) < 1e-6
    behind = cv2.erode(behind.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    np.testing.assert_array_equal(found.image[behind], frame[behind])
    neck = np.s_[int(POINTS[8, 1] + 0.3 * PX) :]
    np.testing.assert_array_equal(found.image[neck], frame[neck])


def test_the_same_comes_out_twice_and_in_a_part_of_the_frame() -> None:
    frame, drawn = frame_of(bearded()), drawn_for()
    whole = paste_faces(frame, [drawn], SHAVEN)
    again = paste_faces(frame, [drawn], SHAVEN)
    np.testing.assert_array_equal(whole.image, again.image)
    corner = (30, 20)
    part = frame[corner[1] : 400, corner[0] : 400].copy()
    moved = paste_faces(part, [drawn.shifted(corner)], SHAVEN, corner_xy=corner).image
    cut = whole.image[corner[1] : 400, corner[0] : 400]
    assert np.abs(moved.astype(int) - cut.astype(int)).max() <= 2


def test_a_head_that_is_turned_is_shaven_as_an_upright_one() -> None:
    upright = paste_faces(frame_of(bearded()), [drawn_for()], SHAVEN).image
    frame = np.rot90(frame_of(bearded())).copy()
    turn = Similarity(np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, SIDE - 1.0]]))
    drawn = drawn_for()
    crop = drawn.crop_from_frame.after(turn.inverse())
    turned = replace(drawn, landmarks=turn.apply(POINTS), crop_from_frame=crop)
    found = np.rot90(paste_faces(frame, [turned], SHAVEN).image, -1)
    assert np.abs(found.astype(int) - upright.astype(int)).mean() < 0.1


def test_sixteen_bits_give_the_same_skin() -> None:
    shallow = paste_faces(frame_of(bearded()), [drawn_for()], SHAVEN).image / 255.0
    deep = paste_faces(frame_of(bearded(), np.uint16), [drawn_for()], SHAVEN).image / 65535.0
    assert np.abs(shallow - deep).max() < 12.0 / 255.0
    assert np.abs(shallow - deep).mean() < 0.5 / 255.0


def test_a_hand_before_the_beard_is_left() -> None:
    mask = np.ones((SIDE, SIDE), np.float32)
    mask[:, :210] = 0.0
    still = Shown(mask, Similarity(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])))
    frame, drawn = frame_of(bearded()), replace(drawn_for(), shown=still)
    found = paste_faces(frame, [drawn], SHAVEN)
    np.testing.assert_array_equal(found.image[:, :205], frame[:, :205])


def test_a_face_that_fades_in_profile_takes_the_shave_along() -> None:
    frame = frame_of(bearded())
    turned = replace(drawn_for(), pose_deg=(0.0, 80.0, 0.0))
    gone = paste_faces(frame, [turned], replace(SHAVEN, profile_fade=20.0))
    np.testing.assert_array_equal(gone.image, frame)
    half = replace(drawn_for(), pose_deg=(0.0, 32.5, 0.0))
    found = paste_faces(frame, [half], replace(SHAVEN, profile_fade=20.0))
    assert 120 <= found.mask.max() <= 135


def test_over_the_frame_the_layer_gives_the_picture() -> None:
    frame = frame_of(bearded())
    found = paste_faces(frame, [drawn_for()], SHAVEN, with_layer=True)
    assert found.layer is not None
    alpha = found.layer[..., 3:] / 255.0
    over = alpha * found.layer[..., :3] + (1.0 - alpha) * frame
    assert np.abs(over - found.image).max() <= 1.6


def test_inside_the_face_nothing_is_changed_by_it_and_grain_lies_on_all_of_it() -> None:
    frame = frame_of(bearded())
    much = replace(SHAVEN, match_sharpness=1.0, sharpen=0.5)
    plain, shaven = (
        paste_faces(frame, [drawn_for()], look).image for look in (replace(much, shave=0.0), much)
    )
    inner = np.s_[int(POINTS[27, 1]) : int(POINTS[33, 1]), int(POINTS[36, 0]) : int(POINTS[45, 0])]
    assert np.abs(plain[inner].astype(int) - shaven[inner]).max() <= 1
    plate = np.array([1e-3, 0, 0, 1e-3, 0, 1e-3, 0, 1, 0], np.float32)
    grainy = paste_faces(
        frame, [replace(drawn_for(), plate=plate)], replace(SHAVEN, grain=1.0)
    ).image
    smooth = paste_faces(frame, [drawn_for()], SHAVEN).image
    below = np.s_[int(POINTS[8, 1]) : int(POINTS[8, 1] + 6), 195:225]
    assert np.std(grainy[below].astype(float) - smooth[below]) > 2.0


def test_rubbish_at_the_rim_of_the_new_face_goes_with_the_beard() -> None:
    frame, drawn = frame_of(bearded()), drawn_for()
    low = drawn.crop_from_frame.apply(POINTS[[11]])[0].astype(int)
    cv2.circle(drawn.face, (int(low[0]) - 3, int(low[1]) - 3), 5, (0.2, 0.5, 0.6), -1)
    plain, shaven = (paste_faces(frame, [drawn], look).image for look in (LOOK, SHAVEN))
    at = drawn.crop_from_frame.inverse().apply(np.array([[low[0] - 2.0, low[1] - 2.0]]))[0]
    x, y = np.rint(at).astype(int)
    skin = 255.0 * head()[y, x]
    assert np.abs(plain[y, x] - skin).max() > 60.0
    assert np.abs(shaven[y, x] - shade(shaven)[y, x] * skin).max() < 5.0
    assert 0.6 < shade(shaven)[y, x] < 1.0


@pytest.mark.parametrize("scale", [0.12, 0.5, 2.0])
def test_faces_of_other_sizes_are_shaven_or_left(scale: float) -> None:
    size = int(SIDE * scale)
    frame: RgbImage = np.asarray(
        cv2.resize(frame_of(bearded()), (size, size), interpolation=cv2.INTER_AREA), np.uint8
    )
    scaled = Similarity(np.array([[scale, 0.0, 0.0], [0.0, scale, 0.0]]))
    drawn = drawn_for()
    crop = drawn.crop_from_frame.after(scaled.inverse())
    drawn = replace(
        drawn, landmarks=scaled.apply(POINTS), crop_from_frame=crop, face_px=scale * drawn.face_px
    )
    found = paste_faces(frame, [drawn], SHAVEN).image
    if scale >= 0.5:
        full = np.asarray(cv2.resize(found, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
        assert left_over(full) < 6.0


def test_a_face_at_the_border_and_one_beyond_it_are_no_trouble() -> None:
    frame, drawn = frame_of(bearded()), drawn_for()
    for corner in ((200, 0), (0, 250), (380, 380)):
        part = frame[corner[1] :, corner[0] :].copy()
        found = paste_faces(part, [drawn.shifted(corner)], SHAVEN)
        assert found.image.shape == part.shape
    assert cut_lower_face(frame, drawn.shifted((900, 0)), reach=30.0) is None


def test_where_no_skin_is_drawn_nothing_is_told() -> None:
    empty: dict[MaskName, FloatImage] = {"learned_src": np.zeros((128, 128), np.float32)}
    at = cut_lower_face(frame_of(bearded()), replace(drawn_for(), masks=empty), reach=20.0 + EDGE)
    assert at is not None
    assert find_beard(at, reach=20.0) is None
