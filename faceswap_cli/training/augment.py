"""Random views of a face, batched on the device: where each pixel is taken from, and tints.

Every draw comes from a generator on the CPU, so that a batch depends on its seed alone and
is the same on every device.
"""

# Shape suffixes: B batch, H = W side of the view.

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

MAX_ROTATION_DEG = 10.0
MAX_ZOOM = 1.15
"""Views are between 1 / MAX_ZOOM and MAX_ZOOM times the size."""
MAX_SHIFT = 0.05
"""Of the side of the view."""
COVER = 1.4
"""Side of the canvas that views are cut from, in sides of a view: no view leaves it far."""
WARP_CELLS = (2, 4, 8)
WARP_SPREAD = 0.13
"""Standard deviation of a node of the warp grid, in cells, at strength 1."""


@dataclass(frozen=True)
class Views:
    """Where the pixels of a batch of views lie on their canvases."""

    plain: Tensor
    """(B, H, W, 2), (x, y) in -1..1 of the canvas, as grid_sample wants it."""
    warped: Tensor
    """The same view seen through a random distortion."""


def draw_views(
    batch: int, side: int, *, move: float, warp: float, flips: Tensor, generator: Generator
) -> Views:
    """Draw a random similarity and a random warp for each face of a batch.

    Args:
        batch: B.
        side: H, pixels.
        move: Strength of rotation, zoom and shift, 0 to 1.
        warp: Strength; 0 makes `warped` equal to `plain`.
        flips: (B,), bool: which views are mirrored.
        generator: On the CPU.
    """

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(batch, generator=generator) * (high - low) + low

    angle = move * uniform(-MAX_ROTATION_DEG, MAX_ROTATION_DEG) * (math.pi / 180.0)
    zoom = torch.exp(move * uniform(-math.log(MAX_ZOOM), math.log(MAX_ZOOM)))
    shift_B2 = torch.stack([move * uniform(-2 * MAX_SHIFT, 2 * MAX_SHIFT) for _ in range(2)], 1)
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    mirror = torch.where(flips, -1.0, 1.0)
    linear_B22 = torch.stack([cos * mirror, -sin, sin * mirror, cos], dim=1).view(batch, 2, 2)

    centres = (torch.arange(side) + 0.5) * (2.0 / side) - 1.0
    view_HW2 = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1)
    view_BHW2 = view_HW2.expand(batch, side, side, 2)
    warped_BHW2 = view_BHW2
    if warp > 0.0:
        warped_BHW2 = view_BHW2 + warp * _warp_field(batch, side, generator)

    def on_canvas(points_BHW2: Tensor) -> Tensor:
        turned = points_BHW2.reshape(batch, -1, 2) @ linear_B22.transpose(1, 2)
        return ((turned + shift_B2[:, None]) / COVER).view(batch, side, side, 2)

    return Views(on_canvas(view_BHW2), on_canvas(warped_BHW2))


def _warp_field(batch: int, side: int, generator: Generator) -> Tensor:
    """Return (B, H, W, 2) displacements, in halves of the side; x and y independent.

    The nodes of a regular grid move at random, those of its border stay; each face has
    one of three cell sizes. Grid sizes as DeepFaceLab's, whose x and y are transposes of
    each other.
    """
    choice = torch.randint(len(WARP_CELLS), (batch,), generator=generator)
    fields = []
    for cells in WARP_CELLS:
        nodes = torch.randn(batch, 2, cells + 1, cells + 1, generator=generator).clamp(-2.5, 2.5)
        nodes[:, :, [0, -1]] = 0.0
        nodes[:, :, :, [0, -1]] = 0.0
        nodes *= WARP_SPREAD * 2.0 / cells
        fields.append(F.interpolate(nodes, (side, side), mode="bilinear", align_corners=True))
    chosen = torch.stack(fields)[choice, torch.arange(batch)]
    return chosen.permute(0, 2, 3, 1)


def sample(canvas_BCHW: Tensor, grid_BHW2: Tensor, *, mode: str) -> Tensor:
    """Look a canvas up at a grid; beyond its border the last pixel is repeated.

    Args:
        canvas_BCHW: float, 0..1.
        grid_BHW2: See Views.
        mode: bilinear, or bicubic (clamped to 0..1, it overshoots).
    """
    seen = F.grid_sample(canvas_BCHW, grid_BHW2, mode, "border", align_corners=False)
    return seen.clamp(0.0, 1.0) if mode == "bicubic" else seen


def tint(img_BCHW: Tensor, *, strength: float, generator: Generator) -> Tensor:
    """Shift brightness, contrast, saturation and colour balance of each picture at random.

    Args:
        img_BCHW: RGB, 0..1.
        strength: 0.05 moves brightness by up to 0.05, the others by up to 10 %.
        generator: On the CPU.
    """
    if strength == 0.0:
        return img_BCHW
    draws = torch.rand(len(img_BCHW), 6, 1, 1, 1, generator=generator).to(img_BCHW.device)
    draws = (draws * 2.0 - 1.0) * strength
    balance = draws[:, 3:6, 0].reshape(-1, 3, 1, 1)
    grey = img_BCHW.mean(dim=1, keepdim=True)
    mean = grey.mean(dim=(2, 3), keepdim=True)
    x = grey + (img_BCHW - grey) * (1.0 + 2.0 * draws[:, 2])
    x = mean + (x - mean) * (1.0 + 2.0 * draws[:, 1])
    return (x * (1.0 + balance) + draws[:, 0]).clamp(0.0, 1.0)
