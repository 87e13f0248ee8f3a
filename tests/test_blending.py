"""Light, histograms, membranes, bands, and the modes that are made of them."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve

from faceswap_cli.imaging import to_float, to_uint8
from faceswap_cli.merging import compose
from faceswap_cli.merging.blending import blend, clone, overlay
from faceswap_cli.merging.compose import paste_faces
from faceswap_cli.merging.cut import cut_face
from faceswap_cli.merging.histogram import match_histogram
from faceswap_cli.merging.light import (
    Light,
    frame_from_signal,
    light_from_frame,
    light_from_signal,
    linear_from_signal,
    signal_from_frame,
    signal_from_light,
    signal_from_linear,
)
from faceswap_cli.merging.look import Drawn, FrameImage, Look, ModeName
from faceswap_cli.merging.poisson import coarseness, span_membrane
from faceswap_cli.merging.pyramid import blend_bands
from faceswap_cli.types import FloatImage, RgbImage
from tests.made_faces import face_at, smooth_picture

MODES: tuple[ModeName, ...] = get_args(ModeName)
SOFT = Look(mask="hull", erode=2.0, feather=10.0)
SIDE = 160


def drawn_at(
    centre_xy: tuple[float, float], face_px: float, *, seed: int = 9, crop_px: int = 96
) -> Drawn:
    """A face that was drawn from other blobs than those of any frame."""
    picture = smooth_picture(seed, (SIDE, SIDE))
    cut = cut_face(picture, face_at(centre_xy, face_px), face_type="whole_face", size_px=crop_px)
    ones = np.ones((crop_px, crop_px), np.float32)
    return Drawn(
        to_float(cut.image), cut.landmarks, cut.crop_from_frame, cut.face_px, {"learned_dst": ones}
    )


def frame_of(dtype: type[np.uint8] | type[np.uint16], *, seed: int = 1) -> FrameImage:
    picture = smooth_picture(seed, (SIDE, SIDE))
    if dtype == np.uint8:
        return picture
    noise = np.random.default_rng(seed).integers(0, 257, picture.shape)
    return np.asarray(picture.astype(np.uint16) * 256 + noise.clip(0, 255), np.uint16)


def disc(side: int, radius: float, *, soft_px: float = 0.0) -> FloatImage:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2.0
    beyond = np.hypot(x, y) - radius
    return np.asarray(np.clip(0.5 - beyond / max(soft_px, 1e-6), 0.0, 1.0), np.float32)


# Light


def srgb(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """IEC 61966-2-1, in double precision."""
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def test_linear_light_is_that_of_the_standard() -> None:
    signal = np.linspace(0.0, 1.0, 4001)
    found = linear_from_signal(signal.astype(np.float32)[None])[0]
    np.testing.assert_allclose(found, srgb(signal), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("light", ["linear", "signal"])
def test_every_level_survives_the_way_to_light_and_back(
    dtype: type[np.uint8] | type[np.uint16], light: Light
) -> None:
    white = int(np.iinfo(dtype).max)
    whole = np.arange(white + 1).reshape(16, -1)
    levels: FrameImage = whole.astype(np.uint8) if dtype == np.uint8 else whole.astype(np.uint16)
    back = signal_from_light(light_from_frame(levels, light), light)
    np.testing.assert_array_equal(frame_from_signal(back, dtype), levels)


def test_what_lies_beyond_the_range_is_clipped() -> None:
    beyond = np.array([[-0.5, 1.5]], np.float32)
    assert frame_from_signal(beyond, np.uint8).tolist() == [[0, 255]]
    assert frame_from_signal(beyond, np.uint16).tolist() == [[0, 65535]]
    for convert in (linear_from_signal, signal_from_linear):
        np.testing.assert_allclose(convert(beyond), [[0.0, 1.0]], atol=1e-6)


def test_half_of_black_and_white_is_half_the_light() -> None:
    black, white = np.zeros((1, 1, 3), np.uint8), np.ones((1, 1, 3), np.float32)
    half = np.full((1, 1), 0.5, np.float32)
    assert overlay(black, white, half, "linear")[0, 0].tolist() == [188] * 3  # 255 * 0.5**(1/2.4)..
    assert overlay(black, white, half, "signal")[0, 0].tolist() == [128] * 3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("light", ["linear", "signal"])
def test_overlay_is_rounded_once(dtype: type[np.uint8] | type[np.uint16], light: Light) -> None:
    rng = np.random.default_rng(0)
    frame, image = frame_of(dtype), rng.random((SIDE, SIDE, 3), dtype=np.float32)
    mask = rng.random((SIDE, SIDE), dtype=np.float32)
    mask[:40], mask[-40:] = 0.0, 1.0
    found = overlay(frame, image, mask, light)
    largest, share = np.iinfo(dtype).max, mask[..., None].astype(np.float64)
    below, above = frame / largest, image.astype(np.float64)
    exact = below + share * (above - below)
    if light == "linear":
        levels = np.linspace(0.0, 1.0, 400_001)
        mixed = srgb(below) + share * (srgb(above) - srgb(below))
        exact = np.interp(mixed, srgb(levels), levels)
    tolerance = 0.01 if dtype == np.uint8 else 0.4  # of a level: float32 has 24 bits
    assert found.dtype == dtype
    assert np.abs(found - largest * exact).max() <= 0.5 + tolerance
    np.testing.assert_array_equal(found[:40], frame[:40])


# Histogram


def test_matching_a_picture_with_itself_changes_nothing() -> None:
    picture = to_float(smooth_picture(2, (80, 60)) // 3 * 3)  # two of three levels are empty
    matched = match_histogram(picture, picture, np.ones(picture.shape[:2], np.float32))
    np.testing.assert_allclose(matched, picture, atol=0.5 / 255.0)


def test_histogram_match_is_that_of_sorted_pixels() -> None:
    # Where the map is no steeper than 1.5, the n-th darkest pixel gets the n-th darkest level.
    rng = np.random.default_rng(3)
    face = rng.beta(3.0, 3.0, (200, 200, 3)).astype(np.float32)
    like = (0.1 + 0.7 * rng.beta(3.0, 4.0, (200, 200, 3))).astype(np.float32)
    found = match_histogram(face, like, np.ones((200, 200), np.float32))
    for channel in range(3):
        order = np.argsort(face[..., channel].ravel())
        exact = np.sort(like[..., channel].ravel())
        error = np.abs(found[..., channel].ravel()[order] - exact)
        assert error[2000:-2000].max() < 1.5 / 255.0  # the tails are few: their bins are empty


def test_only_pixels_of_the_mask_count_in_a_histogram() -> None:
    face, like = (to_float(smooth_picture(seed, (60, 60))) for seed in (4, 5))
    mask = disc(60, 20.0)
    changed, other = like.copy(), face.copy()
    changed[mask == 0.0], other[mask == 0.0] = 1.0, 0.0
    inside = mask > 0.0
    expected = match_histogram(face, like, mask)[inside]
    np.testing.assert_array_equal(match_histogram(other, changed, mask)[inside], expected)


def test_a_beard_in_the_footage_does_not_burn_the_forehead() -> None:
    rng = np.random.default_rng(6)
    face = (0.6 + 0.02 * rng.normal(size=(60, 60, 3))).astype(np.float32)
    like = face.copy()
    like[40:] = 0.1
    matched = match_histogram(face, like, np.ones((60, 60), np.float32))
    assert matched.std() < 1.6 * face.std()
    assert np.diff(np.sort(face[..., 0].ravel())[[0, -1]]) > 0.1


def test_too_few_pixels_have_no_histogram() -> None:
    face = np.full((8, 8, 3), 0.3, np.float32)
    mask = np.zeros((8, 8), np.float32)
    mask[:2, :7] = 1.0
    assert match_histogram(face, 1.0 - face, mask) is face


# Membrane


def plain_membrane(values: FloatImage, weight: FloatImage) -> NDArray[np.float64]:
    """Solve the normal equations of span_membrane as one sparse matrix."""
    height, width = weight.shape

    def chain(length: int) -> sparse.spmatrix:
        steps = sparse.diags([-np.ones(length), np.ones(length - 1)], [0, 1]).tocsr()[:-1]
        return steps.T @ steps

    laplace = sparse.kron(sparse.eye(height), chain(width))
    laplace = laplace + sparse.kron(chain(height), sparse.eye(width))
    held = weight.astype(np.float64).ravel()
    solved = spsolve((laplace + sparse.diags(held)).tocsc(), held[:, None] * values.reshape(-1, 3))
    return np.asarray(solved.reshape(values.shape))


@pytest.mark.parametrize("size_wh", [(60, 45), (33, 64), (97, 21)])
@pytest.mark.parametrize("firmness", [0.1, 1.0, 30.0])
def test_membrane_is_the_solution_of_its_equations(
    size_wh: tuple[int, int], firmness: float
) -> None:
    width, height = size_wh
    values = to_float(smooth_picture(7, size_wh)) - np.float32(0.5)
    y, x = np.mgrid[:height, :width]
    around = np.hypot((x - width / 2) / width, (y - height / 2) / height)
    weight = (firmness * (np.abs(around - 0.4) < 0.04)).astype(np.float32)
    found = span_membrane(values, weight)
    assert np.abs(found - plain_membrane(values, weight)).max() < 0.5 / 255.0


def test_coarse_membrane_is_nearly_the_same() -> None:
    values = to_float(smooth_picture(8, (120, 130), detail_px=12.0)) - np.float32(0.5)
    ring = np.abs(disc(130, 40.0, soft_px=20.0)[:, 5:125] - 0.5) < 0.4
    weight = ring.astype(np.float32) / 16.0
    fine = span_membrane(values, weight)
    np.testing.assert_allclose(span_membrane(values, weight, coarse=2), fine, atol=2.0 / 255.0)


def test_membrane_of_a_plane_is_flat_at_the_border_of_the_picture() -> None:
    # Held at its left end only: nothing else pulls at it.
    values = np.full((20, 30, 3), 0.3, np.float32)
    weight = np.zeros((20, 30), np.float32)
    weight[:, 0] = 1.0
    np.testing.assert_allclose(span_membrane(values, weight), 0.3, atol=1e-3)


def test_membrane_without_any_value_is_zero() -> None:
    values = np.ones((9, 7, 3), np.float32)
    assert not span_membrane(values, np.zeros((9, 7), np.float32)).any()


def test_coarseness_counts_halvings() -> None:
    assert [coarseness(px) for px in (0.2, 1.0, 1.9, 2.0, 4.5, 9.0)] == [0, 0, 0, 1, 2, 3]


def textbook_clone(
    face: FloatImage, footage: FloatImage, inside: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Perez et al. (2003), equations 7 and 11, pixel by pixel."""
    number = np.full(inside.shape, -1)
    number[inside] = np.arange(inside.sum())
    rows: list[int] = []
    columns: list[int] = []
    entries: list[float] = []
    right = np.zeros((int(inside.sum()), 3))
    for y, x in np.argwhere(inside):
        i = number[y, x]
        links = [(i, 4.0)]
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            right[i] += face[y, x] - face[v, u]
            if inside[v, u]:
                links.append((number[v, u], -1.0))
            else:
                right[i] += footage[v, u]
        rows += [i] * len(links)
        columns += [column for column, _ in links]
        entries += [entry for _, entry in links]
    solved = spsolve(sparse.csc_matrix((entries, (rows, columns))), right)
    result = footage.astype(np.float64)
    result[inside] = solved
    return result


