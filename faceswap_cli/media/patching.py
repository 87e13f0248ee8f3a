"""Painted parts put straight into decoded pictures, whose other samples stay as they are.

A whole picture that goes to RGB and back loses up to a grey level everywhere, and takes longer
than a fast encoder.
"""

from threading import local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.media.colour import ColourTags
from faceswap_cli.media.conversion import filter_graph
from faceswap_cli.media.orientation import Turn
from faceswap_cli.media.samples import (
    USUAL_SITING,
    SampleLayout,
    find_layout,
    view_samples,
)
from faceswap_cli.media.video_info import VideoInfo
from faceswap_cli.media.yuv_from_rgb import YuvConverter
from faceswap_cli.types import GreyImage

MARGIN_PX = 16
"""Around what was painted, converted with it: more than the chroma filter reaches."""
STEP_PX = 64
"""Of the size of what is converted: a new size takes longer than a few more pixels."""


def can_patch(info: VideoInfo) -> bool:
    """Tell whether `patch` works for a video, and its pictures can be encoded as they are.

    They must be stored upright, as planes of YUV without alpha, with even sides. Of what is not
    4:2:0, the encoder's stream cannot tell where chroma lies: it must be the usual place.
    """
    layout = find_layout(info.pixel_format)
    if layout is None or info.turn != Turn() or any(side % 2 for side in info.size_wh):
        return False
    return layout.step_xy in ((1, 1), (2, 2)) or info.siting == USUAL_SITING


def patch(
    native: Any,
    part: NDArray[np.uint8] | NDArray[np.uint16],
    corner_xy: tuple[int, int],
    mask: GreyImage,
    colour: ColourTags,
    *,
    siting: str = USUAL_SITING,
) -> Any:
    """Return a copy of one decoded picture with what was painted in it; see Patcher."""
    return Patcher(colour, siting).patch(native, part, corner_xy, mask)


