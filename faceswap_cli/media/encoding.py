"""Encoding pictures: the stream of a container, and pictures in the form that it takes."""

import logging
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from faceswap_cli.errors import MediaError
from faceswap_cli.media.colour import (
    CONVERSION,
    FULL_RANGE,
    HDR_TRANSFERS,
    RGB_MATRIX,
)
from faceswap_cli.media.encoders import (
    HARDWARE,
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
from faceswap_cli.media.fields import FIELD_CODES, FieldTeller
from faceswap_cli.media.hdr import HdrMetadata
from faceswap_cli.media.picture_form import (
    PictureForm,
    stored_colour,
    stored_fields,
    stored_siting,
    stored_size,
)
from faceswap_cli.media.samples import USUAL_SITING
from faceswap_cli.media.yuv_from_rgb import Picture, YuvConverter, rgb_frame

__all__ = [
    "CONTAINERS",
    "Encoding",
    "HdrMetadata",
    "Picture",
    "PictureConverter",
    "PictureForm",
    "add_picture_stream",
    "at_depth",
    "check_encoding",
    "explained",
    "resolve_depth",
]


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
            form.say(f"{encoding.codec} is encoded by {name}", level=logging.INFO)
            return _add_opened(output, name, form, encoding)
        level = logging.DEBUG if encoding.encoder == "auto" else logging.WARNING
        text = f"{kind} cannot encode {encoding.codec} here, software does it: {reason}"
        form.say(text, level=level)
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
            form.say(f"{what} is not done by hardware: software encodes")
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
    if (siting := stored_siting(form, encoding)) != USUAL_SITING:
        options["chroma_sample_location"] = siting
    return options


def _told(error: Exception, heard: list[str]) -> str:
    return "; ".join([getattr(error, "strerror", None) or str(error), *heard])


def _add_opened(output: Any, name: str, form: PictureForm, encoding: Encoding) -> Any:
    _warn_of_losses(name, form, encoding)
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


def _warn_of_losses(name: str, form: PictureForm, encoding: Encoding) -> None:
    """Say what the stream will not hold of what the pictures are."""
    codec, curve = encoding.codec, HDR_TRANSFERS.get(form.colour.transfer)
    if curve and encoding.depth == 8 and codec != "prores":
        form.say(
            f"{codec} of 8 bits shows steps in the smooth places of HDR ({curve}): take h265, av1"
            " or prores, which are written with 10"
        )
    if form.hdr and name not in TELLS_HDR:
        form.say(
            f"{codec} cannot hold the mastering display and light levels of HDR10: only the"
            " colours are told; take h265 or av1 to keep them"
        )
    if form.field_order and not stored_fields(form, encoding):
        form.say(
            f"{codec} of {form.size_wh[1]} rows is written as if it were not interlaced, so that"
            " players show the two moments of each picture at once; h264, prores and ffv1 tell"
            " them, h264 of rows that 4 divides"
        )


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
            pixel_format(encoding),
            self._colour,
            stored_siting(form, encoding),
            field_order=order,
            threads=0,
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
            frame = self._rgb(at_depth(image, self._encoding.depth))
        else:
            frame = self._yuv.convert(image)
        self.tag(frame)
        return frame

    def tag(self, frame: Any) -> None:
        """Tell an av.VideoFrame its colours."""
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


def at_depth(image: Picture, depth: int) -> Picture:
    """Return 8 bits or, of more, 16."""
    if image.dtype == np.uint16 and depth == 8:
        return np.asarray((image.astype(np.uint32) + 128) // 257, np.uint8)
    if image.dtype == np.uint8 and depth > 8:
        return np.asarray(image, np.uint16) * np.uint16(257)
    return image
