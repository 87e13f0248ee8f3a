"""Random views of a face, batched on the device: where each pixel is taken from, and tints.

What is random is drawn first, as a few small numbers a face, on the CPU: so a batch depends on
its seed alone, is the same on every device, and may be cut into parts that draw the same. The
pictures are then made from these numbers where the network is.
"""

# Shape suffixes: B batch, H = W side of the view.

import math
from collections.abc import Callable
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
TINTS = 7
"""Brightness, contrast, saturation, hue, and the balance of three colours."""


@dataclass(frozen=True)
class Draws:
    """What is random about a batch of views."""

    linear: Tensor
    """(B, 2, 2), from the view to its canvas: rotation, zoom, mirror."""
    shift: Tensor
    """(B, 2), of the view."""
    nodes: tuple[Tensor, ...]
    """For each of WARP_CELLS (B, 2, cells + 1, cells + 1); all 0 for a face of another size of
    cell. Empty: no warp."""
    tint: Tensor
    """(B, TINTS), each -1..1."""

    def each(self, change: Callable[[Tensor], Tensor]) -> "Draws":
        """Return them with every tensor changed: moved to a device, cut to a part of a batch."""
        nodes = tuple(change(node) for node in self.nodes)
        return Draws(change(self.linear), change(self.shift), nodes, change(self.tint))


@dataclass(frozen=True)
class Views:
    """Where the pixels of a batch of views lie on their canvases."""

    plain: Tensor
    """(B, H, W, 2), (x, y) in -1..1 of the canvas, as grid_sample wants it."""
    warped: Tensor
    """The same view seen through a random distortion."""


def draw(batch: int, *, move: float, warp: float, flip: float, generator: Generator) -> Draws:
    """Draw a random similarity, a random warp and a random tint for each face of a batch.

    Args:
        batch: B.
        move: Strength of rotation, zoom and shift, 0 to 1.
        warp: Strength; 0 makes the warped view equal to the plain one.
        flip: Share of the views that are mirrored.
        generator: On the CPU.
    """

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(batch, generator=generator) * (high - low) + low

    mirror = torch.where(uniform(0.0, 1.0) < flip, -1.0, 1.0)
    angle = move * uniform(-MAX_ROTATION_DEG, MAX_ROTATION_DEG) * (math.pi / 180.0)
    zoom = torch.exp(move * uniform(-math.log(MAX_ZOOM), math.log(MAX_ZOOM)))
    shift_B2 = torch.stack([move * uniform(-2 * MAX_SHIFT, 2 * MAX_SHIFT) for _ in range(2)], 1)
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    linear_B22 = torch.stack([cos * mirror, -sin, sin * mirror, cos], dim=1).view(batch, 2, 2)
    tint_BT = torch.rand(batch, TINTS, generator=generator) * 2.0 - 1.0
    nodes = _draw_nodes(batch, warp, generator) if warp > 0.0 else ()
    return Draws(linear_B22, shift_B2, nodes, tint_BT)


def _draw_nodes(batch: int, strength: float, generator: Generator) -> tuple[Tensor, ...]:
    """Return the displacements of the nodes, in halves of the side; x and y independent.

    The nodes of a regular grid move at random, those of its border stay; each face has
    one of three cell sizes. Grid sizes as DeepFaceLab's, whose x and y are transposes of
    each other.
    """
    choice = torch.randint(len(WARP_CELLS), (batch,), generator=generator)
    fields = []
    for number, cells in enumerate(WARP_CELLS):
        nodes = torch.randn(batch, 2, cells + 1, cells + 1, generator=generator).clamp(-2.5, 2.5)
        nodes[:, :, [0, -1]] = 0.0
        nodes[:, :, :, [0, -1]] = 0.0
        nodes *= strength * WARP_SPREAD * 2.0 / cells
        fields.append(nodes * (choice == number).view(-1, 1, 1, 1))
    return tuple(fields)


