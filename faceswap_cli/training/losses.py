"""The terms of the training loss: pure functions, one value for each picture."""

# Shape suffixes: B batch, C 3 (red, green, blue), H, W sides of the crop.

import torch
import torch.nn.functional as F
from torch import Tensor

# Of DSSIM: the window of Wang et al. (2004), stabilisers for values in 0..1.
WINDOW_SIGMA_PX, WINDOW_TAPS = 1.5, 11
C1, C2 = 0.01**2, 0.03**2


def redraw_terms(
    face_BCHW: Tensor, mask_B1HW: Tensor, true_face_BCHW: Tensor, true_mask_B1HW: Tensor
) -> dict[str, Tensor]:
    """Compare redrawn faces with the true ones.

    Args:
        face_BCHW: What the model drew, RGB, 0..1.
        mask_B1HW: The mask it drew, 0..1.
        true_face_BCHW: The true faces.
        true_mask_B1HW: 1 where the face is; colours far outside of it cost nothing.

    Returns:
        dssim, mse and mask, each (B,), not weighted.
    """
    region_B1HW = soften(true_mask_B1HW)
    drawn, true = face_BCHW.float() * region_B1HW, true_face_BCHW.float() * region_B1HW
    return {
        "dssim": dssim(drawn, true),
        "mse": (drawn - true).square().flatten(1).mean(dim=1),
        "mask": (mask_B1HW.float() - true_mask_B1HW).square().flatten(1).mean(dim=1),
    }


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
    stack = torch.cat([a_BCHW, b_BCHW, a_BCHW * a_BCHW + b_BCHW * b_BCHW, a_BCHW * b_BCHW], dim=1)
    side = min(stack.shape[-2:])
    taps = min(WINDOW_TAPS, side - (side + 1) % 2)
    blurred = gaussian(stack, sigma=WINDOW_SIGMA_PX, taps=taps, pad=False)
    mean_a, mean_b, square, product = blurred.chunk(4, dim=1)
    means, squares = mean_a * mean_b, mean_a.square() + mean_b.square()
    ssim = (2 * means + C1) / (squares + C1) * (2 * (product - means) + C2)
    ssim = ssim / (square - squares + C2)
    return ((1.0 - ssim) / 2.0).flatten(1).mean(dim=1)


def gaussian(x_BCHW: Tensor, *, sigma: float, taps: int, pad: bool) -> Tensor:
    """Blur every channel by a sampled Gaussian, rows then columns.

    Args:
        x_BCHW: float32.
        sigma: Pixels.
        taps: Odd length of the window.
        pad: Keep the size, the border repeated; else only whole windows remain.
    """
    at = torch.arange(taps, device=x_BCHW.device, dtype=torch.float32) - (taps - 1) / 2
    window = torch.exp(-0.5 * (at / sigma) ** 2)
    window = window / window.sum()
    if pad:
        half = taps // 2
        x_BCHW = F.pad(x_BCHW, (half, half, half, half), mode="replicate")
    # A blur is a product with a banded matrix: on a CPU many times faster than a depthwise
    # convolution, and never rounded to bf16, where a variance would drown.
    with torch.autocast(x_BCHW.device.type, enabled=False):
        rows = x_BCHW @ _band(window, x_BCHW.shape[-1])
        return _band(window, x_BCHW.shape[-2]).T @ rows


def _band(window: Tensor, length: int) -> Tensor:
    """Return (length, length - taps + 1): column j holds the window from row j on."""
    taps, out = len(window), length - len(window) + 1
    band = window.new_zeros(length, out)
    columns = torch.arange(out, device=window.device)
    for k in range(taps):
        band[columns + k, columns] = window[k]
    return band
