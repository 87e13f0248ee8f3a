"""Giving one picture the colours of another: laws, references, what must not blow up."""

from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage import color
from torch import Tensor

from faceswap_cli.colour import (
    MAX_RATIO,
    SOT_STEP,
    SOT_TOGETHER,
    ColourMap,
    ColourMode,
    draw_colour,
    fit_colour,
    lab_from_rgb,
    rgb_from_lab,
)
from faceswap_cli.colour_transport import DRAWS, MAX_GAIN, TURNS, Cloud, linear_map, rotations, svd
from faceswap_cli.imaging import to_float
from faceswap_cli.types import FloatImage
from tests.made_faces import smooth_picture

MODES: tuple[ColourMode, ...] = get_args(ColourMode)
all_modes = pytest.mark.parametrize("mode", MODES)
linear_modes = pytest.mark.parametrize("mode", ["lct", "mkl"])
transport_modes = pytest.mark.parametrize("mode", ["idt", "sot"])

Matrix = NDArray[np.float64]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(*images: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.stack(images).astype(np.float32)).permute(0, 3, 1, 2)


def pictures(*seeds: int, side: int = 48, spread: float = 0.5) -> Tensor:
    """Return colour blobs whose channels depend on each other, as they do in skin; (B, 3, S, S)."""
    mixed = np.array([[1.0, 0.0, 0.0], [0.6, 0.5, 0.0], [0.4, 0.3, 0.4]])
    blobs = [to_float(smooth_picture(seed, (side, side), detail_px=2.0)) - 0.5 for seed in seeds]
    return batch(*[blob @ mixed.T * spread + 0.5 for blob in blobs])


def regions(count: int, side: int = 48) -> Tensor:
    """Return soft discs, each somewhere else; (B, 1, S, S)."""
    line = torch.linspace(-1.0, 1.0, side)
    y, x = torch.meshgrid(line, line, indexing="ij")
    discs = [1.2 - ((x - 0.1 * i) ** 2 + (y + 0.1 * i) ** 2) * 2.0 for i in range(count)]
    return torch.stack(discs)[:, None].clamp(0.0, 1.0)


def case() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return three faces and what they shall look like, which is of another size."""
    like = pictures(11, 12, 13, side=40, spread=0.6) * torch.tensor([0.9, 0.8, 0.7])[:, None, None]
    return pictures(1, 2, 3), regions(3), like, regions(3, 40).flip(3)


def moments(img: Tensor, region: Tensor) -> tuple[Matrix, Matrix]:
    """Return weighted mean, (B, 3), and covariance, (B, 3, 3), as numpy finds them."""
    means, covariances = [], []
    for picture, weight in zip(img.double().numpy(), region.double().numpy(), strict=True):
        pixels, weights = picture.reshape(3, -1), weight.ravel()
        means.append(np.average(pixels, axis=1, weights=weights))
        covariances.append(np.cov(pixels, aweights=weights, bias=True))
    return np.stack(means), np.stack(covariances)


def quantiles(img: Tensor, region: Tensor) -> Tensor:
    """Return 19 quantiles of each channel inside of hard regions, (B, 3, 19)."""
    at = torch.linspace(0.05, 0.95, 19)
    pairs = zip(img, region, strict=True)
    return torch.stack([one[:, w[0] > 0.5].quantile(at, dim=1).T for one, w in pairs])


# Conversions


def test_lab_is_that_of_scikit_image() -> None:
    rgb = np.random.default_rng(0).random((32, 32, 3)).astype(np.float32)
    ours = lab_from_rgb(batch(rgb))[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(ours, color.rgb2lab(rgb), atol=0.02)
    back = rgb_from_lab(lab_from_rgb(batch(rgb)))[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(back, rgb, atol=1e-4)


# Reinhard's transfer


def reinhard(face: FloatImage, footage: FloatImage, region: FloatImage) -> FloatImage:
    """Return the transfer as the paper writes it, on pixels picked from scikit-image's LAB."""
    inside = region > 0
    source, target = color.rgb2lab(face), color.rgb2lab(footage)
    ratio = np.clip(
        target[inside].std(axis=0) / source[inside].std(axis=0), 1 / MAX_RATIO, MAX_RATIO
    )
    moved = (source - source[inside].mean(axis=0)) * ratio + target[inside].mean(axis=0)
    return np.asarray(color.lab2rgb(moved), np.float32)


def colour_case() -> tuple[FloatImage, FloatImage, FloatImage]:
    face = to_float(smooth_picture(8, (48, 48))) * 0.3 + 0.3
    footage = to_float(smooth_picture(9, (48, 48))) * 0.25 + np.array([0.4, 0.3, 0.25])
    region = np.zeros((48, 48), np.float32)
    region[10:30, 8:40] = 1
    return face, footage.astype(np.float32), region


