"""Giving a face the colours of another picture, batched, on any device."""

# Shape suffixes: B batch, C 3 channels, H, W sides of a picture, P its pixels in a row,
# K random numbers of a face, D numbers of its map.

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import torch
from torch import Generator, Tensor

from faceswap_cli.colour_transport import (
    DRAWS,
    NODES,
    Cloud,
    Moments,
    linear_map,
    look_up,
    shift_table,
)

ColourMode = Literal["rct", "lct", "mkl", "idt", "sot"]
ColourMap = Callable[[Tensor], Tensor]
"""(B, 3, H, W) to (B, 3, H, W), RGB 0..1, any H and W: what is done to one is done to another
picture of the same face."""

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
FLAT_VARIANCE = 3.0 * (2.0 / 255.0) ** 2
"""Of red, green and blue together; what spreads less is one colour and its noise."""
SOT_TOGETHER, SOT_STEP = 3, 0.75
"""Rotations whose shifts are averaged, and the part of their mean that is taken."""


def fit_colour(
    mode: ColourMode,
    face_BCHW: Tensor,
    region_B1HW: Tensor,
    like_BCHW: Tensor,
    like_region_B1HW: Tensor,
    *,
    draws_BK: Tensor | None = None,
) -> ColourMap:
    """Fit, for each face of a batch, the map that gives it the colours of another picture.

    A face stays as it is where a region holds less than 16 pixels and, but for rct, where one
    of the pictures has a single colour.

    rct, per channel c of CIELAB, with weighted mean m and standard deviation s over the region:
    c' = (c - m_face) * clamp(s_like / s_face, 1/1.15, 1.15) + m_like, on all pixels. The ratio
    is bounded, so that a strand of hair in either face cannot blow the contrast.

    Args:
        mode: rct: mean and spread in CIELAB. lct, mkl: mean and covariance in RGB, along
            principal axes or moving colours least. idt, sot: the whole distribution, rotation
            by rotation or many averaged; see colour_transport.
        face_BCHW: RGB 0..1.
        region_B1HW: Weight of each pixel in the statistics, 0..1. What lies outside of it
            has no influence, but is mapped too.
        like_BCHW: RGB 0..1, of any size.
        like_region_B1HW: The same for `like`.
        draws_BK: See draw_colour, on the device of the faces; only idt and sot need it. None
            is the same numbers for each face.

    Returns:
        The map. It works in float32 and returns 0..1.

    Source:
        rct: Reinhard et al., "Color Transfer between Images", IEEE CG&A 21(5), 2001, equations
        10 and 11; in CIELAB instead of l-alpha-beta.
    """
    numbers_BD = measure_colour(
        mode, face_BCHW, region_B1HW, like_BCHW, like_region_B1HW, draws_BK=draws_BK
    )
    return colour_map(mode, numbers_BD)


def measure_colour(
    mode: ColourMode,
    face_BCHW: Tensor,
    region_B1HW: Tensor,
    like_BCHW: Tensor,
    like_region_B1HW: Tensor,
    *,
    draws_BK: Tensor | None = None,
) -> Tensor:
    """Return the numbers that make the map of each face; the mean of several makes one as well.

    Args:
        mode: See fit_colour, as for the rest.
        face_BCHW: RGB 0..1.
        region_B1HW: Weight of each pixel, 0..1.
        like_BCHW: RGB 0..1, of any size.
        like_region_B1HW: The same for `like`.
        draws_BK: See draw_colour.

    Returns:
        (B, D). Column 0 says how far a face is to be trusted: the part of the picture that the
        smaller region takes, 0 if the face stays as it is. The others are, of the face and then
        of what it is to be like: for rct mean and spread in CIELAB, for lct and mkl mean and
        covariance in RGB; for idt and sot the table of shifts, see shift_table.
    """
    with torch.autocast(face_BCHW.device.type, enabled=False):
        face, like = Cloud.of(face_BCHW, region_B1HW), Cloud.of(like_BCHW, like_region_B1HW)
        weight_B = region_weight(face, like)
        if mode == "rct":
            parts = [*lab_statistics(lab_cloud(face)), *lab_statistics(lab_cloud(like))]
        else:
            moments, like_moments = face.moments(), like.moments()
            weight_B = weight_B * are_varied(moments, like_moments)
            if mode in ("lct", "mkl"):
                parts = [*moments, *like_moments]
            else:
                parts = [_fit_table(face, like, draws_BK, averaged=mode == "sot")]
    return torch.cat([weight_B[:, None], *(part.flatten(1) for part in parts)], dim=1)


