"""Which frame of the footage another program means by the name of a file."""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import PurePosixPath

from faceswap_cli.media.reader import FrameTime
from faceswap_cli.media.source import Source
from faceswap_cli.workspace import VIDEO_SUFFIXES

NOMINAL_RATE = 25
"""Frames a second of a frame that is not in our footage; nothing depends on its time."""
MAX_INDEX = 10**9


@dataclass(frozen=True)
class Place:
    """Where a face comes from, as its record says it."""

    source_name: str
    frame_name: str
    index: int
    time_s: Fraction
    size_wh: tuple[int, int] | None
    """Of the frame; None: not known."""


class FrameFinder:
    """Finds frames by the names that DeepFaceLab and faceswap give them.

    Pictures are found by their own names. Frames of a video are counted from 1, from its
    beginning whatever the span is: DeepFaceLab calls them 00001.png, faceswap
    NAME_000001.mp4. Both count frames at a constant rate; where a video has none, a number
    may mean a neighbouring frame: see `is_uneven`.
    """

    def __init__(self, source: Source, whole: list[FrameTime] | None = None) -> None:
        """Take the footage.

        Args:
            source: Cut to its span.
            whole: Times of all of a video, if the span leaves some out; None: of the span.
        """
        self._info = source.info
        self._is_folder = source.info.path.is_dir()
        self._times = source.times()
        self._names = [source.frame_name(timed.index) for timed in self._times]
        self._by_name = dict(zip(self._names, self._times, strict=True))
        self._by_time = {timed.time_s: timed for timed in self._times}
        self._whole = self._times if whole is None else whole

    @property
    def is_uneven(self) -> bool:
        """Whether the frames of the video last differently long."""
        steps = {timed.duration_s for timed in self._whole[:-1]}
        longest, shortest = max(steps, default=Fraction(1)), min(steps, default=Fraction(1))
        return not self._is_folder and longest > Fraction(3, 2) * shortest

    def find(self, filename: str) -> Place | None:
        """Return the frame of a file name, or None if the footage has none of the kind."""
        timed = self._named(filename) if self._is_folder else self._numbered(filename)
        if timed is None:
            return None
        return Place(
            self._info.path.name,
            self._names[timed.index],
            timed.index,
            timed.time_s,
            self._info.size_wh,
        )

    def _named(self, filename: str) -> FrameTime | None:
        path = PurePosixPath(filename)
        return self._by_name.get(path.stem) or self._by_name.get(f"{path.stem}_{path.suffix[1:]}")

    def _numbered(self, filename: str) -> FrameTime | None:
        number = number_of(filename)
        if number is None or not 1 <= number <= len(self._whole):
            return None
        return self._by_time.get(self._whole[number - 1].time_s)


def number_of(filename: str) -> int | None:
    """Return the digits at the end of a name without its suffix; None if there are none."""
    digits = re.search(r"([0-9]{1,9})$", PurePosixPath(filename).stem)
    return int(digits[1]) if digits else None


def unplaced(filename: str) -> Place:
    """Return what can be said of a frame that is not in our footage."""
    stem = PurePosixPath(filename).stem
    index = max(0, (number_of(filename) or 1) - 1)
    return Place(filename or "unknown", stem or "unknown", index, Fraction(index, 25), None)


def name_for_others(source_name: str, frame_name: str, index: int) -> str:
    """Return what DeepFaceLab calls a frame: its Merger looks for a frame of that stem."""
    suffix = PurePosixPath(source_name).suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return f"{index + 1:05d}.png"
    return f"{frame_name}{suffix or '.png'}"
