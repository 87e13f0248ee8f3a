"""What can be known of a video before it is read."""

import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from faceswap_cli.media.colour import ColourTags, resolve_colour
from faceswap_cli.media.decoding import Losses, decode_stream
from faceswap_cli.media.fields import FieldOrder, read_field_order
from faceswap_cli.media.hdr import HdrMetadata, read_hdr
from faceswap_cli.media.opening import find_video_stream, open_input, unreadable
from faceswap_cli.media.orientation import Turn, read_turn
from faceswap_cli.media.samples import SWSCALE_SITING, USUAL_SITING, read_siting

MATROSKA_DURATION = re.compile(r"(\d{1,6}):(\d{1,2}):(\d{1,2}(?:\.\d{1,18})?)")
FALLBACK_RATE = Fraction(25)  # of a stream that tells none; a nominal value
VP9_DECODERS = frozenset({"vp9", "libvpx-vp9"})
# Whose decoders do not tell where chroma lies: swscale would take the centre for granted.
UNSITED_CODECS = VP9_DECODERS | {
    *("libdav1d", "av1", "ffv1", "prores", "dnxhd", "vp8", "rawvideo", "cfhd", "v210"),
    *("huffyuv", "ffvhuff", "utvideo"),
}


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
        depth: Bits of a component.
        pixel_format: ffmpeg's name of how its pictures are stored.
        siting: Where their chroma samples lie, in ffmpeg's words, e.g. "left".
        tells_siting: Whether its decoder says so; else it is what players take for granted.
        hdr: What HDR10 says of the screen and the brightest pixels, or None.
        field_order: Of interlaced pictures that are stored upright.
        last_s: Time of the last frame of VP9 in mp4, which lasts until `end_s`: ffmpeg makes up
            the durations of its packets. Of all else None.
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
    depth: int = 8
    pixel_format: str = ""
    siting: str = USUAL_SITING
    tells_siting: bool = True
    hdr: HdrMetadata | None = None
    field_order: FieldOrder | None = None
    last_s: Fraction | None = None


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
        siting, codec = read_siting(frame), stream.codec_context.name
        tells_siting = siting != SWSCALE_SITING or not _is_unsited(codec, frame.format.name)
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
            codec=codec,
            start_s=time_s,
            end_s=end_s,
            pixel_aspect=1 / aspect if turn.is_sideways else aspect,
            turn=turn,
            depth=max(component.bits for component in frame.format.components),
            pixel_format=frame.format.name,
            siting=siting if tells_siting else USUAL_SITING,
            tells_siting=tells_siting,
            hdr=read_hdr(frame),
            field_order=read_field_order(frame) if turn == Turn() else None,
            last_s=_indexed_end(container, stream),
        )


def _is_unsited(codec: str, pixel_format: str) -> bool:
    """Tell whether a decoder says nothing of where chroma lies; HEVC has words for 4:2:0 only."""
    return codec in UNSITED_CODECS or (codec == "hevc" and "420" not in pixel_format)


def _claimed_end(stream: Any) -> Fraction | None:
    """Return the time at which the header says that the stream ends."""
    if stream.duration is not None:
        return Fraction((stream.duration + (stream.start_time or 0)) * stream.time_base)
    if found := MATROSKA_DURATION.fullmatch(stream.metadata.get("DURATION", "")):
        hours, minutes, seconds = found.groups()
        return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    return None


def _indexed_end(container: Any, stream: Any) -> Fraction | None:
    """Return when the last packet of VP9 is shown, as the index of an mp4 has it."""
    is_vp9 = stream.codec_context.name in VP9_DECODERS and "mp4" in container.format.name
    index = stream.index_entries if is_vp9 else ()
    return Fraction(index[len(index) - 1].timestamp * stream.time_base) if len(index) else None
