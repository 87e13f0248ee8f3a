"""What the mask network is judged by."""

# Shape suffixes: B batch, H = W = resolution.

import torch
import torch.nn.functional as F
from torch import Tensor

DISBELIEF = 0.25
"""A face by its hull, of which the network believes less than this, is a hand: it counts not."""
BELIEVE_FROM, BELIEVE_FULLY = 0.1, 0.3
"""Shares of the training between which the network comes to be believed."""


def mask_loss(logits: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    """Return cross entropy plus the soft Dice loss of each face, their mean over faces.

    Args:
        logits: (B, 1, H, W).
        label: The same shape, 0..1.
        weight: The same shape, 0..1.

    Source: Milletari et al., "V-Net", 3DV 2016, for the Dice loss (here without squares).
    """
    entropy = F.binary_cross_entropy_with_logits(logits, label, reduction="none")
    entropy_B = (weight * entropy).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=1.0)
    drawn = logits.sigmoid()
    both_B = (weight * drawn * label).flatten(1).sum(1)
    all_B = (weight * (drawn + label)).flatten(1).sum(1)
    dice_B = 1.0 - (2.0 * both_B + 1.0) / (all_B + 1.0)
    return (entropy_B + dice_B).mean()


@torch.no_grad()
def believed(logits: Tensor, weight: Tensor, hull_only: Tensor, *, progress: float) -> Tensor:
    """Return the weights less those of pixels that the hull calls face and the network does not.

    A network that has seen many made-up hands, and that is learnt only in part, sees real ones
    before it learns them by heart.

    Args:
        logits: (B, 1, H, W), of the network as it is.
        weight: The same shape.
        hull_only: The same shape, 1: face, as far as the hull of the landmarks can tell.
        progress: Share of the training that is done.

    Source: Reed et al., "Training deep neural networks on noisy labels with bootstrapping",
        ICLR 2015 workshop; here what is doubted is left out, and not turned around.
    """
    trust = min(1.0, max(0.0, (progress - BELIEVE_FROM) / (BELIEVE_FULLY - BELIEVE_FROM)))
    refused = hull_only * (logits.sigmoid() < DISBELIEF)
    return weight * (1.0 - trust * refused)
