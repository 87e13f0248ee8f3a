"""Colour transfer in numbers that can be averaged over time: measured, averaged, applied."""

# Shape suffixes: B batch, C 3 channels, H, W sides of a picture, D numbers of a map, N faces,
# P pixels, M nodes of the plane of chroma, G of them along a side.

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from faceswap_cli import colour
from faceswap_cli.colour_transport import PIXELS, TURNS, Cloud, transport
from faceswap_cli.merging.look import ColourName

CHROMA_NODES = 65
"""Along each side of the table of chroma, 3.5 units of CIELAB apart."""
CHROMA_REACH = 112.0
"""Units of a and b; no colour of a screen has more than 108."""


def measure_colour(
    mode: ColourName,
    face_BCHW: Tensor,
    face_region_B1HW: Tensor,
    footage_BCHW: Tensor,
    footage_region_B1HW: Tensor,
) -> Tensor:
    """Measure, for each face, from what to what its colours have to go.

    Args:
        mode: none, mix, or one of colour.fit_colour. mix: lightness by mean and spread, as rct
            has it; chroma by sliced transport in its own plane, as sot has it in three
            dimensions.
        face_BCHW: RGB 0..1.
        face_region_B1HW: Weight of each pixel in the statistics, 0..1; where it is 0, a pixel
            has no influence.
        footage_BCHW: RGB 0..1, of any size.
        footage_region_B1HW: The same for the footage.

    Returns:
        (B, D), float32, on the device of the faces, for recolour and mean_numbers. Column 0 is
        the weight of the face in such a mean: the part of the picture that the smaller region
        takes; 0 where a region holds less than 16 pixels or, but for rct, a single colour.
    """
    if mode == "none":
        return torch.ones(len(face_BCHW), 1, device=face_BCHW.device)
    parts = (face_BCHW, face_region_B1HW, footage_BCHW, footage_region_B1HW)
    if face_BCHW.device.type != "cpu":
        return _measure(mode, *parts)
    # Face by face, and of its region alone: skin is a seventh of a crop.
    rows = [
        _measure_packed(mode, *(part[i : i + 1] for part in parts)) for i in range(len(parts[0]))
    ]
    return torch.cat(rows)


def _measure_packed(
    mode: ColourName,
    face_1CHW: Tensor,
    face_region_11HW: Tensor,
    footage_1CHW: Tensor,
    footage_region_11HW: Tensor,
) -> Tensor:
    face_1CP, face_weight_11P = _packed(face_1CHW, face_region_11HW)
    footage_1CP, footage_weight_11P = _packed(footage_1CHW, footage_region_11HW)
    numbers_1D = _measure(mode, face_1CP, face_weight_11P, footage_1CP, footage_weight_11P)
    whole = (face_1CHW, face_region_11HW), (footage_1CHW, footage_region_11HW)
    weight_1 = colour.region_weight(*(Cloud.of(*both) for both in whole))
    numbers_1D[:, 0] = weight_1 * (numbers_1D[:, 0] > 0.0)
    return numbers_1D


