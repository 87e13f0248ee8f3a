"""The sound of the source, carried into the result.

Packets are copied as they are where the container takes their codec; otherwise the sound is
encoded again as AAC, and the report says so. Nothing is loaded ahead of the picture.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from faceswap_cli.media.opening import open_input
from faceswap_cli.media.reader import VideoInfo
from faceswap_cli.media.span import Span

# What plays in them, not all that ffmpeg would put there. Matroska takes anything.
MP4_CODECS = frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "alac", "opus", "flac"})
MOV_CODECS = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s16be", "pcm_s24le"})
COPIED_CODECS = {".mp4": MP4_CODECS, ".m4v": MP4_CODECS, ".mov": MOV_CODECS, ".mkv": None}
CODEC_NAMES = {"mp3float": "mp3", "mp2float": "mp2", "ac3_fixed": "ac3", "libopus": "opus"}
# Sound kept before the first picture, for the decoder to settle; an edit list of mp4 hides it.
PRE_ROLL_S = Fraction(1, 10)
# Matroska shifts the whole video for a packet before 0, but for the delay of this codec.
OPUS_DELAY_S = Fraction(312, 48000)  # libopus's look-ahead
AAC_BITS_PER_CHANNEL = 96_000  # bit/s, transparent for most ears
AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
AAC_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}


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
    """

    source: Path
    end_s: Fraction | None
    tracks: dict[int, SoundReport]


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
    copied_codecs = COPIED_CODECS.get(target.suffix.lower(), MP4_CODECS)
    with open_input(info.path) as container:
        tracks = {
            stream.index: _plan_track(stream, copied_codecs, target.suffix)
            for stream in container.streams.audio
            if stream.codec_context is not None
        }
    end_s = None if span is None or span.end_s is None else info.start_s + span.end_s
    return SoundPlan(info.path, end_s, tracks) if tracks else None


def _plan_track(stream: Any, copied_codecs: frozenset[str] | None, suffix: str) -> SoundReport:
    name = stream.codec_context.name
    codec = CODEC_NAMES.get(name, name)
    if copied_codecs is None or codec in copied_codecs:
        return SoundReport(True, codec)
    return SoundReport(False, "aac", f"{suffix} does not take {codec}; encoded again as AAC")


class SoundFeed:
    """Carries the sound into an output container, as far as the picture has come."""

    def __init__(self, plan: SoundPlan, source: Any, output: Any) -> None:
        self._plan, self._source, self._output = plan, source, output
        self._keeps_pre_roll = output.format.name in ("mp4", "mov")
        self._streams = {index: source.streams[index] for index in plan.tracks}
        self._outputs = {
            index: _add_copied(output, self._streams[index])
            if report.copied
            else _add_encoded(output, self._streams[index])
            for index, report in plan.tracks.items()
        }
        self._packets: Iterator[Any] = iter(())
        self._held: Any = None

    def begin(self, origin_s: Fraction) -> None:
        """Set the source's time that becomes 0 in the result."""
        self._origin_s = origin_s
        early_s = origin_s - PRE_ROLL_S - 1  # a second: seeking follows the picture's keyframes
        if early_s > 0:
            try:
                self._source.seek(int(early_s * av.time_base), backward=True)
            except av.FFmpegError:
                self._source.seek(0)
        self._packets = self._wanted_packets()

    def feed(self, until_s: Fraction | None) -> None:
        """Mux the sound that begins before `until_s`, in the source's time; None is the rest."""
        while packet := self._held or next(self._packets, None):
            if until_s is not None and _time_of(packet) >= until_s:
                self._held = packet
                return
            self._held = None
            self._mux(packet)
        if until_s is None:
            for index, report in self._plan.tracks.items():
                if not report.copied:
                    self._output.mux(self._outputs[index].encode(None))

    def _wanted_packets(self) -> Iterator[Any]:
        """Yield the packets from the first frame on to the end of the plan."""
        running = set(self._streams)
        for packet in self._demux():
            index = packet.stream.index
            if packet.pts is None or index not in running:
                continue
            if self._plan.end_s is not None and _time_of(packet) >= self._plan.end_s:
                running.discard(index)
                if not running:
                    return
            elif self._is_in_time(packet):
                yield packet

    def _demux(self) -> Iterator[Any]:
        """Yield the packets; a file that breaks off just ends."""
        with suppress(av.error.InvalidDataError, av.error.OSError):
            yield from self._source.demux(*self._streams.values())

    def _is_in_time(self, packet: Any) -> bool:
        """Tell whether a packet is heard after the origin, or prepares what is."""
        report = self._plan.tracks[packet.stream.index]
        if not report.copied or self._keeps_pre_roll:
            return bool(_end_of(packet) > self._origin_s - PRE_ROLL_S)
        delay_s = OPUS_DELAY_S if report.codec == "opus" else Fraction(0)
        return bool(_time_of(packet) >= self._origin_s - packet.time_base - delay_s)

    def _mux(self, packet: Any) -> None:
        index = packet.stream.index
        output = self._outputs[index]
        if not self._plan.tracks[index].copied:
            self._encode(packet, output)
            return
        shift = round(self._origin_s / packet.time_base)
        packet.pts -= shift
        packet.dts = packet.pts if packet.dts is None else packet.dts - shift
        packet.stream = output
        self._output.mux(packet)

    def _encode(self, packet: Any, output: Any) -> None:
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            return  # a broken packet is a short silence
        for frame in frames:
            trimmed = _trim(frame, self._origin_s, self._plan.end_s)
            if trimmed is not None:
                self._output.mux(output.encode(trimmed))


@contextmanager
def open_sound(plan: SoundPlan, output: Any) -> Iterator[SoundFeed]:
    """Open the source of the sound, and add its tracks to an output container."""
    with open_input(plan.source) as source:
        yield SoundFeed(plan, source, output)


def _time_of(packet: Any) -> Fraction:
    return Fraction(packet.pts * packet.time_base)


def _end_of(packet: Any) -> Fraction:
    return Fraction((packet.pts + (packet.duration or 0)) * packet.time_base)


def _trim(frame: Any, start_s: Fraction, end_s: Fraction | None) -> Any:
    """Return the part of a frame in [start, end), timed from the start; None if it is empty."""
    rate = frame.sample_rate
    time_s = frame.pts * frame.time_base
    first = max(0, round((start_s - time_s) * rate))
    last = frame.samples if end_s is None else min(frame.samples, round((end_s - time_s) * rate))
    if first >= last:
        return None
    if last - first < frame.samples:
        width = 1 if frame.format.is_planar else len(frame.layout.channels)
        kept = np.ascontiguousarray(frame.to_ndarray()[:, first * width : last * width])
        frame = av.AudioFrame.from_ndarray(kept, frame.format.name, frame.layout.name)
        frame.sample_rate = rate
    frame.pts, frame.time_base = round((time_s - start_s) * rate) + first, Fraction(1, rate)
    return frame


def _add_copied(output: Any, stream: Any) -> Any:
    copied = output.add_stream_from_template(stream)
    copied.metadata.update(stream.metadata)
    return copied


def _add_encoded(output: Any, stream: Any) -> Any:
    rate = stream.sample_rate if stream.sample_rate in AAC_RATES else 48000
    encoded = output.add_stream("aac", rate=rate)
    # By number, since Matroska gives PCM channels without names.
    encoded.layout = AAC_LAYOUTS.get(len(stream.layout.channels), "stereo")
    encoded.bit_rate = AAC_BITS_PER_CHANNEL * encoded.codec_context.channels
    encoded.metadata.update(stream.metadata)
    return encoded
