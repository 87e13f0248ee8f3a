"""Giving a drawn face the colours of the footage, batched, on any device."""

# Shape suffixes: B batch, C 3 channels, H = W = side of the crop.

import torch
from torch import Tensor

# sRGB, IEC 61966-2-1: linear light to CIE XYZ under D65, 2 degree observer.
_XYZ_FROM_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)
_EPSILON, _KAPPA = 0.008856, 7.787  # CIE 1976: below epsilon the cube root becomes a line
MIN_REGION_PX = 16.0
MIN_SPREAD = 0.5  # in units of LAB; flatter than that has no contrast to stretch
MAX_RATIO = 1.15
"""Skin lit from the side spreads twice as far as skin lit from the front; stretching a whole
face by as much turned its brows and eyes black."""


def transfer_colour(face_BCHW: Tensor, footage_BCHW: Tensor, region_B1HW: Tensor) -> Tensor:
    """Give a face the mean and the spread that the footage has in a region.

    Per channel c of CIELAB, with weighted mean m and standard deviation s over the region:
    c' = (c - m_face) * clamp(s_footage / s_face, 1/1.15, 1.15) + m_footage, on all pixels.
    The ratio is bounded, so that a strand of hair in either face cannot blow the contrast.
    Where the region holds less than 16 pixels, the face is returned as it is.

    Args:
        face_BCHW: What the model drew, RGB 0..1.
        footage_BCHW: The same crop of the footage, RGB 0..1.
        region_B1HW: Weight of each pixel in the statistics, 0..1; best where there is skin
            in both. What lies outside of it has no influence.

    Returns:
        (B, 3, H, W), RGB 0..1.

    Source:
        Reinhard et al., "Color Transfer between Images", IEEE CG&A 21(5), 2001,
        equations 10 and 11; in CIELAB instead of l-alpha-beta.
    """
    face, footage = lab_from_rgb(face_BCHW), lab_from_rgb(footage_BCHW)
    mean, spread = _statistics(face, region_B1HW)
    target_mean, target_spread = _statistics(footage, region_B1HW)
    is_flat = (spread < MIN_SPREAD) | (target_spread < MIN_SPREAD)
    ratio = (target_spread / spread.clamp(min=MIN_SPREAD)).clamp(1.0 / MAX_RATIO, MAX_RATIO)
    ratio = torch.where(is_flat, torch.ones_like(ratio), ratio)
    moved = rgb_from_lab((face - mean) * ratio + target_mean)
    is_large = region_B1HW.flatten(1).sum(dim=1) >= MIN_REGION_PX
    return torch.where(is_large[:, None, None, None], moved, face_BCHW.float())


def lab_from_rgb(rgb_BCHW: Tensor) -> Tensor:
    """Convert sRGB 0..1 to CIELAB: L 0..100, a and b about -128..127. Always float32."""
    rgb = rgb_BCHW.float().clamp(0.0, 1.0)
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    t = _mix(linear, rgb.new_tensor(_XYZ_FROM_RGB)) / _white(rgb)
    f = torch.where(t > _EPSILON, t.clamp(min=_EPSILON) ** (1 / 3), _KAPPA * t + 16.0 / 116.0)
    x, y, z = f.unbind(dim=1)
    return torch.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], dim=1)


def rgb_from_lab(lab_BCHW: Tensor) -> Tensor:
    """Convert CIELAB to sRGB; colours that a screen cannot show are clipped to 0..1."""
    light, a, b = lab_BCHW.unbind(dim=1)
    y = (light + 16.0) / 116.0
    f = torch.stack([y + a / 500.0, y, y - b / 200.0], dim=1)
    t = torch.where(f > _EPSILON ** (1 / 3), f**3, (f - 16.0 / 116.0) / _KAPPA) * _white(f)
    linear = _mix(t, torch.linalg.inv(t.new_tensor(_XYZ_FROM_RGB))).clamp(0.0, 1.0)
    curve = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, linear * 12.92, curve)


def _statistics(lab_BCHW: Tensor, weight_B1HW: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted mean and standard deviation, (B, 3, 1, 1) each."""
    total = weight_B1HW.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)
    mean = (lab_BCHW * weight_B1HW).sum(dim=(2, 3), keepdim=True) / total
    variance = ((lab_BCHW - mean) ** 2 * weight_B1HW).sum(dim=(2, 3), keepdim=True) / total
    return mean, variance.sqrt()


def _mix(image_BCHW: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("ij,bjhw->bihw", matrix, image_BCHW)


def _white(like: Tensor) -> Tensor:
    return like.new_tensor(_WHITE)[None, :, None, None]