def _packed(image_1CHW: Tensor, region_11HW: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pixels that count in a row, (1, 3, 1, P), and their weights; at least one."""
    counts_P = region_11HW.flatten().nonzero()[:, 0]
    counts_P = counts_P if len(counts_P) else counts_P.new_zeros(1)
    image_1C1P = image_1CHW.flatten(2)[:, :, None, counts_P]
    return image_1C1P, region_11HW.flatten(2)[:, :, None, counts_P]


def _measure(
    mode: ColourName,
    face_BCHW: Tensor,
    face_region_B1HW: Tensor,
    footage_BCHW: Tensor,
    footage_region_B1HW: Tensor,
) -> Tensor:
    assert mode != "none"
    if mode != "mix":
        return colour.measure_colour(
            mode, face_BCHW, face_region_B1HW, footage_BCHW, footage_region_B1HW
        )
    with torch.autocast(face_BCHW.device.type, enabled=False):
        face = Cloud.of(face_BCHW, face_region_B1HW)
        footage = Cloud.of(footage_BCHW, footage_region_B1HW)
        weight_B = colour.region_weight(face, footage)
        weight_B = weight_B * colour.are_varied(face.moments(), footage.moments())
        labs = colour.lab_cloud(face), colour.lab_cloud(footage)
        light = [part[:, :1] for lab in labs for part in colour.lab_statistics(lab)]
        return torch.cat([weight_B[:, None], *light, _chroma_table(*labs)], dim=1)


def recolour(mode: ColourName, face_BCHW: Tensor, numbers_BD: Tensor) -> Tensor:
    """Give faces the colours that were measured, or the mean of several such measures.

    Args:
        mode: That of measure_colour.
        face_BCHW: RGB 0..1, of any size: what lies outside of the region is mapped too.
        numbers_BD: On the device of the faces. A face of weight 0 stays as it is.

    Returns:
        (B, 3, H, W), float32, RGB 0..1.
    """
    if mode == "none":
        return face_BCHW.float().clamp(0.0, 1.0)
    if mode == "mix":
        return colour.where_fit(numbers_BD, _mix_map(numbers_BD[:, 1:]))(face_BCHW)
    return colour.colour_map(mode, numbers_BD)(face_BCHW)


def mean_numbers(
    numbers_ND: NDArray[np.float32], weights_N: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the mean of what measure_colour found, (D,); in numpy, with the same bits each time.

    Each face counts as its weight times its column 0. That of the mean is the mean of them all.
    Where all are 0 the mean is 0, which leaves a face as it is.
    """
    share_N = weights_N * numbers_ND[:, 0]
    used = share_N > 0.0
    if not used.any():
        return np.zeros_like(numbers_ND[0])
    mean_D = (share_N[used, None] * numbers_ND[used]).sum(axis=0) / share_N[used].sum()
    mean_D[0] = share_N.sum() / weights_N.sum()
    return np.asarray(mean_D, np.float32)


def _mix_map(numbers_BD: Tensor) -> colour.ColourMap:
    light_B4, table_BD = numbers_BD.split([4, numbers_BD.shape[1] - 4], dim=1)
    mean, spread, like_mean, like_spread = light_B4[:, :, None, None].split(1, dim=1)
    ratio = colour.stretch(spread, like_spread)
    table_B2GG = table_BD.unflatten(1, (2, CHROMA_NODES, CHROMA_NODES))

    def mixed(img_BCHW: Tensor) -> Tensor:
        light, chroma = colour.lab_from_rgb(img_BCHW).split([1, 2], dim=1)
        at_BHW2 = chroma.permute(0, 2, 3, 1) / CHROMA_REACH
        shift = F.grid_sample(table_B2GG, at_BHW2, "bilinear", "border", align_corners=True)
        moved = torch.cat([(light - mean) * ratio + like_mean, chroma + shift], dim=1)
        return colour.rgb_from_lab(moved)

    return mixed


def _chroma_table(face: Cloud, footage: Cloud) -> Tensor:
    """Return how far each node of the plane of a and b has to move, (B, 2 G^2)."""
    planes = [Cloud(lab.colour_B3P[:, 1:], lab.weight_B1P) for lab in (face, footage)]
    draws_BK = colour.equal_draws(face)
    points_B2N, target_B2N = (plane.draw(draws_BK[:, :PIXELS]) for plane in planes)
    # Turning by a quarter swaps the axes: angles beyond it say nothing new.
    angle_BR = draws_BK[:, PIXELS::3][:, :TURNS] * (torch.pi / 2.0)
    cos, sin = angle_BR.cos(), angle_BR.sin()
    turns_BR22 = torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2))
    line = torch.linspace(-CHROMA_REACH, CHROMA_REACH, CHROMA_NODES, device=cos.device)
    b_M, a_M = (part.flatten() for part in torch.meshgrid(line, line, indexing="ij"))
    shift_B2M = transport(
        points_B2N,
        target_B2N,
        torch.stack([a_M, b_M]),
        turns_BR22,
        together=colour.SOT_TOGETHER,
        step=colour.SOT_STEP,
    )
    return shift_B2M.flatten(1)
