import numpy as np
import torch

from faceswap_cli.training.augment import COVER, TINTS, Views, draw, sample, tint, views


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw_views(batch: int, side: int, *, move: float, warp: float, flip: float = 0.0) -> Views:
    draws = draw(batch, move=move, warp=warp, flip=flip, generator=generator())
    return views(draws, side)


def tints(batch: int) -> torch.Tensor:
    return torch.rand(batch, TINTS, generator=generator(1)) * 2 - 1


def test_warp_moves_x_and_y_independently() -> None:
    # DeepFaceLab's y field is the transpose of its x field: their correlation is 1.
    seen = draw_views(64, 32, move=1.0, warp=1.0)
    moved = (seen.warped - seen.plain).numpy()
    x, y = moved[..., 0], np.swapaxes(moved[..., 1], 1, 2)
    assert abs(np.corrcoef(x.ravel(), y.ravel())[0, 1]) < 0.2


def test_no_warp_leaves_the_view_alone() -> None:
    seen = draw_views(4, 16, move=1.0, warp=0.0)
    torch.testing.assert_close(seen.plain, seen.warped)


def test_warp_is_of_the_stated_size_and_ends_at_the_border() -> None:
    seen = draw_views(64, 64, move=1.0, warp=1.0)
    moved = (seen.warped - seen.plain).norm(dim=-1) * COVER / 2.0  # in sides of the view
    assert 0.01 < float(moved[:, 16:48, 16:48].mean()) < 0.08
    assert float(moved[:, :1].max()) < 0.02


def test_a_flip_mirrors_the_view() -> None:
    for flip, sign in ((0.0, 1.0), (1.0, -1.0)):
        seen = draw_views(4, 16, move=1.0, warp=0.0, flip=flip)
        steps = seen.plain[:, 8, 9] - seen.plain[:, 8, 8]
        assert float((sign * steps[:, 0]).min()) > 0


def test_no_view_leaves_its_canvas_far() -> None:
    seen = draw_views(64, 16, move=1.0, warp=0.0)
    assert float(seen.plain.abs().max()) < 1.2


def test_same_seed_same_views() -> None:
    one, two = (draw_views(4, 16, move=1.0, warp=1.0) for _ in range(2))
    assert torch.equal(one.warped, two.warped)


def test_tint_changes_each_picture_by_its_own_amount_and_stays_in_range() -> None:
    img = torch.rand(4, 3, 8, 8, generator=generator())
    out = tint(img, tints(4), strength=0.2, hue_deg=20.0)
    means = (out - img).mean(dim=(1, 2, 3))
    assert len({round(float(m), 4) for m in means}) == 4
    assert 0.0 <= float(out.min()) <= float(out.max()) <= 1.0
    assert tint(img, tints(4), strength=0.0, hue_deg=0.0) is img


def one_tint(number: int) -> torch.Tensor:
    chosen = torch.zeros(1, TINTS)
    chosen[0, number] = 1.0
    return chosen


def test_hue_turns_colours_and_leaves_grey_and_brightness() -> None:
    grey = torch.full((1, 3, 4, 4), 0.4)
    torch.testing.assert_close(tint(grey, one_tint(3), strength=0.0, hue_deg=40.0), grey)
    img = 0.3 + 0.4 * torch.rand(1, 3, 4, 4, generator=generator())
    out = tint(img, one_tint(3), strength=0.0, hue_deg=9.0)
    torch.testing.assert_close(out.mean(dim=1), img.mean(dim=1))
    before, after = img - img.mean(dim=1, keepdim=True), out - out.mean(dim=1, keepdim=True)
    cosine = (before * after).sum(dim=1) / (before.norm(dim=1) * after.norm(dim=1))
    torch.testing.assert_close(
        torch.rad2deg(torch.acos(cosine)), torch.full((1, 4, 4), 9.0), atol=1e-3, rtol=0
    )


def test_contrast_keeps_the_mean_and_saturation_keeps_grey() -> None:
    img = 0.4 + 0.2 * torch.rand(1, 3, 8, 8, generator=generator())
    out = tint(img, one_tint(1), strength=0.1, hue_deg=0.0)
    torch.testing.assert_close(out.mean(), img.mean())
    torch.testing.assert_close(out.std(), 1.2 * img.std())
    out = tint(img, one_tint(2), strength=0.1, hue_deg=0.0)
    torch.testing.assert_close(out.mean(dim=1), img.mean(dim=1))


def test_sampling_the_identity_returns_the_canvas() -> None:
    canvas = torch.rand(1, 3, 16, 16, generator=generator())
    centres = (torch.arange(16) + 0.5) / 8 - 1
    grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1)[None]
    for mode in ("bilinear", "bicubic"):
        torch.testing.assert_close(
            sample(255.0 * canvas, grid, mode=mode), canvas, atol=1e-5, rtol=0
        )
