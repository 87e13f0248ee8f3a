"""A ladder of smoothers over the frames of a track, and how far up it a frame may go.

Each smoother fits a polynomial to the neighbours of a frame, those after it as well as
those before, so that nothing lags. A wide one is believed as far as it agrees with all the
narrower ones to within the noise: motion that it would smear shows as a difference.

Source: Lepski's rule ("On a problem of adaptive estimation in Gaussian white noise", Theory
of Probability and its Applications 35(3), 1990), with a gradual end in place of a sudden one.
"""

# Shape suffixes: N frames, W frames of a window, K things that are judged apart.

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

REACH: Final = 14
"""Frames: what is chosen and smoothed at one depends on nothing further away than this."""
# Degree of the local polynomial, and how far from its frame it looks, frames.
RUNGS: Final = ((2, 2), (2, 3), (2, 4), (2, 6), (1, 4), (1, 6), (1, 9), (1, 13))
AGREES, DIFFERS = 4.0, 10.0
"""Squared difference of two smoothers over what noise makes it: full faith, none."""
MAX_NOISE: Final = 3.0
"""A track may tremble more than that by this factor; beyond, it is taken for motion."""
NOISE_FRAMES: Final = 10
"""To either side, in which the noise of a track is measured."""
MOTION_SHARE: Final = 0.15
"""Fourth over second difference of motion slower than 6 frames, 1 being white noise."""


