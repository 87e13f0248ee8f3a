"""Tracks beside the picture: how they are read, and what is told of them in the result."""

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
from av.format import Flags

from faceswap_cli.media.decoding import RESET_S

# Facts about the packets of the source, by mkvmerge or by the muxer; untrue of other packets.
STALE_TAGS = {
    "duration",
    "encoder",
    "bps",
    "number_of_frames",
    "number_of_bytes",
    "handler_name",
    "vendor_id",
}
STALE_PREFIXES = ("_statistics_", "bps-", "number_of_", "duration-", "source_id")
# What ffmpeg and Apple call a track that has no name.
PLAIN_HANDLERS = {"SoundHandler", "SubtitleHandler", "VideoHandler", "Core Media Audio"}
# ISO 639-2 as QuickTime's old list of languages has it in ffmpeg; what is not there is lost.
QUICKTIME_LANGUAGES = {
    **{"bod": "tib", "cym": "wel", "cze": "ces", "deu": "ger", "ell": "gre", "fao": "fo "},
    **{"fre": "fra", "hrv": "hr ", "hye": "arm", "isl": "ice", "kat": "geo", "mkd": "mac"},
    **{"msa": "may", "mya": "bur", "nld": "dut", "nno": "nor", "nob": "nor", "pan": "pa "},
    **{"rum": "ron", "slo": "slk", "sqi": "alb", "srp": "sr ", "swe": "sve", "zho": "chi"},
}
ISO_LANGUAGES = {"fo ": "fao", "hr ": "hrv", "pa ": "pan", "sr ": "srp", "sve": "swe"}

TimedPacket = tuple[Any, Fraction]
"""An av.Packet, and its time in the source, seconds."""


class TrackReader:
    """Gives the packets of some tracks in the order of the file, as the picture goes on.

    Args:
        source: The open container.
        streams: Those of its streams that are read.
        end_s: A track ends with its first packet from this time on; None: at its own end.
    """

    def __init__(self, source: Any, streams: list[Any], *, end_s: Fraction | None) -> None:
        self._source, self._streams, self._end_s = source, streams, end_s
        self._packets: Iterator[TimedPacket] = iter(())
        self._held: TimedPacket | None = None
        # These count time anew when recordings are joined, so that seeking misleads.
        self._is_broadcast = bool(source.format.flags & Flags.ts_discont.value)

    def begin(self, early_s: Fraction) -> None:
        """Go to the last place from which all that comes after `early_s` is met."""
        if early_s > 0 and not self._is_broadcast:
            try:
                self._source.seek(int(early_s * av.time_base), backward=True)
            except av.FFmpegError:
                self._source.seek(0)
        self._packets = self._wanted()

    def until(self, until_s: Fraction | None) -> Iterator[TimedPacket]:
        """Yield the next packets that begin before `until_s`; None: all that are left."""
        while timed := self._held or next(self._packets, None):
            if until_s is not None and timed[1] >= until_s:
                self._held = timed
                return
            self._held = None
            yield timed

    def _wanted(self) -> Iterator[TimedPacket]:
        running = {stream.index for stream in self._streams}
        for packet, time_s in self._timed():
            if packet.stream.index not in running:
                continue
            if self._end_s is None or time_s < self._end_s:
                yield packet, time_s
                continue
            running.discard(packet.stream.index)
            if not running:
                return

    def _timed(self) -> Iterator[TimedPacket]:
        """Yield all packets; one without a time stamp follows the one before it."""
        ends: dict[int, Fraction] = {}
        joined: dict[int, Fraction] = {}
        for packet in self._demux():
            index, time_base = packet.stream.index, packet.time_base
            if packet.pts is None:
                if index not in ends or not packet.size:
                    continue
                packet.pts = round((ends[index] - joined.get(index, 0)) / time_base)
            time_s = packet.pts * time_base + joined.get(index, Fraction(0))
            if self._joins(packet) and time_s <= ends.get(index, time_s) - RESET_S:
                joined[index] = joined.get(index, Fraction(0)) + ends[index] - time_s
                time_s = ends[index]
            ends[index] = time_s + (packet.duration or 0) * time_base
            yield packet, time_s

    def _joins(self, packet: Any) -> bool:
        return self._is_broadcast and packet.stream.type == "audio"

    def _demux(self) -> Iterator[Any]:
        """Yield the packets; a file that breaks off just ends."""
        with suppress(av.error.InvalidDataError, av.error.OSError):
            yield from self._source.demux(*self._streams)


def carry_tags(stream: Any, output: Any) -> None:
    """Tell of a track of the result what the source tells: language, name, default, forced.

    Args:
        stream: Of the source.
        output: The stream of the result.
    """
    tags = {key: value for key, value in stream.metadata.items() if not is_stale(key)}
    if name := track_name(stream):
        tags["title"] = name
    if language := tags.get("language"):
        language = ISO_LANGUAGES.get(language, language)
        if output.container.format.name == "mov":
            language = QUICKTIME_LANGUAGES.get(language, language)
        tags["language"] = language
    output.metadata.update(tags)
    output.disposition = stream.disposition


def track_name(stream: Any) -> str:
    """Return what the source calls a track, or ""; mp4 keeps it elsewhere than Matroska."""
    tags = stream.metadata
    handler = tags.get("handler_name", "")
    known = "" if handler in PLAIN_HANDLERS else handler.strip()
    return str(tags.get("title") or tags.get("name") or known)


def is_stale(key: str) -> bool:
    """Tell whether a tag speaks of the packets or the file, which are others in the result."""
    return key.lower() in STALE_TAGS or key.lower().startswith(STALE_PREFIXES)
