"""Random damage to the pictures that a network is given: blur, noise, JPEG.

Batched on the device. What is done is drawn on the CPU, so that it depends on the seed alone,
and "not at all" is a number like any other: nothing waits for the device.
"""

# Shape suffixes: B batch, C 3 (red, green, blue), H = W = S side of a picture, N its blocks of
# 8 x 8 pixels.

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

MAX_SIGMA = 1.0 / 80.0
"""Of the blur, in sides."""
MAX_NOISE = 8.0 / 255.0
"""Standard deviation."""
QUALITY = (30, 95)
"""Of JPEG, both included."""
BLOCK = 8

# ITU-T T.81, annex K, tables K.1 and K.2: steps of the frequencies at quality 50.
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *(((99,) * 8,) * 4),
)
# JFIF 1.02: RGB to Y, Cb, Cr, all 0..255, but for the 128 that is added to Cb and Cr.
_YCC_FROM_RGB = (
    (0.299, 0.587, 0.114),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)


@dataclass(frozen=True)
class Damage:
    """What is done to each picture of a batch."""

    sigma_px: Tensor
    """(B,), of a Gaussian blur; 0 is none."""
    noise: Tensor
    """(B, 3, S, S), what is added to the picture."""
    quality: Tensor
    """(B,), of JPEG, 1..100; 0 leaves the picture as it is."""

    def each(self, change: Callable[[Tensor], Tensor]) -> "Damage":
        """Return it with every tensor changed: moved to a device, cut to a part of a batch."""
        return Damage(change(self.sigma_px), change(self.noise), change(self.quality))


def draw_damage(batch: int, side: int, *, share: float, generator: Generator) -> Damage:
    """Draw the damage of a batch.

    Args:
        batch: B.
        side: S, pixels.
        share: Each kind hits each picture with this probability.
        generator: On the CPU.
    """

    def uniform() -> Tensor:
        return torch.rand(batch, generator=generator)

    def hits() -> Tensor:
        return (uniform() < share).float()

    sigma_px = hits() * uniform() * (MAX_SIGMA * side)
    strength, colourful = hits() * uniform() * MAX_NOISE, uniform()
    grey = torch.randn(batch, 1, side, side, generator=generator)
    colour = torch.randn(batch, 3, side, side, generator=generator)
    # Variances add up: the strength is that of the sum.
    noise = _tall(strength * (1.0 - colourful).sqrt()) * grey
    noise = noise + _tall(strength * colourful.sqrt()) * colour
    low, high = QUALITY
    quality = hits() * torch.randint(low, high + 1, (batch,), generator=generator)
    return Damage(sigma_px, noise, quality)


def damage(img_BCHW: Tensor, how: Damage) -> Tensor:
    """Blur pictures, add noise, compress them as JPEG; in this order, as a camera does.

    Args:
        img_BCHW: RGB, 0..1, square.
        how: On the same device.

    Returns:
        (B, 3, H, W), float32, 0..1.
    """
    with torch.autocast(img_BCHW.device.type, enabled=False):
        img = blur(img_BCHW.float(), how.sigma_px)
        img = (img + how.noise).clamp(0.0, 1.0)
        return jpeg(img, how.quality)


def blur(img_BCHW: Tensor, sigma_B: Tensor) -> Tensor:
    """Blur each picture by its own Gaussian; what lies beyond the border does not count.

    Args:
        img_BCHW: float32, square.
        sigma_B: Pixels; 0 leaves the picture as it is.
    """
    weights_B1HH = _gaussian(sigma_B, img_BCHW.shape[-1])
    blurred = weights_B1HH @ img_BCHW @ weights_B1HH.mT
    # The weights of 0 pick the pixel itself, but a product in TF32 would round it.
    return torch.where(_tall(sigma_B) > 0.0, blurred, img_BCHW)


def _gaussian(sigma_B: Tensor, length: int) -> Tensor:
    """Return (B, 1, length, length): row i holds the weights of what pixel i becomes."""
    at = torch.arange(length, device=sigma_B.device, dtype=torch.float32)
    squares = (at[:, None] - at).square()
    sharpness = 0.5 / sigma_B.clamp(min=1e-3).square()
    return torch.softmax(-squares * _tall(sharpness), dim=-1)