def transfer(face: FloatImage, footage: FloatImage, region: FloatImage) -> FloatImage:
    images, where = (batch(face), batch(footage)), torch.from_numpy(region)[None, None]
    moved = fit_colour("rct", images[0], where, images[1], where)(images[0])
    return np.asarray(moved[0].permute(1, 2, 0).numpy(), np.float32)


def test_transfer_is_reinhards() -> None:
    one = colour_case()
    np.testing.assert_allclose(transfer(*one), reinhard(*one), atol=2e-3)


def test_transfer_gives_the_statistics_of_the_footage() -> None:
    face, footage, region = colour_case()
    inside = region > 0
    got, want = (
        color.rgb2lab(image)[inside] for image in (transfer(face, footage, region), footage)
    )
    np.testing.assert_allclose(got.mean(axis=0), want.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(got.std(axis=0), want.std(axis=0), rtol=0.02)


def test_contrast_rises_by_no_more_than_its_bound() -> None:
    face, footage, region = colour_case()
    hair = footage.copy()
    hair[10:30, 8:14] = 0.0  # a black strand inside the region
    spread = [
        color.rgb2lab(i)[region > 0][:, 0].std() for i in (face, transfer(face, hair, region))
    ]
    assert spread[1] / spread[0] < 1.02 * MAX_RATIO


@pytest.mark.parametrize("value", [0.0, 0.4])
def test_flat_face_and_empty_region_are_no_numbers_gone_wrong(value: float) -> None:
    _, footage, region = colour_case()
    flat = np.full_like(footage, value)
    assert np.isfinite(transfer(flat, footage, region)).all()
    np.testing.assert_allclose(transfer(flat, footage, 0 * region), flat, atol=1e-6)


def test_a_flat_face_is_not_stretched() -> None:
    _, footage, region = colour_case()
    flat = (0.5 + 0.1 * footage * 0.2).astype(np.float32)
    moved = transfer(flat, footage, region)
    spreads = [color.rgb2lab(i)[region > 0].std(axis=0) for i in (flat, moved)]
    np.testing.assert_allclose(spreads[1], spreads[0], rtol=0.03)


# What holds for every mode


@all_modes
def test_a_picture_like_itself_stays_as_it_is(mode: ColourMode) -> None:
    face, region, _, _ = case()
    torch.testing.assert_close(
        fit_colour(mode, face, region, face, region)(face), face, atol=1e-4, rtol=0
    )


@all_modes
def test_mean_becomes_that_of_the_other_picture(mode: ColourMode) -> None:
    face, region, like, like_region = case()
    moved = fit_colour(mode, face, region, like, like_region)(face)
    got, want = moments(moved, region)[0], moments(like, like_region)[0]
    before = np.abs(moments(face, region)[0] - want).max()
    # Reinhard's mean is that of LAB; the others draw pixels and look up a table.
    allowed = {"rct": 0.01, "lct": 1e-4, "mkl": 1e-4, "idt": 0.006, "sot": 0.006}[mode]
    assert before > 0.1
    np.testing.assert_allclose(got, want, atol=allowed)


@all_modes
def test_what_lies_outside_of_the_regions_has_no_influence(mode: ColourMode) -> None:
    face, region, like, like_region = case()
    wild_face, wild_like = face.clone(), like.clone()
    wild_face[(region == 0).expand_as(face)] = 0.0
    wild_like[(like_region == 0).expand_as(like)] = 1.0
    got = fit_colour(mode, wild_face, region, wild_like, like_region)(face)
    want = fit_colour(mode, face, region, like, like_region)(face)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)


@all_modes
def test_a_face_depends_on_its_own_numbers_alone(mode: ColourMode) -> None:
    faces, draws = case(), draw_colour(3, generator())
    rows = slice(1, 3)
    part = [one[rows] for one in faces]
    whole = fit_colour(mode, *faces, draws_BK=draws)(faces[0])
    got = fit_colour(mode, *part, draws_BK=draws[rows])(part[0])
    torch.testing.assert_close(got, whole[rows], atol=1e-5, rtol=0)
    # Without numbers of its own it does not depend on its place either.
    whole = fit_colour(mode, *faces)(faces[0])
    torch.testing.assert_close(fit_colour(mode, *part)(part[0]), whole[rows], atol=1e-5, rtol=0)


