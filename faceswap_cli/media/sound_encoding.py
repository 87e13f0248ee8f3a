"""Sound that is encoded again, since its codec does not go into the container."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np

from faceswap_cli.errors import MediaError
from faceswap_cli.media.tracks import carry_tags

ENCODERS = {"aac": "aac", "opus": "libopus"}
BITS_PER_CHANNEL = 96_000  # bit/s, transparent for most ears
AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
RATES = {"aac": AAC_RATES, "opus": (48000,)}
# What players know; the channel at the back of 6.1 goes into those beside it.
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 5: "5.0", 6: "5.1", 7: "5.1", 8: "7.1"}
FOUR_CHANNELS = {"aac": "4.0", "opus": "quad"}
# Time stamps that are off by less are rounded ones; a gap above it would be heard as drift.
SLACK_S = Fraction(1, 25)
LONGEST_GAP_S = 6 * 3600  # what comes later than that has a damaged time stamp


class SoundEncoder:
    """One track of the result, from decoded sound of any form.

    Its samples follow each other without a gap, as encoders have it: silence fills what is
    missing in the source, and what overlaps is left out, as is what comes hours later.

    Args:
        output: The container.
        stream: The track of the source.
        codec: "aac" or "opus".

    Raises:
        MediaError: This build of ffmpeg has no such encoder.
    """

    def __init__(self, output: Any, stream: Any, codec: str) -> None:
        self._output = output
        self._track = _add_track(output, stream, codec)
        self._form: object = None  # of what comes in; a broadcast may change it
        self._resampler: Any = None
        self._next = 0  # sample after the last one, from the origin

    def encode(self, packet: Any, time_s: Fraction, end_s: Fraction | None) -> None:
        """Encode the part of a packet that is heard in [0, end).

        Args:
            packet: Of the source.
            time_s: Of the packet, from the origin on; may be negative.
            end_s: In the same time; None: all of it.
        """
        try:
            frames = packet.decode()
        except av.FFmpegError:
            return  # a broken packet is a short silence
        for frame in frames:
            begin_s = time_s
            if frame.pts is not None and packet.pts is not None:
                begin_s += frame.pts * frame.time_base - packet.pts * packet.time_base
            time_s = begin_s + Fraction(frame.samples, frame.sample_rate)
            if (part := _trim(frame, begin_s, end_s)) is not None:
                self._add(part, max(begin_s, Fraction(0)))

    def finish(self) -> None:
        """Encode what is left inside."""
        if self._resampler is not None:
            self._encode(self._resampler.resample(None))
        self._output.mux(self._track.encode(None))

    def _add(self, frame: Any, begin_s: Fraction) -> None:
        rate = self._track.codec_context.sample_rate
        form = frame.format.name, frame.layout.name, frame.sample_rate
        if form != self._form:
            if self._resampler is not None:
                self._encode(self._resampler.resample(None))
            self._form, self._resampler = form, self._new_resampler()
            if self._next == 0:
                self._next = round(begin_s * rate)  # a track that begins late
        gap = round(begin_s * rate) - self._next
        if gap > LONGEST_GAP_S * rate:
            return
        if gap > SLACK_S * rate:
            self._encode(self._silence(gap))
        elif -gap > SLACK_S * rate:
            num = round(Fraction(-gap, rate) * frame.sample_rate)
            if num >= frame.samples:
                return
            frame = _cut(frame, num, frame.samples)
        frame.pts = None
        self._encode(self._resampler.resample(frame))

    def _encode(self, frames: Iterable[Any]) -> None:
        for frame in frames:
            frame.pts = self._next
            frame.time_base = Fraction(1, self._track.codec_context.sample_rate)
            self._next += frame.samples
            self._output.mux(self._track.encode(frame))

    def _new_resampler(self) -> Any:
        context = self._track.codec_context
        return av.AudioResampler(context.format, context.layout, context.sample_rate)

    def _silence(self, num: int) -> Iterator[Any]:
        """Yield so many samples, a second at a time."""
        context = self._track.codec_context
        planes = context.channels if context.format.is_planar else 1
        width = 1 if context.format.is_planar else context.channels
        dtype = np.float32 if context.format.name.startswith("flt") else np.int16
        while num > 0:
            part = min(num, context.sample_rate)
            zeros = np.zeros((planes, part * width), dtype)
            frame = av.AudioFrame.from_ndarray(zeros, context.format.name, context.layout.name)
            frame.sample_rate = context.sample_rate
            yield frame
            num -= part


def _add_track(output: Any, stream: Any, codec: str) -> Any:
    rates = RATES[codec]
    rate = stream.sample_rate if stream.sample_rate in rates else 48000
    try:
        track = output.add_stream(ENCODERS[codec], rate=rate)
    except ValueError as error:  # av's UnknownCodecError is one
        raise MediaError(
            f"this build of ffmpeg cannot encode sound as {codec}",
            fix="`pip install --force-reinstall av`: its wheels can; or take the container mkv",
        ) from error
    # By number, since Matroska gives PCM channels without names.
    num = len(stream.layout.channels)
    track.layout = FOUR_CHANNELS[codec] if num == 4 else LAYOUTS.get(num, "stereo")
    track.bit_rate = BITS_PER_CHANNEL * track.codec_context.channels
    carry_tags(stream, track)
    return track


def _trim(frame: Any, begin_s: Fraction, end_s: Fraction | None) -> Any:
    """Return the part of a frame in [0, end), if it begins at `begin_s`; None if it is empty."""
    rate = frame.sample_rate
    first = max(0, round(-begin_s * rate))
    last = frame.samples if end_s is None else min(frame.samples, round((end_s - begin_s) * rate))
    return _cut(frame, first, last) if first < last else None


def _cut(frame: Any, first: int, last: int) -> Any:
    if last - first == frame.samples:
        return frame
    width = 1 if frame.format.is_planar else len(frame.layout.channels)
    kept = np.ascontiguousarray(frame.to_ndarray()[:, first * width : last * width])
    part = av.AudioFrame.from_ndarray(kept, frame.format.name, frame.layout.name)
    part.sample_rate = frame.sample_rate
    return part