def jpeg(img_BCHW: Tensor, quality_B: Tensor) -> Tensor:
    """Return pictures as they come back from a JPEG file with full resolution of the colours.

    Args:
        img_BCHW: RGB, 0..1; sides that are no multiples of 8 are filled up with the last pixel.
        quality_B: 1..100, as libjpeg counts it; 0 leaves the picture as it is.

    Returns:
        (B, 3, H, W), 0..1, in whole levels of 255.

    Source:
        ITU-T T.81 (1992), annexes A.3.3, A.3.4 and K.1.
    """
    height, width = img_BCHW.shape[-2:]
    dct, ycc_from_rgb, rgb_from_ycc, tables = _constants(img_BCHW.device)
    padded = F.pad(img_BCHW, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")
    # Taken off red, green and blue, 128 is taken off Y alone: grey has no Cb and no Cr.
    levels = (padded * 255.0).round() - 128.0
    ycc = torch.einsum("ij,bjhw->bihw", ycc_from_rgb, levels).round()
    waves = _blocks(ycc) @ dct.T
    steps = _steps(tables, quality_B)
    kept = (waves / steps).round() * steps
    ycc = _picture(kept @ dct, *padded.shape[-2:]).round().clamp(-128.0, 127.0)
    back = torch.einsum("ij,bjhw->bihw", rgb_from_ycc, ycc) + 128.0
    back = back[..., :height, :width].round().clamp(0.0, 255.0) / 255.0
    return torch.where(_tall(quality_B) > 0.0, back, img_BCHW)


def _steps(tables_C64: Tensor, quality_B: Tensor) -> Tensor:
    """Return the steps that frequencies are rounded to, (B, 3, 1, 64), levels.

    Source:
        libjpeg's jpeg_quality_scaling: 50 takes the tables as they are, 100 steps of 1.
    """
    quality = quality_B.clamp(min=1.0)
    percent = torch.where(quality < 50.0, (5000.0 / quality).floor(), 200.0 - 2.0 * quality)
    steps_BC64 = ((tables_C64 * percent[:, None, None] + 50.0) / 100.0).floor()
    return steps_BC64.clamp(1.0, 255.0)[:, :, None]


def _blocks(img_BCHW: Tensor) -> Tensor:
    """Return the blocks of a picture, (B, C, N, 64)."""
    rows = img_BCHW.unfold(2, BLOCK, BLOCK).unfold(3, BLOCK, BLOCK)
    return rows.flatten(4).flatten(2, 3)


def _picture(blocks_BCN64: Tensor, height: int, width: int) -> Tensor:
    """Put blocks together again."""
    down, across = height // BLOCK, width // BLOCK
    tiles = blocks_BCN64.view(len(blocks_BCN64), -1, down, across, BLOCK, BLOCK)
    return tiles.transpose(3, 4).reshape(len(tiles), -1, height, width)


@lru_cache(maxsize=8)  # copied to a device once: each copy of a list would wait for it
@torch.inference_mode(mode=False)  # whoever asks first, training may keep them
def _constants(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the DCT of a block, (64, 64), YCC from RGB, its inverse, and the tables, (3, 64)."""
    at = torch.arange(BLOCK, dtype=torch.float64)
    line = torch.cos((at + 0.5) * at[:, None] * (torch.pi / BLOCK)) * (2.0 / BLOCK) ** 0.5
    line[0] *= 0.5**0.5  # now orthonormal, row k holding the wave of frequency k
    ycc = torch.tensor(_YCC_FROM_RGB, dtype=torch.float64)
    tables = torch.tensor((_LUMINANCE, _CHROMINANCE, _CHROMINANCE), dtype=torch.float64)
    found = (torch.kron(line, line), ycc, torch.linalg.inv(ycc), tables.flatten(1))
    dct, there, back, steps = (matrix.float().to(device) for matrix in found)
    return dct, there, back, steps


def _tall(values_B: Tensor) -> Tensor:
    """Return one value for each picture as (B, 1, 1, 1)."""
    return values_B[:, None, None, None]
