"""Which frames are measured, and which were left out between others."""

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from faceswap_cli.faces.record import FaceRecord

LONGEST_GAP = 50
"""Frames: a face that is away for longer has left."""


@dataclass(frozen=True)
class Gap:
    """Frames that keep the old face although those around them have the new one."""

    first: int
    last: int
    track: int

    def __len__(self) -> int:
        return self.last - self.first + 1


def spread_pairs(faces: Mapping[int, Sequence[FaceRecord]], count: int) -> list[int]:
    """Return the frames to measure: pairs that follow each other, evenly over the clip.

    Args:
        faces: That are swapped, by frame.
        count: About how many frames; 0: all.

    Returns:
        Growing. Single frames where no two follow each other with the same face.
    """
    frames = sorted(faces)
    if count == 0 or count >= len(frames):
        return frames
    tracks = {frame: {record.track for record in faces[frame]} for frame in frames}
    starts = [frame for frame in frames if tracks[frame] & tracks.get(frame + 1, set())]
    if not starts:
        return _even(frames, count)
    chosen = _even(starts, max(1, count // 2))
    return sorted({frame for start in chosen for frame in (start, start + 1)})


def find_gaps(faces: Mapping[int, Sequence[FaceRecord]], *, left_out: Container[int]) -> list[Gap]:
    """Return where frames of a track are without any swapped face, between two that have it.

    Args:
        faces: That are swapped, by frame.
        left_out: Frames that are meant to stay as they are.
    """
    by_track: defaultdict[int, list[int]] = defaultdict(list)
    for frame in sorted(faces):
        for record in faces[frame]:
            by_track[record.track].append(frame)
    told: set[int] = set()
    gaps = []
    for track, frames in by_track.items():
        for before, after in pairwise(frames):
            between = range(before + 1, after)
            missed = [f for f in between if f not in faces and f not in left_out]
            if missed and len(between) <= LONGEST_GAP and not told.intersection(missed):
                told.update(missed)
                gaps.append(Gap(missed[0], missed[-1], track))
    return sorted(gaps, key=lambda gap: gap.first)


def _even(frames: Sequence[int], count: int) -> list[int]:
    places = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
    return [frames[place] for place in places.tolist()]
