"""A part of a video, in seconds."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from faceswap_cli.errors import ConfigError


@dataclass(frozen=True)
class Span:
    """A half-open interval [start, end) of presentation time.

    Args:
        start_s: Seconds after the first video frame.
        end_s: Seconds after the first video frame; None is the end of the video.
    """

    start_s: Fraction = Fraction(0)
    end_s: Fraction | None = None

    def __post_init__(self) -> None:
        if self.start_s < 0 or (self.end_s is not None and self.end_s <= self.start_s):
            raise ConfigError(
                f"the span {self} is empty or begins before the video",
                fix="give START-END in seconds with 0 <= START < END, e.g. 2.5-9",
            )

    def __str__(self) -> str:
        return f"{float(self.start_s):g}-{'' if self.end_s is None else f'{float(self.end_s):g}'}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "2.5-9", "2.5-" or "-9"; seconds.

        Raises:
            ConfigError: It is none of these, or END is not after START.
        """
        start, dash, end = (part.strip() for part in text.partition("-"))
        try:
            if not dash or not (start or end):
                raise ValueError
            return cls(_seconds(start or "0"), _seconds(end) if end else None)
        except ValueError:
            raise ConfigError(
                f"{text!r} is not a span of time",
                fix="give START-END in seconds; either may be left out: 2.5-9, 2.5-, -9",
            ) from None


def _seconds(text: str) -> Fraction:
    if not text.replace(".", "", 1).isdecimal():  # Fraction would also take 1/3, 1e9 and 1_0
        raise ValueError
    return Fraction(text)


@dataclass(frozen=True)
class FrameRanges:
    """Some frames of a clip, by their numbers."""

    ranges: tuple[tuple[int, int], ...] = ()
    """First and last, both included."""

    @classmethod
    def parse(cls, text: str) -> "FrameRanges":
        """Read `120-260,300`; empty text is no frame.

        Raises:
            ConfigError: A range ends before it begins.
        """
        parts = [part.partition("-") for part in text.split(",") if part]
        ranges = tuple((int(first), int(last or first)) for first, _, last in parts)
        for first, last in ranges:
            if last < first:
                raise ConfigError(
                    f"frames {first}-{last}: they end before they begin",
                    seen_in=text,
                    fix=f"{last}-{first}",
                )
        return cls(ranges)

    def __contains__(self, frame: object) -> bool:
        return isinstance(frame, int) and any(first <= frame <= last for first, last in self.ranges)