class Patcher:
    """Paints into the pictures of one video; for one thread.

    Args:
        colour: How its numbers are to be read.
        siting: Where its chroma samples lie; both as VideoInfo tells them.
    """

    def __init__(self, colour: ColourTags, siting: str = USUAL_SITING) -> None:
        self._colour, self._siting = colour, siting
        self._key: object = None
        self._layout = SampleLayout((1, 1), 8, False)
        self._rows = 1  # of pixels that share a row of chroma, or its two of both fields
        self._push: Any = None
        self._pull: Any = None
        self._converter: Any = None

    def patch(
        self,
        native: Any,
        part: NDArray[np.uint8] | NDArray[np.uint16],
        corner_xy: tuple[int, int],
        mask: GreyImage,
    ) -> Any:
        """Return a copy of a decoded picture in which what was painted is replaced.

        Luma is replaced where the mask is not 0, chroma where any pixel of its block is; all
        other samples are to the bit those of the decoder.

        Args:
            native: An av.VideoFrame of the video, as can_patch wants it.
            part: (h, w, 3), RGB, 8 or 16 bits, all of it inside the picture. It should hold
                MARGIN_PX around what was painted, where the picture goes on.
            corner_xy: Where its first pixel lies in the picture.
            mask: (h, w), not 0 where the part was painted.

        Raises:
            ValueError: The part reaches beyond the picture, or the format is none we know.
        """
        _check_inside(native, part, mask, corner_xy)
        self._prepare(native)
        copied = self._copy(native)
        if mask.any():
            step_xy = self._layout.step_xy[0], self._rows
            spans = [
                _span(mask, axis, corner_xy[axis], step_xy[axis]) for axis in (0, 1)
            ]  # x, then y; multiples of the step in the picture
            shown = _cut_out(part, spans)
            painted = _cut_out(mask, spans, mode="constant") != 0
            at_xy = corner_xy[0] + spans[0][0], corner_xy[1] + spans[1][0]
            new = view_samples(self._converter.convert(shown), self._layout)
            self._replace(copied, new, painted, at_xy)
        return copied

    def _prepare(self, native: Any) -> None:
        has_fields = native.interlaced_frame
        key = (native.width, native.height, native.format.name, has_fields)
        if key == self._key:
            return
        layout = find_layout(native.format.name)
        if layout is None:
            raise ValueError(f"{native.format.name} cannot be patched; ask can_patch first")
        self._push, _, self._pull = filter_graph(native, threads=1)
        self._converter = YuvConverter(
            native.format.name,
            self._colour,
            self._siting,
            field_order="tff" if has_fields else None,  # where chroma lies, either is the same
        )
        self._layout, self._key = layout, key
        step_y = layout.step_xy[1]
        self._rows = 2 * step_y if has_fields and step_y > 1 else step_y

    def _copy(self, native: Any) -> Any:
        """Return a copy with all that is known of the picture: PyAV copies only what is shared."""
        self._push(native)
        copied = self._pull()
        copied.make_writable()
        copied.pts, copied.time_base = native.pts, native.time_base
        return copied

    def _replace(
        self, copied: Any, new: tuple[Any, ...], painted: NDArray[np.bool_], at_xy: tuple[int, int]
    ) -> None:
        """Put samples into a picture: luma where painted, chroma in all blocks it touches."""
        (step_x, step_y), (x, y) = self._layout.step_xy, at_xy
        height, width = painted.shape
        groups = painted.reshape(height // self._rows, self._rows, width)
        rows_of_blocks: Any = groups.any(axis=1)
        blocks = rows_of_blocks[:, ::step_x] | rows_of_blocks[:, step_x - 1 :: step_x]
        blocks = blocks.repeat(self._rows // step_y, axis=0)
        luma, *chroma = view_samples(copied, self._layout)
        places = [(luma, painted, x, y)]
        places += [(old, blocks, x // step_x, y // step_y) for old in chroma]
        for (old, where, left, top), samples in zip(places, new, strict=True):
            target = old[top : top + where.shape[0], left : left + where.shape[1]]
            rows, columns = target.shape  # the last blocks may hang over the picture
            np.copyto(target, samples[:rows, :columns], where=where[:rows, :columns])


def _check_inside(native: Any, part: Any, mask: Any, corner_xy: tuple[int, int]) -> None:
    height, width = part.shape[:2]
    x, y = corner_xy
    if mask.shape != (height, width) or part.shape != (height, width, 3):
        raise ValueError(f"a part of {part.shape} and a mask of {mask.shape} do not fit")
    if min(x, y) < 0 or x + width > native.width or y + height > native.height:
        whole = f"{native.width}x{native.height}"
        raise ValueError(f"a part of {width}x{height} at {corner_xy} is not inside {whole}")


class Patchers:
    """A Patcher of one video for each thread: what one keeps prepared is not to be shared."""

    def __init__(self, info: VideoInfo) -> None:
        self._info, self._threads = info, local()

    def mine(self) -> Patcher:
        """Return that of the thread that asks."""
        if not hasattr(self._threads, "patcher"):
            self._threads.patcher = Patcher(self._info.colour, self._info.siting)
        patcher: Patcher = self._threads.patcher
        return patcher


def _span(mask: GreyImage, axis: int, corner: int, step: int) -> tuple[int, int]:
    """Return first and last, half-open, of what is converted, in pixels of the part.

    It begins where a block of the picture does, and is a multiple of STEP_PX long; it may
    reach beyond the part.
    """
    places = np.flatnonzero(mask.any(axis=axis))
    first = max(int(places[0]) - MARGIN_PX, -corner)  # not before the picture begins
    first -= (corner + first) % step
    length = int(places[-1]) + 1 + MARGIN_PX - first
    return first, first + -(-length // STEP_PX) * STEP_PX


def _cut_out(image: Any, spans: list[tuple[int, int]], *, mode: Any = "edge") -> Any:
    """Return the spans, x and y, of an image; what lies beyond it is its last pixel or 0."""
    (left, right), (top, bottom) = spans
    height, width = image.shape[:2]
    inner = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    around = [
        (max(-top, 0), max(bottom - height, 0)),
        (max(-left, 0), max(right - width, 0)),
        (0, 0),
    ]
    return np.pad(inner, around[: image.ndim], mode=mode)
