"""What a video holds beside picture and sound: subtitles, chapters, tags, attached files."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.stream import Discard, Disposition

from faceswap_cli.media.opening import open_input
from faceswap_cli.media.reader import VideoInfo
from faceswap_cli.media.span import Span
from faceswap_cli.media.subtitles import (
    LONGEST_S,
    SubtitleReport,
    SubtitleTrack,
    describe_track,
    plan_subtitles,
)
from faceswap_cli.media.tracks import TrackReader, is_stale

log = logging.getLogger(__name__)

ATTACHING = {".mkv"}  # of the containers we write
# What the file is, and how the old sound begins and ends: untrue of the result.
FILE_TAGS = {"major_brand", "minor_version", "compatible_brands", "itunsmpb", "itunnorm"}
MARK = "comment"  # where our mark and the source's own words meet
COVER = Disposition.attached_pic | Disposition.timed_thumbnails


@dataclass(frozen=True)
class Chapter:
    """A part of the video that has a name; in the source's time, seconds.

    Args:
        start_s: When it begins.
        end_s: When it ends.
        tags: Its title, and what else is told of it.
    """

    start_s: Fraction
    end_s: Fraction
    tags: dict[str, str]


@dataclass(frozen=True)
class ExtrasPlan:
    """What goes into a result beside picture and sound.

    Args:
        source: The file it comes from.
        end_s: The file's own time at which the result ends; None is its end.
        subtitles: From the index of a stream in the file to what becomes of it.
        chapters: Those that the span meets, not yet cut.
        tags: Of the whole file.
        attachments: Indices of streams: fonts, mostly.
        lost: A sentence for each thing that cannot be carried.
    """

    source: Path
    end_s: Fraction | None
    subtitles: dict[int, SubtitleReport] = field(default_factory=dict)
    chapters: tuple[Chapter, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    attachments: tuple[int, ...] = ()
    lost: tuple[str, ...] = ()

    def report(self) -> list[str]:
        """Return a line for each thing: what becomes of it."""
        lines = [
            f"subtitles {kept.name}: {kept.reason or f'{kept.codec} copied'}"
            for kept in self.subtitles.values()
        ]
        counts = {
            "chapters": len(self.chapters),
            "tags": len(self.tags),
            "attached files": len(self.attachments),
        }
        lines += [f"{kind}: {num} kept" for kind, num in counts.items() if num]
        return lines + list(self.lost)


def plan_extras(info: VideoInfo, target: Path, *, span: Span | None = None) -> ExtrasPlan | None:
    """Say what becomes of all that is neither picture nor sound; None if there is nothing.

    Args:
        info: The source; a folder of pictures has nothing.
        target: The result; its suffix names the container.
        span: The part that is taken. Times count from the first frame that is written.

    Raises:
        MediaError: The source cannot be read.
    """
    if info.path.is_dir():
        return None
    suffix, span = target.suffix.lower(), span or Span()
    end_s = None if span.end_s is None else info.start_s + span.end_s
    with open_input(info.path) as container:
        planned = {s.index: plan_subtitles(s, suffix) for s in container.streams.subtitles}
        attachments = [s for s in container.streams if s.type == "attachment"]
        takes_files = suffix in ATTACHING
        chapters = [_chapter(chapter) for chapter in container.chapters()]
        plan = ExtrasPlan(
            source=info.path,
            end_s=end_s,
            subtitles={i: found for i, found in planned.items() if not isinstance(found, str)},
            chapters=tuple(_met(chapters, info.start_s + span.start_s, end_s)),
            tags={k: v for k, v in container.metadata.items() if _is_kept(k)},
            attachments=tuple(s.index for s in attachments) if takes_files else (),
            lost=(
                *(found for found in planned.values() if isinstance(found, str)),
                *(() if takes_files else _lost_files(attachments, suffix)),
                *_lost_streams(container),
            ),
        )
    return plan if plan.report() else None


class ExtrasFeed:
    """Carries them into an output container, as far as the picture has come."""

    def __init__(self, plan: ExtrasPlan, source: Any, output: Any) -> None:
        self._plan, self._output = plan, output
        streams = {index: source.streams[index] for index in plan.subtitles}
        self._tracks = {
            index: SubtitleTrack(output, streams[index], report)
            for index, report in plan.subtitles.items()
        }
        self._reader = TrackReader(source, list(streams.values()), end_s=plan.end_s)
        for index in plan.attachments:
            output.add_stream_from_template(source.streams[index])
        for stream in source.streams:  # else all of the picture would be read for a few words
            if stream.index not in streams:
                stream.discard = Discard.all
        _add_tags(output, plan.tags)

    def begin(self, origin_s: Fraction) -> None:
        """Set the source's time that becomes 0 in the result; before the first packet is."""
        self._origin_s = origin_s
        self._reader.begin(origin_s - LONGEST_S)
        self._output.set_chapters(
            [
                chapter
                for index, told in enumerate(self._plan.chapters)
                if (chapter := _cut(told, index, origin_s, self._plan.end_s))
            ]
        )

    def feed(self, until_s: Fraction | None) -> None:
        """Mux the subtitles that begin before `until_s`, in the source's time; None: the rest."""
        if not self._tracks:
            return
        end_s = None if self._plan.end_s is None else self._plan.end_s - self._origin_s
        for packet, time_s in self._reader.until(until_s):
            if packet.size:
                self._tracks[packet.stream.index].take(packet, time_s - self._origin_s, end_s)
        for track in self._tracks.values():
            track.advance(None if until_s is None else until_s - self._origin_s)