def views(draws: Draws, side: int) -> Views:
    """Return where the pixels of the views lie, on the device of the draws.

    Args:
        draws: Of B views.
        side: H, pixels.
    """
    x_HW1, y_HW1 = grid(side, draws.linear.device).split(1, dim=-1)
    x_axis, y_axis = (draws.linear[:, None, None] / COVER).unbind(dim=-1)  # (B, 1, 1, 2) each
    plain = x_HW1 * x_axis + y_HW1 * y_axis + draws.shift[:, None, None] / COVER
    warped = plain
    for nodes in draws.nodes:
        # Turned as nodes, of which there are few, and not as pixels.
        turned = torch.einsum("bij,bjkl->bikl", draws.linear, nodes) / COVER
        field = F.interpolate(turned, (side, side), mode="bilinear", align_corners=True)
        warped = warped + field.permute(0, 2, 3, 1)
    return Views(plain, warped)


def grid(side: int, device: torch.device) -> Tensor:
    """Return the centres of the pixels of a view, (H, W, 2), (x, y) in -1..1."""
    centres = (torch.arange(side, device=device) + 0.5) * (2.0 / side) - 1.0
    return torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1)


def points_in_view(points_BN2: Tensor, draws: Draws) -> Tensor:
    """Return where points of the canvas, -1..1, lie in the plain view, (B, N, 2), -1..1."""
    turned = (points_BN2 * COVER - draws.shift[:, None]).transpose(1, 2)
    # solve_ex: solve would wait for the device, to see whether it worked.
    seen: Tensor = torch.linalg.solve_ex(draws.linear, turned)[0]
    return seen.transpose(1, 2)


def sample(canvas_BCHW: Tensor, grid_BHW2: Tensor, *, mode: str) -> Tensor:
    """Look a canvas up at a grid; beyond its border the last pixel is repeated.

    Args:
        canvas_BCHW: float, 0..255, as the faces are kept.
        grid_BHW2: See Views.
        mode: bilinear, or bicubic (which overshoots, and is clamped).

    Returns:
        (B, C, H, W), 0..1.
    """
    seen = F.grid_sample(canvas_BCHW, grid_BHW2, mode, "border", align_corners=False)
    seen = seen * (1.0 / 255.0)  # here and not before: a view has fewer pixels than its canvas
    return seen.clamp_(0.0, 1.0) if mode == "bicubic" else seen


def tint(img_BCHW: Tensor, tint_BT: Tensor, *, strength: float, hue_deg: float) -> Tensor:
    """Shift brightness, contrast, saturation, hue and colour balance of each picture.

    Args:
        img_BCHW: RGB, 0..1.
        tint_BT: See Draws.
        strength: 0.05 moves brightness by up to 0.05, balance by up to 5 %, contrast and
            saturation by up to 10 %.
        hue_deg: The most that hue is turned by, either way.
    """
    if strength == 0.0 and hue_deg == 0.0:
        return img_BCHW
    draws = strength * tint_BT[:, :, None, None]
    brightness, contrast, balance_B31 = draws[:, 0], 1.0 + 2.0 * draws[:, 1], 1.0 + draws[:, 4:, 0]
    turned_B33 = _hue_matrix(math.radians(hue_deg) * tint_BT[:, 3, None, None])
    grey_B33 = torch.full_like(turned_B33, 1.0 / 3.0)
    # Both keep grey as it is, so that the contrast may be changed about the mean grey after them.
    colours_B33 = grey_B33 + (1.0 + 2.0 * draws[:, 2]) * (turned_B33 - grey_B33)
    mean = img_BCHW.mean(dim=(1, 2, 3))[:, None, None]
    matrix = balance_B31 * contrast * colours_B33
    offset = balance_B31 * (1.0 - contrast) * mean + brightness
    flat = torch.baddbmm(offset, matrix, img_BCHW.flatten(2))
    return flat.clamp_(0.0, 1.0).view(img_BCHW.shape)


def _hue_matrix(angle_B11: Tensor) -> Tensor:
    """Return the rotation of RGB about the grey axis, (B, 3, 3): Rodrigues' formula."""
    third, across = (1.0 - torch.cos(angle_B11)) / 3.0, torch.sin(angle_B11) / math.sqrt(3.0)
    same, next_, last = torch.cos(angle_B11) + third, third - across, third + across
    rows = (same, next_, last), (last, same, next_), (next_, last, same)
    return torch.cat([torch.cat(row, dim=2) for row in rows], dim=1)
