"""Subtitles of the source, copied or turned into the kind that the container takes.

Text keeps its italics and bold where the kind knows them; pictures of text can only be copied.
"""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.subtitles.subtitle import SubtitleSet

from faceswap_cli.media.tracks import carry_tags, track_name

log = logging.getLogger(__name__)

# By the names of ffmpeg's decoders; others than these are text.
BITMAPS = {"dvbsub": "DVB", "dvdsub": "DVD", "pgssub": "Blu-ray (PGS)", "xsub": "DivX"}
COPIED = {
    ".mp4": frozenset({"mov_text"}),
    ".m4v": frozenset({"mov_text"}),
    ".mov": frozenset({"mov_text"}),
    ".mkv": frozenset({"subrip", "ass", "webvtt", "text", "dvbsub", "dvdsub", "pgssub"}),
    ".webm": frozenset({"webvtt"}),
}
OWN_TEXT = {".mkv": "subrip", ".webm": "webvtt"}
CODEC_NAMES = {"srt": "subrip", "ssa": "ass"}
MILLISECOND = Fraction(1, 1000)
ASS_BREAK = rb"\N"
# Numbers that mean lines, not letters. Without braces inside, that a row of them costs no time.
ASS_DRAWING = re.compile(rb"{[^{}]*\\p[1-9]")
EMPTY_TEXT = b"\0\0"  # mov_text's way to fill a gap; the muxer makes its own
LONGEST_S = Fraction(60)  # nothing is shown for longer: how far to look back for what still is
MOST_BYTES = 16_000  # of text shown at once; mp4 counts to 65,535, the marks of style included

Slice = tuple[Fraction, Fraction, bytes]
"""Begin, end, text with the marks of ASS."""


@dataclass(frozen=True)
class SubtitleReport:
    """What becomes of one subtitle track.

    Args:
        codec: ffmpeg's name of its kind in the result.
        copied: Whether its packets are the source's own.
        name: To tell it from others: its language and what the source calls it.
        reason: Why it is not copied, or "".
    """

    codec: str
    copied: bool
    name: str = ""
    reason: str = ""


def plan_subtitles(stream: Any, suffix: str) -> SubtitleReport | str:
    """Say what becomes of a track; text is the reason why it cannot be carried.

    Args:
        stream: Of the source.
        suffix: Of the result, lower case, with its dot.
    """
    name = describe_track(stream)
    if stream.codec_context is None:
        return f"subtitles {name} are left out: ffmpeg does not know their kind"
    codec = CODEC_NAMES.get(stream.codec_context.name, stream.codec_context.name)
    if codec in COPIED.get(suffix, COPIED[".mp4"]):
        return SubtitleReport(codec, True, name)
    if codec in BITMAPS:
        return (
            f"subtitles {name} are left out: {suffix} does not take pictures of text, as"
            f" {BITMAPS[codec]} has them; --container mkv does"
        )
    own = OWN_TEXT.get(suffix, "mov_text")
    return SubtitleReport(own, False, name, f"{suffix} does not take {codec}; written as {own}")


def describe_track(stream: Any) -> str:
    """Return the number of a track, its language and its name."""
    known = [stream.metadata.get("language", ""), track_name(stream)]
    return " ".join([f"#{stream.index}", *filter(None, known)])