@all_modes
def test_the_map_looks_at_colours_not_at_places(mode: ColourMode) -> None:
    face, region, like, like_region = case()
    recolour = fit_colour(mode, face, region, like, like_region)
    whole = recolour(face)
    torch.testing.assert_close(recolour(face.flip(3)), whole.flip(3), atol=1e-5, rtol=0)
    part = face[:, :, 5:25, 7:41]
    torch.testing.assert_close(recolour(part), whole[:, :, 5:25, 7:41], atol=1e-5, rtol=0)


@all_modes
@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_black_flat_and_white_pictures_are_no_numbers_gone_wrong(
    mode: ColourMode, value: float
) -> None:
    face, region, like, like_region = case()
    flat_face, flat_like = torch.full_like(face, value), torch.full_like(like, value)
    for one, other in ((flat_face, like), (face, flat_like), (flat_face, flat_like)):
        moved = fit_colour(mode, one, region, other, like_region)(face)
        assert bool(torch.isfinite(moved).all())
        assert 0.0 <= float(moved.min()) <= float(moved.max()) <= 1.0
        if mode != "rct":
            assert torch.equal(moved, face)


@all_modes
def test_colours_that_no_screen_shows_are_clipped(mode: ColourMode) -> None:
    face, region, like, like_region = case()
    for brighter in (like + 0.25, like - 0.2):
        recolour = fit_colour(mode, face, region, brighter, like_region)
        for value in (0.0, 1.0):
            moved = recolour(torch.full_like(face, value))
            assert 0.0 <= float(moved.min()) <= float(moved.max()) <= 1.0


@all_modes
def test_region_of_a_few_pixels_leaves_the_face(mode: ColourMode) -> None:
    face, region, like, like_region = case()
    few = torch.zeros_like(region)
    few[:, :, :3, :5] = 1.0
    assert torch.equal(fit_colour(mode, face, few, like, like_region)(face), face)
    assert torch.equal(fit_colour(mode, face, region, like, 0.0 * like_region)(face), face)


@all_modes
def test_bf16_around_it_changes_nothing(mode: ColourMode) -> None:
    faces = case()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = fit_colour(mode, *faces)(faces[0])
    assert got.dtype == torch.float32
    assert torch.equal(got, fit_colour(mode, *faces)(faces[0]))


# Linear maps


@linear_modes
def test_covariance_becomes_that_of_the_other_picture(mode: ColourMode) -> None:
    face, region, like, like_region = case()
    moved = fit_colour(mode, face, region, like, like_region)(face)
    got, want = moments(moved, region)[1], moments(like, like_region)[1]
    np.testing.assert_allclose(got, want, atol=2e-5)  # of variances of about 5e-3
    assert np.abs(moments(face, region)[1] - want).max() > 1e-3


def root(symmetric: Matrix) -> Matrix:
    values, vectors = np.linalg.eigh(symmetric)
    return np.asarray((vectors * np.sqrt(values)) @ vectors.T)


@linear_modes
def test_linear_maps_are_those_of_the_paper(mode: ColourMode) -> None:
    face, region, like, like_region = case()
    (mean, cov), (like_mean, like_cov) = moments(face, region), moments(like, like_region)
    moved = fit_colour(mode, face, region, like, like_region)(face)
    for i in range(3):
        whiten = np.linalg.inv(root(cov[i]))
        if mode == "mkl":
            matrix = whiten @ root(root(cov[i]) @ like_cov[i] @ root(cov[i])) @ whiten
        else:
            matrix = root(like_cov[i]) @ whiten
        pixels = face[i].double().numpy().reshape(3, -1)
        want = matrix @ (pixels - mean[i][:, None]) + like_mean[i][:, None]
        np.testing.assert_allclose(moved[i].numpy().reshape(3, -1), want.clip(0, 1), atol=2e-3)


@linear_modes
def test_no_direction_is_stretched_or_shrunk_too_far(mode: ColourMode) -> None:
    wide = torch.diag_embed(torch.tensor([[0.1, 1e-3, 1e-5], [0.0, 0.0, 0.0]]))
    narrow = torch.diag_embed(torch.tensor([[1e-4, 1e-3, 1e-2], [0.0, 0.0, 0.1]]))
    gains = torch.linalg.svdvals(linear_map(wide, narrow, optimal=mode == "mkl"))
    expected = torch.tensor([[MAX_GAIN, 1.0, 1.0 / MAX_GAIN], [MAX_GAIN, 1.0, 1.0]])
    torch.testing.assert_close(gains, expected, atol=1e-4, rtol=0)


