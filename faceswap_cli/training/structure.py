"""Structure at several scales, and texture: what the small window of DSSIM does not see."""

# Shape suffixes: B batch, C 3 (red, green, blue), H, W sides of the crop.

import torch
import torch.nn.functional as F
from torch import Tensor

from faceswap_cli.training.losses import C1, C2, WINDOW_TAPS, gaussian, local_moments

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""From fine to coarse, as observers weighed them: of the source of `ms_ssim`."""
TEXTURE_PX, TEXTURE_STRIDE_PX = 8, 4
"""Side of the squares whose texture is compared, and how far they are apart."""
LEAST_SIMILARITY = 1e-3
"""Of a scale: its root must exist, and its gradient be finite, where a scale is all wrong."""


def ms_ssim(a_BCHW: Tensor, b_BCHW: Tensor) -> Tensor:
    """Return (1 - MS-SSIM) / 2, (B,), 0 for equal pictures; the scale is that of `dssim`.

    Contrast and structure at each scale, luminance at the coarsest; each colour by itself,
    then their mean. Between scales a picture is averaged 2 x 2. Scales narrower than the window
    (below 176 px the fifth) are left out, and the weights of the others sum up to 1.

    Source: Wang, Simoncelli and Bovik, "Multi-scale structural similarity for image quality
    assessment", Asilomar 2003, equation 7; only windows that lie inside count.
    """
    a_BCHW, b_BCHW = a_BCHW.float(), b_BCHW.float()
    weights = SCALE_WEIGHTS[: num_scales(min(a_BCHW.shape[-2:]))]
    product_BC = a_BCHW.new_ones(a_BCHW.shape[:2])
    for number, weight in enumerate(weights, start=1):
        coarsest = number == len(weights)
        similar_BC = _similarity(a_BCHW, b_BCHW, luminance=coarsest).clamp(min=LEAST_SIMILARITY)
        product_BC = product_BC * similar_BC ** (weight / sum(weights))
        if not coarsest:
            a_BCHW, b_BCHW = F.avg_pool2d(torch.stack([a_BCHW, b_BCHW]).flatten(0, 1), 2).chunk(2)
    return (1.0 - product_BC.mean(dim=1)) / 2.0


def texture(a_BCHW: Tensor, b_BCHW: Tensor) -> Tensor:
    """Return how far apart the strengths of fine detail are, (B,), wherever that detail lies.

    Terms that compare pixel by pixel draw what they cannot place, hair, pores, stubble, as its
    mean, a blur. This one compares the root mean square of what a Gaussian of 1 px takes away,
    in small squares: it does not ask where in the square a line is, only that there is one.
    A checkerboard of single pixels, the cheapest way to be busy, hardly counts.
    """
    strengths = []
    for img_BCHW in (a_BCHW, b_BCHW):
        grey_B1HW = img_BCHW.float().mean(dim=1, keepdim=True)
        fine = grey_B1HW - gaussian(grey_B1HW, sigma=1.0, taps=7, pad=True)
        fine = gaussian(fine, sigma=0.6, taps=3, pad=True)
        power = F.avg_pool2d(fine.square(), TEXTURE_PX, TEXTURE_STRIDE_PX)
        strengths.append((power + 1e-6).sqrt())
    return (strengths[0] - strengths[1]).abs().flatten(1).mean(dim=1)


def num_scales(side_px: int) -> int:
    """Return how many scales are at least as wide as the window, but one at least."""
    fits = [scale for scale in range(len(SCALE_WEIGHTS)) if side_px >> scale >= WINDOW_TAPS]
    return max(1, len(fits))


def _similarity(a_BCHW: Tensor, b_BCHW: Tensor, *, luminance: bool) -> Tensor:
    """Return contrast times structure, times luminance if asked; means over space, (B, C)."""
    mean_a, mean_b, square, product = local_moments(a_BCHW, b_BCHW)
    means, squares = mean_a * mean_b, mean_a.square() + mean_b.square()
    similar = (2 * (product - means) + C2) / (square - squares + C2)
    if luminance:
        similar = similar * (2 * means + C1) / (squares + C1)
    return similar.mean(dim=(2, 3))
