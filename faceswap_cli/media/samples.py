"""The samples of a decoded picture as arrays, and where those of chroma lie."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from faceswap_cli.media.colour import CONVERSION
from faceswap_cli.media.conversion import Cropper

Samples = NDArray[np.uint8] | NDArray[np.uint16]
"""(height, width) of one component."""

_PLANAR = re.compile(r"yuvj?(420|422|440|444)p(?:(9|10|12|14|16)le)?")
_SEMI_PLANAR = {
    name: (chroma, bits)
    for chroma, names in {
        "420": {"nv12": 8, "p010le": 16, "p012le": 16, "p016le": 16},
        "422": {"nv16": 8, "p210le": 16, "p216le": 16},
        "444": {"nv24": 8, "p410le": 16, "p416le": 16},
    }.items()
    for name, bits in names.items()
}
_STEPS = {"420": (2, 2), "422": (2, 1), "440": (1, 2), "444": (1, 1)}
_SITES = {
    (0.0, 0.5): "left",
    (0.5, 0.5): "center",
    (0.0, 0.0): "topleft",
    (0.5, 0.0): "top",
    (0.0, 1.0): "bottomleft",
    (0.5, 1.0): "bottom",
}
SITINGS = frozenset(_SITES.values())
USUAL_SITING, SWSCALE_SITING = "left", "center"
"""Of pictures that do not tell: what players think, and what swscale does."""
_PROBE_PX, _IMPULSE = 32, 8


@dataclass(frozen=True)
class SampleLayout:
    """How a pixel format keeps luma and chroma.

    Args:
        step_xy: Pixels across and down for one chroma sample.
        bits: Of a sample; 16 too where fewer lie in the upper bits of 16.
        is_interleaved: Whether U and V take turns in one plane.
    """

    step_xy: tuple[int, int]
    bits: int
    is_interleaved: bool

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Of a sample."""
        return np.uint8 if self.bits == 8 else np.uint16


def find_layout(pixel_format: str) -> SampleLayout | None:
    """Return the layout of a format of ffmpeg's; None if it is no YUV, or packed, or has alpha."""
    if found := _PLANAR.fullmatch(pixel_format):
        chroma, bits = found.groups()
        return SampleLayout(_STEPS[chroma], int(bits or 8), False)
    if pixel_format in _SEMI_PLANAR:
        chroma, num_bits = _SEMI_PLANAR[pixel_format]
        return SampleLayout(_STEPS[chroma], num_bits, True)
    return None


def view_samples(frame: Any, layout: SampleLayout) -> tuple[Samples, Samples, Samples]:
    """Return Y, U and V of an av.VideoFrame: writable views, (height, width) each."""
    planes = [view_plane(plane, layout.dtype) for plane in frame.planes]
    step_x, step_y = layout.step_xy
    width, height = -(-frame.width // step_x), -(-frame.height // step_y)
    luma = planes[0][: frame.height, : frame.width]
    if layout.is_interleaved:
        pairs = planes[1][:height, : 2 * width]
        return luma, pairs[:, ::2], pairs[:, 1::2]
    return luma, planes[1][:height, :width], planes[2][:height, :width]


def view_plane(plane: Any, dtype: Any) -> Any:
    """Return a plane of an av.VideoFrame as a writable view, with what pads its rows."""
    rows = np.frombuffer(plane, np.uint8)[: plane.line_size * plane.height]
    return rows.reshape(plane.height, plane.line_size).view(dtype)


def read_siting(frame: Any) -> str:
    """Return where the chroma samples of a decoded picture lie, in ffmpeg's words.

    PyAV does not tell, but swscale is told: it shows where a lone chroma sample comes out.
    Decoders that do not say leave it at SWSCALE_SITING.

    Args:
        frame: An av.VideoFrame.
    """
    layout = find_layout(frame.format.name)
    if layout is None or layout.step_xy == (1, 1) or min(frame.width, frame.height) < _PROBE_PX:
        return USUAL_SITING
    probe = Cropper().cut(frame, (0, 0, _PROBE_PX, _PROBE_PX))
    probe.make_writable()
    for samples in view_samples(probe, layout):
        samples[...] = 0
    view_samples(probe, layout)[1][_IMPULSE, _IMPULSE] = 255 << (layout.bits - 8)
    shown = VideoReformatter().reformat(probe, format="yuv444p", interpolation=CONVERSION)
    spread = view_samples(shown, SampleLayout((1, 1), 8, False))[1].astype(np.float64)
    ys, xs = np.mgrid[:_PROBE_PX, :_PROBE_PX]
    step_x, step_y = layout.step_xy
    x = float((spread * xs).sum() / spread.sum()) - step_x * _IMPULSE
    y = float((spread * ys).sum() / spread.sum()) - step_y * _IMPULSE
    across = 0.5 * round(2 * x) if step_x == 2 else 0.0
    down = 0.5 * round(2 * y) if step_y == 2 else 0.5
    return _SITES.get((across, down), USUAL_SITING)
