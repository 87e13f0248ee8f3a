"""Maps of colours that turn one cloud of colours into another: linear, and of any shape.

Batched, in float32 and without a word from the device to the host: torch's own
decompositions of a matrix wait for the device to report how they went.
"""

# Shape suffixes: B batch, C 3 channels or fewer, P pixels of a picture, N of them drawn,
# K random numbers of a face, R rotations, M points that are moved, G nodes along a side of
# the table.

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Moments = tuple[Tensor, Tensor]
"""Mean, (B, 3, 1), and covariance, (B, 3, 3)."""
MAX_GAIN = 2.0
"""Linear maps stretch no direction of the cloud by more than this, and shrink none further."""
MIN_VARIANCE = (1.0 / 255.0) ** 2
"""Added to every direction of a cloud: where one has no spread there is nothing to stretch."""
SWEEPS = 4
"""Of 20000 random 3x3 matrices, all had come to rest after four."""

PIXELS = 2048
"""Drawn from each region."""
TURNS = 12
"""Rotations of the cloud; along the axes of each it is matched."""
DRAWS = PIXELS + 3 * TURNS
"""Random numbers of a face: K."""
KNOTS = 64
"""Of the line that matches one axis, each the mean of 1/64 of the pixels."""
NODES = 17
"""Along each side of the table of colours, 16 levels apart."""


@dataclass(frozen=True)
class Cloud:
    """The colours of each picture of a batch, and how much each of them counts."""

    colour_B3P: Tensor
    weight_B1P: Tensor

    @classmethod
    def of(cls, image_BCHW: Tensor, region_B1HW: Tensor) -> "Cloud":
        """Take the pixels of (B, 3, H, W), RGB 0..1, with the weights of (B, 1, H, W)."""
        return cls(image_BCHW.float().flatten(2), region_B1HW.float().flatten(2))

    def size_px(self) -> Tensor:
        """Return how large each region is, (B,)."""
        return self.weight_B1P.sum(dim=(1, 2))

    def moments(self) -> Moments:
        """Return the weighted mean and covariance."""
        total_B11 = self.size_px()[:, None, None].clamp(min=1e-6)
        mean_B31 = (self.colour_B3P * self.weight_B1P).sum(dim=2, keepdim=True) / total_B11
        apart_B3P = self.colour_B3P - mean_B31
        return mean_B31, (apart_B3P * self.weight_B1P) @ apart_B3P.mT / total_B11

    def draw(self, uniform_BN: Tensor) -> Tensor:
        """Return N colours of each region, (B, 3, N); a pixel comes as often as it counts.

        Args:
            uniform_BN: 0 <= u < 1. The region is cut into N parts of equal weight in the
                order of its pixels, and one pixel drawn from each.
        """
        batch, count = uniform_BN.shape
        steps_N = torch.arange(1, count + 1, device=uniform_BN.device)
        reached_BP = self.weight_B1P[:, 0].cumsum(dim=1)
        # More than 0 and at most all, whatever the rounding: no pixel of weight 0 is found.
        sought_BN = (steps_N - uniform_BN) / count * reached_BP[:, -1:]
        index_BN = torch.searchsorted(reached_BP, sought_BN)
        channels = self.colour_B3P.shape[1]
        return self.colour_B3P.gather(2, index_BN[:, None].expand(batch, channels, count))


