"""Which faces an iteration sees: a pure function of seed and iteration, so resuming needs no state.

Every face comes once before any comes again. With uniform yaw, bins of head poses take turns, so
that the few profiles are seen as often as the many frontal faces.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Generator, Tensor

YAW_BINS = 128
YAW_LIMIT_DEG = float(np.degrees(1.2))
"""As DeepFaceLab's: 128 bins between -1.2 and 1.2 radians; what lies beyond is in the last."""


def generator(seed: int, stream: int, number: int) -> Generator:
    """Return a generator that depends on these three numbers alone."""
    mixed = np.random.SeedSequence((seed, stream, number)).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(mixed >> np.uint64(1)))


class Order:
    """The order in which the faces of a side are shown."""

    def __init__(self, bins: Sequence[Sequence[int]], *, seed: int, stream: int) -> None:
        """Remember the bins: lists of faces that take turns; one bin is a plain shuffle."""
        self._bins = [tuple(faces) for faces in bins if faces]
        self._seed, self._stream = seed, stream
        # Two orders are asked for again and again: that of this round, that of a bin.
        self._shuffled = lru_cache(maxsize=4 * len(self._bins) + 4)(self._shuffle)

    def at(self, iteration: int, batch: int) -> Tensor:
        """Return the faces of an iteration, (batch,), int64."""
        first = iteration * batch
        return torch.tensor([self._face(place) for place in range(first, first + batch)])

    def _face(self, place: int) -> int:
        turn, at = divmod(place, len(self._bins))
        number = int(self._shuffled(0, turn, len(self._bins))[at])
        faces = self._bins[number]
        epoch, position = divmod(turn, len(faces))
        return faces[int(self._shuffled(1 + number, epoch, len(faces))[position])]

    def _shuffle(self, bin_number: int, epoch: int, count: int) -> Tensor:
        if count == 1:
            return torch.zeros(1, dtype=torch.int64)
        stream = self._stream * (YAW_BINS + 1) + bin_number
        return torch.randperm(count, generator=generator(self._seed, stream, epoch))


def all_alike(count: int) -> list[list[int]]:
    """Return one bin with all faces."""
    return [list(range(count))]


def by_yaw(yaws_deg: Sequence[float]) -> list[list[int]]:
    """Return the faces in bins of equal yaw; empty bins are left out."""
    inside = np.clip(np.asarray(yaws_deg), -YAW_LIMIT_DEG, YAW_LIMIT_DEG)
    numbers = np.rint((inside / YAW_LIMIT_DEG + 1.0) / 2.0 * (YAW_BINS - 1)).astype(int)
    bins: list[list[int]] = [[] for _ in range(YAW_BINS)]
    for face, number in enumerate(numbers.tolist()):
        bins[number].append(face)
    return [faces for faces in bins if faces]
