"""The sound of the source, carried into the result.

Packets are copied as they are where the container takes their codec; otherwise the sound is
encoded again as AAC or Opus, and the report says so. Nothing is loaded ahead of the picture.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from faceswap_cli.media.opening import open_input
from faceswap_cli.media.reader import VideoInfo
from faceswap_cli.media.sound_encoding import SoundEncoder
from faceswap_cli.media.span import Span
from faceswap_cli.media.tracks import TrackReader, carry_tags

# What plays in them, not all that ffmpeg would put there.
MP4_CODECS = frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "alac", "opus", "flac"})
MOV_CODECS = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s16be", "pcm_s24le"})
WEBM_CODECS = frozenset({"opus", "vorbis"})
# Not aac_latm of broadcasts, WMA, the PCM of DVDs, and a hundred others.
MATROSKA_CODECS = MP4_CODECS | {
    *("mp1", "dca", "truehd", "mlp", "vorbis", "tta", "wavpack", "pcm_u8", "pcm_s16le"),
    *("pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le", "pcm_f64le"),
}
COPIED_CODECS = {
    ".mp4": MP4_CODECS,
    ".m4v": MP4_CODECS,
    ".mov": MOV_CODECS,
    ".webm": WEBM_CODECS,
    ".mkv": MATROSKA_CODECS,
}
ENCODED_CODECS = {".webm": "opus"}
PROPER_NAMES = {"aac": "AAC", "opus": "Opus"}
CODEC_NAMES = {"mp3float": "mp3", "mp2float": "mp2", "ac3_fixed": "ac3", "libopus": "opus"}
# Sound kept before the first picture, for the decoder to settle; an edit list of mp4 hides it.
PRE_ROLL_S = Fraction(1, 10)
# Matroska shifts the whole video for a packet before 0, but for the delay of this codec.
OPUS_DELAY_S = Fraction(312, 48000)  # libopus's look-ahead


@dataclass(frozen=True)
class SoundReport:
    """What becomes of one sound track.

    Args:
        copied: Whether its packets are the source's own.
        codec: ffmpeg's name of the codec in the result.
        reason: Why it is not copied, or "".
    """

    copied: bool
    codec: str
    reason: str = ""


@dataclass(frozen=True)
class SoundPlan:
    """Which sound goes into a result.

    Args:
        source: The file it comes from.
        end_s: The file's own time at which the sound ends; None is all of it.
        tracks: From the index of a stream in the file to what becomes of it.
        lost: From the index of a stream that cannot be carried to the reason.
    """

    source: Path
    end_s: Fraction | None
    tracks: dict[int, SoundReport]
    lost: dict[int, str] = field(default_factory=dict)


def plan_sound(info: VideoInfo, target: Path, *, span: Span | None = None) -> SoundPlan | None:
    """Say what becomes of each sound track of a video; None if it has none.

    Args:
        info: The source.
        target: The result; its suffix names the container.
        span: The part that is taken. The sound begins with the first frame that is written.

    Raises:
        MediaError: The source cannot be read.
    """
    if not info.has_sound:
        return None
    with open_input(info.path) as container:
        streams = list(container.streams.audio)
        tracks = {
            stream.index: _plan_track(stream, target.suffix.lower())
            for stream in streams
            if stream.codec_context is not None
        }
        lost = {
            stream.index: "its codec is unknown to ffmpeg, or encrypted"
            for stream in streams
            if stream.codec_context is None
        }
    end_s = None if span is None or span.end_s is None else info.start_s + span.end_s
    return SoundPlan(info.path, end_s, tracks, lost) if streams else None


def _plan_track(stream: Any, suffix: str) -> SoundReport:
    name = stream.codec_context.name
    codec = CODEC_NAMES.get(name, name)
    if codec in COPIED_CODECS.get(suffix, MP4_CODECS):
        return SoundReport(True, codec)
    new = ENCODED_CODECS.get(suffix, "aac")
    return SoundReport(
        False, new, f"{suffix} does not take {codec}; encoded again as {PROPER_NAMES[new]}"
    )


class SoundFeed:
    """Carries the sound into an output container, as far as the picture has come."""

    def __init__(self, plan: SoundPlan, source: Any, output: Any) -> None:
        self._plan, self._output = plan, output
        self._keeps_pre_roll = output.format.name in ("mp4", "mov")
        streams = {index: source.streams[index] for index in plan.tracks}
        self._copies = {
            index: _add_copied(output, streams[index])
            for index, report in plan.tracks.items()
            if report.copied
        }
        self._encoders = {
            index: SoundEncoder(output, streams[index], report.codec)
            for index, report in plan.tracks.items()
            if not report.copied
        }
        self._reader = TrackReader(source, list(streams.values()), end_s=plan.end_s)
        self._last_dts: dict[int, int] = {}

    def begin(self, origin_s: Fraction) -> None:
        """Set the source's time that becomes 0 in the result."""
        self._origin_s = origin_s
        # a second: seeking follows the picture's keyframes
        self._reader.begin(origin_s - PRE_ROLL_S - 1)

    def feed(self, until_s: Fraction | None) -> None:
        """Mux the sound that begins before `until_s`, in the source's time; None is the rest."""
        for packet, time_s in self._reader.until(until_s):
            if self._is_in_time(packet, time_s):
                self._mux(packet, time_s)
        if until_s is None:
            for encoder in self._encoders.values():
                encoder.finish()

    def _is_in_time(self, packet: Any, time_s: Fraction) -> bool:
        """Tell whether a packet is heard after the origin, or prepares what is."""
        report = self._plan.tracks[packet.stream.index]
        if not report.copied or self._keeps_pre_roll:
            length_s = (packet.duration or 0) * packet.time_base
            return bool(time_s + length_s > self._origin_s - PRE_ROLL_S)
        delay_s = OPUS_DELAY_S if report.codec == "opus" else Fraction(0)
        return bool(time_s >= self._origin_s - packet.time_base - delay_s)

    def _mux(self, packet: Any, time_s: Fraction) -> None:
        index, end_s = packet.stream.index, self._plan.end_s
        if encoder := self._encoders.get(index):
            left_s = None if end_s is None else end_s - self._origin_s
            encoder.encode(packet, time_s - self._origin_s, left_s)
            return
        joined_s = time_s - packet.pts * packet.time_base
        shift = round((joined_s - self._origin_s) / packet.time_base)
        packet.pts += shift
        packet.dts = packet.pts if packet.dts is None else packet.dts + shift
        if packet.dts <= self._last_dts.get(index, packet.dts - 1):
            return  # of a damaged file: no container takes time that stands still
        self._last_dts[index] = packet.dts
        packet.stream = self._copies[index]
        self._output.mux(packet)


@contextmanager
def open_sound(plan: SoundPlan, output: Any) -> Iterator[SoundFeed]:
    """Open the source of the sound, and add its tracks to an output container."""
    with open_input(plan.source) as source:
        yield SoundFeed(plan, source, output)


def _add_copied(output: Any, stream: Any) -> Any:
    copied = output.add_stream_from_template(stream)
    carry_tags(stream, copied)
    return copied