def linear_map(cov_B33: Tensor, like_cov_B33: Tensor, *, optimal: bool) -> Tensor:
    """Return matrices A with A cov A' = like_cov as far as the bound of the gain lets them.

    Both kinds are like^1/2 Q cov^-1/2. With Q = 1 the cloud is whitened and coloured along
    its principal axes. With Q the rotation in the polar decomposition of
    like^1/2 cov^1/2, A is cov^-1/2 (cov^1/2 like cov^1/2)^1/2 cov^-1/2, the map that moves
    colours least; written like this, float32 is enough for it.

    Args:
        cov_B33: Covariance of the colours that are moved.
        like_cov_B33: Covariance they shall have.
        optimal: Take the map of Monge and Kantorovitch.

    Returns:
        (B, 3, 3), singular values between 1 / MAX_GAIN and MAX_GAIN.

    Source:
        Pitie and Kokaram, "The linear Monge-Kantorovitch linear colour mapping for
        example-based colour transfer", CVMP 2007.
    """
    both_X33 = torch.cat([cov_B33, like_cov_B33])
    both_X33 = both_X33 + MIN_VARIANCE * torch.eye(3, device=both_X33.device)
    u_X33, variance_X3, _ = svd(both_X33)
    spread, like_spread = variance_X3.sqrt()[:, None].chunk(2)
    u, like_u = u_X33.chunk(2)
    like_root = (like_u * like_spread) @ like_u.mT
    if optimal:
        left, _, right = svd(like_root @ (u * spread) @ u.mT)
        like_root = like_root @ left @ right.mT
    left, gain_B3, right = svd(like_root @ (u / spread) @ u.mT)
    return (left * gain_B3.clamp(1.0 / MAX_GAIN, MAX_GAIN)[:, None]) @ right.mT


