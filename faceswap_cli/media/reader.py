"""Reading a video by presentation time.

Times are exact: a Fraction of a second, as the file has them. Pictures are upright RGB.
At no time are more than a few frames in memory.
"""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from faceswap_cli.errors import MediaError
from faceswap_cli.media.colour import ColourTags, resolve_colour
from faceswap_cli.media.conversion import Converter, PartBox, warn_of_hdr
from faceswap_cli.media.decoding import Losses, decode_from, decode_stream
from faceswap_cli.media.opening import find_video_stream, open_input, unreadable
from faceswap_cli.media.orientation import Turn, read_turn
from faceswap_cli.media.span import Span
from faceswap_cli.types import RgbImage

__all__ = [
    "ColourTags",
    "Frame",
    "FrameTime",
    "Losses",
    "PartBox",
    "Span",
    "VideoInfo",
    "probe_video",
    "read_frames",
    "read_parts",
    "read_times",
]

log = logging.getLogger(__name__)

MATROSKA_DURATION = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")
FALLBACK_RATE = Fraction(25)  # of a stream that tells none; a nominal value
NUM_LATE = 3  # frames by which a header may be wrong before we call the file cut off


@dataclass(frozen=True)
class VideoInfo:
    """What can be known of a video from its header and its first frame.

    Args:
        path: The file.
        size_wh: Width and height of the upright picture, pixels.
        time_base: Seconds of one tick; every time of the video is a multiple of it.
        average_rate: Frames a second, the mean.
        rotation_deg: Clockwise turn that makes the stored picture upright; 0, 90, 180 or 270.
        colour: How its numbers are to be read.
        num_frames_hint: Number of frames the header claims, or None.
        duration_s: Length the header claims, or None.
        has_sound: Whether there is any audio stream.
        codec: ffmpeg's name of the video codec.
        start_s: Time of the first frame; spans count from here.
        end_s: Time at which the header says that the pictures end, or None.
        pixel_aspect: Width of one pixel over its height.
        turn: The whole orientation, mirroring included.
    """

    path: Path
    size_wh: tuple[int, int]
    time_base: Fraction
    average_rate: Fraction
    rotation_deg: int
    colour: ColourTags
    num_frames_hint: int | None
    duration_s: Fraction | None
    has_sound: bool
    codec: str
    start_s: Fraction = Fraction(0)
    end_s: Fraction | None = None
    pixel_aspect: Fraction = Fraction(1)
    turn: Turn = field(default_factory=Turn)


@dataclass(frozen=True)
class FrameTime:
    """When a frame is shown.

    Args:
        index: From 0 at the first frame of the span, in the order of presentation.
        time_s: The file's own time, not rebased.
        duration_s: Until the next frame; the last frame has the duration the file gives it.
    """

    index: int
    time_s: Fraction
    duration_s: Fraction


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video; index, time_s and duration_s are those of FrameTime.

    Args:
        image: (H, W, 3), upright.
        corner_xy: Where the first pixel of `image` lies in the frame, of which it may be a part.
        whole_wh: Size of the frame of which it is a part; None: it is the whole.
    """

    index: int
    time_s: Fraction
    duration_s: Fraction
    image: RgbImage
    corner_xy: tuple[int, int] = (0, 0)
    whole_wh: tuple[int, int] | None = None

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the whole frame, pixels."""
        return self.whole_wh or (self.image.shape[1], self.image.shape[0])


def probe_video(path: Path) -> VideoInfo:
    """Read the header and the first frame.

    Raises:
        MediaError: The file is missing, empty, no video, or none of its frames decodes.
    """
    with open_input(path) as container:
        stream = find_video_stream(container, path)
        losses = Losses()
        time_s, frame = next(decode_stream(container, stream, losses), (None, None))
        if frame is None or time_s is None:
            raise unreadable(path, f"no frame can be decoded ({losses.reason or 'no packets'})")
        rate = stream.average_rate or stream.guessed_rate or FALLBACK_RATE
        turn, end_s = read_turn(frame), _claimed_end(stream)
        container_s = container.duration and Fraction(container.duration, av.time_base)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        return VideoInfo(
            path=path,
            size_wh=turn.upright_size((frame.width, frame.height)),
            time_base=stream.time_base,
            average_rate=rate,
            rotation_deg=turn.clockwise_deg,
            colour=resolve_colour(frame, stream.codec_context, rate),
            num_frames_hint=stream.frames or None,
            duration_s=container_s if end_s is None else max(end_s - time_s, Fraction(0)),
            has_sound=bool(container.streams.audio),
            codec=stream.codec_context.name,
            start_s=time_s,
            end_s=end_s,
            pixel_aspect=1 / aspect if turn.is_sideways else aspect,
            turn=turn,
        )


