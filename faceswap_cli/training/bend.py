"""Bending faces towards the shapes of other faces: expressions that a person never made.

A swap asks the src decoder for what dst does, and dst does what src was never seen doing: eyes
shut, lips pursed. A src face whose landmarks are moved to those of a dst face shows the
decoder that shape in src's own skin. What the bend cannot invent, teeth or an eyelid, it
stretches; near faces need little of that, and most views are bent only part of the way.
"""

# Shape suffixes: B batch, N faces to choose from, K what is drawn, P points, C nodes a side.

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

NEAREST = 32
"""Faces of the most similar shape, of which one is drawn."""
NODES = 24
"""Of the grid on which a bend is computed, a side of the canvas: it is smooth."""
STIFFNESS = 1e-3
"""What a landmark that is missed costs less than a kink: landmarks jitter."""
_JAW = 17  # the first points are the jaw; whom a face resembles, the inner ones tell
_BORDER = torch.linspace(-1.0, 1.0, 5)


def draw_bend(batch: int, *, share: float, generator: Generator) -> Tensor:
    """Return what is random about the bends of a batch, (B, 2): whose shape, how far towards it.

    Args:
        batch: B.
        share: Of the faces that are bent, 0..1.
        generator: On the CPU.
    """
    whose, far, bent = torch.rand(3, batch, generator=generator)
    return torch.stack([whose, far * (bent < share)], dim=1)


def choose_shapes(landmarks_BP2: Tensor, shapes_NP2: Tensor, draws_B2: Tensor) -> Tensor:
    """Return for each face one of the NEAREST shapes, (B, P, 2).

    Args:
        landmarks_BP2: Of the faces, any units.
        shapes_NP2: To choose from, the same units; faces of the same alignment.
        draws_B2: See draw_bend.
    """
    inner = landmarks_BP2[:, _JAW:].flatten(1), shapes_NP2[:, _JAW:].flatten(1)
    count = min(NEAREST, len(shapes_NP2))
    near_BN = torch.cdist(*inner).topk(count, largest=False).indices
    pick_B1 = (draws_B2[:, :1] * count).long().clamp(max=count - 1)
    return shapes_NP2[near_BN.gather(1, pick_B1)[:, 0]]


def bend_field(
    landmarks_BP2: Tensor, shapes_BP2: Tensor, draws_B2: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the bend that moves landmarks towards other ones; the border of the canvas stays.

    Source: thin plate splines, Bookstein, "Principal warps", PAMI 11(6), 1989, with the
    diagonal of smoothing splines.

    Args:
        landmarks_BP2: Where they are, -1..1 of the canvas.
        shapes_BP2: Where they would be if they went all the way.
        draws_B2: See draw_bend.

    Returns:
        The field (B, 2, C, C): what is added to a place of the bent canvas to find the place of
        the canvas that is seen there; and the bent landmarks (B, P, 2).
    """
    B, device = len(landmarks_BP2), landmarks_BP2.device
    bent_BP2 = landmarks_BP2 + draws_B2[:, 1, None, None] * (shapes_BP2 - landmarks_BP2)
    border = torch.cartesian_prod(_BORDER, _BORDER)
    border = border[border.abs().amax(dim=1) == 1.0].to(device).expand(B, -1, 2)
    knots = torch.cat([bent_BP2, border], dim=1)
    moves = torch.cat([landmarks_BP2 - bent_BP2, torch.zeros_like(border)], dim=1)
    bending = _kernel(knots, knots) + STIFFNESS * torch.eye(knots.shape[1], device=device)
    plane = F.pad(knots, (1, 0), value=1.0)
    upper = torch.cat([bending, plane], dim=2)
    lower = F.pad(plane.transpose(1, 2), (0, 3))
    system, wanted = torch.cat([upper, lower], dim=1), F.pad(moves, (0, 0, 0, 3))
    # solve_ex: solve would wait for the device, to see whether it worked.
    weights = torch.linalg.solve_ex(system, wanted)[0]
    axis = torch.linspace(-1.0, 1.0, NODES, device=device)
    nodes = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1).view(1, -1, 2)
    nodes = nodes.expand(B, -1, 2)
    seen_from = torch.cat([_kernel(nodes, knots), F.pad(nodes, (1, 0), value=1.0)], dim=2)
    return (seen_from @ weights).transpose(1, 2).reshape(B, 2, NODES, NODES), bent_BP2


def bend(grid_BHW2: Tensor, field_B2CC: Tensor) -> Tensor:
    """Return where the pixels of views of bent canvases lie on the canvases; see Views."""
    added = F.grid_sample(field_B2CC, grid_BHW2, "bilinear", "border", align_corners=True)
    return grid_BHW2 + added.permute(0, 2, 3, 1)


def _kernel(a_BP2: Tensor, b_BQ2: Tensor) -> Tensor:
    """Return r^2 log r of all pairs, (B, P, Q)."""
    square = (a_BP2[:, :, None] - b_BQ2[:, None]).square().sum(dim=-1)
    return 0.5 * square * torch.log(square + 1e-9)
