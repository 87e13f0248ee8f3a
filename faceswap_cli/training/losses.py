"""The terms of the training loss: pure functions, one value for each picture."""

# Shape suffixes: B batch, C 3 (red, green, blue), H, W sides of the crop.

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:  # the models import this module
    from faceswap_cli.models.base import Faces

Compare = Callable[[Tensor, Tensor], Tensor]
"""Two batches of pictures, (B, 3, H, W), drawn and wanted -> their distance, (B,)."""

# Of DSSIM: the window of Wang et al. (2004), stabilisers for values in 0..1.
WINDOW_SIGMA_PX, WINDOW_TAPS = 1.5, 11
C1, C2 = 0.01**2, 0.03**2


def mse(a_BCHW: Tensor, b_BCHW: Tensor) -> Tensor:
    """Return the mean square of the difference, (B,)."""
    return (a_BCHW - b_BCHW).square().flatten(1).mean(dim=1)


def soften(mask_B1HW: Tensor) -> Tensor:
    """Blur a mask so that it stays 1 inside and fades outside, within a few pixels.

    2 min(gauss(m), 0.5), sigma = H / 32, as DeepFaceLab weights its loss.
    """
    side = mask_B1HW.shape[-1]
    sigma = max(1.0, side / 32)
    taps = 2 * int(2 * sigma) + 1
    return 2.0 * gaussian(mask_B1HW, sigma=sigma, taps=taps, pad=True).clamp(max=0.5)


def dssim(a_BCHW: Tensor, b_BCHW: Tensor) -> Tensor:
    """Return (1 - SSIM) / 2, (B,), 0 for equal pictures.

    Source: Wang et al., "Image quality assessment: from error visibility to structural
    similarity", IEEE TIP 13(4), 2004, equation 13; only windows that lie inside count.
    """
    mean_a, mean_b, square, product = local_moments(a_BCHW, b_BCHW)
    means, squares = mean_a * mean_b, mean_a.square() + mean_b.square()
    ssim = (2 * means + C1) / (squares + C1) * (2 * (product - means) + C2)
    ssim = ssim / (square - squares + C2)
    return ((1.0 - ssim) / 2.0).flatten(1).mean(dim=1)


def local_moments(a_BCHW: Tensor, b_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return means, sum of squares and product of two pictures in each window of SSIM.

    Means of a, of b, of a^2 + b^2 and of a b; (B, C, H - taps + 1, W - taps + 1).
    """
    stack = torch.cat([a_BCHW, b_BCHW, a_BCHW * a_BCHW + b_BCHW * b_BCHW, a_BCHW * b_BCHW], dim=1)
    side = min(stack.shape[-2:])
    taps = min(WINDOW_TAPS, side - (side + 1) % 2)
    blurred = gaussian(stack, sigma=WINDOW_SIGMA_PX, taps=taps, pad=False)
    mean_a, mean_b, square, product = blurred.chunk(4, dim=1)
    return mean_a, mean_b, square, product


PLAIN: dict[str, Compare] = {"dssim": dssim, "mse": mse}
"""How pictures are compared unless told otherwise."""


def redraw_terms(
    face_BCHW: Tensor,
    mask_B1HW: Tensor,
    true: "Faces",
    compare: Mapping[str, Compare] = PLAIN,
    *,
    outline: bool = True,
    parts: bool = True,
) -> dict[str, Tensor]:
    """Compare redrawn faces with the true ones.

    Args:
        face_BCHW: What the model drew, RGB, 0..1.
        mask_B1HW: The mask it drew, 0..1.
        true: The true faces; colours far outside of their masks cost nothing.
        compare: By name, what tells two pictures apart that show nothing but the face.
        outline: Compare the masks, too.
        parts: Compare eyes and mouth once more, where the faces say where those are.

    Returns:
        Those of `compare`, mask and eyes_mouth; each (B,), not weighted.
    """
    drawn, wanted = within(face_BCHW, true.mask), within(true.img, true.mask)
    terms = {name: distance(drawn, wanted) for name, distance in compare.items()}
    if outline:
        terms["mask"] = (mask_B1HW.float() - true.mask).square().flatten(1).mean(dim=1)
    if parts and true.parts is not None:
        apart = (face_BCHW.float() - true.img).abs() * true.parts
        terms["eyes_mouth"] = apart.flatten(1).mean(dim=1)
    return terms


def within(img_BCHW: Tensor, mask_B1HW: Tensor) -> Tensor:
    """Return what a picture shows inside of a mask and right around it, in float32."""
    return img_BCHW.float() * soften(mask_B1HW)


def gaussian(x_BCHW: Tensor, *, sigma: float, taps: int, pad: bool) -> Tensor:
    """Blur every channel by a sampled Gaussian, rows then columns.

    Args:
        x_BCHW: float32.
        sigma: Pixels.
        taps: Odd length of the window.
        pad: Keep the size, the border repeated; else only whole windows remain.
    """
    if pad:
        half = taps // 2
        x_BCHW = F.pad(x_BCHW, (half, half, half, half), mode="replicate")
    # A blur is a product with a banded matrix: on a CPU many times faster than a depthwise
    # convolution, and never rounded to bf16, where a variance would drown.
    with torch.autocast(x_BCHW.device.type, enabled=False):
        rows = x_BCHW @ _band(sigma, taps, x_BCHW.shape[-1], x_BCHW.device)
        return _band(sigma, taps, x_BCHW.shape[-2], x_BCHW.device).T @ rows


@lru_cache(maxsize=32)  # the same few in every iteration
@torch.inference_mode(mode=False)  # whoever asks first, training may keep it
def _band(sigma: float, taps: int, length: int, device: torch.device) -> Tensor:
    """Return (length, length - taps + 1): column j holds the window from row j on."""
    at = torch.arange(taps, device=device, dtype=torch.float32) - (taps - 1) / 2
    window = torch.exp(-0.5 * (at / sigma) ** 2)
    window, out = window / window.sum(), length - taps + 1
    band = window.new_zeros(length, out)
    columns = torch.arange(out, device=device)
    for k in range(taps):
        band[columns + k, columns] = window[k]
    return band