def svd(matrix_X33: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return U, d, V with matrix = U diag(d) V': (X, 3, 3), (X, 3) in no order, (X, 3, 3).

    One-sided Jacobi: pairs of columns are rotated until all are orthogonal.

    Source:
        Hestenes, "Inversion of matrices by biorthogonalization and related results",
        J. SIAM 6(1), 1958.
    """
    eye_X33 = torch.eye(3, device=matrix_X33.device).expand_as(matrix_X33)
    # V lies below the matrix and is rotated along with it.
    columns = list(torch.cat([matrix_X33, eye_X33], dim=1).unbind(dim=2))
    for _ in range(SWEEPS):
        for i, j in ((0, 1), (0, 2), (1, 2)):
            columns[i], columns[j] = _orthogonal(columns[i], columns[j])
    rotated_X33, v_X33 = torch.stack(columns, dim=2).chunk(2, dim=1)
    d_X3 = torch.linalg.vector_norm(rotated_X33, dim=1).clamp(min=1e-12)
    return rotated_X33 / d_X3[:, None], d_X3, v_X33


def _orthogonal(a_X6: Tensor, b_X6: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate two columns by at most 45 degrees so that their upper halves are orthogonal."""
    a_X3, b_X3 = a_X6[:, :3], b_X6[:, :3]
    twice_dot = 2.0 * (a_X3 * b_X3).sum(dim=1, keepdim=True)
    gap = ((b_X3 - a_X3) * (b_X3 + a_X3)).sum(dim=1, keepdim=True)
    angle = 0.5 * torch.atan2(torch.where(gap < 0.0, -twice_dot, twice_dot), gap.abs())
    cos, sin = torch.cos(angle), torch.sin(angle)
    return cos * a_X6 - sin * b_X6, sin * a_X6 + cos * b_X6


def shift_table(
    face: Cloud, like: Cloud, draws_BK: Tensor, *, together: int, step: float
) -> Tensor:
    """Return how far each colour of a regular grid has to move to make one cloud the other.

    Both clouds are looked at along the three axes of a rotation. Along one axis, the best
    way to turn one into the other is to give the n-th value that of the n-th of the other.
    After each round of rotations the points are moved, and with them the nodes of the grid.

    Args:
        face: The colours that are moved.
        like: The colours they shall become.
        draws_BK: 0..1: first those that draw the pixels, then three for each rotation.
        together: Rotations of a round, whose shifts are averaged.
        step: Part of the shift that is taken, 0..1.

    Returns:
        (B, 3, G, G, G): shift of red, green, blue; indexed by blue, green, red.

    Source:
        One rotation at a time: Pitie et al., "N-dimensional probability density function
        transfer and its application to colour transfer", ICCV 2005. Many together: Rabin et
        al., "Wasserstein barycenter and its application to texture mixing", SSVM 2011.
    """
    nodes_3M = _nodes(face.colour_B3P.device)
    uniform_BN, turns_BR3 = draws_BK[:, :PIXELS], draws_BK[:, PIXELS:].unflatten(1, (TURNS, 3))
    # Drawn by the same numbers: a picture that is compared with itself must stay as it is.
    shift_B3M = transport(
        face.draw(uniform_BN),
        like.draw(uniform_BN),
        nodes_3M,
        rotations(turns_BR3),
        together=together,
        step=step,
    )
    return shift_B3M.view(-1, 3, NODES, NODES, NODES)


def transport(
    points_BCN: Tensor,
    target_BCN: Tensor,
    nodes_CM: Tensor,
    turns_BRCC: Tensor,
    *,
    together: int,
    step: float,
) -> Tensor:
    """Return how far nodes have to move, (B, C, M), when points become the target; any C.

    Args:
        points_BCN: What is moved, N a multiple of 64.
        target_BCN: What it becomes.
        nodes_CM: They are moved along.
        turns_BRCC: Rotations, each with axes along which the points are matched.
        together: See shift_table.
        step: See shift_table.
    """
    count = points_BCN.shape[2]
    nodes_BCM = nodes_CM.expand(len(points_BCN), -1, -1)
    moved_BCM = torch.cat([points_BCN, nodes_BCM], dim=2)
    for turn_BRCC in turns_BRCC.split(together, dim=1):
        wanted_BRCN = turn_BRCC @ target_BCN[:, None]
        shift_BRCM = _shift(turn_BRCC @ moved_BCM[:, None], wanted_BRCN)
        moved_BCM = moved_BCM + step * (turn_BRCC.mT @ shift_BRCM).mean(dim=1)
    shift_BCM: Tensor = moved_BCM[:, :, count:] - nodes_CM
    return shift_BCM


def look_up(img_BCHW: Tensor, table_B3GGG: Tensor) -> Tensor:
    """Return the shift of each pixel of a picture, trilinear between the nodes; (B, 3, H, W)."""
    at_B1HW3 = (img_BCHW.clamp(0.0, 1.0) * 2.0 - 1.0).permute(0, 2, 3, 1)[:, None]
    shift_B31HW: Tensor = F.grid_sample(
        table_B3GGG, at_B1HW3, "bilinear", "border", align_corners=True
    )
    return shift_B31HW[:, :, 0]


def rotations(uniform_BR3: Tensor) -> Tensor:
    """Return rotations of space, (B, R, 3, 3), evenly distributed.

    Source:
        Shoemake, "Uniform random rotations", Graphics Gems III, 1992.
    """
    part, *turns = uniform_BR3.unbind(dim=-1)
    one, two = (2.0 * torch.pi * turn for turn in turns)
    rest, root = (1.0 - part).sqrt(), part.sqrt()
    x, y, z, w = rest * one.sin(), rest * one.cos(), root * two.sin(), root * two.cos()
    rows = (
        (1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w)),
        (2.0 * (x * y + z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - x * w)),
        (2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def _shift(seen_BRCM: Tensor, wanted_BRCN: Tensor) -> Tensor:
    """Return how far each point moves along each axis; the first N are the cloud itself.

    Between the knots the shift is linear in the place, beyond the ends it is that of the end.
    """
    cloud_BRCN = seen_BRCM[..., : wanted_BRCN.shape[-1]]
    knots, aims = (
        line.sort(dim=-1).values.unflatten(-1, (KNOTS, -1)).mean(dim=-1)
        for line in (cloud_BRCN, wanted_BRCN)
    )
    right = torch.searchsorted(knots, seen_BRCM, right=True).clamp(1, KNOTS - 1)
    low, high = knots.gather(-1, right - 1), knots.gather(-1, right)
    part = ((seen_BRCM - low) / (high - low).clamp(min=1e-6)).clamp(0.0, 1.0)
    shift = aims - knots
    return torch.lerp(shift.gather(-1, right - 1), shift.gather(-1, right), part)


def _nodes(device: torch.device) -> Tensor:
    """Return the colours of the nodes, (3, G^3): red changes fastest, as look_up wants it."""
    line = torch.linspace(0.0, 1.0, NODES, device=device)
    blue, green, red = torch.meshgrid(line, line, line, indexing="ij")
    return torch.stack([red, green, blue]).flatten(1)