def colour_map(mode: ColourMode, numbers_BD: Tensor) -> ColourMap:
    """Return the map that the numbers of measure_colour make, see fit_colour."""
    with torch.autocast(numbers_BD.device.type, enabled=False):
        if mode == "rct":
            recolour = _lab_map(numbers_BD[:, 1:])
        elif mode in ("lct", "mkl"):
            recolour = _linear_map(numbers_BD[:, 1:], optimal=mode == "mkl")
        else:
            recolour = _table_map(numbers_BD[:, 1:])
    return where_fit(numbers_BD, recolour)


def where_fit(numbers_BD: Tensor, recolour: ColourMap) -> ColourMap:
    """Return a map that works in float32, returns 0..1, and leaves faces of weight 0 alone."""
    is_fit_B111 = numbers_BD[:, 0, None, None, None] > 0.0

    def apply(img_BCHW: Tensor) -> Tensor:
        with torch.autocast(img_BCHW.device.type, enabled=False):
            img = img_BCHW.float()
            return torch.where(is_fit_B111, recolour(img), img).clamp(0.0, 1.0)

    return apply


def region_weight(face: Cloud, like: Cloud) -> Tensor:
    """Return the part of its picture that the smaller region takes, (B,); 0 if too small."""
    pairs = [(cloud.size_px(), cloud.colour_B3P.shape[2]) for cloud in (face, like)]
    large_enough = [size_B >= MIN_REGION_PX for size_B, _ in pairs]
    parts = [size_B / pixels for size_B, pixels in pairs]
    return torch.minimum(*parts) * (large_enough[0] & large_enough[1])


def are_varied(moments: Moments, like_moments: Moments) -> Tensor:
    """Return whether two clouds in RGB hold more than one colour each, (B,)."""
    variances = [cov.diagonal(dim1=1, dim2=2).sum(dim=1) for _, cov in (moments, like_moments)]
    return torch.minimum(*variances) >= FLAT_VARIANCE


def draw_colour(batch: int, generator: Generator) -> Tensor:
    """Return the random numbers that idt and sot need, (B, K), 0..1; generator on the CPU."""
    return torch.rand(batch, DRAWS, generator=generator)


def lab_cloud(rgb: Cloud) -> Cloud:
    """Return the same pixels in CIELAB."""
    return Cloud(lab_from_rgb(rgb.colour_B3P[..., None])[..., 0], rgb.weight_B1P)


def lab_statistics(lab: Cloud) -> tuple[Tensor, Tensor]:
    """Return the weighted mean and standard deviation in CIELAB, (B, 3) each."""
    mean_B31, covariance_B33 = lab.moments()
    return mean_B31[..., 0], covariance_B33.diagonal(dim1=1, dim2=2).sqrt()


def stretch(spread: Tensor, like_spread: Tensor) -> Tensor:
    """Return the bounded ratio of two spreads in CIELAB; 1 where there is none to stretch."""
    is_flat = (spread < MIN_SPREAD) | (like_spread < MIN_SPREAD)
    ratio = (like_spread / spread.clamp(min=MIN_SPREAD)).clamp(1.0 / MAX_RATIO, MAX_RATIO)
    return torch.where(is_flat, torch.ones_like(ratio), ratio)


