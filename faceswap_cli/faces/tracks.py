"""Which faces of consecutive frames are the same person's, by where they are."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

Box = tuple[float, float, float, float]
MAX_GAP_FRAMES = 25
MAX_MOVE = 0.6
"""Between two sightings, in sides of the box."""
MAX_GROWTH = 1.6
"""Of the side of the box, between two sightings."""


@dataclass
class Tracker:
    """Gives each face of a frame the number of its track; frames come in order.

    A track is continued by the nearest box of similar size; who has been out of sight for
    MAX_GAP_FRAMES, or jumped, begins a new one. Number 0 is the first face ever seen.
    """

    _last: dict[int, tuple[int, Box]] = field(default_factory=dict)
    _next: int = 0

    def assign(self, frame_index: int, boxes: Sequence[Box]) -> list[int]:
        """Return the track of each box, all different."""
        pairs = sorted(
            (distance, track, number)
            for number, box in enumerate(boxes)
            for track, (seen, old) in self._last.items()
            if frame_index - seen <= MAX_GAP_FRAMES and (distance := _distance(old, box)) < MAX_MOVE
        )
        tracks: dict[int, int] = {}
        for _, track, number in pairs:
            if number not in tracks and track not in tracks.values():
                tracks[number] = track
        for number in range(len(boxes)):
            if number not in tracks:
                tracks[number] = self._next
                self._next += 1
        assigned = [tracks[number] for number in range(len(boxes))]
        self.replay(frame_index, assigned, boxes)
        return assigned

    def replay(self, frame_index: int, tracks: Sequence[int], boxes: Sequence[Box]) -> None:
        """Take note of faces whose tracks are known, e.g. from a run that was killed."""
        for track, box in zip(tracks, boxes, strict=True):
            self._last[track] = (frame_index, box)
            self._next = max(self._next, track + 1)


def _distance(a: Box, b: Box) -> float:
    """Return how far the centres are apart, in sides; infinite if the sizes do not fit."""
    (ax, ay, a_side), (bx, by, b_side) = _centre(a), _centre(b)
    if max(a_side, b_side) > MAX_GROWTH * min(a_side, b_side):
        return float("inf")
    return float(np.hypot(ax - bx, ay - by)) / max(a_side, b_side)


def _centre(box: Box) -> tuple[float, float, float]:
    left, top, right, bottom = box
    return (left + right) / 2, (top + bottom) / 2, max(1.0, ((right - left) + (bottom - top)) / 2)
