import numpy as np
import torch

from faceswap_cli.training.augment import COVER, draw_views, sample, tint


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


NO_FLIP = torch.zeros(64, dtype=torch.bool)


def test_warp_moves_x_and_y_independently() -> None:
    # DeepFaceLab's y field is the transpose of its x field: their correlation is 1.
    views = draw_views(64, 32, move=1.0, warp=1.0, flips=NO_FLIP, generator=generator())
    moved = (views.warped - views.plain).numpy()
    x, y = moved[..., 0], np.swapaxes(moved[..., 1], 1, 2)
    assert abs(np.corrcoef(x.ravel(), y.ravel())[0, 1]) < 0.2


def test_no_warp_leaves_the_view_alone() -> None:
    views = draw_views(4, 16, move=1.0, warp=0.0, flips=NO_FLIP[:4], generator=generator())
    torch.testing.assert_close(views.plain, views.warped)


def test_warp_is_of_the_stated_size_and_ends_at_the_border() -> None:
    views = draw_views(64, 64, move=1.0, warp=1.0, flips=NO_FLIP, generator=generator())
    moved = (views.warped - views.plain).norm(dim=-1) * COVER / 2.0  # in sides of the view
    assert 0.01 < float(moved[:, 16:48, 16:48].mean()) < 0.08
    assert float(moved[:, :1].max()) < 0.02


def test_a_flip_mirrors_the_view() -> None:
    views = draw_views(
        2, 16, move=1.0, warp=0.0, flips=torch.tensor([False, True]), generator=generator()
    )
    steps = views.plain[:, 8, 9] - views.plain[:, 8, 8]
    assert float(steps[0, 0]) > 0 > float(steps[1, 0])


def test_no_view_leaves_its_canvas_far() -> None:
    views = draw_views(64, 16, move=1.0, warp=0.0, flips=NO_FLIP, generator=generator())
    assert float(views.plain.abs().max()) < 1.2


def test_same_seed_same_views() -> None:
    one = draw_views(4, 16, move=1.0, warp=1.0, flips=NO_FLIP[:4], generator=generator(3))
    two = draw_views(4, 16, move=1.0, warp=1.0, flips=NO_FLIP[:4], generator=generator(3))
    assert torch.equal(one.warped, two.warped)


def test_tint_changes_each_picture_by_its_own_amount_and_stays_in_range() -> None:
    img = torch.rand(4, 3, 8, 8, generator=generator())
    out = tint(img, strength=0.2, generator=generator(1))
    means = (out - img).mean(dim=(1, 2, 3))
    assert len({round(float(m), 4) for m in means}) == 4
    assert 0.0 <= float(out.min()) <= float(out.max()) <= 1.0
    assert tint(img, strength=0.0, generator=generator(1)) is img


def test_sampling_the_identity_returns_the_canvas() -> None:
    canvas = torch.rand(1, 3, 16, 16, generator=generator())
    centres = (torch.arange(16) + 0.5) / 8 - 1
    grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1)[None]
    for mode in ("bilinear", "bicubic"):
        torch.testing.assert_close(sample(canvas, grid, mode=mode), canvas, atol=1e-5, rtol=0)
