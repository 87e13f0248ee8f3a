import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from faceswap_cli.models import Faces
from faceswap_cli.training.losses import dssim, gaussian, redraw_terms, soften


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
