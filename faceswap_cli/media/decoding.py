"""Packets to frames with exact times, whatever the packets are like."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av

from faceswap_cli.media.opening import find_video_stream, open_input

# We seek to a keyframe this long before the wanted time, in seconds: the pictures right after
# a seek may lack what they refer to (open GOPs, intra refresh), and are not used.
SEEK_MARGIN_S = Fraction(1)
# A time stamp that goes back by this much, in seconds, is a new recording in the same file.
RESET_S = Fraction(1)
FALLBACK_STEP_S = Fraction(1, 25)  # of a stream without rate and without time stamps


@dataclass
class Losses:
    """What could not be decoded.

    Args:
        num_packets: Packets that gave an error; there is a frame less for most of them.
        num_damaged: Frames that were given out, though the decoder calls them damaged.
        missing_s: By how much the video ends before the time that its header claims; some
            containers end at a cut without an error.
        reason: What the decoder said last.
    """

    num_packets: int = 0
    num_damaged: int = 0
    missing_s: Fraction = Fraction(0)
    reason: str = ""

    def is_any(self) -> bool:
        """Tell whether anything was lost."""
        return bool(self.num_packets or self.num_damaged or self.missing_s)

    def add(self, error: av.FFmpegError) -> None:
        """Count a packet."""
        self.num_packets += 1
        self.reason = error.strerror or str(error)

    def clear(self) -> None:
        """Forget everything."""
        self.num_packets = self.num_damaged = 0
        self.missing_s, self.reason = Fraction(0), ""


def decode_from(
    path: Path, first_s: Fraction, start_s: Fraction, losses: Losses
) -> Generator[tuple[Fraction, Any], None, None]:
    """Yield (time, av.VideoFrame) from `start_s` on.

    Args:
        path: The video.
        first_s: Time of its first frame.
        start_s: The first time that is wanted. Where seeking does not lead to it by way of a
            keyframe before it, the video is decoded from its beginning.
        losses: Is told what could not be decoded.
    """
    is_reached = False
    if start_s - SEEK_MARGIN_S > first_s:
        for time_s, frame in _decode_by_seeking(path, start_s, losses):
            is_reached = True
            yield time_s, frame
    if is_reached:
        return
    losses.clear()
    with open_input(path) as container:
        for time_s, frame in decode_stream(container, find_video_stream(container, path), losses):
            if time_s >= start_s:
                yield time_s, frame


def _decode_by_seeking(
    path: Path, start_s: Fraction, losses: Losses
) -> Iterator[tuple[Fraction, Any]]:
    """Yield from `start_s` on, or nothing if no keyframe before it is found."""
    with open_input(path) as container:
        stream = find_video_stream(container, path)
        if not _seek(container, stream, start_s - SEEK_MARGIN_S):
            return
        decoded = decode_stream(container, stream, losses)
        first = next((pair for pair in decoded if pair[1].key_frame), None)
        losses.clear()  # what lies before a keyframe never decodes after a seek
        if first is None or first[1].pts is None or first[0] > start_s:
            return
        for time_s, frame in chain([first], decoded):
            if time_s >= start_s:
                yield time_s, frame


def _seek(container: Any, stream: Any, time_s: Fraction) -> bool:
    try:
        container.seek(int(time_s / stream.time_base), stream=stream, backward=True)
    except av.FFmpegError:
        return False
    return True


def decode_stream(container: Any, stream: Any, losses: Losses) -> Iterator[tuple[Fraction, Any]]:
    """Yield (time, av.VideoFrame) from where the container stands; times always grow.

    A frame without a time stamp comes one step after the one before it. A time stamp that
    does not grow comes one tick after, and one that goes far back begins a new recording,
    which is joined to the end of the one before.
    """
    step_s = 1 / rate if (rate := stream.average_rate or stream.guessed_rate) else FALLBACK_STEP_S
    last_s: Fraction | None = None
    joined_s = Fraction(0)
    for frame in _decode(container, stream, losses):
        ticks = frame.dts if frame.pts is None else frame.pts
        time_s = (
            (last_s + step_s if last_s is not None else Fraction(0))
            if ticks is None
            else (ticks * stream.time_base + joined_s)
        )
        if last_s is not None and time_s <= last_s - RESET_S:
            joined_s += last_s + step_s - time_s
            time_s = last_s + step_s
        elif last_s is not None and time_s <= last_s:
            time_s = last_s + stream.time_base
        last_s = time_s
        yield time_s, frame


def _decode(container: Any, stream: Any, losses: Losses) -> Iterator[Any]:
    """Yield each frame that decodes, and count what does not."""
    stream.thread_type = "AUTO"
    for packet in _demux(container, stream, losses):
        try:
            frames = stream.decode(packet)
        except av.error.EOFError:
            return
        except av.error.MemoryError:
            raise
        except av.FFmpegError as error:
            losses.add(error)
            continue
        for frame in frames:
            losses.num_damaged += bool(frame.is_corrupt)
            yield frame


def _demux(container: Any, stream: Any, losses: Losses) -> Iterator[Any]:
    """Yield the packets, and at the end one that empties the decoder, even of a broken file."""
    try:
        yield from container.demux(stream)
    except av.error.MemoryError:
        raise
    except av.FFmpegError as error:
        losses.add(error)
        yield None
