"""Terms between what draws and what judges it. Logits say how true something looks."""

# Shape suffixes: B batch, C channels, H, W sides.

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def fooling(logits: Sequence[Tensor]) -> Tensor:
    """Return what it costs not to be taken for true, (B,): the sum over maps of logits.

    Args:
        logits: Maps of a critic for what was drawn, (B, 1, any height, any width).

    Source: Goodfellow et al., "Generative adversarial nets", NeurIPS 2014, section 3, the
    form that does not saturate.
    """
    return torch.stack([_surprise(each, true=True) for each in logits]).sum(dim=0)


def judging(logits: Sequence[Tensor]) -> Tensor:
    """Return what it costs a critic to take one for the other, (B,).

    Half of [false taken for true + true taken for false], summed over maps.

    Args:
        logits: Maps of a critic, (2 B, 1, any height, any width): first the false ones, then
            as many true ones.
    """
    costs = []
    for each in logits:
        false, true = each.chunk(2)
        costs.append(0.5 * (_surprise(false, true=False) + _surprise(true, true=True)))
    return torch.stack(costs).sum(dim=0)


def _surprise(logits: Tensor, *, true: bool) -> Tensor:
    """Return the binary cross entropy of logits with one answer, mean over a map, (B,)."""
    logits = logits.float()
    return F.softplus(-logits if true else logits).flatten(1).mean(dim=1)


def total_variation(img_BCHW: Tensor) -> Tensor:
    """Return the sum of the squared steps to the right and down, (B,): noise costs."""
    img_BCHW = img_BCHW.float()
    down = img_BCHW[..., 1:, :] - img_BCHW[..., :-1, :]
    right = img_BCHW[..., 1:] - img_BCHW[..., :-1]
    return down.square().flatten(1).sum(dim=1) + right.square().flatten(1).sum(dim=1)
