"""A new face as the camera of the footage would have filmed it: against plain references."""

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from faceswap_cli.geometry import Similarity
from faceswap_cli.imaging import decode_image, encode_image, to_float, to_uint8
from faceswap_cli.merging.blockiness import compress_to, measure_blocks
from faceswap_cli.merging.grain import Noise, add_noise, measure_noise
from faceswap_cli.merging.light import linear_from_signal, signal_from_linear
from faceswap_cli.merging.look import Drawn, Look
from faceswap_cli.merging.motion import blur_along, blur_light_along, choose_path, line_kernel
from faceswap_cli.merging.plate import match_plate, measure_plate
from faceswap_cli.merging.sharpness import (
    MAX_GAIN,
    Balance,
    apply_balance,
    compare_sharpness,
    luma_of,
    split_octaves,
    unsharp,
)
from faceswap_cli.types import FloatImage
from tests.made_faces import face_at

SIZE_WH = (192, 224)
ALL = Look(sharpen=0.5, match_sharpness=1.0, motion_blur=1.0, grain=1.0, jpeg=1.0)


def ones(size_wh: tuple[int, int] = SIZE_WH) -> FloatImage:
    return np.ones(size_wh[::-1], np.float32)


def scene(seed: int = 0, *, soft_px: float = 0.0) -> FloatImage:
    """Return smooth skin with sharp dark shapes on it, as a face has eyes and brows."""
    rng = np.random.default_rng(seed)
    width, height = SIZE_WH
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    large = np.full((4 * height, 4 * width), 0.6 + 0.0 * x[0, 0])
    for _ in range(14):
        centre = (int(rng.integers(0, 4 * width)), int(rng.integers(0, 4 * height)))
        axes = (int(rng.integers(20, 90)), int(rng.integers(8, 40)))
        dark = float(rng.uniform(0.15, 0.45))
        cv2.ellipse(large, centre, axes, float(rng.uniform(0, 180)), 0, 360, dark, -1)
    small = cv2.resize(large, SIZE_WH, interpolation=cv2.INTER_AREA)
    small = small + 0.1 * np.sin(x / 50.0) + 0.05 * np.cos(y / 70.0)
    image = np.stack([small, 0.8 * small, 0.7 * small], axis=2).astype(np.float32)
    return blurred(image, soft_px) if soft_px else image


