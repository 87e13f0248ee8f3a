import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from faceswap_cli.models import Faces
from faceswap_cli.training.losses import dssim, gaussian, redraw_terms, soften
from faceswap_cli.training.structure import SCALE_WEIGHTS, ms_ssim, num_scales


def noise(seed: int, channels: int = 3, side: int = 48) -> Tensor:
    return torch.rand(2, channels, side, side, generator=torch.Generator().manual_seed(seed))


def faces(mask: Tensor, parts: Tensor | None = None) -> Faces:
    return Faces(img=noise(0), lms=torch.zeros(2, 68, 2), mask=mask, parts=parts)


def test_dssim_agrees_with_scikit_image() -> None:
    a, b = noise(0), (noise(0) + 0.3 * noise(1)).clamp(0, 1)
    for row in range(2):
        x, y = (t[row].permute(1, 2, 0).numpy().astype(np.float64) for t in (a, b))
        _, full = structural_similarity(
            x,
            y,
            channel_axis=2,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        expected = (1.0 - full[5:-5, 5:-5].mean()) / 2.0
        assert float(dssim(a, b)[row]) == pytest.approx(expected, abs=1e-5)


def test_equal_pictures_differ_by_nothing() -> None:
    torch.testing.assert_close(dssim(noise(0), noise(0)), torch.zeros(2), atol=1e-6, rtol=0)


def test_dssim_of_a_picture_smaller_than_the_window() -> None:
    assert torch.isfinite(dssim(noise(0, side=8), noise(1, side=8))).all()


def test_what_is_far_outside_the_mask_costs_nothing() -> None:
    mask = torch.zeros(2, 1, 48, 48)
    mask[:, :, 16:32, 16:32] = 1.0
    other = noise(0)
    other[:, :, :6] = 1.0 - other[:, :, :6]
    same = redraw_terms(noise(0), mask, faces(mask))
    outside = redraw_terms(other, mask, faces(mask))
    torch.testing.assert_close(same["dssim"], outside["dssim"])
    torch.testing.assert_close(same["mse"], outside["mse"])


def test_what_is_inside_the_mask_costs() -> None:
    mask = torch.ones(2, 1, 48, 48)
    terms = redraw_terms(noise(1), 1.0 - mask, faces(mask))
    assert all(float(value.min()) > 0.01 for value in terms.values())


def test_eyes_and_mouth_cost_where_they_are() -> None:
    mask, parts = torch.ones(2, 1, 48, 48), torch.zeros(2, 1, 48, 48)
    parts[:, :, :24] = 1.0
    below = noise(0)
    below[:, :, 24:] = 0.0
    terms = redraw_terms(below, mask, faces(mask, parts))
    assert float(terms["eyes_mouth"].max()) == 0.0
    terms = redraw_terms(below, mask, faces(mask, 1.0 - parts))
    assert float(terms["eyes_mouth"].min()) > 0.1
    assert "eyes_mouth" not in redraw_terms(below, mask, faces(mask))


def test_softening_keeps_the_inside_and_ends_outside() -> None:
    mask = torch.zeros(1, 1, 64, 64)
    mask[:, :, 20:44, 20:44] = 1.0
    soft = soften(mask)
    torch.testing.assert_close(soft[:, :, 24:40, 24:40], torch.ones(1, 1, 16, 16))
    assert float(soft[:, :, :12].max()) == 0.0


def test_blur_keeps_a_constant_and_the_mean() -> None:
    flat = torch.full((1, 1, 20, 20), 0.7)
    torch.testing.assert_close(gaussian(flat, sigma=1.5, taps=11, pad=True), flat)
    assert gaussian(flat, sigma=1.5, taps=11, pad=False).shape == (1, 1, 10, 10)


def test_a_term_that_is_not_wanted_is_not_there() -> None:
    mask = torch.ones(2, 1, 48, 48)
    terms = redraw_terms(noise(1), mask, faces(mask, mask), {"dssim": dssim}, outline=False)
    assert set(terms) == {"dssim", "eyes_mouth"}
    terms = redraw_terms(noise(1), mask, faces(mask, mask), {}, parts=False)
    assert set(terms) == {"mask"}


def filtered(x: np.ndarray) -> np.ndarray:
    """Blur rows, then columns, by 11 taps of sigma 1.5; whole windows alone."""
    window = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    for axis in (0, 1):
        x = np.apply_along_axis(np.convolve, axis, x, window / window.sum(), mode="valid")
    return x


def similarity_at_each_scale(x: np.ndarray, y: np.ndarray) -> float:
    """MS-SSIM of two grey pictures of side 64, written out: three scales fit."""
    weights, product = np.array([0.0448, 0.2856, 0.3001]), 1.0
    for scale, weight in enumerate(weights / weights.sum()):
        mean_x, mean_y = filtered(x), filtered(y)
        var_x = filtered(x * x) - mean_x**2
        var_y = filtered(y * y) - mean_y**2
        covariance = filtered(x * y) - mean_x * mean_y
        similar = (2 * covariance + 0.03**2) / (var_x + var_y + 0.03**2)
        if scale == 2:
            similar *= (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
        product *= similar.mean() ** weight
        x, y = (z.reshape(len(z) // 2, 2, -1, 2).mean(axis=(1, 3)) for z in (x, y))
    return float(product)


def test_ms_ssim_is_what_its_formula_says() -> None:
    a, b = noise(0, side=64), (noise(0, side=64) + 0.3 * noise(1, side=64)).clamp(0, 1)
    for row in range(2):
        pairs = zip(a[row].double().numpy(), b[row].double().numpy(), strict=True)
        similar = np.mean([similarity_at_each_scale(x, y) for x, y in pairs])
        assert float(ms_ssim(a, b)[row]) == pytest.approx((1.0 - similar) / 2.0, abs=1e-5)


def test_ms_ssim_takes_the_scales_that_fit() -> None:
    # 11 taps: 176 / 16 = 11 is the narrowest fifth scale.
    assert [num_scales(side) for side in (512, 176, 175, 128, 64, 11, 8)] == [5, 5, 4, 4, 3, 1, 1]
    assert sum(SCALE_WEIGHTS) == pytest.approx(1.0, abs=1e-3)
    a, b = noise(0, side=16), (noise(0, side=16) + noise(1, side=16)) / 2
    torch.testing.assert_close(ms_ssim(a, b), dssim(a, b))


def test_ms_ssim_is_a_distance() -> None:
    a, b = noise(0, side=64), noise(1, side=64)
    torch.testing.assert_close(ms_ssim(a, a), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(ms_ssim(a, b), ms_ssim(b, a))
    assert float(ms_ssim(a, b).min()) > 0.1


def test_ms_ssim_of_an_inverted_picture_still_teaches() -> None:
    # Every structure is negative there: it has no real root.
    drawn = (1.0 - noise(0, side=64)).requires_grad_()
    ms_ssim(drawn, noise(0, side=64)).sum().backward()
    assert drawn.grad is not None
    assert torch.isfinite(drawn.grad).all()


def test_ms_ssim_sees_shading_where_dssim_hardly_does() -> None:
    # Grain against a slow wave of light: the narrow window minds the grain more (measured:
    # 0.051 and 0.043), several scales the light (0.024 and 0.277).
    picture = 0.3 + 0.2 * noise(0, side=128)
    lit = picture + 0.2 * torch.sin(torch.linspace(0, 6.28, 128))
    grainy = picture + 0.1 * (noise(1, side=128) - 0.5)
    assert dssim(picture, grainy).mean() > dssim(picture, lit).mean()
    assert ms_ssim(picture, lit).mean() > 5 * ms_ssim(picture, grainy).mean()