def test_the_optimal_map_moves_colours_less() -> None:
    face, region, like, like_region = case()
    far = {
        mode: (fit_colour(mode, face, region, like, like_region)(face) - face).square() * region
        for mode in MODES
    }
    assert float(far["mkl"].sum()) < float(far["lct"].sum())


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_svd_takes_a_matrix_apart(scale: float) -> None:
    normal = torch.randn(500, 3, 3, generator=generator())
    matrix = (
        torch.cat([normal, normal @ normal.mT, torch.eye(3)[None], torch.ones(1, 3, 3)]) * scale
    )
    u, d, v = svd(matrix)
    torch.testing.assert_close((u * d[:, None]) @ v.mT, matrix, atol=1e-5 * scale, rtol=1e-5)
    torch.testing.assert_close(v @ v.mT, torch.eye(3).expand_as(v), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        (u.mT @ u)[:-1], torch.eye(3).expand(len(u) - 1, 3, 3), atol=1e-5, rtol=0
    )
    largest = torch.linalg.svdvals(matrix)[:, 0]
    torch.testing.assert_close(d.max(dim=1).values, largest, rtol=1e-5, atol=0)


# Whole distributions


def bimodal_case() -> tuple[Tensor, Tensor, Tensor]:
    """Return a face of blobs, a picture of two colours, and a hard region."""
    blobs = pictures(4, 5)
    two = torch.where(pictures(6, 7)[:, :1] > 0.52, 0.75, 0.25) * torch.tensor([1.0, 0.8, 0.6])[
        :, None, None
    ] + 0.05 * (pictures(8, 9) - 0.5)
    return blobs, two, (regions(2) > 0.5).float()


@transport_modes
def test_every_quantile_of_every_channel_is_met(mode: ColourMode) -> None:
    face, region, like, like_region = case()
    hard, like_hard = (region > 0.5).float(), (like_region > 0.5).float()
    moved = fit_colour(mode, face, hard, like, like_hard)(face)
    off = (quantiles(moved, hard) - quantiles(like, like_hard)).abs()
    assert float(off.mean()) < 1.5 / 255
    assert float(off.max()) < 6 / 255


@pytest.mark.parametrize(("mode", "left"), [("idt", 0.0), ("sot", (1.0 - SOT_STEP) ** 4)])
def test_a_lifted_picture_is_reached_in_steps(mode: ColourMode, left: float) -> None:
    assert TURNS / SOT_TOGETHER == 4
    face, region, _, _ = case()
    moved = fit_colour(mode, face, region, face + 0.2, region)(face)
    want = torch.full_like(face, 0.2 * left)
    torch.testing.assert_close(face + 0.2 - moved, want, atol=1e-5, rtol=0)


@transport_modes
def test_two_colours_are_told_apart_where_mean_and_spread_fail(mode: ColourMode) -> None:
    face, like, region = bimodal_case()
    want = quantiles(like, region)

    def off(recolour: ColourMap) -> float:
        return float((quantiles(recolour(face), region) - want).abs().mean())

    assert off(fit_colour(mode, face, region, like, region)) < 0.5 * off(
        fit_colour("rct", face, region, like, region)
    )


def test_draws_come_from_the_generator_alone() -> None:
    assert draw_colour(2, generator(5)).shape == (2, DRAWS)
    assert torch.equal(draw_colour(2, generator(5)), draw_colour(2, generator(5)))


@transport_modes
def test_other_draws_give_almost_the_same_map(mode: ColourMode) -> None:
    faces = case()
    one, two = (
        fit_colour(mode, *faces, draws_BK=draw_colour(3, generator(seed)))(faces[0])
        for seed in (1, 2)
    )
    assert 0.0 < float((one - two).abs().mean()) < 2 / 255


def test_pixels_are_drawn_as_often_as_they_count() -> None:
    weight = torch.tensor([0.0, 1.0, 0.0, 3.0, 0.0]).view(1, 1, 5)
    cloud = Cloud(torch.arange(5.0).expand(1, 3, 5), weight)
    ends = torch.tensor([0.0, 1.0 - 2.0**-24])[:, None].expand(2, 400)
    for uniform in (*ends, torch.rand(400, generator=generator())):
        drawn = cloud.draw(uniform[None])[0, 0]
        assert set(drawn.tolist()) == {1.0, 3.0}
        assert int((drawn == 3.0).sum()) == pytest.approx(300, abs=1)


def test_rotations_are_rotations_to_everywhere() -> None:
    turns = rotations(torch.rand(1, 4000, 3, generator=generator()))[0]
    torch.testing.assert_close(turns @ turns.mT, torch.eye(3).expand_as(turns), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(turns), torch.ones(4000), atol=1e-5, rtol=0)
    # The mean of 4000 entries that spread by 0.58 is known to within 0.01.
    assert float(turns.mean(dim=0).abs().max()) < 0.04
    torch.testing.assert_close(
        turns.square().mean(dim=0), torch.full((3, 3), 1 / 3), atol=0.03, rtol=0
    )
