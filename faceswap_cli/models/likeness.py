"""Keeping the codes of a swap among those that the src decoder knows."""

# Shape suffixes: N faces, D numbers of a code.

from dataclasses import dataclass

import torch
from torch import Tensor

ROOM = 1.3
"""What a code may vary along a direction, in what those of src do: poses src never took."""
MIN_FACES = 16
"""Fewer say nothing about how codes vary."""


@dataclass(frozen=True)
class CodeRange:
    """How dst's codes are drawn in to where src's are."""

    mean_D: Tensor
    """Of dst."""
    pull_DD: Tensor
    """What is left of a difference from the mean."""

    def bring_in(self, code_ND: Tensor) -> Tensor:
        """Return the codes, each nearer to what src's could be."""
        return self.mean_D + (code_ND - self.mean_D) @ self.pull_DD


def fit_range(src_ND: Tensor, dst_ND: Tensor, *, strength: float) -> CodeRange:
    """Measure where the codes of both sides lie.

    Codes of dst vary in directions in which those of src hardly do: there lies what only dst
    has, a beard, and a decoder that was never asked for it as src paints it. Along each
    principal direction of src, dst is left no more than ROOM times src's spread.

    Args:
        src_ND: Of src faces, MIN_FACES or more.
        dst_ND: Of dst faces.
        strength: 0 changes nothing, 1 is all of it.
    """
    place = dst_ND.device
    src_ND, dst_ND = src_ND.cpu().double(), dst_ND.cpu().double()  # small, and squared
    variance_D, directions_DD = torch.linalg.eigh(torch.cov(src_ND.T))
    along_ND = (dst_ND - dst_ND.mean(dim=0)) @ directions_DD
    spread_D = along_ND.square().mean(dim=0).sqrt().clamp(min=1e-9)
    left_D = (ROOM * variance_D.clamp(min=0.0).sqrt() / spread_D).clamp(max=1.0)
    kept_D = 1.0 - strength * (1.0 - left_D)
    pull_DD = directions_DD @ torch.diag(kept_D) @ directions_DD.T
    return CodeRange(dst_ND.mean(dim=0).float().to(place), pull_DD.float().to(place))
