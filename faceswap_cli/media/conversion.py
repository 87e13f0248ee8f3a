"""From a decoded frame to upright RGB: the only conversion of a video.

swscale ignores the colour tags of a frame if it is not told them.
"""

import logging
from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np
from av.video.reformatter import VideoReformatter

from faceswap_cli.media.colour import CONVERSION, HDR_TRANSFERS, ColourTags
from faceswap_cli.media.orientation import Turn
from faceswap_cli.types import RgbImage

log = logging.getLogger(__name__)

PartBox = tuple[int, int, int, int]
"""Left, top, right, bottom of a part of a frame, whole pixels, half-open."""
ROUGH = 1  # SWS_FAST_BILINEAR
MARGIN_PX = 16
"""Around a part: twice what bicubic chroma needs; its corner lies on a multiple of it."""


class Converter:
    """Turns av.VideoFrames of one video into pictures.

    Args:
        colour: Of the video.
        turn: That makes its pictures upright.
        rough: For the eyes of networks: 20 times as fast, wrong by 1.2 of 255 grey levels in
            the mean and by up to 20 at sharp edges between colours.
    """

    def __init__(self, colour: ColourTags, turn: Turn, *, rough: bool = False) -> None:
        self._colour, self._turn = colour, turn
        self._flags, self._threads = (ROUGH, 1) if rough else (CONVERSION, 0)
        self._reformatter, self._cropper = VideoReformatter(), _Cropper()

    def whole(self, frame: Any) -> RgbImage:
        """Return the upright picture, (H, W, 3)."""
        return self._turn.apply(self._to_rgb(frame))

    def part(self, frame: Any, box: PartBox) -> tuple[RgbImage, tuple[int, int]]:
        """Return a part of the upright picture, and the (x, y) of its corner.

        Args:
            frame: An av.VideoFrame.
            box: What must be in it; what is returned is larger by a margin.
        """
        size_wh = self._turn.upright_size((frame.width, frame.height))
        left, top, right, bottom = _with_margin(box, size_wh)
        if self._turn == Turn():
            self._threads = 1  # a part is too small to be worth the hand-over
            return self._to_rgb(self._cropper.cut(frame, (left, top, right, bottom))), (left, top)
        return self.whole(frame)[top:bottom, left:right], (left, top)

    def _to_rgb(self, frame: Any) -> RgbImage:
        rgb = self._reformatter.reformat(
            frame,
            format="rgb24",
            src_colorspace=self._colour.sws_matrix,
            src_color_range=self._colour.range,
            dst_color_range=2,
            interpolation=self._flags,
            threads=self._threads,
        )
        return np.asarray(rgb.to_ndarray(), np.uint8)


def warn_of_hdr(colour: ColourTags, name: object) -> None:
    """Say that the pictures of this video lose range."""
    if colour.transfer in HDR_TRANSFERS:
        curve = HDR_TRANSFERS[colour.transfer]
        log.warning("%s is HDR (%s): it is reduced to 8 bit, not tone-mapped", name, curve)


def _with_margin(box: PartBox, size_wh: tuple[int, int]) -> PartBox:
    low = [max(0, (v - MARGIN_PX) // MARGIN_PX * MARGIN_PX) for v in box[:2]]
    high = [-(-(v + MARGIN_PX) // MARGIN_PX) * MARGIN_PX for v in box[2:]]
    low = [
        min(at, (size - 1) // MARGIN_PX * MARGIN_PX) for at, size in zip(low, size_wh, strict=True)
    ]
    ends = [
        min(max(end, at + MARGIN_PX), size)
        for end, at, size in zip(high, low, size_wh, strict=True)
    ]
    return low[0], low[1], ends[0], ends[1]


class _Cropper:
    """Cuts a part out of av.VideoFrames without copying; keeps what a new frame would forget.

    Where the chroma samples lie is such a thing: PyAV cannot set it, and swscale asks for it.
    """

    def __init__(self) -> None:
        self._key: object = None
        self._graph: Any = None

    def cut(self, frame: Any, box: PartBox) -> Any:
        key = (box, frame.width, frame.height, frame.format.name)
        if key != self._key:
            self._graph, self._key = _crop_graph(frame, box), key
        self._graph.push(frame)
        return self._graph.pull()


def _crop_graph(frame: Any, box: PartBox) -> Any:
    left, top, right, bottom = box
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format,
        time_base=frame.time_base or Fraction(1, 1000),
    )
    crop = graph.add("crop", f"{right - left}:{bottom - top}:{left}:{top}")
    sink = graph.add("buffersink")
    source.link_to(crop)
    crop.link_to(sink)
    graph.configure()
    return graph
