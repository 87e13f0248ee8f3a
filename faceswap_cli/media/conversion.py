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
STEP_PX = 64
"""Of the size of a part."""


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
        """Return the upright picture, (H, W, 3); a rough one may have gaps between its rows."""
        rgb = self._to_rgb(frame)
        return rgb if self._flags == ROUGH and self._turn == Turn() else self._turn.apply(rgb)

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
    """Return a box around it whose corner lies on MARGIN_PX and whose size changes seldom."""
    spans = []
    for first, last, size in zip(box[:2], box[2:], size_wh, strict=True):
        length = -(-(last - first + 3 * MARGIN_PX) // STEP_PX) * STEP_PX
        low = max(0, (first - MARGIN_PX) // MARGIN_PX * MARGIN_PX)
        low = min(low, max(0, -((length - size) // MARGIN_PX) * MARGIN_PX))
        spans.append((low, min(low + length, size)))
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


class _Cropper:
    """Cuts a part out of av.VideoFrames without copying; keeps what a new frame would forget.

    Where the chroma samples lie is such a thing: PyAV cannot set it, and swscale asks for it.
    """

    def __init__(self) -> None:
        self._key: object = None
        self._push: Any = None
        self._crop: Any = None
        self._pull: Any = None

    def cut(self, frame: Any, box: PartBox) -> Any:
        left, top, right, bottom = box
        key = (right - left, bottom - top, frame.width, frame.height, frame.format.name)
        if key != self._key:
            self._push, self._crop, self._pull = _crop_graph(frame, box)
            self._key = key
        else:  # a new graph takes longer than the part's conversion
            self._crop.process_command("x", str(left))
            self._crop.process_command("y", str(top))
        self._push(frame)
        return self._pull()


def _crop_graph(frame: Any, box: PartBox) -> tuple[Any, Any, Any]:
    """Return what takes a frame, the filter that crops it, and what gives the part."""
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
    return graph.push, crop, graph.pull