def _claimed_end(stream: Any) -> Fraction | None:
    """Return the time at which the header says that the stream ends."""
    if stream.duration is not None:
        return Fraction((stream.duration + (stream.start_time or 0)) * stream.time_base)
    if found := MATROSKA_DURATION.fullmatch(stream.metadata.get("DURATION", "")):
        hours, minutes, seconds = found.groups()
        return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    return None


def read_frames(
    path: Path,
    *,
    span: Span | None = None,
    wanted: Callable[[int], bool] | None = None,
    losses: Losses | None = None,
    rough: bool = False,
) -> Iterator[Frame]:
    """Yield the frames of a video in the order of presentation.

    Args:
        path: The video.
        span: The part to read; None is all of it.
        wanted: Is given an index; frames for which it is False are not converted.
        losses: Is told what could not be decoded. Damaged packets are left out, and
            the frame before them lasts longer; a file that breaks off ends early.
        rough: See Converter: for networks to look at, not for people.

    Raises:
        MediaError: The video cannot be read, has no frame in the span, or its pictures
            change in size.
    """
    info = probe_video(path)
    warn_of_hdr(info.colour, path)
    converter = Converter(info.colour, info.turn, rough=rough)
    for timed, frame in _frames_in_span(info, span or Span(), losses or Losses()):
        if wanted is None or wanted(timed.index):
            image = converter.whole(frame)
            yield Frame(timed.index, timed.time_s, timed.duration_s, image)


def read_parts(
    path: Path,
    where: Callable[[int], PartBox | None],
    *,
    span: Span | None = None,
    losses: Losses | None = None,
) -> Iterator[Frame]:
    """Yield parts of the frames of a video; to convert a part takes a part of the time.

    Args:
        path: The video.
        where: Is given an index; returns what must be in the part, None to leave it out.
        span: As of `read_frames`.
        losses: As of `read_frames`.

    Raises:
        MediaError: As `read_frames`.
    """
    info = probe_video(path)
    warn_of_hdr(info.colour, path)
    converter = Converter(info.colour, info.turn)
    for timed, frame in _frames_in_span(info, span or Span(), losses or Losses()):
        if (box := where(timed.index)) is not None:
            image, corner_xy = converter.part(frame, box)
            yield Frame(timed.index, timed.time_s, timed.duration_s, image, corner_xy, info.size_wh)


def read_times(path: Path, span: Span | None = None) -> list[FrameTime]:
    """Return when each frame of `read_frames` is shown, without making its picture.

    The frames are decoded: packets would also count those that do not decode.

    Raises:
        MediaError: As `read_frames`.
    """
    frames = _frames_in_span(probe_video(path), span or Span(), Losses())
    return [timed for timed, _ in frames]


def _frames_in_span(info: VideoInfo, span: Span, losses: Losses) -> Iterator[tuple[FrameTime, Any]]:
    """Yield (time, av.VideoFrame); a frame waits for the next one, to know how long it lasts."""
    start_s = info.start_s + span.start_s
    end_s = None if span.end_s is None else info.start_s + span.end_s
    held, index = None, 0
    with closing(decode_from(info.path, info.start_s, start_s, losses)) as decoded:
        for time_s, frame in decoded:
            if held is not None:
                yield FrameTime(index, held[0], time_s - held[0]), held[1]
                index += 1
                held = None
            if end_s is not None and time_s >= end_s:
                break
            _check_size(info, frame, index)
            held = time_s, frame
    if held is not None:
        duration_s = _own_duration(held[1], info)
        if end_s is None and info.end_s is not None:
            missing_s = info.end_s - held[0] - duration_s
            losses.missing_s = missing_s if missing_s > NUM_LATE / info.average_rate else Fraction()
        yield FrameTime(index, held[0], duration_s), held[1]
    elif index == 0:
        raise MediaError(
            f"{info.path.name} has no frame in the span {span}",
            seen_in=info.path,
            fix=f"the video is {float(info.duration_s or 0):.2f} s long; give a span inside it",
        )
    _report(losses, info)


def _own_duration(frame: Any, info: VideoInfo) -> Fraction:
    return Fraction(frame.duration * info.time_base) if frame.duration else 1 / info.average_rate


def _check_size(info: VideoInfo, frame: Any, index: int) -> None:
    """Refuse a frame of another size: one crop geometry serves the whole video."""
    found = info.turn.upright_size((frame.width, frame.height))
    if found != info.size_wh:
        width, height = info.size_wh
        raise MediaError(
            f"frame {index} is {found[0]}x{found[1]}, but the video began as {width}x{height}",
            seen_in=info.path,
            fix=f"`ffmpeg -i {info.path} -vf scale={width}:{height} one_size.mp4`, and use that",
        )


def _report(losses: Losses, info: VideoInfo) -> None:
    if losses.is_any():
        log.warning(
            "%s: %d packet(s) could not be decoded, %d frame(s) are damaged, %.2f s are missing"
            " at the end (%s)",
            info.path,
            losses.num_packets,
            losses.num_damaged,
            losses.missing_s,
            losses.reason or "no error",
        )