def _lab_map(numbers_BD: Tensor) -> ColourMap:
    mean, spread, like_mean, like_spread = numbers_BD[:, :, None, None].split(3, dim=1)
    ratio = stretch(spread, like_spread)
    return lambda img_BCHW: rgb_from_lab((lab_from_rgb(img_BCHW) - mean) * ratio + like_mean)


def _linear_map(numbers_BD: Tensor, *, optimal: bool) -> ColourMap:
    mean_B3, cov_B9, like_mean_B3, like_cov_B9 = numbers_BD.split([3, 9, 3, 9], dim=1)
    both = (cov_B9.unflatten(1, (3, 3)), like_cov_B9.unflatten(1, (3, 3)))
    matrix_B33 = linear_map(*both, optimal=optimal)

    def recolour(img_BCHW: Tensor) -> Tensor:
        centred_B3P = img_BCHW.flatten(2) - mean_B3[..., None]
        moved_B3P: Tensor = matrix_B33 @ centred_B3P + like_mean_B3[..., None]
        return moved_B3P.view(img_BCHW.shape)

    return recolour


def _fit_table(face: Cloud, like: Cloud, draws_BK: Tensor | None, *, averaged: bool) -> Tensor:
    if draws_BK is None:
        draws_BK = equal_draws(face)
    together, step = (SOT_TOGETHER, SOT_STEP) if averaged else (1, 1.0)
    return shift_table(face, like, draws_BK, together=together, step=step)


def equal_draws(cloud: Cloud) -> Tensor:
    """Return the numbers of draw_colour that are the same for each face, on its device."""
    alike = draw_colour(1, Generator().manual_seed(0)).to(cloud.colour_B3P.device)
    return alike.expand(len(cloud.colour_B3P), -1)


def _table_map(numbers_BD: Tensor) -> ColourMap:
    table_B3GGG = numbers_BD.unflatten(1, (3, NODES, NODES, NODES))
    return lambda img_BCHW: img_BCHW + look_up(img_BCHW, table_B3GGG)


def lab_from_rgb(rgb_BCHW: Tensor) -> Tensor:
    """Convert sRGB 0..1 to CIELAB: L 0..100, a and b about -128..127. Always float32."""
    rgb = rgb_BCHW.float().clamp(0.0, 1.0)
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz_from_rgb, _, white = _constants(rgb.device)
    t = _mix(linear, xyz_from_rgb) / white
    f = torch.where(t > _EPSILON, t.clamp(min=_EPSILON) ** (1 / 3), _KAPPA * t + 16.0 / 116.0)
    x, y, z = f.unbind(dim=1)
    return torch.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], dim=1)


def rgb_from_lab(lab_BCHW: Tensor) -> Tensor:
    """Convert CIELAB to sRGB; colours that a screen cannot show are clipped to 0..1."""
    light, a, b = lab_BCHW.unbind(dim=1)
    y = (light + 16.0) / 116.0
    f = torch.stack([y + a / 500.0, y, y - b / 200.0], dim=1)
    _, rgb_from_xyz, white = _constants(f.device)
    t = torch.where(f > _EPSILON ** (1 / 3), f**3, (f - 16.0 / 116.0) / _KAPPA) * white
    linear = _mix(t, rgb_from_xyz).clamp(0.0, 1.0)
    curve = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, linear * 12.92, curve)


@lru_cache(maxsize=8)  # copied to a device once: each copy of a list would wait for it
@torch.inference_mode(mode=False)  # whoever asks first, training may keep them
def _constants(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return XYZ from RGB, its inverse, and the white point, (1, 3, 1, 1)."""
    matrix = torch.tensor(_XYZ_FROM_RGB)
    white = torch.tensor(_WHITE)[None, :, None, None]
    return matrix.to(device), torch.linalg.inv(matrix).to(device), white.to(device)


def _mix(image_BCHW: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("ij,bjhw->bihw", matrix, image_BCHW)
