"""Small pictures of a few frames of a clip; of a long film only what leads to them is decoded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import cv2
import numpy as np

from faceswap_cli.errors import MediaError
from faceswap_cli.faces.sighting import Box
from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.media.pictures import BadFrame
from faceswap_cli.media.reader import Frame
from faceswap_cli.media.source import Source, VideoSource
from faceswap_cli.media.span import Span
from faceswap_cli.types import RgbImage

THUMB_PX = 186
SHOWN_SIDES = 2.4
"""Of the frame around a face, sides of its box."""
SEEK_FRAMES = 400
"""Frames that are decoded rather than leapt over: a keyframe may lie as far back."""
_YELLOW = (255, 214, 64)


@dataclass(frozen=True)
class View:
    """What is to be seen of a frame."""

    time_s: Fraction
    box: Box | None
    """Of the face; None: all of the frame."""


def read_thumbs(source: Source, views: Mapping[int, View]) -> dict[int, RgbImage]:
    """Return pictures, (THUMB_PX, THUMB_PX, 3), by frame; what cannot be read has none.

    Args:
        source: The clip.
        views: By frame.
    """
    thumbs: dict[int, RgbImage] = {}
    for number, frame in _read(source, views):
        thumbs[number] = draw_view(frame.image, views[number].box)
    return thumbs


def draw_view(image: RgbImage, box: Box | None) -> RgbImage:
    """Return a square of (THUMB_PX, THUMB_PX, 3): the surroundings of a box, or the whole."""
    height, width = image.shape[:2]
    left, top, right, bottom = box or (0.0, 0.0, float(width), float(height))
    side = SHOWN_SIDES * max(right - left, bottom - top, 8.0) if box else float(max(width, height))
    factor = THUMB_PX / side
    middle = np.array([(left + right) / 2.0, (top + bottom) / 2.0])
    shift = (THUMB_PX - 1) / 2.0 - factor * middle
    thumb_from_frame = Similarity(np.column_stack([factor * np.eye(2), shift]))
    size_wh = (THUMB_PX, THUMB_PX)
    thumb = np.asarray(warp(image, thumb_from_frame, size_wh=size_wh, border=0.0), np.uint8)
    if box is not None:
        corners = thumb_from_frame.apply(np.array([[left, top], [right, bottom]]))
        (x0, y0), (x1, y1) = np.rint(corners).astype(int).tolist()
        cv2.rectangle(thumb, (x0, y0), (x1, y1), _YELLOW, thickness=1)
    return thumb


def _read(source: Source, views: Mapping[int, View]) -> Iterator[tuple[int, Frame]]:
    """Yield the frames with their numbers."""
    if not isinstance(source, VideoSource):
        for frame in source.frames(lambda index: index in views):
            if not isinstance(frame, BadFrame):
                yield frame.index, frame
        return
    for group in _groups(sorted(views)):
        try:
            yield from _read_group(source, group, views)
        except MediaError:
            continue  # some pictures less; the numbers are told all the same


def _read_group(
    source: VideoSource, group: Sequence[int], views: Mapping[int, View]
) -> Iterator[tuple[int, Frame]]:
    wanted = {number - group[0] for number in group}
    first_s, last_s = (views[n].time_s - source.info.start_s for n in (group[0], group[-1]))
    part = replace(source, span=Span(first_s, last_s + source.info.time_base))
    for frame in part.frames(lambda index: index in wanted):
        number = group[0] + frame.index
        if isinstance(frame, Frame) and frame.time_s == views[number].time_s:
            yield number, frame


def _groups(numbers: Sequence[int]) -> Iterator[list[int]]:
    """Yield numbers together that lie near each other."""
    group: list[int] = []
    for number in numbers:
        if group and number - group[-1] > SEEK_FRAMES:
            yield group
            group = []
        group.append(number)
    if group:
        yield group
