import torch

from faceswap_cli.training.losses import mse
from faceswap_cli.training.structure import texture


def stripes(side: int, at: int) -> torch.Tensor:
    """Return vertical lines every 4 px, from column `at` on."""
    img = torch.full((1, 3, side, side), 0.5)
    img[..., at::4] = 0.7
    return img


def test_equal_pictures_have_no_distance() -> None:
    img = torch.rand(2, 3, 32, 32)
    assert torch.equal(texture(img, img), torch.zeros(2))


def test_detail_elsewhere_costs_less_than_no_detail() -> None:
    """What mse says the other way round: for it, grey is the best guess."""
    true, moved = stripes(64, 0), stripes(64, 2)
    flat = torch.full_like(true, float(true.mean()))
    assert texture(moved, true) < 0.3 * texture(flat, true)
    assert mse(moved, true) > mse(flat, true)


def test_it_is_symmetric_and_one_value_a_picture() -> None:
    a, b = torch.rand(3, 3, 32, 32), torch.rand(3, 3, 32, 32)
    assert texture(a, b).shape == (3,)
    assert torch.equal(texture(a, b), texture(b, a))


def test_smooth_shading_is_no_texture() -> None:
    ramp = torch.linspace(0.2, 0.8, 64).expand(1, 3, 64, 64)
    inner = (..., slice(8, -8), slice(8, -8))
    assert texture(ramp[inner], torch.full_like(ramp, 0.5)[inner]) < 1e-3


def test_a_flat_picture_gets_a_finite_gradient() -> None:
    flat = torch.full((1, 3, 32, 32), 0.5, requires_grad=True)
    texture(flat, torch.rand(1, 3, 32, 32)).sum().backward()
    assert flat.grad is not None
    assert flat.grad.isfinite().all()
