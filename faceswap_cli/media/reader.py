"""Reading a video by presentation time.

Times are exact: a Fraction of a second, as the file has them. Pictures are upright RGB.
At no time are more than a few frames in memory.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from faceswap_cli.errors import MediaError
from faceswap_cli.media.colour import ColourTags
from faceswap_cli.media.conversion import Converter, PartBox, warn_of_hdr
from faceswap_cli.media.decoding import Losses, decode_from
from faceswap_cli.media.span import Span
from faceswap_cli.media.video_info import VideoInfo, probe_video
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

NUM_LATE = 3  # frames by which a header may be wrong before we call the file cut off


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
        image: (H, W, 3), upright; of readers that were told to be deep, 16 bits (uint16, white
            is 65535) where the footage has more than 8.
        corner_xy: Where the first pixel of `image` lies in the frame, of which it may be a part.
        whole_wh: Size of the frame of which it is a part; None: it is the whole.
        native: The av.VideoFrame as it was decoded, of readers that were told to keep it.
    """

    index: int
    time_s: Fraction
    duration_s: Fraction
    image: RgbImage
    corner_xy: tuple[int, int] = (0, 0)
    whole_wh: tuple[int, int] | None = None
    native: Any = None

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the whole frame, pixels."""
        return self.whole_wh or (self.image.shape[1], self.image.shape[0])


def read_frames(
    path: Path,
    *,
    span: Span | None = None,
    wanted: Callable[[int], bool] | None = None,
    losses: Losses | None = None,
    rough: bool = False,
    deep: bool = False,
) -> Iterator[Frame]:
    """Yield the frames of a video in the order of presentation.

    Args:
        path: The video.
        span: The part to read; None is all of it.
        wanted: Is given an index; frames for which it is False are not converted.
        losses: Is told what could not be decoded. Damaged packets are left out, and
            the frame before them lasts longer; a file that breaks off ends early.
        rough: See Converter: for networks to look at, not for people.
        deep: Give 16 bits if the footage has more than 8.

    Raises:
        MediaError: The video cannot be read, has no frame in the span, or its pictures
            change in size.
    """
    info = probe_video(path)
    converter = _converter(info, rough=rough, deep=deep)
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
    native: bool = False,
    deep: bool = False,
) -> Iterator[Frame]:
    """Yield parts of the frames of a video; to convert a part takes a part of the time.

    Args:
        path: The video.
        where: Is given an index; returns what must be in the part, None to leave it out.
        span: As of `read_frames`.
        losses: As of `read_frames`.
        native: Yield all frames, each with the decoder's own picture; those of which `where`
            wants no part with an empty `image`, (0, 0, 3).
        deep: As of `read_frames`.

    Raises:
        MediaError: As `read_frames`.
    """
    info = probe_video(path)
    converter = _converter(info, deep=deep)
    for timed, frame in _frames_in_span(info, span or Span(), losses or Losses()):
        box = where(timed.index)
        if box is None and not native:
            continue
        image, corner_xy = (converter.empty, (0, 0)) if box is None else converter.part(frame, box)
        yield Frame(
            timed.index,
            timed.time_s,
            timed.duration_s,
            image,
            corner_xy,
            info.size_wh,
            native=frame if native else None,
        )


def _converter(info: VideoInfo, *, rough: bool = False, deep: bool = False) -> Converter:
    is_deep = deep and not rough and info.depth > 8
    warn_of_hdr(info.colour, info.path, deep=is_deep)
    siting = None if info.tells_siting else info.siting
    return Converter(info.colour, info.turn, rough=rough, deep=is_deep, siting=siting)


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
        duration_s = _own_duration(*held, info)
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


def _own_duration(time_s: Fraction, frame: Any, info: VideoInfo) -> Fraction:
    if time_s == info.last_s and info.end_s is not None and info.end_s > time_s:
        return info.end_s - time_s
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