class SubtitleTrack:
    """One track of the result.

    Args:
        output: The container.
        stream: The track of the source.
        report: What `plan_subtitles` returned.
    """

    def __init__(self, output: Any, stream: Any, report: SubtitleReport) -> None:
        self._output, self._report, self._stream = output, report, stream
        if report.copied:
            self._track = output.add_stream_from_template(stream)
        else:
            self._track = _add_encoded(output, stream, report.codec)
        carry_tags(stream, self._track)
        self._early: Any = None
        self._lines = Lines()
        self._num_lost = 0
        self._last_dts = -1

    def take(self, packet: Any, begin_s: Fraction, end_s: Fraction | None) -> None:
        """Mux the part of a packet that is shown in [0, end).

        Args:
            packet: Of the source.
            begin_s: When it is shown first; may be negative.
            end_s: In the same time; None: all of it.
        """
        lasts_s = (packet.duration or 0) * packet.time_base
        if begin_s < 0 and not lasts_s:
            self._early = packet  # shown until the next one, maybe beyond 0
            return
        if begin_s < 0 and begin_s + lasts_s <= 0:
            return
        self._mux_early(before_s=begin_s)
        last_s = begin_s + lasts_s if end_s is None else min(begin_s + lasts_s, end_s)
        self._show(packet, max(begin_s, Fraction(0)), last_s)

    def advance(self, until_s: Fraction | None) -> None:
        """Mux what is over before the picture at `until_s`; None: all that is left."""
        if until_s is None:
            self._mux_early(before_s=None)
        self._mux_slices(self._lines.advance(until_s))
        num_lost = self._num_lost + self._lines.num_lost
        if until_s is None and num_lost:
            log.warning("subtitles %s: %d too long texts left out", self._report.name, num_lost)

    def _mux_early(self, *, before_s: Fraction | None) -> None:
        """Mux what was shown before 0 and still is, unless something else is from then on."""
        early, self._early = self._early, None
        if early and (before_s is None or before_s > 0):
            self._show(early, Fraction(0), Fraction(0))

    def _show(self, packet: Any, begin_s: Fraction, end_s: Fraction) -> None:
        if self._report.copied:
            is_gap = self._report.codec == "mov_text" and bytes(packet)[:2] == EMPTY_TEXT
            if not is_gap:
                self._mux(packet, begin_s, end_s)
        elif text := self._read(packet):
            if self._report.codec == "mov_text":
                self._mux_slices(self._lines.add(begin_s, end_s, text))
            else:
                self._mux_slices([(begin_s, end_s, text)])

    def _mux_slices(self, slices: Iterable[Slice]) -> None:
        for begin_s, end_s, text in slices:
            try:
                packet = self._write(text)
            except av.FFmpegError:  # too long for the kind: a line less, not a video less
                self._num_lost += 1
                continue
            self._mux(packet, begin_s, end_s, MILLISECOND)

    def _mux(
        self, packet: Any, begin_s: Fraction, end_s: Fraction, time_base: Fraction | None = None
    ) -> None:
        if time_base:
            packet.time_base = time_base
        packet.pts = packet.dts = round(begin_s / packet.time_base)
        packet.duration = round(end_s / packet.time_base) - packet.pts
        if packet.dts < self._last_dts:
            return  # of a damaged file
        self._last_dts = packet.dts
        packet.stream = self._track
        self._output.mux(packet)

    def _read(self, packet: Any) -> bytes:
        """Return the text of a packet with the marks of ASS; empty if there is none."""
        try:
            found = self._stream.codec_context.decode2(packet)
        except av.FFmpegError:
            return b""  # a broken packet is a line less
        events = [part.ass.split(b",", 8) for part in found or () if part.type == b"ass"]
        texts = [event[8] for event in events if len(event) == 9]
        return ASS_BREAK.join(text for text in texts if text and not ASS_DRAWING.search(text))

    def _write(self, text: bytes) -> Any:
        event = SubtitleSet.create(b"0,0,Default,,0,0,0,," + text, 0, 0)
        return self._track.codec_context.encode_subtitle(event)


class Lines:
    """Lines of text that may be shown together, as a row of texts one after the other.

    A track of mp4 shows one text at a time. Lines beyond MOST_BYTES at once are left out.
    """

    def __init__(self) -> None:
        self._shown: list[tuple[Fraction, bytes]] = []  # (end, text)
        self._since_s = Fraction(0)
        self.num_lost = 0

    def add(self, begin_s: Fraction, end_s: Fraction, text: bytes) -> list[Slice]:
        """Take the next line; return what is shown before it, as (begin, end, text)."""
        before = self.advance(begin_s)
        if self._shown and self._since_s < begin_s:
            before.append((self._since_s, begin_s, self._text()))
        self._since_s = max(begin_s, self._since_s)
        if sum(len(shown) for _, shown in self._shown) + len(text) <= MOST_BYTES:
            self._shown.append((end_s, text))
        else:
            self.num_lost += 1
        return before

    def advance(self, until_s: Fraction | None) -> list[Slice]:
        """Return what ends until then; None: all."""
        slices: list[Slice] = []
        while self._shown:
            end_s = min(end_s for end_s, _ in self._shown)
            if until_s is not None and end_s > until_s:
                break
            if end_s > self._since_s:
                slices.append((self._since_s, end_s, self._text()))
                self._since_s = end_s
            self._shown = [line for line in self._shown if line[0] > end_s]
        return slices

    def _text(self) -> bytes:
        return ASS_BREAK.join(text for _, text in self._shown)


def _add_encoded(output: Any, stream: Any, codec: str) -> Any:
    track = output.add_stream(codec)
    track.time_base = track.codec_context.time_base = MILLISECOND
    context = stream.codec_context
    context.open(strict=False)  # the header is the decoder's
    track.codec_context.subtitle_header = context.subtitle_header
    return track
