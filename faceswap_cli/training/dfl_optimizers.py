"""DeepFaceLab's two optimisers: no bias correction, no weight decay, an epsilon beside the root.

All weights of a network are updated by a few calls, without waiting for the device.
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

EPSILON = 1e-6
"""What numpy calls the resolution of float32."""
RMS_DECAY = 0.9
BELIEF_DECAYS = 0.9, 0.999


class _WithSlots(Optimizer):
    """Keeps tensors of the shape of each weight, zero at first."""

    slots: ClassVar[tuple[str, ...]]

    def __init__(self, params: Iterable[nn.Parameter] | list[dict[str, Any]], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(  # type: ignore[override]  # torch's overloads tell less than they ask for
        self, closure: Callable[[], float] | None = None
    ) -> float | None:
        """Update the weights that have a gradient; a closure is none of these optimisers' needs."""
        if closure is not None:
            raise ValueError(f"{type(self).__name__} takes no closure")
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if not weights:
                continue
            for p in weights:
                if not self.state[p]:
                    self.state[p] |= {slot: torch.zeros_like(p) for slot in self.slots}
            kept = [[self.state[p][slot] for p in weights] for slot in self.slots]
            self._update(weights, [p.grad for p in weights], *kept, rate=group["lr"])
        return None

    def _update(
        self, weights: list[Tensor], gradients: list[Tensor], *slots: list[Tensor], rate: float
    ) -> None:
        raise NotImplementedError


class RMSprop(_WithSlots):
    """a <- .9 a + .1 g^2, w <- w - rate g / (sqrt(a) + 1e-6).

    Source: Tieleman and Hinton, "Lecture 6.5: RMSprop", COURSERA: Neural Networks for Machine
    Learning, 2012; epsilon and decay are DeepFaceLab's.
    """

    slots = ("square",)

    def _update(
        self, weights: list[Tensor], gradients: list[Tensor], *slots: list[Tensor], rate: float
    ) -> None:
        (squares,) = slots
        torch._foreach_mul_(squares, RMS_DECAY)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1.0 - RMS_DECAY)
        _move(weights, gradients, squares, rate)


class AdaBelief(_WithSlots):
    """m <- .9 m + .1 g, v <- .999 v + .001 (g - m)^2, w <- w - rate m / (sqrt(v) + 1e-6).

    Source: Zhuang et al., "AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed
    Gradients", NeurIPS 2020, algorithm 2, without its bias correction, as in DeepFaceLab.
    """

    slots = ("mean", "surprise")

    def _update(
        self, weights: list[Tensor], gradients: list[Tensor], *slots: list[Tensor], rate: float
    ) -> None:
        means, surprises = slots
        slow, slower = BELIEF_DECAYS
        torch._foreach_lerp_(means, gradients, 1.0 - slow)
        apart = torch._foreach_sub(gradients, means)
        torch._foreach_mul_(surprises, slower)
        torch._foreach_addcmul_(surprises, apart, apart, value=1.0 - slower)
        del apart  # as large as the weights, and so is what comes next
        _move(weights, means, surprises, rate)


def _move(weights: list[Tensor], along: list[Tensor], squares: list[Tensor], rate: float) -> None:
    spread = torch._foreach_sqrt(squares)
    torch._foreach_add_(spread, EPSILON)
    torch._foreach_addcdiv_(weights, along, spread, value=-rate)
