"""Colour transfer by numbers: one law with colour.fit_colour, means over time, and mix."""

from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from faceswap_cli.colour import (
    MAX_RATIO,
    ColourMode,
    fit_colour,
    lab_from_rgb,
    rgb_from_lab,
)
from faceswap_cli.merging.look import ColourName
from faceswap_cli.merging.recolour import mean_numbers, measure_colour, recolour
from tests.test_colour import case, pictures, quantiles, regions

NAMES: tuple[ColourName, ...] = get_args(ColourName)
MODES: tuple[ColourMode, ...] = get_args(ColourMode)
every_name = pytest.mark.parametrize("mode", [name for name in NAMES if name != "none"])
TABLES = ("idt", "sot", "mix")


def recoloured(
    mode: ColourName, face: Tensor, region: Tensor, like: Tensor, where: Tensor
) -> Tensor:
    return recolour(mode, face, measure_colour(mode, face, region, like, where))


def lab_moments(img: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and spread of CIELAB, (B, 3) each."""
    lab, total = lab_from_rgb(img), region.sum(dim=(2, 3))
    mean = (lab * region).sum(dim=(2, 3)) / total
    apart = lab - mean[:, :, None, None]
    return mean, ((apart**2 * region).sum(dim=(2, 3)) / total).sqrt()


@pytest.mark.parametrize("mode", MODES)
def test_numbers_make_the_map_that_training_uses(mode: ColourMode) -> None:
    faces = case()
    want = fit_colour(mode, *faces)(faces[0])
    torch.testing.assert_close(recoloured(mode, *faces), want, atol=1e-5, rtol=0)
    assert float((want - faces[0]).abs().mean()) > 0.05


def test_none_changes_nothing() -> None:
    faces = case()
    numbers = measure_colour("none", *faces)
    assert numbers.shape == (3, 1)
    assert bool((numbers > 0.0).all())
    assert torch.equal(recolour("none", faces[0], numbers), faces[0])


@every_name
def test_column_0_is_the_part_that_the_smaller_region_takes(mode: ColourName) -> None:
    face, region, like, _ = case()
    few = torch.zeros(3, 1, 40, 40)
    few[0, :, :8, :8], few[1, :, :3, :5], few[2] = 1.0, 1.0, 1.0
    weights = measure_colour(mode, face, region, like, few)[:, 0]
    torch.testing.assert_close(
        weights, torch.tensor([64 / 1600, 0.0, float(region[2].mean())]), atol=1e-5, rtol=0
    )
    moved = recoloured(mode, face, region, like, few)
    assert torch.equal(moved[1], face[1])  # 15 pixels tell nothing
    assert not torch.equal(moved[0], face[0])


@every_name
@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_one_colour_tells_nothing_but_a_mean(mode: ColourName, value: float) -> None:
    face, region, like, like_region = case()
    flat = torch.full_like(like, value)
    numbers = measure_colour(mode, face, region, flat, like_region)
    assert bool(torch.isfinite(numbers).all())
    assert bool((numbers[:, 0] > 0.0).all()) == (mode == "rct")
    moved = recolour(mode, face, numbers)
    assert bool(torch.isfinite(moved).all())
    assert torch.equal(moved, face) == (mode != "rct")


@every_name
def test_pixels_outside_of_the_regions_have_no_influence(mode: ColourName) -> None:
    face, region, like, like_region = case()
    wild_face, wild_like = face.clone(), like.clone()
    wild_face[(region == 0).expand_as(face)] = 0.0
    wild_like[(like_region == 0).expand_as(like)] = 1.0
    got = recolour(mode, face, measure_colour(mode, wild_face, region, wild_like, like_region))
    want = recoloured(mode, face, region, like, like_region)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)


# Means over time


@every_name
def test_mean_of_one_face_or_of_equal_ones_is_that_face(mode: ColourName) -> None:
    numbers = measure_colour(mode, *case()).numpy()
    for weights in ([0.3], [0.3, 1.0, 0.7]):
        alike = np.repeat(numbers[:1], len(weights), axis=0)
        assert np.array_equal(mean_numbers(alike, np.array(weights)), numbers[0])


@every_name
def test_faces_that_tell_nothing_do_not_count(mode: ColourName) -> None:
    numbers = measure_colour(mode, *case()).numpy()[:2]
    nothing = np.full_like(numbers[:1], np.nan)
    nothing[:, 0] = 0.0
    got = mean_numbers(np.concatenate([nothing, numbers]), np.array([5.0, 1.0, 1.0]))
    want = mean_numbers(numbers, np.array([1.0, 1.0]))
    assert np.array_equal(got[1:], want[1:])
    assert got[0] == pytest.approx(numbers[:, 0].sum() / 7.0)


@every_name
def test_mean_of_nothing_leaves_the_face(mode: ColourName) -> None:
    face, region, like, like_region = case()
    numbers = measure_colour(mode, face, 0.0 * region, like, like_region).numpy()
    assert np.isfinite(numbers).all()
    mean = mean_numbers(numbers, np.ones(3))
    assert mean[0] == 0.0
    assert torch.equal(recolour(mode, face[:1], torch.from_numpy(mean)[None]), face[:1])


def test_larger_regions_count_more() -> None:
    numbers = np.array([[0.1, 0.0], [0.3, 1.0]], np.float32)
    np.testing.assert_allclose(mean_numbers(numbers, np.ones(2)), [0.2, 0.75], rtol=1e-6)
    np.testing.assert_allclose(mean_numbers(numbers, np.array([3.0, 1.0])), [0.15, 0.5], rtol=1e-6)


@pytest.mark.parametrize("mode", ["idt", "sot"])
def test_map_of_the_mean_is_the_mean_of_the_maps(mode: ColourName) -> None:
    numbers = measure_colour(mode, *case())
    numbers[:, 0] = 0.2
    face = 0.25 + 0.5 * pictures(7)
    mean = torch.from_numpy(mean_numbers(numbers.numpy(), np.ones(3)))[None]
    each = [recolour(mode, face, one[None]) for one in numbers]
    free = [(one > 0.0) & (one < 1.0) for one in each]
    inside = free[0] & free[1] & free[2]
    assert float(inside.float().mean()) > 0.5
    want = torch.stack(each).mean(dim=0)[inside]
    torch.testing.assert_close(recolour(mode, face, mean)[inside], want, atol=1e-5, rtol=0)


@every_name
def test_map_of_the_mean_of_two_moments_lies_between(mode: ColourName) -> None:
    face, region, like, like_region = (part[:1] for part in case())
    lights = torch.cat([0.8 * like, 0.9 * like])
    both = [part.expand(2, -1, -1, -1) for part in (face, region, lights, like_region)]
    numbers = measure_colour(mode, *both)
    mean = torch.from_numpy(mean_numbers(numbers.numpy(), np.ones(2)))[None]
    dark, bright = (float(part.mean()) for part in recolour(mode, both[0], numbers))
    assert bright - dark > 0.02
    middle = float(recolour(mode, face, mean).mean())
    assert middle == pytest.approx((dark + bright) / 2.0, abs=0.003)


# Sliced transport


def sliced(face: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Return (3, N) colours moved onto others as the paper has it: project, sort, advance."""
    rng = np.random.default_rng(0)
    moved = face.copy()
    for _ in range(60):
        step = np.zeros_like(moved)
        for _ in range(4):
            axis = rng.normal(size=3)
            axis /= np.linalg.norm(axis)
            order = np.argsort(axis @ moved)
            gap = np.sort(axis @ like) - (axis @ moved)[order]
            step[:, order] += axis[:, None] * gap / 4.0
        moved += step
    return moved


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Return the mean distance of sorted projections, over 30 directions."""
    axes = np.random.default_rng(1).normal(size=(30, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    return float(np.abs(np.sort(axes @ one) - np.sort(axes @ other)).mean())


@pytest.mark.parametrize("mode", ["idt", "sot"])
def test_transport_ends_where_the_plain_one_does(mode: ColourName) -> None:
    face, like = pictures(1), 0.8 * pictures(11, spread=0.6)
    whole = torch.ones(1, 1, 48, 48)
    moved = recoloured(mode, face, whole, like, whole)
    pixels = [part[0].flatten(1).double().numpy() for part in (face, like, moved)]
    before = apart(pixels[0], pixels[1])
    plain = apart(sliced(pixels[0], pixels[1]), pixels[1])
    assert plain < 0.01 * before
    assert apart(pixels[2], pixels[1]) < 0.06 * before


# Lightness and chroma apart


def test_mix_leaves_a_picture_like_itself() -> None:
    face, region, _, _ = case()
    moved = recoloured("mix", face, region, face, region)
    torch.testing.assert_close(moved, face, atol=1e-4, rtol=0)


def lightness_case() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a case whose spreads of lightness differ by less than the bound."""
    face, region, _, _ = case()
    light = lab_from_rgb(face.flip(3))[:, :1] * 1.08 - 2.0
    chroma = lab_from_rgb(pictures(11, 12, 13, spread=0.45))[:, 1:] * 0.9
    chroma = chroma + torch.tensor([4.0, 9.0])[:, None, None]
    return face, region, rgb_from_lab(torch.cat([light, chroma], dim=1)), region.flip(3)


def test_mix_gives_lightness_its_mean_and_spread() -> None:
    face, region, like, like_region = lightness_case()
    (mean, spread), (want_mean, want_spread) = (
        lab_moments(recoloured("mix", face, region, like, like_region), region),
        lab_moments(like, like_region),
    )
    assert float((lab_moments(face, region)[0] - want_mean)[:, 0].abs().min()) > 1.0
    torch.testing.assert_close(mean[:, 0], want_mean[:, 0], atol=0.3, rtol=0)
    torch.testing.assert_close(spread[:, 0], want_spread[:, 0], atol=0.0, rtol=0.05)


def test_mix_gives_chroma_its_whole_distribution() -> None:
    face, region, like, like_region = lightness_case()
    hard, like_hard = (region > 0.5).float(), (like_region > 0.5).float()
    moved = recoloured("mix", face, hard, like, like_hard)
    wanted = quantiles(lab_from_rgb(like), like_hard)[:, 1:]
    before, after = (
        (quantiles(lab_from_rgb(img), hard)[:, 1:] - wanted).abs().mean() for img in (face, moved)
    )
    assert float(before) > 5.0
    assert float(after) < 0.6


def test_mix_stretches_lightness_within_bounds() -> None:
    face, region, _, _ = case()
    dull = 0.5 + 0.2 * (face - 0.5)
    moved = recoloured("mix", dull, region, face, region)
    ratio = lab_moments(moved, region)[1][:, 0] / lab_moments(dull, region)[1][:, 0]
    torch.testing.assert_close(ratio, torch.full((3,), MAX_RATIO), atol=0.0, rtol=0.02)


def test_mix_of_a_face_depends_on_its_own_pixels_alone() -> None:
    faces = case()
    part = [one[1:] for one in faces]
    torch.testing.assert_close(
        recoloured("mix", *part), recoloured("mix", *faces)[1:], atol=1e-5, rtol=0
    )


def test_mix_looks_at_colours_not_at_places() -> None:
    face, region, like, like_region = case()
    numbers = measure_colour("mix", face, region, like, like_region)
    whole = recolour("mix", face, numbers)
    part = recolour("mix", face[:, :, 5:25, 7:41], numbers)
    torch.testing.assert_close(part, whole[:, :, 5:25, 7:41], atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", TABLES)
def test_bf16_around_it_changes_nothing(mode: ColourName) -> None:
    faces = case()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = recoloured(mode, *faces)
    assert torch.equal(got, recoloured(mode, *faces))


def test_regions_may_be_of_other_sizes_than_each_other() -> None:
    face, region, like, _ = case()
    small = regions(3, 40)
    big, big_region = (
        part.repeat_interleave(3, 2).repeat_interleave(3, 3) for part in (like, small)
    )
    got = recoloured("mix", face, region, big, big_region)
    want = recoloured("mix", face, region, like, small)
    torch.testing.assert_close(got, want, atol=0.02, rtol=0)