@dataclass(frozen=True, eq=False)
class Ladder:
    """The smoothers of one track, narrow to wide, each a weighted sum of neighbours."""

    frames: NDArray[np.int64]
    weights: list[Floats]
    """(N, W) each, of the neighbours in the order of the track; W differs."""

    @classmethod
    def build(cls, frames: NDArray[np.int64]) -> "Ladder":
        """Fit the polynomials' weights; the first smoother is the frame alone."""
        alone = np.ones((len(frames), 1))
        return cls(frames, [alone, *(_polynomial(frames, *rung) for rung in RUNGS)])

    def smooth(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        """Return S arrays of the shape of `values`, (N, ...)."""
        return [_weigh(weights, values) for weights in self.weights]

    def scatter(self, narrow: int, wide: int) -> Floats:
        """Return (N,): variance of the difference of two smoothers of white noise of 1."""
        a, b = sorted((self.weights[narrow], self.weights[wide]), key=lambda w: w.shape[1])
        margin = (b.shape[1] - a.shape[1]) // 2
        difference = b - np.pad(a, ((0, 0), (margin, margin)))
        return np.asarray(np.maximum((difference**2).sum(axis=1), 1e-9))

    def shares(self, misfit: Callable[[int, int], Floats]) -> list[Floats]:
        """Return how much of each smoother is taken, S arrays that sum to 1.

        Args:
            misfit: Of a narrow and a wide smoother: their squared difference over what
                noise makes it, (N,) or (N, K).
        """
        faith: list[Floats] = [np.ones_like(misfit(0, 1))]
        for wide in range(1, len(self.weights)):
            worst: Floats = np.maximum.reduce([misfit(narrow, wide) for narrow in range(wide)])
            doubt = ((self._settle(worst) - AGREES) / (DIFFERS - AGREES)).clip(0.0, 1.0)
            faith.append(faith[-1] * (1.0 - doubt**2 * (3.0 - 2.0 * doubt)))
        faith.append(np.zeros_like(faith[0]))
        return [here - above for here, above in pairwise(faith)]

    def _settle(self, values: Floats) -> Floats:
        """Average over three frames, that the choice itself may not tremble."""
        joined = (np.diff(self.frames) == 1).astype(np.float64) / 2.0
        joined = joined.reshape(-1, *(1,) * (values.ndim - 1))
        total, weight = values.copy(), np.ones((len(values), *joined.shape[1:]))
        total[1:] += joined * values[:-1]
        total[:-1] += joined * values[1:]
        weight[1:] += joined
        weight[:-1] += joined
        return np.asarray(total / weight)

    def noise(
        self,
        values: NDArray[Any],
        pool: Callable[[Floats], Floats],
        *,
        least: float,
        rank: float = 0.5,
    ) -> Floats:
        """Return the variance of the noise near each frame, (N, K) or (N,).

        White noise grows with the order of differences as motion does not.

        Args:
            values: (N, ...), what trembles.
            pool: Brings squared differences of that shape to (N, K) or (N,), per axis.
            least: Standard deviation of a still face.
            rank: 0..1, of the squared differences around a frame the one that is taken:
                0.5 is the median; the lower, the more sudden stops it overlooks.
        """
        second, fourth = (
            _ranked(self.frames, pool(_squared_difference(self.frames, values, order)), rank)
            for order in (2, 4)
        )
        variance = (fourth - MOTION_SHARE * second) / (1.0 - MOTION_SHARE)
        return np.asarray(np.clip(variance, least**2, (MAX_NOISE * least) ** 2))


def _window(num: int, reach: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return (N, W): the positions around each, kept within the track; which are real."""
    around = np.arange(num)[:, None] + np.arange(-reach, reach + 1)
    return around.clip(0, num - 1), (around >= 0) & (around < num)


def _polynomial(frames: NDArray[np.int64], degree: int, reach: int) -> Floats:
    """Return the weights (N, W) of a polynomial fitted around each frame, read off there."""
    positions, real = _window(len(frames), reach)
    offset = (frames[positions] - frames[:, None]) / (reach + 1.0)
    kernel = np.where(real, np.maximum(1.0 - offset**2, 0.0), 0.0)
    enough = (kernel > 0.0).sum(axis=1) > degree
    powers = offset[..., None] ** np.arange(degree + 1)
    normal = np.einsum("nw,nwi,nwj->nij", kernel, powers, powers)
    normal[~enough] = np.eye(degree + 1)
    first = np.linalg.inv(normal)[:, 0]
    weights = kernel * np.einsum("nwi,ni->nw", powers, first)
    weights[~enough] = np.arange(2 * reach + 1) == reach  # too few neighbours: the frame alone
    return np.asarray(weights)


def _weigh(weights: Floats, values: NDArray[Any]) -> NDArray[Any]:
    """Return the weighted sum of each frame's neighbours; (N, W), (N, ...) -> (N, ...)."""
    num, reach = len(values), weights.shape[1] // 2
    padded = np.pad(values, ((reach, reach), *((0, 0),) * (values.ndim - 1)))
    columns = weights.T.reshape(weights.shape[1], num, *(1,) * (values.ndim - 1))
    total = np.zeros_like(values)
    for start, column in enumerate(columns):
        total += column * padded[start : start + num]
    return total


def _squared_difference(frames: NDArray[np.int64], values: NDArray[Any], order: int) -> Floats:
    """Return |difference|^2 of order 2 or 4, 1 for white noise of 1; NaN beside a hole."""
    squares = np.full(values.shape, np.nan)
    if len(frames) > order:
        difference = np.abs(np.diff(values, order, axis=0)) ** 2 / {2: 6.0, 4: 70.0}[order]
        difference[frames[order:] - frames[:-order] != order] = np.nan
        squares[order // 2 : len(frames) - order // 2] = difference
    return squares


def _ranked(frames: NDArray[np.int64], values: Floats, rank: float) -> Floats:
    """Return a quantile over NOISE_FRAMES to either side, 0 where nothing is known."""
    positions, real = _window(len(frames), NOISE_FRAMES)
    real &= np.abs(frames[positions] - frames[:, None]) <= NOISE_FRAMES
    near = values[positions]
    near[~real] = np.nan
    ordered = np.sort(near, axis=1)  # NaN last
    known = np.isfinite(ordered).sum(axis=1, keepdims=True)
    place = (rank * np.maximum(known - 1, 0)).astype(np.int64)
    found = np.take_along_axis(ordered, place, axis=1)
    return np.asarray(np.where(known > 0, found, 0.0)[:, 0])
