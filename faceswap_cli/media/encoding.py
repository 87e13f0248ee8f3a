"""Encoding pictures: the stream of a container, and pictures in the form that it takes."""

import logging
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from faceswap_cli.errors import MediaError
from faceswap_cli.media.colour import (
    CONVERSION,
    FULL_RANGE,
    LIMITED_RANGE,
    RGB_MATRIX,
    ColourTags,
)
from faceswap_cli.media.encoders import (
    HARDWARE,
    INTERLACED,
    SOFTWARE,
    TELLS_HDR,
    Encoding,
    encoder_format,
    encoder_options,
    hardware_encoder,
    pixel_format,
)
from faceswap_cli.media.encoding_choice import CONTAINERS, check_encoding, resolve_depth
from faceswap_cli.media.encoding_errors import explained, listening
from faceswap_cli.media.fields import FIELD_CODES, FieldOrder, FieldTeller
from faceswap_cli.media.hdr import HdrMetadata
from faceswap_cli.media.yuv_from_rgb import Picture, YuvConverter, rgb_frame

__all__ = [
    "CONTAINERS",
    "Encoding",
    "HdrMetadata",
    "Picture",
    "PictureConverter",
    "PictureForm",
    "add_picture_stream",
    "check_encoding",
    "explained",
    "resolve_depth",
]

log = logging.getLogger(__name__)

USUAL_SITING = "left"
"""What players take for granted in all codecs of ours."""


@dataclass(frozen=True)
class PictureForm:
    """What all pictures of one stream have in common.

    Args:
        size_wh: Width and height as given, pixels; an odd side becomes one longer in 4:2:0.
        time_base: Seconds of one tick.
        rate_hint: The mean of frames a second, by which an encoder spends bits.
        colour: The tags to write, and the matrix and range to convert with.
        pixel_aspect: Width of one pixel over its height.
        hdr: Of HDR10, or None.
        siting: Where the chroma samples lie, in ffmpeg's words: left, topleft, center, ...
        field_order: Of interlaced pictures; see stored_fields.
    """

    size_wh: tuple[int, int]
    time_base: Fraction
    rate_hint: Fraction
    colour: ColourTags
    pixel_aspect: Fraction = Fraction(1)
    hdr: HdrMetadata | None = None
    siting: str = USUAL_SITING
    field_order: FieldOrder | None = None


def add_picture_stream(output: Any, form: PictureForm, encoding: Encoding) -> Any:
    """Add the stream of the pictures to an av.container.OutputContainer, its encoder open.

    Hardware that is asked for and is not there, or does not open, is said in a warning with its
    own words, and software does it. Each group of pictures is closed; the first is a key frame.

    Raises:
        MediaError: The software encoder is not there or does not open; the container does not
            take the codec.
    """
    for kind in _wanted_hardware(encoding, form):
        name = hardware_encoder(encoding.codec, kind)
        reason = "it has no such codec" if name is None else why_not(name, form, encoding)
        if name and not reason:
            log.info("%s is encoded by %s", encoding.codec, name)
            return _add_opened(output, name, form, encoding)
        level = logging.DEBUG if encoding.encoder == "auto" else logging.WARNING
        log.log(
            level, "%s cannot encode %s here, software does it: %s", kind, encoding.codec, reason
        )
    return _add_opened(output, SOFTWARE[encoding.codec], form, encoding)


def _wanted_hardware(encoding: Encoding, form: PictureForm) -> tuple[Any, ...]:
    """Return the kinds of hardware to try, in order; none for what only software can."""
    if encoding.encoder == "software":
        return ()
    only_software = {
        "alpha": encoding.alpha,
        "the metadata of HDR10": form.hdr,
        "interlacing": stored_fields(form, encoding),
    }
    for what, is_wanted in only_software.items():
        if is_wanted:
            log.warning("%s is not done by hardware: software encodes", what)
            return ()
    return HARDWARE if encoding.encoder == "auto" else (encoding.encoder,)


def why_not(name: str, form: PictureForm, encoding: Encoding) -> str:
    """Open an encoder for a trial, and return what speaks against it, or nothing."""
    heard: list[str] = []
    try:
        context = av.CodecContext.create(name, "w")
        _set_form(context, name, form, encoding)
        context.framerate = form.rate_hint
        context.options = _options(name, form, encoding)
        with listening(heard):
            context.open()
    except ValueError as error:
        if not isinstance(error, av.FFmpegError):
            return f"this build of ffmpeg has no {name}"
        return _told(error, heard)
    except (av.FFmpegError, OSError) as error:
        return _told(error, heard)
    return ""


def _options(name: str, form: PictureForm, encoding: Encoding) -> dict[str, str]:
    options = encoder_options(name, encoding, form.hdr, stored_fields(form, encoding))
    if form.siting != USUAL_SITING and "420" in pixel_format(encoding):
        options["chroma_sample_location"] = form.siting
    return options


def _told(error: Exception, heard: list[str]) -> str:
    return "; ".join([getattr(error, "strerror", None) or str(error), *heard])


