"""Which frame of the footage a name means, in somebody's file or in a record."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath

from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.media.pictures import BadFrame
from faceswap_cli.media.reader import Frame, read_times
from faceswap_cli.media.source import Source
from faceswap_cli.media.span import Span
from faceswap_cli.types import Side
from faceswap_cli.workspace import VIDEO_SUFFIXES

_SLACK = 100
"""Frames that a video may have more than its header claims, and one in ten more."""
_PICTURE = ".png"
"""What a frame of a video is called as a file."""


def record_key(record: FaceRecord, side: Side) -> str:
    """Return the name of a face's frame, without suffix, that no other clip's frame has."""
    return clip_prefix(record.source_name, side) + record.frame_name


def clip_prefix(source_name: str, side: Side) -> str:
    """Return what the frames of a clip are called by first: nothing for the main one."""
    found = re.fullmatch(rf"data_{side}_(.+)", PurePath(source_name).stem)
    return (
        f"{found[1]}_" if found and PurePath(source_name).suffix.lower() in VIDEO_SUFFIXES else ""
    )


def spellings(name: str) -> Iterator[str]:
    """Yield what a frame may be called by us: as it is, without suffix, the suffix attached."""
    path = PurePath(name)
    yield name
    if path.suffix:
        yield path.stem
        yield f"{path.stem}_{path.suffix[1:]}"  # of two pictures with one stem


@dataclass
class Footage:
    """The clips of a side; frames are known by their keys, see record_key."""

    clips: dict[str, Source] = field(default_factory=dict)
    """By prefix; the main one by ''. Empty: the footage is gone."""

    @cached_property
    def places(self) -> dict[str, tuple[str, int]]:
        """Clip and index of each frame by its key; a few more than there may be, of a video."""
        found = {}
        for prefix, source in self.clips.items():
            for index in range(_num_frames(source)):
                found[prefix + source.frame_name(index)] = prefix, index
        return found

    @cached_property
    def first(self) -> int:
        """Frames of the main clip that lie before its span; decodes these."""
        source = self.clips[""]
        if source.info.path.is_dir() or not source.span.start_s:
            return 0
        return len(read_times(source.info.path, Span(end_s=source.span.start_s)))

    def find(self, name: str, known: Collection[str]) -> str | None:
        """Return the key of the frame that a name means, None if there is no such frame.

        Args:
            name: A key, with or without a suffix; the file name of a picture; or faceswap's
                name of a frame of the main video, VIDEO_000001.mp4, which counts from 1.
            known: Keys that exist, besides those of the clips.
        """
        for spelling in spellings(name):
            if spelling in known or spelling in self.places:
                return spelling
        number = re.fullmatch(r".*_(\d{1,9})", PurePath(name).stem)
        if not number or PurePath(name).suffix.lower() not in VIDEO_SUFFIXES or not self._is_video:
            return None
        index = int(number[1]) - 1 - self.first
        key = self.clips[""].frame_name(index) if index >= 0 else ""
        return key if key in self.places else None

    def file_name(self, key: str, *, as_faceswap: bool) -> str:
        """Return what a frame is called in a file for other programs."""
        prefix, index = self.places.get(key, ("", -1))
        if as_faceswap and self._is_video and prefix == "" and index >= 0:
            path = self.clips[""].info.path.resolve()  # init links the file: its own name counts
            return f"{path.stem}_{index + self.first + 1:06d}{path.suffix}"
        return self._picture_names.get(key, key + _PICTURE)

    def frames(self, keys: Collection[str]) -> Iterator[tuple[str, Frame]]:
        """Decode the frames with these keys, each clip no further than it must be.

        Yields:
            (key, frame), clip by clip, in order; frames that do not decode are left out.
        """
        for prefix, source in self.clips.items():
            wanted = {self.places[key][1]: key for key in keys if self._clip_of(key) == prefix}
            left = len(wanted)
            for frame in source.frames(wanted.__contains__) if left else ():
                if not isinstance(frame, BadFrame):
                    yield wanted[frame.index], frame
                left -= 1
                if not left:
                    break

    @property
    def _is_video(self) -> bool:
        return "" in self.clips and self.clips[""].info.path.is_file()

    def _clip_of(self, key: str) -> str | None:
        return self.places[key][0] if key in self.places else None

    @cached_property
    def _picture_names(self) -> dict[str, str]:
        """File names of the frames by key, where the footage is pictures."""
        paths = getattr(self.clips.get(""), "paths", ())
        names = [path.name for path in paths]
        return {spelling: name for name in names for spelling in list(spellings(name))[::-1]}


def _num_frames(source: Source) -> int:
    hint = source.num_frames_hint
    number = len(source.times()) if hint is None else hint
    return number + number // 10 + _SLACK if source.info.path.is_file() else number
