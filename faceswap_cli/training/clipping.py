"""How long a gradient may be: a fixed length, and what has been usual of late."""

import torch
from torch import Tensor, nn

HISTORY = 1000
"""Iterations whose norms tell what is usual."""
_EPSILON = 1e-6


def new_norms(quantile: float, device: torch.device) -> Tensor:
    """Return the history of the norms, (HISTORY,), NaN: not yet; empty where nobody asks."""
    return torch.full((HISTORY if quantile > 0 else 0,), torch.nan, device=device)


@torch.no_grad()
def clip_gradients(
    weights: list[nn.Parameter], limit: float, *, norms: Tensor, quantile: float, number: int
) -> None:
    """Shorten the gradient of some weights, taken together, where it is too long.

    Nothing waits for the device, and the history is a tensor of the state: a training that
    goes on clips as one that never stopped.

    Args:
        weights: Those without a gradient play no part.
        limit: Longest norm; 0: any.
        norms: (HISTORY,) of the last ones, this one is added; empty: they play no part.
        quantile: 0..1 of the history, this norm with it, that is the other limit.
        number: Of the iteration.

    Source: Seetharaman et al., "AutoClip: Adaptive Gradient Clipping for Source Separation
    Networks", MLSP 2020; a fixed length as torch's clip_grad_norm_, to the bit.
    """
    gradients = [p.grad for p in weights if p.grad is not None]
    if not gradients or (limit <= 0 and not len(norms)):
        return
    norm = torch.nn.utils.get_total_norm(gradients)
    longest: Tensor | float = limit if limit > 0 else torch.inf
    if len(norms):
        finite = torch.where(norm.isfinite(), norm, torch.nan)  # what is not, is not usual
        norms[number % len(norms)].copy_(finite)
        longest = torch.nanquantile(norms, quantile).clamp(max=longest)
    share = torch.clamp(longest / (norm + _EPSILON), max=1.0)
    torch._foreach_mul_(gradients, share)
