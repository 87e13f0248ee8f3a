"""The frames of the result beside those of the footage."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import get_args

from faceswap_cli.config import VideoConfig
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.files import read_manifest
from faceswap_cli.media.pictures import BadFrame
from faceswap_cli.media.reader import Frame
from faceswap_cli.media.source import PictureSource, Source, VideoSource, open_source
from faceswap_cli.media.span import Span
from faceswap_cli.readahead import read_ahead
from faceswap_cli.workspace import Workspace

AHEAD = 3
"""Frames of each that are decoded while one is measured."""
CONTAINERS: tuple[str, ...] = get_args(VideoConfig.model_fields["container"].annotation)
FORMATS = (".png", ".jpg")


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
        WorkspaceError: It is not there, or of another size than the footage.
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
    if result.info.size_wh != footage.info.size_wh:
        width, height = result.info.size_wh
        was_width, was_height = footage.info.size_wh
        raise WorkspaceError(
            f"{result.info.path.name} is {width}x{height}, the footage {was_width}x{was_height}",
            seen_in=result.info.path,
            fix=f"make it of this footage: faceswap-cli video {workspace.root}",
        )
    return result


def newest_video(workspace: Workspace) -> Path | None:
    """Return the result video that was made last, None if there is none."""
    found = [workspace.result(container) for container in CONTAINERS]
    there = [path for path in found if path.is_file()]
    return max(there, key=lambda path: path.stat().st_mtime_ns) if there else None


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
            yield Pair(was, now) if isinstance(was, Frame) and isinstance(now, Frame) else None
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


def _pictures(source: Source, wanted: Callable[[int], bool]) -> Iterator[Frame | None]:
    decoded = source.frames(wanted)
    for timed in source.times():
        frame = next(decoded) if wanted(timed.index) else None
        yield None if isinstance(frame, BadFrame) else frame


def _merged(workspace: Workspace, footage: Source) -> Source:
    """Return the merged frames as footage, or raise WorkspaceError: none, or not all."""
    settings, _ = read_manifest(workspace.manifest("merge"))
    suffix = _suffix(workspace, f".{settings.get('format', 'png')}")
    if suffix is None:
        raise WorkspaceError(
            "nothing to measure: neither a result video nor merged frames",
            seen_in=workspace.root,
            fix=f"faceswap-cli merge {workspace.root}, then faceswap-cli video {workspace.root}",
        )
    times = footage.times()
    paths = [workspace.merged / f"{footage.frame_name(timed.index)}{suffix}" for timed in times]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise WorkspaceError(
            f"{len(missing)} of {len(paths)} merged frames are missing, the first is {missing[0]}",
            seen_in=workspace.merged,
            fix=f"faceswap-cli merge {workspace.root}",
        )
    rate = Fraction(footage.info.average_rate)
    info = open_source(workspace.merged, None, rate=rate).info
    return PictureSource(info, Span(), paths)


def _suffix(workspace: Workspace, usual: str) -> str | None:
    """Return the suffix of the merged frames: what merge was told last, if it has made any."""
    for suffix in dict.fromkeys((usual, *FORMATS)):
        if next(workspace.merged.glob(f"[!.]*{suffix}"), None) is not None:
            return suffix
    return None
