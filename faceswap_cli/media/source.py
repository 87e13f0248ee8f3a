"""Footage: a video, or a folder of pictures."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from faceswap_cli.config import InputConfig
from faceswap_cli.errors import MediaError
from faceswap_cli.media.colour import BT709, LIMITED_RANGE, ColourTags
from faceswap_cli.media.pictures import (
    PICTURE_RATE,
    BadFrame,
    list_pictures,
    picture_times,
    read_picture,
    read_picture_frames,
)
from faceswap_cli.media.reader import (
    Frame,
    FrameTime,
    Losses,
    PartBox,
    VideoInfo,
    probe_video,
    read_frames,
    read_parts,
    read_times,
)
from faceswap_cli.media.span import Span
from faceswap_cli.types import RgbImage, Side
from faceswap_cli.workspace import Workspace

FINGERPRINT_DIGITS = 16
# A video made of pictures; limited range is what every player expects.
PICTURE_COLOUR = ColourTags(matrix=BT709, range=LIMITED_RANGE, primaries=BT709, transfer=BT709)


class Source(Protocol):
    """Footage that can be read frame by frame, as often as one likes."""

    @property
    def info(self) -> VideoInfo:
        """Size, rate and colour."""

    @property
    def span(self) -> Span:
        """The part of it that is read."""

    @property
    def losses(self) -> Losses:
        """What the last `frames()` could not decode, once it has ended."""

    @property
    def num_frames_hint(self) -> int | None:
        """About how many frames there are in the span, for progress bars."""

    def frames(
        self,
        wanted: Callable[[int], bool] | None = None,
        *,
        rough: bool = False,
        deep: bool = False,
    ) -> Iterator[Frame | BadFrame]:
        """Yield the frames of the span in order; `wanted` is asked by index.

        Rough frames are for networks to look at: faster, of slightly wrong colours. Deep ones
        have 16 bits if the footage has more than 8.
        """

    def parts(
        self,
        where: Callable[[int], PartBox | None],
        *,
        native: bool = False,
        deep: bool = False,
    ) -> Iterator[Frame | BadFrame]:
        """Yield the parts of frames that hold the boxes that `where` returns for an index.

        With `native`, all frames come, with what the decoder gave; see read_parts.
        """

    def times(self) -> list[FrameTime]:
        """Return when each frame of the span is shown."""

    def frame_name(self, index: int) -> str:
        """Return the name, without suffix, of what is made from a frame."""

    def fingerprint(self) -> str:
        """Return a short hash that changes when the footage or the span does."""


@dataclass
class VideoSource:
    """A video file."""

    info: VideoInfo
    span: Span
    losses: Losses = field(default_factory=Losses)

    @property
    def num_frames_hint(self) -> int | None:
        """What the header claims, cut to the span."""
        info, span = self.info, self.span
        if info.duration_s is None:
            return info.num_frames_hint
        num_frames = info.num_frames_hint or round(info.duration_s * info.average_rate)
        end_s = info.duration_s if span.end_s is None else min(span.end_s, info.duration_s)
        share = (end_s - span.start_s) / info.duration_s if info.duration_s else Fraction(1)
        return max(0, round(num_frames * share))

    def frames(
        self,
        wanted: Callable[[int], bool] | None = None,
        *,
        rough: bool = False,
        deep: bool = False,
    ) -> Iterator[Frame | BadFrame]:
        """Yield the frames; those that do not decode are left out and counted in `losses`."""
        self.losses.clear()
        yield from read_frames(
            self.info.path,
            span=self.span,
            wanted=wanted,
            losses=self.losses,
            rough=rough,
            deep=deep,
        )

    def parts(
        self,
        where: Callable[[int], PartBox | None],
        *,
        native: bool = False,
        deep: bool = False,
    ) -> Iterator[Frame | BadFrame]:
        """Yield parts of the frames."""
        self.losses.clear()
        yield from read_parts(
            self.info.path,
            where,
            span=self.span,
            losses=self.losses,
            native=native,
            deep=deep,
        )

    def times(self) -> list[FrameTime]:
        """Return when each frame is shown; decodes the span."""
        return read_times(self.info.path, self.span)

    def frame_name(self, index: int) -> str:
        """Return the index with six digits."""
        return f"{index:06d}"

    def fingerprint(self) -> str:
        """Hash name, size, time of change and span; the content is not read."""
        seen = self.info.path.stat()
        return _hash(self.info.path.name, seen.st_size, seen.st_mtime_ns, self.span)


@dataclass
class PictureSource:
    """A folder of pictures; its list is made once, when it is opened."""

    info: VideoInfo
    span: Span
    paths: list[Path]
    losses: Losses = field(default_factory=Losses)

    def __post_init__(self) -> None:
        self._num_of_stem = Counter(path.stem for path in self.paths)

    @property
    def num_frames_hint(self) -> int | None:
        """The exact number."""
        return len(self.times())

    def parts(
        self,
        where: Callable[[int], PartBox | None],
        *,
        native: bool = False,
        deep: bool = False,
    ) -> Iterator[Frame | BadFrame]:
        """Yield the pictures, whole: they are decoded whole, and there is nothing native."""
        yield from self.frames(lambda index: native or where(index) is not None, deep=deep)

    def frames(
        self,
        wanted: Callable[[int], bool] | None = None,
        *,
        rough: bool = False,
        deep: bool = False,
    ) -> Iterator[Frame | BadFrame]:
        """Yield the pictures, or a BadFrame for each that does not decode."""
        rate = self.info.average_rate
        return read_picture_frames(self.paths, span=self.span, wanted=wanted, rate=rate, deep=deep)

    def times(self) -> list[FrameTime]:
        """Return the nominal times."""
        return picture_times(len(self.paths), span=self.span, rate=self.info.average_rate)

    def frame_name(self, index: int) -> str:
        """Return the stem of the picture's name; with its suffix if two have the same stem."""
        path = self.paths[math.ceil(self.span.start_s * self.info.average_rate) + index]
        is_unique = self._num_of_stem[path.stem] == 1
        return path.stem if is_unique else f"{path.stem}_{path.suffix[1:]}"

    def fingerprint(self) -> str:
        """Hash names, sizes, times of change and the span; the content is not read."""
        stats = ((path.name, path.stat()) for path in self.paths)
        seen = ((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
        return _hash(*seen, self.span, self.info.average_rate)


def open_side(workspace: Workspace, side: Side, inputs: InputConfig) -> Source:
    """Return the footage of a side of a workspace, cut to its span; errors as open_source."""
    text = inputs.src_span if side == "src" else inputs.dst_span
    span = Span.parse(text) if text else None
    return open_source(workspace.source(side), span, rate=inputs.rate)


def open_clips(workspace: Workspace, side: Side, inputs: InputConfig) -> list[tuple[str, Source]]:
    """Return all footage of a side by name: open_side's, called "", and further videos, whole.

    Raises:
        MediaError: As open_source.
    """
    clips = [("", open_side(workspace, side, inputs))]
    for path in workspace.more_videos(side):
        clips.append((path.stem.removeprefix(f"data_{side}_"), open_source(path)))
    return clips


def open_source(path: Path, span: Span | None = None, *, rate: Fraction = PICTURE_RATE) -> Source:
    """Return the footage at `path`: a video file, or a folder of pictures, `rate` a second.

    Raises:
        MediaError: It is neither, or nothing in it can be decoded.
    """
    if path.is_dir():
        return _open_pictures(path, span or Span(), rate)
    return VideoSource(probe_video(path), span or Span())


def _open_pictures(folder: Path, span: Span, rate: Fraction) -> PictureSource:
    paths = list_pictures(folder)
    if not picture_times(len(paths), span=span, rate=rate):
        raise MediaError(
            f"{len(paths)} pictures, none of them in the span {span}",
            seen_in=folder,
            fix=f"a span of pictures counts {rate} of them a second",
        )
    first = _first_that_decodes(paths, folder)
    info = VideoInfo(
        path=folder,
        size_wh=(first.shape[1], first.shape[0]),
        time_base=1 / rate,
        average_rate=rate,
        rotation_deg=0,
        colour=PICTURE_COLOUR,
        num_frames_hint=len(paths),
        duration_s=len(paths) / rate,
        has_sound=False,
        codec="pictures",
        depth=8 * first.dtype.itemsize,
    )
    return PictureSource(info, span, paths)


def _first_that_decodes(paths: list[Path], folder: Path) -> RgbImage:
    """Return the first picture that decodes, as deep as it is stored."""
    for path in paths:
        with suppress(MediaError):
            return read_picture(path, deep=True)
    raise MediaError(
        f"none of the {len(paths)} pictures in {folder.name} can be decoded",
        seen_in=folder,
        fix="save them again as PNG",
    )


def _hash(*facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:FINGERPRINT_DIGITS]
