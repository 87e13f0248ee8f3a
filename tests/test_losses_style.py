"""The terms that look at swaps, and what is done to the surroundings of a face."""

import numpy as np
import pytest
import torch
from torch import Tensor

from faceswap_cli.training.losses import dssim, mse
from faceswap_cli.training.style import (
    background_style,
    blur_out,
    cut_out,
    face_style,
    joint_mask,
    unlikeness,
)

SIDE = 32


def noise(seed: int, channels: int = 3, count: int = 2, side: int = SIDE) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, side, side, generator=generator)


def disc(radius: float = 10.0) -> Tensor:
    at = torch.arange(SIDE) - (SIDE - 1) / 2
    return (at[:, None] ** 2 + at**2 < radius**2).float().expand(2, 1, SIDE, SIDE).clone()


def blurred(x: np.ndarray, sigma: float, half: int) -> np.ndarray:
    """Blur a grey picture, its border repeated."""
    window = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    x = np.pad(x, half, mode="edge")
    for axis in (0, 1):
        x = np.apply_along_axis(np.convolve, axis, x, window / window.sum(), mode="valid")
    return x


def test_face_style_compares_mean_and_spread_of_blurred_colours() -> None:
    a, b = noise(0), 0.5 * noise(1)
    for row in range(2):
        apart = 0.0
        for x, y in zip(a[row].double().numpy(), b[row].double().numpy(), strict=True):
            x, y = blurred(x, SIDE / 8, 8), blurred(y, SIDE / 8, 8)
            apart += (x.mean() - y.mean()) ** 2 + (x.std() - y.std()) ** 2
        assert float(face_style(a, b)[row]) == pytest.approx(100.0 * apart / 3.0, rel=1e-3)


def test_face_style_sees_light_and_no_detail() -> None:
    detail = noise(0)
    other_detail = noise(1)
    darker = face_style(detail, 0.7 * detail)
    assert float(darker.min()) > 20 * float(face_style(detail, other_detail).max())
    torch.testing.assert_close(face_style(detail, detail), torch.zeros(2))


def test_background_style_counts_nothing_inside() -> None:
    mask, dst = disc(), noise(0)
    inside = dst * (1.0 - mask) + noise(1) * mask
    torch.testing.assert_close(
        background_style(inside, dst, mask), torch.zeros(2), atol=1e-6, rtol=0
    )
    outside = dst * mask + noise(1) * (1.0 - mask)
    a, b = outside * (1.0 - mask), dst * (1.0 - mask)
    expected = 0.1 * (dssim(a, b) + mse(a, b))
    torch.testing.assert_close(background_style(outside, dst, mask), expected)


def test_what_a_merge_pastes_is_where_both_masks_are() -> None:
    a, b = disc(10).requires_grad_(), disc(6)
    assert torch.equal(joint_mask(a, b), disc(6))
    assert not joint_mask(a, b).requires_grad


def test_a_cut_out_face_teaches_no_mask() -> None:
    face, mask = noise(0).requires_grad_(), disc().requires_grad_()
    cut_out(face, mask).sum().backward()
    assert face.grad is not None
    assert mask.grad is None
    assert float(cut_out(face, mask)[:, :, 0].detach().abs().max()) == 0.0


def test_blurring_out_follows_its_formula() -> None:
    # sigma = H / 128: 1 pixel here, 5 taps.
    img, side = noise(0, count=1, side=128), 128
    mask = torch.zeros(1, 1, side, side)
    mask[..., 40:90, 30:100] = 1.0
    m = mask[0, 0].double().numpy()
    rest = 1.0 - blurred(m, 1.0, 2)
    found = blur_out(img, mask)[0].double().numpy()
    for channel in range(3):
        x = img[0, channel].double().numpy()
        around = blurred(x * (1.0 - m), 1.0, 2) / np.where(rest < 1e-9, 1.0, rest)
        np.testing.assert_allclose(found[channel], x * m + around * (1.0 - m), atol=1e-5)


def test_blurring_out_keeps_the_face_and_lets_nothing_of_it_out() -> None:
    mask = disc()
    img = 0.25 * (1.0 - mask) + noise(0) * mask
    found = blur_out(img, mask)
    torch.testing.assert_close(found * mask, img * mask)
    torch.testing.assert_close(found * (1.0 - mask), 0.25 * (1.0 - mask).expand(2, 3, SIDE, SIDE))
    whole = torch.ones(2, 1, SIDE, SIDE)
    torch.testing.assert_close(blur_out(img, whole), img)
    assert torch.isfinite(blur_out(img, 0 * whole)).all()


def people(seed: int, *, strong: slice) -> Tensor:
    """Features of 8 faces; which channels are strong tells who it is."""
    features = noise(seed, 8, 8, 4)
    features[:, strong] *= 3.0
    return features


SRC, DST = people(0, strong=slice(4)), people(1, strong=slice(4, 8))


def test_unlikeness_tells_who_it_is() -> None:
    torch.testing.assert_close(unlikeness(SRC, SRC, DST), torch.zeros(8))
    same, other = (
        unlikeness(people(2, strong=strong), SRC, DST) for strong in (slice(4), slice(4, 8))
    )
    assert same.shape == (8,)
    assert float(same[0]) < 0.1
    assert float(other[0]) == pytest.approx(1.0, abs=0.2)


def test_unlikeness_does_not_mind_where_in_the_picture_or_in_the_batch() -> None:
    moved = SRC.roll((1, 2), dims=(2, 3)).flip(0)
    torch.testing.assert_close(unlikeness(moved, SRC, DST), torch.zeros(8))


def test_what_varies_among_faces_of_one_person_counts_little() -> None:
    src, dst = SRC.clone(), DST.clone()
    src[:, 0] += torch.linspace(-2, 2, 8).view(8, 1, 1)  # a pose, say
    nudged = [src.clone() for _ in range(2)]
    nudged[0][:, 0] += 0.5
    nudged[1][:, 1] += 0.5
    pose, person = (float(unlikeness(x, src, dst)[0]) for x in nudged)
    assert person > 20 * pose


def test_unlikeness_does_not_mind_the_scale_of_features() -> None:
    found = [unlikeness(s * people(2, strong=slice(6)), s * SRC, s * DST) for s in (1.0, 100.0)]
    torch.testing.assert_close(*found)


def test_unlikeness_teaches_swaps_alone_and_flat_ones_too() -> None:
    swap, src, dst = torch.zeros(8, 8, 4, 4), SRC.clone(), DST.clone()
    for features in (swap, src, dst):
        features.requires_grad_()
    unlikeness(swap, src, dst).sum().backward()
    assert src.grad is None
    assert dst.grad is None
    assert swap.grad is not None
    assert torch.isfinite(swap.grad).all()
    assert torch.isfinite(unlikeness(swap[:1], src[:1], dst[:1])).all()
    assert torch.isfinite(unlikeness(swap, swap, swap)).all()


def test_a_face_costs_the_same_in_any_batch() -> None:
    a, b, mask = noise(0), noise(1), disc()
    for term in (face_style, lambda x, y: background_style(x, y, mask[: len(x)])):
        torch.testing.assert_close(term(a, b)[:1], term(a[:1], b[:1]))
