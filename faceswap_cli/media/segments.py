"""Pieces of a picture stream, encoded one by one, so that a killed run goes on where it was.

A piece is a NUT file: that keeps the encoder's headers and packets as they are, has any unit of
time, and holds nothing random. It has no ProRes, which goes into MOV, and no alpha of VP9, which
goes into Matroska. Times in a piece only tell the order of its pictures; the true ones are given
when the pieces are joined.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.video.frame import PictureType

from faceswap_cli.errors import MediaError
from faceswap_cli.files import replacing
from faceswap_cli.media.colour import CONVERSION, FULL_RANGE, RGB_MATRIX
from faceswap_cli.media.conversion import Converter, filter_graph
from faceswap_cli.media.encoders import REORDERED, Encoding, pixel_format
from faceswap_cli.media.encoding import (
    Picture,
    PictureConverter,
    PictureForm,
    add_picture_stream,
    explained,
)
from faceswap_cli.media.joining import join_segments
from faceswap_cli.media.opening import open_input
from faceswap_cli.media.orientation import Turn
from faceswap_cli.media.picture_form import (
    stored_colour,
    stored_fields,
    stored_siting,
    stored_size,
)

__all__ = [
    "SUFFIXES",
    "WritePicture",
    "describe_encoding",
    "join_segments",
    "open_segment",
    "plan_segments",
    "segment_suffix",
]

CONTAINER_OPTIONS = {"fflags": "bitexact"}  # Matroska would have random names for its tracks
SUFFIXES = {".nut": "nut", ".mov": "mov", ".mkv": "matroska"}
ENCODER = "comment"
"""The key of the metadata of a piece under which its encoder is named; MOV takes no other."""
SHORT = 2
"""Of so few frames, x265 gives a dts from memory it never wrote."""

WritePicture = Callable[["Picture | av.VideoFrame", Fraction, Fraction], None]


def segment_suffix(encoding: Encoding) -> str:
    """Return the suffix of the files of pieces."""
    if encoding.codec == "prores":
        return ".mov"
    return ".mkv" if encoding.codec == "vp9" and encoding.alpha else ".nut"


def plan_segments(num_frames: int, length: int) -> list[range]:
    """Return the frames of each piece, in order; the last one may be shorter."""
    return [range(first, min(first + length, num_frames)) for first in range(0, num_frames, length)]


@contextmanager
def open_segment(path: Path, form: PictureForm, encoding: Encoding) -> Iterator[WritePicture]:
    """Encode one piece; `path` appears only when the block ends well, and is on the disk then.

    It begins with a key frame and refers to nothing outside. The same pictures give the same
    bytes, on one machine.

    Args:
        path: Of the piece; its suffix is that of segment_suffix.
        form: The same for all pieces that will be joined.
        encoding: The same for all, too.

    Yields:
        A function of (picture, time_s, duration_s). A picture is an array as PictureConverter
        takes it, or an av.VideoFrame with the colours and the siting of `form`, which is given
        away: where its pixel format is the encoder's, its samples are encoded as they are.

    Raises:
        MediaError: The encoder is missing or fails, the disk is full, a picture has another
            size, times do not grow, or nothing was written.
    """
    with replacing(path) as partial:
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            output = av.open(
                f"file:{os.fspath(partial)}",
                "w",
                format=SUFFIXES[path.suffix],
                container_options=CONTAINER_OPTIONS,
            )
        try:
            stream = add_picture_stream(output, form, encoding)
            output.metadata[ENCODER] = stream.codec_context.name
            if encoding.codec == "h265":
                stream.codec_context.codec_tag = "HEVC"  # that of mp4 is none of NUT's
            with explained(path, listen=True):
                output.start_encoding()
            writer = _SegmentWriter(path, output, stream, form, encoding)
            yield writer.write
            writer.finish()
        finally:
            with suppress(av.FFmpegError, OSError):
                output.close()


def describe_encoding(path: Path) -> str:
    """Return the encoder that has made a piece, and the pixel format, e.g. libx264, yuv420p."""
    with open_input(path) as piece:
        context = piece.streams.video[0].codec_context
        return f"{piece.metadata.get(ENCODER, context.name)}, {context.pix_fmt}"


class _SegmentWriter:
    """The state of one piece."""

    def __init__(
        self, path: Path, output: Any, stream: Any, form: PictureForm, encoding: Encoding
    ) -> None:
        self._path, self._output, self._stream = path, output, stream
        self._is_reordered = encoding.codec in REORDERED
        self._time_base = form.time_base
        self._converter = PictureConverter(form, encoding)
        self._natives = _NativeConverter(form, encoding, self._converter)
        self._held: Any = None
        self._origin_s = Fraction(0)
        self._last_tick = -1
        self._num_frames = 0

    def write(
        self, picture: "Picture | av.VideoFrame", time_s: Fraction, duration_s: Fraction
    ) -> None:
        """Encode the next picture."""
        with explained(self._path):
            is_native = isinstance(picture, av.VideoFrame)
            frame = (self._natives if is_native else self._converter).frame(picture)
            frame.pict_type = PictureType.NONE  # a decoded one would have its own kind again
            if self._num_frames == 0:
                self._origin_s = time_s
            tick = round((time_s - self._origin_s) / self._time_base)
            if tick <= self._last_tick:
                raise MediaError(
                    f"the frame at {float(time_s):.3f} s is not after the one before it",
                    seen_in=self._path,
                    fix="write the frames in the order of presentation",
                )
            frame.pts, frame.time_base = tick, self._time_base
            self._last_tick, self._num_frames = tick, self._num_frames + 1
            if self._held is not None:
                self._mux(self._held, is_short=False)
            self._held = frame

    def finish(self) -> None:
        """Empty the encoder and write the index."""
        if self._held is None:
            raise MediaError("no frame was written", seen_in=self._path)
        with explained(self._path):
            is_short = self._is_reordered and self._num_frames <= SHORT
            self._mux(self._held, is_short=is_short)
            self._mux(None, is_short=is_short)
        with explained(self._path, listen=True):
            self._output.close()

    def _mux(self, frame: Any, *, is_short: bool) -> None:
        for packet in self._stream.encode(frame):
            if is_short:
                packet.dts = packet.pts
            self._output.mux(packet)


class _NativeConverter:
    """Turns decoded pictures into what an encoder takes; mostly they are that already."""

    def __init__(self, form: PictureForm, encoding: Encoding, converter: PictureConverter) -> None:
        self._form, self._wanted = form, pixel_format(encoding)
        self._size_wh = stored_size(form, encoding)
        self._colour = stored_colour(form, encoding)
        self._converter = converter
        bits = av.VideoFormat(self._wanted).components[0].bits
        self._rgb = Converter(form.colour, Turn(), deep=bits > 8, siting=form.siting)
        self._has_fields = stored_fields(form, encoding) is not None
        self._keeps_siting = stored_siting(form, encoding) == form.siting
        self._key: object = None
        self._push: Any = None
        self._pull: Any = None

    def frame(self, native: Any) -> Any:
        """Return the av.VideoFrame to encode."""
        if (native.width, native.height) != self._size_wh:
            raise MediaError(
                f"a picture of {native.width}x{native.height} cannot follow"
                f" {self._size_wh[0]}x{self._size_wh[1]}",
                fix="make all pictures of one video the same size",
            )
        if self._is_remade(native):
            return self._converter.frame(self._rgb.whole(native))
        if native.format.name == self._wanted:
            return native
        if native.format.name != self._key:
            self._key = native.format.name
            steps = ("scale", self._scale()), ("format", self._wanted)
            self._push, _, self._pull = filter_graph(native, *steps)
        self._push(native)
        made = self._pull()
        self._converter.tag(made)
        return made

    def _is_remade(self, native: Any) -> bool:
        """Tell whether it goes by way of RGB.

        So it does for FFV1; if the range changes, of which swscale has several ideas; if it has
        chroma by fields where the file does not tell of fields, or the other way round; and if
        chroma lies where the file cannot tell.
        """
        return (
            self._colour.matrix == RGB_MATRIX
            or self._colour.range != self._form.colour.range
            or not self._keeps_siting
            or native.interlaced_frame != self._has_fields
        )

    def _scale(self) -> str:
        matrix, siting = self._colour.sws_matrix, self._form.siting
        colour_range = "full" if self._colour.range == FULL_RANGE else "limited"
        return (
            f"in_range={colour_range}:out_range={colour_range}"
            f":in_color_matrix={matrix}:out_color_matrix={matrix}"
            f":in_chroma_loc={siting}:out_chroma_loc={siting}:interl=-1:flags={CONVERSION}"
        )
