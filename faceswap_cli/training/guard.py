"""Watches a training for what ruins it, and takes it back to where it was well.

What is watched is seen at looks only, which wait for the device anyway, and is the same in all
processes that train together: they go back together.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from faceswap_cli.config import TrainConfig
from faceswap_cli.errors import DivergedError
from faceswap_cli.models import Model
from faceswap_cli.ranks import Ranks
from faceswap_cli.training.checkpoint import TrainState

REDRAWING = frozenset({"dssim", "ms_ssim", "mse", "mask", "eyes_mouth"})
"""Terms that fall as a training goes well; those of judges go up and down."""
EXPLODED = 5.0
"""Times the best running mean of what redrawing costs."""
SUSTAINED_LOOKS = 4
"""So often one after the other: a single batch may be odd."""
KEEP = 0.9
"""Of the running mean, at each look."""
CONTRAST, GREY = 0.2, 0.1
"""Drawn faces that have had this share of the contrast of true ones, and then fall to that
share of what they have had, are grey: the networks have died."""
NO_GRADIENT = 1e-12
SMALL_LOSS = 1e-3
"""Of redrawing: nothing is left to learn below it."""


class TroubleError(Exception):
    """A training has gone wrong; the message says what was seen, and when."""


class Pulse:
    """Sums up gradients of one small tensor of each network: whether any arrive at all."""

    def __init__(self, model: Model, learning: Mapping[str, object], ranks: Ranks) -> None:
        """Hook into the networks that learn; those that only judge may rest."""
        self._sums: dict[str, Tensor] = {}
        self._ranks = ranks
        for child in learning:
            weights = [p for p in model.get_submodule(child).parameters() if p.requires_grad]
            if weights and child not in model.critics:
                small = next((p for p in weights if p.ndim == 1), weights[0])
                small.register_post_accumulate_grad_hook(self._adder(child))

    def read(self) -> dict[str, float]:
        """Return the sums since the last time by network, over all processes."""
        if not self._sums:
            return {}
        names = list(self._sums)
        sums = self._ranks.mean(torch.stack([self._sums[name] for name in names])).tolist()
        self._sums = {}
        return dict(zip(names, sums, strict=True))

    def forget(self) -> None:
        """Begin a new sum."""
        self._sums = {}

    def _adder(self, child: str) -> Callable[[Tensor], None]:
        def add(weight: Tensor) -> None:
            if weight.grad is not None:
                size = weight.grad.detach().abs().sum()
                self._sums[child] = self._sums[child] + size if child in self._sums else size

        return add


class Guard:
    """Judges what is seen at looks."""

    def __init__(self) -> None:
        self.start_over()

    def start_over(self) -> None:
        """Forget what was seen: the training has gone back."""
        self._running, self._best, self._worse, self._contrast = math.inf, math.inf, 0, 0.0

    @property
    def suspects(self) -> bool:
        """Whether the last look was bad, but may have been chance: nothing to save."""
        return self._worse > 0

    def look(
        self, iteration: int, means: Mapping[str, float], pulse: Mapping[str, float], *, last: bool
    ) -> None:
        """Judge the mean of each term since the look before.

        Args:
            iteration: Of the look.
            means: By name, SIDE/TERM.
            pulse: What Pulse has read.
            last: There is no later look that could tell whether this was chance.

        Raises:
            TroubleError: Something is not finite, redrawing costs several times what it did, or
                no gradients arrive.
        """
        bad = sorted(name for name, value in means.items() if not math.isfinite(value))
        if bad:
            raise TroubleError(f"{', '.join(bad)} not finite at iteration {iteration}")
        cost = cost_of_redrawing(means)
        dead = sorted(child for child, size in pulse.items() if size <= NO_GRADIENT)
        if dead and cost > SMALL_LOSS:
            raise TroubleError(f"no gradients in {', '.join(dead)} at iteration {iteration}")
        self._judge_cost(iteration, cost, last=last)

    def _judge_cost(self, iteration: int, cost: float, *, last: bool) -> None:
        if cost > EXPLODED * self._best:
            self._worse += 1
            if last or self._worse >= SUSTAINED_LOOKS:
                raise TroubleError(
                    f"redrawing costs {cost / self._best:.1f} times what it did"
                    f" at iteration {iteration}"
                )
            return
        self._worse = 0
        first = math.isinf(self._running)
        self._running = cost if first else KEEP * self._running + (1.0 - KEEP) * cost
        self._best = min(self._best, self._running)

    def contrast(self, iteration: int, share: float) -> None:
        """Judge the contrast of some drawn faces, as a share of that of the true ones.

        Raises:
            TroubleError: It has been there, and is gone.
        """
        if not math.isfinite(share):
            raise TroubleError(f"drawn faces not finite at iteration {iteration}")
        if self._contrast >= CONTRAST and share < GREY * self._contrast:
            raise TroubleError(
                f"drawn faces are grey at iteration {iteration}: {share:.1%} of the contrast of"
                f" the true ones, it has been {self._contrast:.0%}"
            )
        self._contrast = max(self._contrast, share)


def go_back(
    state: TrainState, config: TrainConfig, why: str, restore: Callable[[], object]
) -> None:
    """Restore the last checkpoint; from there it goes on more slowly, and with other batches.

    Args:
        state: Changed in place. The time that was lost counts as spent.
        config: How often at most, and how much more slowly.
        why: What has gone wrong.
        restore: Fills the state with the checkpoint.

    Raises:
        DivergedError: It has gone back too often; the checkpoint is as it was.
    """
    rollbacks, rate_scale, elapsed_s = state.rollbacks, state.rate_scale, state.elapsed_s
    if rollbacks >= config.rollbacks:
        times = f" after going back {rollbacks} times" if rollbacks else ""
        raise DivergedError(
            f"training diverged{times}: {why}",
            seen_in=f"a learning rate of {config.learning_rate * rate_scale:.2g}",
            fix="run it again with a lower --learning-rate, or more --rollbacks: it goes on from"
            " the last checkpoint",
        )
    restore()
    state.rollbacks = rollbacks + 1
    state.rate_scale = rate_scale * config.rollback_rate
    state.elapsed_s = elapsed_s


def cost_of_redrawing(means: Mapping[str, float]) -> float:
    """Return the sum of what redrawing the faces costs, not weighted."""
    known = [value for name, value in means.items() if name.split("/")[-1] in REDRAWING]
    return sum(known or means.values())
