"""The frames of the result beside those of the footage."""

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

from faceswap_cli.config_merge import CONTAINERS
from faceswap_cli.errors import ConfigError, WorkspaceError
from faceswap_cli.media.pictures import BadFrame
from faceswap_cli.media.reader import Frame
from faceswap_cli.media.source import PictureSource, Source, VideoSource, open_source
from faceswap_cli.media.span import Span
from faceswap_cli.readahead import read_ahead
from faceswap_cli.rendering.frame_times import frame_times
from faceswap_cli.rendering.merged import find_frames, read_merged
from faceswap_cli.settings import load_config
from faceswap_cli.workspace import Workspace

AHEAD = 3
"""Frames of each that are decoded while one is measured."""


@dataclass(frozen=True, eq=False)
class Pair:
    """The same moment, before and after."""

    footage: Frame
    result: Frame


def open_result(workspace: Workspace, footage: Source, of: str) -> Source:
    """Return what is to be measured: the newest result video, or the merged frames.

    Args:
        workspace: Of the swap.
        footage: Of dst.
        of: "video", "frames", or "auto": the first of these that is there.

    Raises:
        WorkspaceError: It is not there, not finished, or of another size than the footage.
        MediaError: It cannot be read.
    """
    video = newest_video(workspace) if of != "frames" else None
    if video is None and of == "video":
        raise WorkspaceError(
            "no result video",
            seen_in=workspace.root,
            fix=f"faceswap-cli video {workspace.root}",
        )
    result = _merged(workspace, footage) if video is None else open_source(video, None)
    if result.info.size_wh not in _sizes(footage.info.size_wh):
        width, height = result.info.size_wh
        was_width, was_height = footage.info.size_wh
        raise WorkspaceError(
            f"{result.info.path.name} is {width}x{height}, the footage {was_width}x{was_height}",
            seen_in=result.info.path,
            fix=f"make it of this footage: faceswap-cli video {workspace.root}",
        )
    return result


def _sizes(size_wh: tuple[int, int]) -> set[tuple[int, int]]:
    """Return what a result may be large: most codecs make odd sides one pixel longer."""
    width, height = size_wh
    return {size_wh, (width + width % 2, height + height % 2)}


def newest_video(workspace: Workspace) -> Path | None:
    """Return the result video that was made last, None if there is none.

    One that shows the new face alone (alpha) is none: there is nothing around it to compare.
    """
    alone = _face_alone(workspace)
    found = [workspace.result(container) for container in CONTAINERS]
    there = [path for path in found if path.is_file() and path != alone]
    return max(there, key=lambda path: path.stat().st_mtime_ns) if there else None


def _face_alone(workspace: Workspace) -> Path | None:
    """Return what `video --alpha` has made, if that was what it made last."""
    path = workspace.settings("video")
    with suppress(ConfigError):  # of another version of this program
        video = load_config(path).video if path.is_file() else None
        return workspace.result(video.container) if video and video.alpha else None
    return None


def read_pairs(
    footage: Source, result: Source, wanted: Callable[[int], bool], *, root: Path
) -> Iterator[Pair | None]:
    """Yield an item for each frame, None for those that are not wanted or do not decode.

    Args:
        footage: Of dst.
        result: Of open_result.
        wanted: Is asked by index.
        root: Of the workspace, for the message.

    Raises:
        WorkspaceError: They differ in length, which is known at the end.
        MediaError: One of them cannot be read.
    """
    counts = [0, 0]
    with (
        closing(read_ahead(_walk(footage, wanted), depth=AHEAD)) as before,
        closing(read_ahead(_walk(result, wanted), depth=AHEAD)) as after,
    ):
        for pair in zip_longest(before, after, fillvalue=_END):
            for side, frame in enumerate(pair):
                counts[side] += frame is not _END
            was, now = pair
            if isinstance(was, Frame) and isinstance(now, Frame):
                yield Pair(was, _cut(now, was.size_wh))
            else:
                yield None
    if counts[0] != counts[1]:
        raise WorkspaceError(
            f"{result.info.path.name} has {counts[1]} frames, the footage has {counts[0]}",
            seen_in=result.info.path,
            fix=f"the same --dst-span as it was made with, or `faceswap-cli merge {root}` and"
            f" `faceswap-cli video {root}` again",
        )


_END = object()


def _walk(source: Source, wanted: Callable[[int], bool]) -> Iterator[Frame | None]:
    """Yield an item for each frame; None for those that are not wanted or do not decode."""
    if not isinstance(source, VideoSource):
        yield from _pictures(source, wanted)
        return
    width, height = source.info.size_wh
    whole = 0, 0, width, height
    for frame in source.parts(lambda index: whole if wanted(index) else None, native=True):
        yield frame if isinstance(frame, Frame) and wanted(frame.index) else None


def _cut(frame: Frame, size_wh: tuple[int, int]) -> Frame:
    """Return a frame without the pixels that an encoder has added to it."""
    width, height = size_wh
    return replace(frame, image=frame.image[:height, :width], whole_wh=None)


def _pictures(source: Source, wanted: Callable[[int], bool]) -> Iterator[Frame | None]:
    decoded = source.frames(wanted)
    for timed in source.times():
        frame = next(decoded) if wanted(timed.index) else None
        yield None if isinstance(frame, BadFrame) else frame


def _merged(workspace: Workspace, footage: Source) -> Source:
    """Return the merged frames as footage, or raise WorkspaceError: none, or not all."""
    merged = read_merged(workspace, footage)
    folder, suffix = merged.folder_and_suffix(alpha=False)
    if merged.is_stream or next(folder.glob(f"[!.]*{suffix}"), None) is None:
        video = f"faceswap-cli video {workspace.root}"
        raise WorkspaceError(
            "nothing to measure: neither a result video nor merged frames",
            seen_in=workspace.root,
            fix=video if merged.is_stream else f"faceswap-cli merge {workspace.root}, then {video}",
        )
    times = frame_times(footage, workspace.times("dst"))
    paths = find_frames(merged, footage, times, alpha=False)
    rate = Fraction(footage.info.average_rate)
    info = open_source(folder, None, rate=rate).info
    return PictureSource(info, Span(), paths)
