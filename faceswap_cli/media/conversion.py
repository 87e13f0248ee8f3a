"""From a decoded frame to upright RGB: the only conversion of a video.

swscale ignores the colour tags of a frame if it is not told them.
"""

import logging
from fractions import Fraction
from typing import Any, cast

import av
import av.filter
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from faceswap_cli.media.colour import (
    CONVERSION,
    FULL_RANGE,
    HDR_TRANSFERS,
    ColourTags,
)
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
        deep: Pictures are uint16, white 65535, in place of uint8; a rough one never is.
        siting: Where the chroma samples lie, in ffmpeg's words, if the decoder does not say so.
    """

    def __init__(
        self,
        colour: ColourTags,
        turn: Turn,
        *,
        rough: bool = False,
        deep: bool = False,
        siting: str | None = None,
    ) -> None:
        self._colour, self._turn = colour, turn
        self._flags, self._threads = (ROUGH, 1) if rough else (CONVERSION, 0)
        self._is_deep = deep and not rough
        self._reformatter, self._cropper = VideoReformatter(), Cropper(siting=siting)
        self._whole = Cropper(siting=siting) if siting and not rough else None

    @property
    def empty(self) -> RgbImage:
        """A picture of no pixels, (0, 0, 3), of the type that this one makes."""
        return np.empty((0, 0, 3), np.uint16 if self._is_deep else np.uint8)

    def whole(self, frame: Any) -> RgbImage:
        """Return the upright picture, (H, W, 3); a rough one may have gaps between its rows."""
        if self._whole:
            frame = self._whole.cut(frame, (0, 0, frame.width, frame.height))
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
        if self._flags == ROUGH:
            return cast(RgbImage, self._reformatted(frame, "rgb24").to_ndarray())
        bits = self._scale_bits(frame)
        is_wide = self._is_deep or bits != 8
        # In planes: the same bits as of rgb24 and rgb48, in a quarter of the time.
        image = _from_planes(self._reformatted(frame, "gbrp16le" if is_wide else "gbrp"))
        if frame.format.is_rgb or not is_wide:
            return image
        return cast(RgbImage, (_full_scale if self._is_deep else _eight_bits)(image, bits))

    def _reformatted(self, frame: Any, pixel_format: str) -> Any:
        return self._reformatter.reformat(
            frame,
            format=pixel_format,
            src_colorspace=self._colour.sws_matrix,
            src_color_range=self._colour.range,
            dst_color_range=2,
            interpolation=self._flags,
            threads=self._threads,
        )

    def _scale_bits(self, frame: Any) -> int:
        """Return n, where swscale has (2^n - 1) << (16 - n) for white in 16 bits.

        It is 8, but of full range the depth: swscale takes 255 << (n - 8) for white there, and
        makes the true one, 2^n - 1, brighter; of 10 bits by 0.75 of 255 grey levels.
        """
        if self._colour.range != FULL_RANGE or frame.format.is_rgb:
            return 8
        return int(frame.format.components[0].bits)


def _from_planes(frame: Any) -> RgbImage:
    """Return (H, W, 3) of a frame of planes of green, blue and red, 8 or 16 bits."""
    dtype = np.dtype(np.uint8 if frame.format.components[0].bits == 8 else np.uint16)
    green, blue, red = (
        np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width]
        for plane in frame.planes
    )
    return cast(RgbImage, cv2.merge([red, green, blue]))


def _full_scale(image: Any, bits: int) -> Any:
    """Return 16-bit RGB of swscale's, see _scale_bits, with white at 65535.

    Of limited range, the result is within 4 of 65535 of what H.273 says.
    """
    scaled = np.minimum(image, _white_48(bits))
    scaled += scaled >> bits
    return scaled


def _eight_bits(image: Any, bits: int) -> Any:
    return cv2.convertScaleAbs(image, alpha=255 / _white_48(bits))


def _white_48(bits: int) -> int:
    return ((1 << bits) - 1) << (16 - bits)


def warn_of_hdr(colour: ColourTags, name: object, *, deep: bool = False) -> None:
    """Say that the pictures of this video lose range; deep ones do not."""
    if colour.transfer in HDR_TRANSFERS and not deep:
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


class Cropper:
    """Cuts a part out of av.VideoFrames without copying; keeps what a new frame would forget.

    Where the chroma samples lie is such a thing: PyAV cannot set it, and swscale asks for it.

    Args:
        siting: Of chroma, to be told in place of what the frames tell.
    """

    def __init__(self, *, siting: str | None = None) -> None:
        self._steps = [("setparams", f"chroma_location={siting}")] if siting else []
        self._key: object = None
        self._push: Any = None
        self._crop: Any = None
        self._pull: Any = None

    def cut(self, frame: Any, box: PartBox) -> Any:
        """Return the part as an av.VideoFrame on the same samples; corners even, if subsampled."""
        left, top, right, bottom = box
        key = (right - left, bottom - top, frame.width, frame.height, frame.format.name)
        if key != self._key:
            crop = ("crop", f"{right - left}:{bottom - top}:{left}:{top}")
            self._push, (self._crop, *_), self._pull = filter_graph(
                frame, crop, *self._steps, threads=1
            )
            self._key = key
        else:  # a new graph takes longer than the part's conversion
            self._crop.process_command("x", str(left))
            self._crop.process_command("y", str(top))
        self._push(frame)
        return self._pull()


def filter_graph(
    frame: Any, *steps: tuple[str, str], threads: int = 0
) -> tuple[Any, list[Any], Any]:
    """Return what takes frames like this one, the filters they go through, and what gives them.

    Args:
        frame: An av.VideoFrame; others must have its size and format.
        steps: Name and settings of each filter.
        threads: 0 is all cores. For small or easy work, the hand-over takes longer than it.
    """
    graph = av.filter.Graph()
    graph.threads = threads
    time_base = frame.time_base or Fraction(1, 1000)
    last = graph.add(
        "buffer",
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}"
        f":time_base={time_base.numerator}/{time_base.denominator}"
        f":colorspace={int(frame.colorspace)}:range={int(frame.color_range)}",
    )
    filters = [graph.add(name, settings) for name, settings in steps]
    for following in [*filters, graph.add("buffersink")]:
        last.link_to(following)
        last = following
    graph.configure()
    return graph.push, filters, graph.pull