def _add_opened(output: Any, name: str, form: PictureForm, encoding: Encoding) -> Any:
    if form.hdr and name not in TELLS_HDR:
        log.warning(
            "%s cannot hold the mastering display and light levels of HDR10: only the colours"
            " are told; take h265 or av1 to keep them",
            encoding.codec,
        )
    if form.field_order and not stored_fields(form, encoding):
        log.warning(
            "%s of %d rows is written as if it were not interlaced, so that players show the two"
            " moments of each picture at once; h264, prores and ffv1 tell them, h264 of rows that"
            " 4 divides",
            encoding.codec,
            form.size_wh[1],
        )
    heard: list[str] = []
    try:
        options = _options(name, form, encoding)
        stream = output.add_stream(name, rate=form.rate_hint, options=options)
        stream.time_base = form.time_base
        _set_form(stream.codec_context, name, form, encoding)
        if encoding.codec == "h265" and output.format.name != "matroska":
            stream.codec_context.codec_tag = "hvc1"  # QuickTime does not play hev1
        with listening(heard):
            stream.codec_context.open()
    except (av.FFmpegError, OSError) as error:
        raise MediaError(
            f"the encoder {name} does not open: {_told(error, heard)}",
            fix="take another codec, preset or depth; `faceswap-cli doctor` lists the encoders",
        ) from error
    except ValueError as error:  # av's UnknownCodecError is one
        raise MediaError(
            f"this build of ffmpeg has no encoder {name}, or not for {output.format.name}",
            fix="`pip install --force-reinstall av`: its wheels have it; or take another codec",
        ) from error
    return stream


def _set_form(context: Any, name: str, form: PictureForm, encoding: Encoding) -> None:
    """Tell an encoder size, units of time, colours and the shape of a pixel."""
    context.width, context.height = stored_size(form, encoding)
    context.pix_fmt = encoder_format(name, encoding)
    context.time_base = form.time_base
    context.thread_type = "AUTO"  # PyAV's default would have x264 cut each picture into slices
    colour = stored_colour(form, encoding)
    context.colorspace, context.color_range = colour.matrix, colour.range
    context.color_primaries, context.color_trc = colour.primaries, colour.transfer
    context.sample_aspect_ratio = form.pixel_aspect
    if order := stored_fields(form, encoding):
        context.field_order = FIELD_CODES[order]


def stored_size(form: PictureForm, encoding: Encoding) -> tuple[int, int]:
    """Return width and height in the file: even, but of ffv1, which stores every pixel."""
    width, height = form.size_wh
    return form.size_wh if encoding.codec == "ffv1" else (width + width % 2, height + height % 2)


def stored_colour(form: PictureForm, encoding: Encoding) -> ColourTags:
    """Return the tags that are written, which differ where a codec leaves no choice."""
    if encoding.codec == "ffv1":
        return replace(form.colour, matrix=RGB_MATRIX, range=FULL_RANGE)
    if encoding.codec == "prores":  # has no place to tell the range
        return replace(form.colour, range=LIMITED_RANGE)
    return form.colour


def stored_fields(form: PictureForm, encoding: Encoding) -> FieldOrder | None:
    """Return which field is told to be shown first; None where the file has whole pictures.

    x264 makes fields of 4:2:0 of whole pairs of chroma rows only.
    """
    _, height = stored_size(form, encoding)
    if encoding.codec not in INTERLACED or (encoding.codec == "h264" and height % 4):
        return None
    return form.field_order


class PictureConverter:
    """Turns the pictures of one stream into av.VideoFrames, as its tags promise.

    An odd side gets one more pixel, a copy of its last one.
    """

    def __init__(self, form: PictureForm, encoding: Encoding) -> None:
        self._encoding = encoding
        self._colour = stored_colour(form, encoding)
        width, height = form.size_wh
        self._shape = (height, width, 4 if encoding.alpha else 3)
        stored_wh = stored_size(form, encoding)
        self._edge = ((0, stored_wh[1] - height), (0, stored_wh[0] - width), (0, 0))
        self._reformatter = VideoReformatter()
        order = stored_fields(form, encoding)
        self._teller = FieldTeller(order)
        self._yuv = YuvConverter(
            pixel_format(encoding), self._colour, form.siting, field_order=order, threads=0
        )

    def frame(self, image: Picture) -> Any:
        """Return the av.VideoFrame of a picture, without a time.

        Args:
            image: (H, W, 3), or (H, W, 4) if encoding.alpha; uint8 or uint16, whatever the
                depth. Colours are not multiplied by alpha.

        Raises:
            MediaError: The picture has another size, type or number of channels.
        """
        if image.shape != self._shape or image.dtype not in (np.uint8, np.uint16):
            raise MediaError(
                f"a picture of {image.shape} {image.dtype} cannot follow {self._shape}",
                fix="make all pictures of one video the same size",
            )
        if self._edge != ((0, 0), (0, 0), (0, 0)):
            padded: Any = np.pad(image, self._edge, mode="edge")
            image = padded
        if self._colour.matrix == RGB_MATRIX:
            frame = self._rgb(_at_depth(image, self._encoding.depth))
        else:
            frame = self._yuv.convert(image)
        self._tag(frame)
        return frame

    def _tag(self, frame: Any) -> None:
        # Prores looks for them here, the others in the stream.
        frame.colorspace, frame.color_range = self._colour.matrix, self._colour.range
        frame.color_primaries, frame.color_trc = self._colour.primaries, self._colour.transfer

    def _rgb(self, image: Picture) -> Any:
        frame = self._reformatter.reformat(
            rgb_frame(image),
            format=pixel_format(self._encoding),
            src_color_range=FULL_RANGE,
            dst_color_range=FULL_RANGE,
            interpolation=CONVERSION,
        )
        return self._teller.tell(frame)


def _at_depth(image: Picture, depth: int) -> Picture:
    """Return 8 bits or, of more, 16."""
    if image.dtype == np.uint16 and depth == 8:
        return np.asarray((image.astype(np.uint32) + 128) // 257, np.uint8)
    if image.dtype == np.uint8 and depth > 8:
        return np.asarray(image, np.uint16) * np.uint16(257)
    return image
