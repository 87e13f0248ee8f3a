"""Which learning rate suits a model: a short training in which the rate rises until it hurts.

Source: Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, section 3.3.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.config import TrainConfig
from faceswap_cli.models import Faces
from faceswap_cli.training.schedule import weighted_loss
from faceswap_cli.training.step import Stepper

LOWEST, HIGHEST = 1e-6, 1e-1
ITERATIONS = 150
"""30 for each tenfold of the rate."""
RUNNING = 0.9
"""Share of the running mean that an iteration keeps."""
SPREAD = 1 / 40
"""Of the Gaussian that smooths the whole curve, as a share of its length."""
BLOWN_UP = 4.0
"""Times the best loss: the test stops."""
WORSE = 0.1
"""Of what the loss has come down: so much above its best, it goes up."""
LEAST_FALL = 0.02
"""Of the loss at the start: less is no fall, but noise."""
SAFETY = 0.1
"""Of the rate where the loss goes up."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RateTest:
    """The curve, and what is read from it."""

    rates: Floats
    """(N,), of each iteration."""
    losses: Floats
    """(N,), weighted, before the iteration's own step."""
    smooth: Floats
    """(N,), without the noise of single batches."""
    steepest: float | None
    """Rate at which the loss falls fastest; None: it hardly falls."""
    blows_up: float | None
    """Rate from which on the loss rises; None: it never did."""

    @property
    def suggested(self) -> float:
        """The lower of the steepest and a tenth of where it blows up, two digits."""
        limit = SAFETY * (self.blows_up or float(self.rates[-1]))
        return float(f"{min(limit, self.steepest or limit):.1e}")


def for_test(config: TrainConfig) -> TrainConfig:
    """Return the settings of a training whose rate `sweep` chooses."""
    return config.model_copy(update={"schedule": "constant", "warmup": 0, "compile": "off"})


def sweep(
    stepper: Stepper,
    batches: Iterable[tuple[Faces, Faces]],
    config: TrainConfig,
    *,
    iterations: int = ITERATIONS,
    seen: Callable[[float, float], object] = lambda rate, loss: None,
) -> RateTest:
    """Train with a rate that rises evenly on a log scale; stop where the loss is lost.

    Args:
        stepper: Made with `for_test(config)`; its state is changed in place.
        batches: At least as many as iterations.
        config: Of the stepper.
        iterations: From LOWEST to HIGHEST.
        seen: Is told each rate and loss.
    """
    losses, running, best, first = list[float](), 0.0, math.inf, stepper.state.iteration
    planned = np.geomspace(LOWEST, HIGHEST, iterations)
    for number, (rate, (src, dst)) in enumerate(zip(planned.tolist(), batches, strict=False)):
        stepper.state.rate_scale = rate / config.learning_rate
        loss = float(weighted_loss(stepper(src, dst), config, first))  # weighed alike throughout
        losses.append(loss)
        seen(rate, loss)
        running = RUNNING * running + (1.0 - RUNNING) * loss
        now = running / (1.0 - RUNNING ** (number + 1))
        best = min(best, now)
        if not now <= BLOWN_UP * best:  # written so that NaN stops, too
            break
    return read_curve(planned[: len(losses)], np.array(losses), iterations)


def read_curve(rates: Floats, losses: Floats, iterations: int) -> RateTest:
    """Find where a loss falls fastest and where it begins to rise.

    Args:
        rates: (N,), evenly on a log scale.
        losses: (N,), the last ones may be NaN or infinite.
        iterations: Of a whole test, N or more.
    """
    whole = np.isfinite(losses)
    # What is not finite is as high as the highest: the curve has to end there.
    filled = np.where(whole, losses, losses[whole].max() if whole.any() else 1.0)
    smooth = _smooth(filled, sigma=max(0.5, SPREAD * iterations))
    start, bottom = float(smooth[0]), int(smooth.argmin())
    fall = start - float(smooth[bottom])
    steepest = None
    if fall > LEAST_FALL * start:
        slope = np.gradient(smooth[: bottom + 1], np.log(rates[: bottom + 1]))
        steepest = float(rates[slope.argmin()])
    threshold = smooth[bottom] + max(WORSE * fall, LEAST_FALL * start)
    rising = np.flatnonzero(smooth[bottom:] > threshold)
    blows_up = float(rates[bottom + rising[0]]) if len(rising) else None
    return RateTest(rates, losses, smooth, steepest, blows_up)


def _smooth(values: Floats, *, sigma: float) -> Floats:
    """Return the mean of the neighbours of each, by a Gaussian that ends at the ends."""
    at = np.arange(len(values))
    weights = np.exp(-0.5 * ((at[:, None] - at[None, :]) / sigma) ** 2)
    return np.asarray(weights @ values / weights.sum(axis=1), np.float64)