@contextmanager
def open_extras(plan: ExtrasPlan, output: Any) -> Iterator[ExtrasFeed]:
    """Open the source, and add its tracks, tags and files to an output container.

    What is lost is said in the log. Keys that the output has already win over the source's;
    of the comment both are kept.
    """
    for lost in plan.lost:
        log.warning("%s: %s", plan.source.name, lost)
    with open_input(plan.source) as source:
        yield ExtrasFeed(plan, source, output)


def _chapter(found: Any) -> Chapter:
    time_base = found["time_base"] or Fraction(1)
    return Chapter(found["start"] * time_base, found["end"] * time_base, dict(found["metadata"]))


def _met(chapters: list[Chapter], start_s: Fraction, end_s: Fraction | None) -> Iterator[Chapter]:
    """Yield the chapters of which some part lies in the span."""
    for chapter in chapters:
        if chapter.end_s > start_s and (end_s is None or chapter.start_s < end_s):
            yield chapter


def _cut(chapter: Chapter, index: int, origin_s: Fraction, end_s: Fraction | None) -> Any:
    """Return the chapter as PyAV has it, from the origin on; None if nothing is left of it."""
    start_s = max(chapter.start_s - origin_s, Fraction(0))
    last_s = (chapter.end_s if end_s is None else min(chapter.end_s, end_s)) - origin_s
    if last_s <= start_s:
        return None
    # mp4 counts milliseconds here, whatever it is given.
    time_base = Fraction(1, 1000)
    times = {"start": round(start_s / time_base), "end": round(last_s / time_base)}
    return {"id": index + 1, "time_base": time_base, "metadata": chapter.tags, **times}


def _is_kept(key: str) -> bool:
    return key.lower() not in FILE_TAGS and not is_stale(key)


def _add_tags(output: Any, tags: dict[str, str]) -> None:
    ours = {key.lower(): key for key in output.metadata}
    for key, value in tags.items():
        if key.lower() not in ours:
            output.metadata[key] = value
        elif key.lower() == MARK:
            mark = output.metadata[ours[MARK]].splitlines()
            others = [line for line in value.splitlines() if line not in mark]
            output.metadata[ours[MARK]] = "\n".join(mark + others)


def _lost_files(attachments: list[Any], suffix: str) -> Iterator[str]:
    for stream in attachments:
        name = stream.metadata.get("filename", f"#{stream.index}")
        yield f"attached file {name} is left out: {suffix} takes none; --container mkv does"


def _lost_streams(container: Any) -> Iterator[str]:
    """Say which other streams are not carried."""
    for stream in container.streams:
        if stream.type == "video" and stream.disposition & COVER:
            yield f"cover #{stream.index} is left out: it shows the footage as it was"
        # The demuxer discards the track that holds the chapters, which are carried as such.
        elif stream.type in ("data", "unknown") and stream.discard != Discard.all:
            kind = getattr(stream, "name", None) or "unknown"
            yield f"data track {describe_track(stream)} ({kind}) is left out: we cannot cut it"
    others = sum(s.type == "video" and not s.disposition & COVER for s in container.streams) - 1
    if others > 0:
        yield f"{others} further picture track(s) are left out: one is swapped"