def test_clone_with_a_hard_edge_is_that_of_the_textbook() -> None:
    face, footage = (
        np.float32(0.35) + np.float32(0.3) * to_float(picture)
        for picture in (smooth_picture(seed, (64, 64), detail_px=10.0) for seed in (10, 11))
    )
    footage = np.asarray(face + 0.1 * (footage - face + 1.0), np.float32)  # little to distrust
    mask = disc(64, 22.0)
    found = clone(face, footage, mask, face_px=40.0)
    exact = textbook_clone(face, footage, mask > 0.5)
    inside = mask > 0.5
    assert np.abs(footage - face)[inside].mean() > 20.0 / 255.0
    assert np.abs(found - exact)[inside].max() < 1.5 / 255.0


def test_clone_takes_the_light_of_its_surroundings_and_keeps_its_detail() -> None:
    face = to_float(smooth_picture(12, (80, 80)))
    face, mask = 0.3 + 0.3 * face, disc(80, 25.0, soft_px=6.0)
    light = np.linspace(-0.1, 0.2, 80, dtype=np.float32)[None, :, None]  # a harmonic function
    cloned = clone(face, face + light, mask, face_px=50.0)
    assert np.abs(cloned - face - light)[mask > 0.1].max() < 3.0 / 255.0


def test_a_strand_of_hair_at_the_edge_does_not_darken_the_cheek() -> None:
    face = np.full((100, 100, 3), 0.6, np.float32)
    footage, mask = face + np.float32(0.05), disc(100, 35.0, soft_px=8.0)
    footage[:, :22] = 0.1  # over a fifth of the edge
    cloned = clone(face, footage, mask, face_px=70.0)
    inside = mask > 0.99
    darker = 0.65 - cloned[inside]  # a plain membrane gets up to 0.49 darker, 0.10 on average
    assert np.abs(darker).max() < 5.0 / 255.0
    assert np.abs(darker).mean() < 1.0 / 255.0


