"""From RGB pictures to the samples that a video is made of, by the formulas of H.273."""

from typing import Any, cast

import av
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.media.colour import CONVERSION, FULL_RANGE, ColourTags
from faceswap_cli.media.conversion import filter_graph
from faceswap_cli.media.fields import FieldOrder, FieldTeller, telling_fields
from faceswap_cli.media.samples import (
    USUAL_SITING,
    SampleLayout,
    Samples,
    find_layout,
    view_plane,
    view_samples,
)

Picture = NDArray[np.uint8] | NDArray[np.uint16]

_FORMATS = {(1, 3): "rgb24", (1, 4): "rgba", (2, 3): "rgb48le", (2, 4): "rgba64le"}
_DEEP = {(2, 2): "420p16le", (2, 1): "422p16le", (1, 1): "444p16le"}


class YuvConverter:
    """Turns RGB pictures of one video into av.VideoFrames of samples.

    By a filter, since VideoReformatter puts chroma samples where no player looks.

    Args:
        pixel_format: ffmpeg's name of what to make, e.g. yuv420p10le.
        colour: The matrix and the range.
        siting: Where the chroma samples lie, in ffmpeg's words: left, center, topleft, ...
        field_order: Of interlaced pictures, whose fields have chroma samples of their own.
        threads: 0 is all cores; for a small picture, the hand-over takes longer than the work.
    """

    def __init__(
        self,
        pixel_format: str,
        colour: ColourTags,
        siting: str = USUAL_SITING,
        *,
        field_order: FieldOrder | None = None,
        threads: int = 1,
    ) -> None:
        is_full = colour.range == FULL_RANGE
        self._rounder = _find_rounder(pixel_format) if is_full else None
        self._teller = FieldTeller(field_order, siting)
        scale = (
            f"in_range=full:out_range={'full' if is_full else 'limited'}"
            f":out_color_matrix={colour.sws_matrix}:out_chroma_loc={siting}"
            f":interl=-1:flags={CONVERSION}"
        )
        made = self._rounder.deep_format if self._rounder else pixel_format
        self._steps = [*telling_fields(field_order), ("scale", scale), ("format", made)]
        self._threads = threads
        self._key: object = None
        self._push: Any = None
        self._pull: Any = None

    def convert(self, image: Picture) -> Any:
        """Return the av.VideoFrame of a picture, without a time.

        Args:
            image: (H, W, 3), or (H, W, 4) for a format with alpha; 8 or 16 bits.
        """
        frame = rgb_frame(_as_swscale_reads(image))
        key = frame.width, frame.height, frame.format.name
        if key != self._key:  # a new graph takes longer than a part
            self._push, _, self._pull = filter_graph(frame, *self._steps, threads=self._threads)
            self._key = key
        self._push(frame)
        made = self._pull()
        return self._teller.tell(self._rounder.round(made)) if self._rounder else made


def rgb_frame(image: Picture) -> Any:
    """Return a picture as an av.VideoFrame of the same numbers."""
    name = _FORMATS[image.itemsize, image.shape[2]]
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=name)


def _as_swscale_reads(image: Picture) -> Picture:
    """Return 16-bit colours with white at 255 << 8: of 65535 it makes 256/255 of white."""
    if image.dtype != np.uint16:
        return image
    colours: Any = image[..., :3] - (image[..., :3] >> 8)
    return np.dstack([colours, image[..., 3:]]) if image.shape[2] == 4 else colours


def _find_rounder(pixel_format: str) -> "_Rounder | None":
    """Return what makes full-range samples of those of 16 bits; None where none is needed."""
    layout = find_layout(pixel_format.replace("yuva", "yuv"))
    bits = av.VideoFormat(pixel_format).components[0].bits
    if layout is None or layout.step_xy not in _DEEP or bits == 16:
        return None
    return _Rounder(pixel_format, layout, bits)


class _Rounder:
    """Makes full-range samples of fewer bits of those of 16.

    swscale takes 127.5 of 8 bits and 511.5 of 10 for the middle of full-range chroma, where
    H.273, and swscale on its way back, have 128 and 512: half a step of blue and red would be
    lost each time. At 16 bits it is the same half step, which nobody sees.
    """

    def __init__(self, pixel_format: str, layout: SampleLayout, bits: int) -> None:
        self._format, self._layout, self._bits = pixel_format, layout, bits
        self._has_alpha = "yuva" in pixel_format
        self.deep_format = ("yuva" if self._has_alpha else "yuv") + _DEEP[layout.step_xy]
        self._deep_layout = SampleLayout(layout.step_xy, 16, False)

    def round(self, deep: Any) -> Any:
        """Return the av.VideoFrame of one of `deep_format`."""
        made = av.VideoFrame(deep.width, deep.height, self._format)
        pairs = zip(
            view_samples(made, self._layout), view_samples(deep, self._deep_layout), strict=True
        )
        for index, (samples, wide) in enumerate(pairs):
            samples[...] = self._rounded(wide, is_chroma=index > 0)
        if self._has_alpha:
            wide = view_plane(deep.planes[3], np.uint16)[: deep.height, : deep.width]
            alpha = view_plane(made.planes[3], self._layout.dtype)
            alpha[: deep.height, : deep.width] = self._rounded(wide, is_chroma=False)
        return made

    def _rounded(self, wide: Samples, *, is_chroma: bool) -> Samples:
        """Return n bits, in the upper ones where the layout has more: 65535 becomes 2^n - 1.

        The middle of chroma, 32768, becomes 2^(n - 1).
        """
        bits = self._bits
        half = np.uint16(1 << (15 - bits))
        rounded: Any = np.minimum(wide, 65535 - half) + half if is_chroma else wide
        rounded = rounded - (rounded >> bits)  # 65535 is 2^16 - 2^(16 - n) now
        rounded += half
        rounded >>= 16 - bits
        if self._layout.bits > bits:
            rounded <<= self._layout.bits - bits
        return cast(Samples, rounded.astype(self._layout.dtype))