def blurred(image: FloatImage, sigma_px: float) -> FloatImage:
    soft = cv2.GaussianBlur(image, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(soft, np.float32)


def noisy(
    image: FloatImage, sigma: float, *, grain_px: float = 0.0, rho: float = 0.0, seed: int = 7
) -> FloatImage:
    """Return an 8-bit picture with noise of this standard deviation, levels; channels by rho."""
    white = np.random.default_rng(seed).standard_normal((*image.shape[:2], 4))
    noise = np.sqrt(rho) * white[..., 3:] + np.sqrt(1.0 - rho) * white[..., :3]
    if grain_px:
        noise = cv2.GaussianBlur(noise, (0, 0), grain_px)
        noise /= noise.std()
    return to_float(to_uint8(image + noise * sigma / 255.0))


def made(face: FloatImage, **changes: object) -> Drawn:
    """Return a face at the scale of the frame, at rest."""
    identity = Similarity(np.eye(2, 3))
    points = face_at((96.0, 112.0), 120.0)
    return replace(Drawn(face, points, identity, 120.0), **changes)  # type: ignore[arg-type]


def sigmas(image: FloatImage, reference: FloatImage) -> NDArray[np.float64]:
    return np.asarray((image - reference).std(axis=(0, 1), dtype=float) * 255.0)


def softness_px(image: FloatImage, sharp: FloatImage) -> float:
    """Return sigma of the Gaussian blur of `sharp` that is nearest to an image."""
    candidates = np.arange(0.0, 5.0, 0.1)
    errors = [np.square(image - (blurred(sharp, s) if s else sharp)).sum() for s in candidates]
    return float(candidates[int(np.argmin(errors))])


# All of it ----------------------------------------------------------------------------------


def test_with_all_off_the_face_itself_comes_back() -> None:
    face = scene(1)
    drawn = made(face, motion_px=(20.0, 3.0))
    assert match_plate(face, scene(2), ones(), drawn, Look()) is face


@pytest.mark.parametrize(
    "look",
    [
        Look(sharpen=1.0),
        Look(match_sharpness=1.0),
        Look(motion_blur=1.0),
        Look(jpeg=1.0),
        Look(grain=1.0),
        ALL,
    ],
)
def test_each_part_alone_does_something_and_always_the_same(look: Look) -> None:
    face, plate = scene(1, soft_px=1.5), pressed_scene(1, 25)
    if look.grain or look.motion_blur:
        plate = noisy(blur_along(plate, (10.0, 2.0)), 3.0)
    drawn, before = made(face, motion_px=(16.0, 3.0), seed=3), face.copy()
    first, again = (match_plate(face, plate, ones(), drawn, look) for _ in range(2))
    np.testing.assert_array_equal(face, before)
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.float32
    assert np.abs(first - face).mean() > 2e-4


def test_an_empty_mask_and_a_tiny_face_are_no_error() -> None:
    drawn = made(scene(1), motion_px=(16.0, 3.0))
    empty = match_plate(scene(1), scene(2), 0 * ones(), drawn, ALL)
    assert np.isfinite(empty).all()
    for size_wh in ((1, 1), (3, 40), (17, 9)):
        face = np.full((size_wh[1], size_wh[0], 3), 0.5, np.float32)
        result = match_plate(face, face * 0.9, ones(size_wh), drawn, ALL, corner_xy=(5, 3))
        assert result.shape == face.shape
        assert np.isfinite(result).all()


def test_numbers_that_were_averaged_count_for_more_than_this_frame() -> None:
    face, plate = scene(1), noisy(scene(1), 2.0)
    numbers = measure_plate(noisy(scene(1), 6.0), ones())
    result = match_plate(face, plate, ones(), made(face, plate=numbers), Look(grain=1.0))
    np.testing.assert_allclose(sigmas(result, face), 6.0, rtol=0.1)


def test_numbers_are_the_same_of_levels_and_of_fractions() -> None:
    plate = noisy(scene(1), 3.0)
    levels = to_uint8(plate)
    of_8 = measure_plate(levels, ones())
    np.testing.assert_allclose(measure_plate(plate, ones()), of_8, rtol=1e-4, atol=1e-9)
    of_16 = measure_plate(levels.astype(np.uint16) * 257, ones())
    np.testing.assert_allclose(of_16, of_8, rtol=1e-4, atol=1e-9)


# Sharpness ----------------------------------------------------------------------------------


def test_octaves_of_a_picture_add_up_to_it() -> None:
    image = scene(1)[..., 0]
    octaves = split_octaves(image, 2)
    np.testing.assert_allclose(sum(octaves) + blurred(blurred(image, 0.8), 1.6), image, atol=1e-6)


@pytest.mark.parametrize("soft_px", [1.0, 2.0, 3.5])
def test_a_plate_out_of_focus_gets_a_face_as_soft(soft_px: float) -> None:
    sharp = scene(3)
    face = match_plate(
        sharp, scene(3, soft_px=soft_px), ones(), made(sharp), Look(match_sharpness=1.0)
    )
    assert softness_px(face, sharp) == pytest.approx(soft_px, rel=0.15)


def test_a_soft_face_gets_the_sharpness_of_the_plate() -> None:
    sharp, soft = scene(4), scene(4, soft_px=1.2)
    face = match_plate(soft, sharp, ones(), made(soft), Look(match_sharpness=1.0))

    def detail(image: FloatImage) -> float:
        return float(cv2.Laplacian(luma_of(image), cv2.CV_32F).var())

    assert detail(soft) / detail(sharp) < 0.2
    assert detail(face) > 2.5 * detail(soft)
    assert np.abs(face - sharp).mean() < 0.9 * np.abs(soft - sharp).mean()
    half = match_plate(soft, sharp, ones(), made(soft), Look(match_sharpness=0.5))
    np.testing.assert_allclose(half, (soft + face) / 2.0, atol=1e-5)


def test_a_face_as_sharp_as_the_plate_stays_as_it_is() -> None:
    face = scene(5)
    result = match_plate(face, face.copy(), ones(), made(face), Look(match_sharpness=1.0))
    np.testing.assert_allclose(result, face, atol=1e-6)


def test_a_face_that_is_hardly_softer_is_hardly_sharpened() -> None:
    face = luma_of(scene(5))
    gains = compare_sharpness(face, np.float32(1.03) * face, ones()).gains
    assert 1.0 < gains.max() < 1.015  # it fades in: at each frame it is a little more or less


def test_noise_of_the_plate_is_not_sharpness() -> None:
    soft = scene(4, soft_px=1.5)
    balance = compare_sharpness(luma_of(soft), luma_of(noisy(soft, 4.0)), ones())
    np.testing.assert_allclose(balance.gains, 1.0, atol=0.15)


def test_a_beard_of_the_plate_counts_for_less_than_its_energy() -> None:
    face = scene(4, soft_px=1.0)
    bearded = face.copy()
    hairs = blurred(np.random.default_rng(0).normal(size=(50, 192, 1)).astype(np.float32), 0.7)
    bearded[-50:] += 0.03 * hairs[..., None] / hairs.std()
    plain = [split_octaves(luma_of(image), 1)[0].astype(float).std() for image in (face, bearded)]
    gain = compare_sharpness(luma_of(face), luma_of(bearded), ones()).gains[0]
    assert plain[1] / plain[0] > 2.2
    assert gain - 1.0 < 0.6 * (plain[1] / plain[0] - 1.0)


def test_what_lies_outside_of_the_mask_does_not_count() -> None:
    soft, sharp = scene(4, soft_px=1.5), scene(4)
    mask = ones()
    mask[:, 96:] = 0.0
    plate = soft.copy()
    plate[:, 112:] = sharp[:, 112:]
    gains = compare_sharpness(luma_of(soft), luma_of(plate), mask).gains
    np.testing.assert_allclose(gains, 1.0, atol=0.1)


def test_gains_are_bounded_and_smooth_skin_is_not_sharpened() -> None:
    """The squares that a network draws on a cheek stay as weak as they are."""
    soft, sharp = scene(4, soft_px=3.0), scene(4)
    x, y = np.meshgrid(np.arange(SIZE_WH[0]), np.arange(SIZE_WH[1]))
    squares = ((x // 2 + y // 2) % 2 - 0.5).astype(np.float32)[..., None] * 0.004
    face = soft + squares
    balance = compare_sharpness(luma_of(face), luma_of(sharp), ones())
    assert balance.gains.max() == MAX_GAIN
    result = apply_balance(face, balance, amount=1.0)
    flat = np.abs(luma_of(sharp) - luma_of(blurred(sharp, 6.0))) < 0.01
    flat = cv2.erode(flat.astype(np.uint8), np.ones((9, 9))) > 0
    assert flat.sum() > 500
    finest = [split_octaves(luma_of(image), 1)[0][flat].std() for image in (face, result)]
    assert finest[1] < 1.5 * finest[0]


def test_what_is_raised_gets_no_coloured_rims() -> None:
    image = scene(4, soft_px=1.0)
    result = apply_balance(image, Balance(np.array([2.0, 2.0]), np.zeros(2)), amount=1.0)
    change = result - image
    assert np.abs(change).max() > 0.02
    np.testing.assert_allclose(change[..., 0], change[..., 2], atol=1e-6)


def test_unsharp_adds_what_its_blur_takes_away() -> None:
    image = scene(6)
    result = unsharp(image, amount=0.7, radius_px=2.0)
    np.testing.assert_allclose(result, image + 0.7 * (image - blurred(image, 2.0)), atol=1e-5)
    # Twice as many pixels in the frame as in the crop: radius 2.
    half = replace(made(image), crop_from_frame=Similarity(np.eye(2, 3) * 0.5))
    matched = match_plate(image, image, ones(), half, Look(sharpen=0.7))
    np.testing.assert_array_equal(matched, result)


# Motion -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path_px", [(10.0, 0.0), (0.0, -7.5), (9.0, 12.0), (-3.3, 1.2)])
def test_a_moving_point_draws_a_line_of_this_length_and_angle(path_px: tuple[float, float]) -> None:
    kernel = line_kernel(path_px).astype(float)
    assert kernel.sum() == pytest.approx(1.0, abs=1e-6)
    reach = len(kernel) // 2
    x, y = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1))
    assert (kernel * x).sum() == pytest.approx(0.0, abs=1e-6)
    assert (kernel * y).sum() == pytest.approx(0.0, abs=1e-6)
    spread = np.array([[(kernel * a * b).sum() for a in (x, y)] for b in (x, y)])
    # A line of length L has variance L^2 / 12; sharing out among pixels adds 1/6 at most, on
    # average, and 1/4 where all of it falls between two rows.
    extra = spread - np.outer(path_px, path_px) / 12.0
    assert np.abs(np.diagonal(extra)).max() < 0.25
    variances, axes = np.linalg.eigh(spread)
    along = np.array(path_px) / np.hypot(*path_px)
    assert abs(axes[:, 1] @ along) > 0.999
    assert variances[0] < 0.25
    assert np.sqrt(12.0 * variances[1]) == pytest.approx(np.hypot(*path_px), rel=0.1)


def test_a_highlight_keeps_its_light_when_it_moves() -> None:
    spot = np.full((41, 41, 3), 0.1, np.float32)
    spot[20, 20] = 1.0
    streak = blur_light_along(spot, (10.0, 0.0))
    np.testing.assert_allclose(
        linear_from_signal(streak).sum(), linear_from_signal(spot).sum(), rtol=1e-3
    )
    assert streak[20, 20, 0] > 0.3  # 0.19 were the numbers blurred
    expected = signal_from_linear(blur_along(linear_from_signal(spot), (10.0, 0.0)))
    np.testing.assert_allclose(streak, expected, atol=1e-6)


@pytest.mark.parametrize(("motion", "amount"), [(1.9, 1.0), (0.9, 2.0), (0.0, 2.0)])
def test_motion_that_cannot_be_seen_changes_no_bit(motion: float, amount: float) -> None:
    face = scene(1)
    drawn = made(face, motion_px=(0.0, motion))
    plate = blur_along(face, (0.0, 9.0))
    assert match_plate(face, plate, ones(), drawn, Look(motion_blur=amount)) is face


def test_a_blurred_plate_gets_a_face_blurred_as_far() -> None:
    sharp = scene(8)
    plate = blur_light_along(sharp, (9.0, 5.0))
    drawn = made(sharp, motion_px=(18.0, 10.0))
    face = match_plate(sharp, plate, ones(), drawn, Look(motion_blur=1.0))
    assert np.abs(face - plate).mean() < 0.2 * np.abs(sharp - plate).mean()


def test_a_short_shutter_and_a_face_that_is_blurred_already_are_left_alone() -> None:
    sharp, path = scene(8), (9.0, 5.0)
    smeared = blur_along(sharp, path)
    of_sharp = choose_path(luma_of(sharp), luma_of(sharp), ones(), path)
    again = choose_path(luma_of(smeared), luma_of(smeared), ones(), path)
    both = choose_path(luma_of(sharp), luma_of(smeared), ones(), path)
    assert np.hypot(*both) == pytest.approx(np.hypot(*path), rel=0.1)
    # Some is left: from the footage alone it cannot be told for certain.
    assert np.hypot(*of_sharp) < 0.3 * np.hypot(*path)
    assert np.hypot(*again) < 0.45 * np.hypot(*path)


def test_a_blurred_plate_does_not_soften_the_face_twice() -> None:
    sharp = scene(8)
    plate = blur_along(sharp, (9.0, 5.0))
    drawn = made(sharp, motion_px=(18.0, 10.0))
    look = Look(motion_blur=1.0, match_sharpness=1.0)
    both, alone = (
        match_plate(sharp, plate, ones(), drawn, which)
        for which in (look, Look(match_sharpness=1.0))
    )
    assert np.abs(both - plate).mean() < 0.5 * np.abs(alone - plate).mean()


def test_what_moves_beside_the_face_does_not_blur_it() -> None:
    sharp, path, mask = scene(8), (9.0, 5.0), ones()
    mask[:, 96:] = 0.0
    plate = sharp.copy()
    plate[:, 100:] = blur_along(sharp, path)[:, 100:]
    found = choose_path(luma_of(sharp), luma_of(plate), mask, path)
    still = choose_path(luma_of(sharp), luma_of(sharp), mask, path)
    assert np.hypot(*found) == pytest.approx(np.hypot(*still), abs=0.5)


def test_a_track_that_jumps_does_not_wipe_the_face_away() -> None:
    face = scene(8)
    path = choose_path(luma_of(face), luma_of(blurred(face, 9.0)), ones(), (4000.0, 100.0))
    assert np.hypot(*path) <= 96.0 + 1e-6


@pytest.mark.parametrize("motion_px", [(np.nan, 1.0), (np.inf, 0.0), (1e9, -np.inf)])
def test_motion_that_is_no_number_is_none(motion_px: tuple[float, float]) -> None:
    face = scene(8)
    drawn, plate = made(face, motion_px=motion_px), blur_along(face, (9.0, 5.0))
    assert match_plate(face, plate, ones(), drawn, Look(motion_blur=1.0)) is face


# Grain --------------------------------------------------------------------------------------


@pytest.mark.parametrize("grain_px", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("sigma", [1.0, 3.0, 8.0])
def test_noise_is_measured_beside_edges(sigma: float, grain_px: float) -> None:
    found = measure_noise(noisy(scene(9), sigma, grain_px=grain_px), ones())
    np.testing.assert_allclose(found.sigma * 255.0, sigma, rtol=0.15)
    # A blur of 0.3 pixels is none: it leaves 99 % of the weight on one.
    assert found.grain_px == pytest.approx(grain_px, abs=0.15 if grain_px else 0.31)


def test_a_clean_picture_has_no_noise_and_gives_none() -> None:
    clean = to_float(to_uint8(scene(9)))
    assert measure_noise(clean, ones()).sigma.max() * 255.0 < 0.3
    face = scene(1)
    result = match_plate(face, clean, ones(), made(face), Look(grain=1.0))
    assert sigmas(result, face).max() < 0.3


@pytest.mark.parametrize("amount", [0.5, 1.0, 2.0])
def test_the_new_face_gets_as_much_grain_as_the_plate(amount: float) -> None:
    face, plate = scene(1), noisy(scene(9), 4.0, grain_px=0.7, rho=0.7)
    result = match_plate(face, plate, ones(), made(face), Look(grain=amount))
    np.testing.assert_allclose(sigmas(result, face), 4.0 * amount, rtol=0.1)
    if amount == 1.0:
        grain = (result - face).astype(float)
        expected = noisy(scene(9), 4.0, grain_px=0.7, rho=0.7) - scene(9)
        for shift in ((0, 1), (1, 0), (0, 2)):  # as coarse
            ours, theirs = (
                np.corrcoef(n[..., 0].ravel(), np.roll(n[..., 0], shift, (0, 1)).ravel())[0, 1]
                for n in (grain, expected)
            )
            assert ours == pytest.approx(theirs, abs=0.08)
        rho = np.corrcoef(grain[..., 0].ravel(), grain[..., 1].ravel())[0, 1]
        assert rho == pytest.approx(0.7, abs=0.08)


def test_noise_that_the_face_has_is_not_added_again() -> None:
    plate = noisy(scene(9), 4.0)
    face = noisy(scene(1), 3.0, seed=5)
    result = match_plate(face, plate, ones(), made(face), Look(grain=1.0))
    np.testing.assert_allclose(sigmas(result, scene(1)), 4.0, rtol=0.12)
    louder = noisy(scene(1), 6.0, seed=5)
    assert match_plate(louder, plate, ones(), made(louder), Look(grain=1.0)) is louder


def test_each_frame_has_its_own_grain() -> None:
    face, plate = scene(1), noisy(scene(9), 4.0)
    one, same, other = (
        match_plate(face, plate, ones(), made(face, seed=seed), Look(grain=1.0)) - face
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.02


def test_grain_follows_brightness_as_that_of_the_plate() -> None:
    ramp = np.repeat(np.linspace(0.05, 0.55, 192, dtype=np.float32)[None], 224, axis=0)
    image = np.stack([ramp] * 3, axis=2)
    white = np.random.default_rng(0).standard_normal(image.shape).astype(np.float32)
    plate = image + white * (0.012 * np.exp(1.0 * (ramp - 0.5)))[..., None]
    found = measure_noise(plate, ones())
    assert found.slope == pytest.approx(2.0, abs=0.6)
    np.testing.assert_allclose(found.sigma, 0.012, rtol=0.12)  # where it is half bright
    grain = match_plate(image, plate, ones(), made(image), Look(grain=1.0)) - image
    for columns in (np.s_[:, :40], np.s_[:, -40:]):
        expected = (plate - image)[columns].std()
        assert grain[columns].std() == pytest.approx(expected, rel=0.12)


def test_averages_of_numbers_are_numbers_of_a_camera() -> None:
    numbers = [measure_plate(noisy(scene(9), sigma), ones()) for sigma in (2.0, 4.0)]
    noise = Noise(np.mean(numbers, axis=0)[:6].astype(float))
    result = add_noise(scene(1), ones(), noise, amount=1.0, seed=0)
    np.testing.assert_allclose(sigmas(result, scene(1)), np.sqrt(10.0), rtol=0.1)


# Blocks -------------------------------------------------------------------------------------


def pressed_scene(seed: int, quality: int, corner_xy: tuple[int, int] = (0, 0)) -> FloatImage:
    """Return a part of a larger compressed picture, which begins at `corner_xy`."""
    left, top = corner_xy
    large = np.pad(scene(seed), ((top, 8), (left, 8), (0, 0)), mode="reflect")
    data = encode_image(to_uint8(large), ".jpg", jpeg_quality=quality)
    height, width = SIZE_WH[::-1]
    return to_float(decode_image(data, "scene"))[top : top + height, left : left + width]


@pytest.mark.parametrize("corner_xy", [(0, 0), (5, 2), (11, 7)])
def test_blocks_are_found_on_the_grid_of_the_frame(corner_xy: tuple[int, int]) -> None:
    luma = luma_of(pressed_scene(1, 15, corner_xy))
    found = measure_blocks(luma, ones(), corner_xy)
    elsewhere = measure_blocks(luma, ones(), (corner_xy[0] + 4, corner_xy[1] + 3))
    assert found > 0.5 / 255.0
    assert elsewhere < 0.2 * found
    assert measure_blocks(luma_of(scene(1)), ones(), corner_xy) < 0.1 / 255.0


@pytest.mark.parametrize("quality", [12, 30])
def test_the_new_face_gets_blocks_as_strong_in_the_same_place(quality: int) -> None:
    corner_xy = (5, 2)
    plate, face = pressed_scene(1, quality, corner_xy), scene(2)
    wanted = measure_blocks(luma_of(plate), ones(), corner_xy)
    result = match_plate(face, plate, ones(), made(face), Look(jpeg=1.0), corner_xy=corner_xy)
    got = measure_blocks(luma_of(result), ones(), corner_xy)
    assert got == pytest.approx(wanted, rel=0.2)
    half = match_plate(face, plate, ones(), made(face), Look(jpeg=0.5), corner_xy=corner_xy)
    np.testing.assert_allclose(half, (face + result) / 2.0, atol=1e-5)


def test_an_edge_that_was_filmed_on_the_grid_is_no_block() -> None:
    edge = np.full(SIZE_WH[::-1], 0.2, np.float32)
    edge[:, 64:] = 0.7
    assert measure_blocks(edge, ones(), (0, 0)) < 0.3 / 255.0  # 2.8 were it counted in full


def test_blocks_do_not_jump_from_one_quality_to_the_next() -> None:
    face, steps = scene(2), np.linspace(0.12, 0.38, 27) / 255.0
    pressed = [compress_to(face, ones(), float(strength), (0, 0)) for strength in steps]
    jumps = [np.abs(one - other).mean() for one, other in pairwise(pressed)]
    assert max(jumps) < 0.2 * np.abs(pressed[-1] - pressed[0]).mean()


def test_a_plate_without_blocks_gives_none() -> None:
    face = scene(2)
    assert compress_to(face, ones(), 0.0, (0, 0)) is face
    result = match_plate(face, scene(1), ones(), made(face), Look(jpeg=1.0))
    np.testing.assert_array_equal(result, face)