def test_clone_of_a_face_cut_by_the_border_is_matched_along_what_is_left() -> None:
    face = np.full((80, 40, 3), 0.5, np.float32)
    mask = disc(80, 30.0, soft_px=6.0)[:, 40:]  # its middle lies on the left border
    cloned = clone(face, face + np.float32(0.1), mask, face_px=60.0)
    np.testing.assert_allclose(cloned[mask > 0.0], 0.6, atol=1.0 / 255.0)


# Bands


def test_bands_of_one_mask_or_none_are_one_picture_or_the_other() -> None:
    face, footage = (to_float(smooth_picture(seed, (70, 53))) for seed in (13, 14))
    for share, exact in ((1.0, face), (0.0, footage)):
        mask = np.full(face.shape[:2], share, np.float32)
        found = blend_bands(face, footage, mask, num_halvings=5)
        np.testing.assert_allclose(found, exact, atol=1e-5)


def test_bands_without_halving_are_an_overlay() -> None:
    face, footage = (to_float(smooth_picture(seed, (40, 40))) for seed in (15, 16))
    mask = disc(40, 12.0, soft_px=5.0)
    exact = footage + mask[..., None] * (face - footage)
    found = blend_bands(face, footage, mask, num_halvings=0)
    np.testing.assert_allclose(found, exact, atol=1e-6)


