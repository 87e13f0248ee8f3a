import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from faceswap_cli.training.damage import Damage, blur, damage, draw_damage, jpeg
from tests.made_faces import smooth_picture


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(batch: int, side: int = 64) -> Tensor:
    made = np.stack([smooth_picture(seed, (side, side), detail_px=3.0) for seed in range(batch)])
    return torch.from_numpy(made).permute(0, 3, 1, 2).float() / 255.0


def steepness(img: Tensor) -> Tensor:
    return (img[..., 1:] - img[..., :-1]).abs().mean(dim=(1, 2, 3))


def test_share_of_zero_leaves_every_bit() -> None:
    img = pictures(4)
    assert torch.equal(damage(img, draw_damage(4, 64, share=0.0, generator=generator())), img)


def test_each_kind_hits_about_its_share() -> None:
    how = draw_damage(400, 8, share=0.25, generator=generator())
    hits = (how.sigma_px > 0, how.noise.abs().sum(dim=(1, 2, 3)) > 0, how.quality > 0)
    for hit in hits:
        assert 0.18 < float(hit.float().mean()) < 0.32
    # Each kind has its own dice: all three together are rare, 1 in 64.
    assert float((hits[0] & hits[1] & hits[2]).float().mean()) < 0.06


def test_strengths_stay_within_their_bounds() -> None:
    how = draw_damage(400, 16, share=1.0, generator=generator())
    assert 0.15 < float(how.sigma_px.max()) <= 16 / 80
    assert 30 <= float(how.quality.min()) < 35
    assert 90 < float(how.quality.max()) <= 95
    # The deviation of 768 numbers is known to within a few per cent.
    assert 6 / 255 < float(how.noise.std(dim=(1, 2, 3)).max()) < 9 / 255


def test_same_seed_same_damage() -> None:
    img = pictures(3)
    one, two = (
        damage(img, draw_damage(3, 64, share=0.5, generator=generator(3))) for _ in range(2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, img)


def test_part_of_a_batch_is_the_batch_of_a_part() -> None:
    img, how = pictures(5), draw_damage(5, 64, share=0.7, generator=generator(1))
    rows = slice(1, 4)
    apart = (
        damage(img, how)[rows] - damage(img[rows], how.each(lambda tensor: tensor[rows]))
    ).abs()
    # Where a frequency lies between two steps, the last bit decides: rare, and small.
    assert float((apart > 1e-5).float().mean()) < 0.01
    assert float(apart.mean()) < 1e-4


@pytest.mark.parametrize("quality", [30, 50, 75, 95])
@pytest.mark.parametrize("side", [64, 60])
def test_jpeg_is_that_of_libjpeg(quality: int, side: int) -> None:
    image = smooth_picture(7, (side, side), detail_px=2.0)
    full = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, file = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality, *full])
    wanted = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), np.float64)[..., ::-1]
    img = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255.0
    got = jpeg(img, torch.tensor([float(quality)]))[0].permute(1, 2, 0).numpy() * 255.0
    assert np.abs(got - wanted).mean() < 0.5  # levels; the file itself is 1 to 4 off the picture
    assert np.abs(got - image).mean() == pytest.approx(np.abs(wanted - image).mean(), rel=0.1)


def test_lower_quality_is_further_off() -> None:
    img = pictures(1).expand(3, -1, -1, -1)
    off = (jpeg(img, torch.tensor([30.0, 60.0, 95.0])) - img).square().mean(dim=(1, 2, 3))
    assert float(off[0]) > float(off[1]) > float(off[2]) > 0.0


def test_blur_takes_detail_and_keeps_a_constant() -> None:
    img, sigma = pictures(3), torch.tensor([0.0, 0.4, 0.8])
    soft, before = steepness(blur(img, sigma)), steepness(img)
    assert float(soft[0]) == float(before[0])
    assert float((soft / before)[1]) > float((soft / before)[2])
    assert float((soft / before)[1]) < 1.0
    flat = torch.full((3, 3, 16, 16), 0.3)
    torch.testing.assert_close(blur(flat, sigma), flat, atol=1e-6, rtol=0)


def test_blur_is_opencvs_away_from_the_border() -> None:
    image = smooth_picture(1, (32, 32), detail_px=1.0).astype(np.float32)
    wanted = cv2.GaussianBlur(image, (13, 13), sigmaX=1.2)
    img = torch.from_numpy(image).permute(2, 0, 1)[None]
    got = blur(img, torch.tensor([1.2]))[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(got[6:-6, 6:-6], wanted[6:-6, 6:-6], atol=0.02)


@pytest.mark.parametrize("side", [8, 60, 64])
def test_any_picture_stays_a_picture(side: int) -> None:
    how = draw_damage(4, side, share=1.0, generator=generator(2))
    black, noise = (
        torch.zeros(4, 3, side, side),
        torch.rand(4, 3, side, side, generator=generator()),
    )
    for img in (black, 1.0 - black, noise):
        out = damage(img, how)
        assert out.shape == img.shape
        assert bool(torch.isfinite(out).all())
        assert 0.0 <= float(out.min()) <= float(out.max()) <= 1.0


def test_bf16_around_it_changes_nothing() -> None:
    img, how = pictures(4), draw_damage(4, 64, share=1.0, generator=generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = damage(img, how)
    assert got.dtype == torch.float32
    assert torch.equal(got, damage(img, how))


def test_noise_is_added_and_clipped() -> None:
    nothing = draw_damage(2, 16, share=0.0, generator=generator())
    noisy = Damage(nothing.sigma_px, torch.full((2, 3, 16, 16), 0.1), nothing.quality)
    for value, want in ((0.5, 0.6), (0.95, 1.0)):
        got = damage(torch.full((2, 3, 16, 16), value), noisy)
        torch.testing.assert_close(got, torch.full_like(got, want))