def spread(image: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Convolve with 1 4 6 4 1, which Burt and Adelson call generating kernel (a = 0.375)."""
    padded = np.pad(image, [(2, 2) if i == axis else (0, 0) for i in range(3)], mode="reflect")
    parts = [padded.take(range(i, i + image.shape[axis]), axis) for i in range(5)]
    return np.asarray(sum(w * part for w, part in zip((1, 4, 6, 4, 1), parts, strict=True)) / 16.0)


def test_bands_are_those_of_burt_and_adelson() -> None:
    def smaller(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return spread(spread(image, 0), 1)[::2, ::2]

    def larger(image: NDArray[np.float64]) -> NDArray[np.float64]:
        wide = np.zeros((2 * image.shape[0], 2 * image.shape[1], image.shape[2]))
        wide[::2, ::2] = 4.0 * image
        return spread(spread(wide, 0), 1)

    levels, side = 3, 96
    face, footage = (to_float(smooth_picture(seed, (side, side))) for seed in (17, 18))
    mask = disc(side, 20.0, soft_px=2.0)
    gaussians = [[np.asarray(p, np.float64)] for p in (face, footage, mask[..., None])]
    for pyramid in gaussians:
        for _ in range(levels):
            pyramid.append(smaller(pyramid[-1]))
    faces, footages, masks = gaussians
    blended = footages[-1] + masks[-1] * (faces[-1] - footages[-1])
    for i in reversed(range(levels)):
        first, second = (p[i] - larger(p[i + 1]) for p in (faces, footages))
        blended = larger(blended) + second + masks[i] * (first - second)
    found = blend_bands(face, footage, mask, num_halvings=levels)
    middle = np.s_[16:-16, 16:-16]  # OpenCV mirrors otherwise at the far border
    np.testing.assert_allclose(found[middle], blended[middle], atol=1e-4)


def test_bands_change_over_in_the_inner_half_of_a_soft_edge() -> None:
    # It is laid over the footage with the same mask: an outer half would be mixed twice.
    face, footage = (to_float(smooth_picture(seed, (40, 40))) for seed in (15, 16))
    half = np.full((40, 40), 0.5, np.float32)
    found = blend(face, footage, half, Look(mode="pyramid"), face_px=30.0)
    np.testing.assert_allclose(found, footage, atol=1e-5)


# Whole frames


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_no_mode_touches_a_pixel_beyond_the_mask(
    mode: ModeName, dtype: type[np.uint8] | type[np.uint16]
) -> None:
    frame = frame_of(dtype)
    pasted = paste_faces(frame, [drawn_at((80, 70), 50)], replace(SOFT, mode=mode, light="linear"))
    outside = pasted.mask == 0
    assert pasted.image.dtype == dtype
    assert 0.3 < outside.mean() < 0.95
    np.testing.assert_array_equal(pasted.image[outside], frame[outside])
    assert (pasted.image != frame).any(axis=2)[~outside].mean() > 0.8
    assert pasted.layer is None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("light", ["linear", "signal"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_layer_over_the_frame_is_the_picture(
    mode: ModeName, light: Light, dtype: type[np.uint8] | type[np.uint16]
) -> None:
    frame = frame_of(dtype)
    faces = [
        drawn_at((60, 70), 50),
        drawn_at((100, 80), 40, seed=20),
    ]
    pasted = paste_faces(frame, faces, replace(SOFT, mode=mode, light=light), with_layer=True)
    assert pasted.layer is not None
    assert pasted.layer.dtype == dtype
    colour, alpha = pasted.layer[..., :3].copy(), signal_from_frame(pasted.layer[..., 3])
    np.testing.assert_allclose(alpha, pasted.mask / 255.0, atol=1.01 / 255.0)
    assert not colour[pasted.mask == 0].any()
    below, above = light_from_frame(frame, light), light_from_frame(colour, light)
    # Both faces' alpha is rounded. In the dark a level of alpha is many levels of the picture.
    rounding = 1.0 / np.iinfo(dtype).max
    again = [
        signal_from_light(below + nearly[..., None] * (above - below), light)
        for nearly in (alpha - rounding, alpha, alpha + rounding)
    ]
    image, tolerance = signal_from_frame(pasted.image), 1.7 * rounding
    if dtype == np.uint16:
        tolerance = 40 * rounding  # a sixth of a level of eight bits
    assert (image >= np.min(again, axis=0) - tolerance).all()
    assert (image <= np.max(again, axis=0) + tolerance).all()


def test_sixteen_bits_stay_sixteen() -> None:
    # Eight bits would leave at most 256 levels of a face that has thousands.
    pasted = paste_faces(frame_of(np.uint16), [drawn_at((80, 70), 50)], SOFT)
    full = pasted.mask == 255
    assert len(np.unique(pasted.image[full])) > 2000


@pytest.mark.parametrize("mode", ["overlay", "pyramid", "seamless", "hist"])
def test_frames_of_eight_and_sixteen_bits_look_alike(mode: ModeName) -> None:
    eight = frame_of(np.uint8)
    sixteen = eight.astype(np.uint16) * np.uint16(257)
    faces, look = [drawn_at((80, 70), 50)], replace(SOFT, mode=mode, light="linear")
    first, second = (paste_faces(frame, faces, look).image for frame in (eight, sixteen))
    assert np.abs(first - second / 257.0).max() <= 0.51


@pytest.mark.parametrize("mode", MODES)
def test_a_part_of_a_frame_is_painted_as_the_whole(mode: ModeName) -> None:
    frame, drawn = frame_of(np.uint8), drawn_at((90, 80), 40)
    look = replace(SOFT, mode=mode)
    whole = paste_faces(frame, [drawn], look)
    left, top = 10, 14
    part = paste_faces(
        frame[top:, left:], [drawn.shifted((left, top))], look, corner_xy=(left, top)
    )
    difference = np.abs(part.image.astype(int) - whole.image[top:, left:])
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.02


def test_raw_face_is_the_square_that_was_drawn() -> None:
    frame, drawn = frame_of(np.uint8), drawn_at((80, 80), 30)
    pasted = paste_faces(frame, [drawn], replace(SOFT, mode="raw-face", sharpen=3.0))
    side_px = len(drawn.face) / drawn.crop_from_frame.scale
    assert (pasted.mask > 0).sum() == pytest.approx(side_px**2, rel=0.1)
    there = drawn.crop_from_frame.inverse().apply(np.array([[30.0, 40.0]]))[0]
    x, y = np.rint(there).astype(int)
    seen = drawn.crop_from_frame.apply(np.array([[x, y]], np.float64))[0]
    column, row = np.rint(seen).astype(int)
    assert np.abs(pasted.image[y, x] - 255.0 * drawn.face[row, column]).max() < 12


def test_raw_mask_shows_the_mask_in_the_square() -> None:
    frame, drawn = frame_of(np.uint8), drawn_at((80, 80), 30)
    grey = paste_faces(frame, [drawn], replace(SOFT, mode="raw-mask"))
    mask = paste_faces(frame, [drawn], SOFT).mask
    square = grey.mask == 255
    assert square.sum() > 2 * (mask > 0).sum()
    shown = grey.image[square].astype(int)
    assert np.abs(shown - mask[square][:, None]).max() <= 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("centre_xy", [(0.0, 80.0), (80.0, 158.0), (159.0, 0.0), (-300.0, 80.0)])
def test_a_face_at_any_border_is_no_error(mode: ModeName, centre_xy: tuple[float, float]) -> None:
    frame = frame_of(np.uint8)
    pasted = paste_faces(frame, [drawn_at(centre_xy, 40)], replace(SOFT, mode=mode))
    assert pasted.image.shape == frame.shape
    assert pasted.mask.any() == (centre_xy[0] >= 0)


@pytest.mark.parametrize("mode", MODES)
def test_a_tiny_face_is_no_error(mode: ModeName) -> None:
    frame = frame_of(np.uint8)
    assert paste_faces(frame, [drawn_at((80, 80), 2.0)], replace(SOFT, mode=mode)).mask.any()


def test_every_painted_pixel_is_in_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = np.zeros((SIDE, SIDE, 3), np.uint8)  # on black a thousandth of white light is seen
    drawn = drawn_at((80, 80), 60)
    white = replace(drawn, face=np.ones_like(drawn.face))
    pasted = paste_faces(frame, [white], replace(SOFT, light="linear"))
    np.testing.assert_array_equal(pasted.mask > 0, pasted.image.any(axis=2))
    monkeypatch.setattr(compose, "LEAST", np.float32(0.0))
    wide = paste_faces(frame, [white], replace(SOFT, light="linear"))
    assert (wide.mask > 0).sum() >= (pasted.mask > 0).sum()


def test_seamless_takes_the_seam_away() -> None:
    frame = np.full((SIDE, SIDE, 3), 150, np.uint8)
    drawn = replace(drawn_at((80, 80), 60), face=np.full((96, 96, 3), 0.5, np.float32))
    plain = paste_faces(frame, [drawn], SOFT).image
    seamless = paste_faces(frame, [drawn], replace(SOFT, mode="seamless")).image
    assert np.abs(plain.astype(int) - 150).max() > 20
    assert np.abs(seamless.astype(int) - 150).max() <= 1


def test_hist_before_seamless_is_both() -> None:
    frame: RgbImage = to_uint8(0.3 + 0.3 * to_float(smooth_picture(21, (SIDE, SIDE))))
    drawn = drawn_at((80, 80), 60)
    spreads = {}
    for mode in MODES[:4]:
        pasted = paste_faces(frame, [drawn], replace(SOFT, mode=mode))
        spreads[mode] = pasted.image[pasted.mask == 255].std()
    footage = frame[paste_faces(frame, [drawn], SOFT).mask == 255].std()
    assert abs(spreads["hist"] - footage) < 0.2 * abs(spreads["overlay"] - footage)
    assert spreads["seamless+hist"] < 0.8 * spreads["seamless"]


def test_bands_leave_less_of_an_edge_than_an_overlay() -> None:
    frame = np.full((SIDE, SIDE, 3), 120, np.uint8)
    drawn = replace(drawn_at((80, 80), 70), face=np.full((96, 96, 3), 0.7, np.float32))
    look = replace(SOFT, feather=4.0)
    steps = {}
    for mode in ("overlay", "pyramid"):
        row = paste_faces(frame, [drawn], replace(look, mode=mode)).image[80, :, 0].astype(int)
        steps[mode] = np.abs(np.diff(row)).max()
    assert steps["pyramid"] < 0.7 * steps["overlay"]


def test_signal_light_of_signal_is_itself() -> None:
    image = np.full((2, 2, 3), 1.2, np.float32)
    assert light_from_signal(image, "signal") is image
