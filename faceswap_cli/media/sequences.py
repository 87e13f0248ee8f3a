"""Numbered pictures for compositors: PNG, TIFF and OpenEXR, of a frame and where it is new."""

from typing import Any, Literal, get_args

import av
import numpy as np

from faceswap_cli.errors import MediaError
from faceswap_cli.imaging import Picture, encode_image
from faceswap_cli.media.encoding import at_depth
from faceswap_cli.media.linear_light import linear_from_signal
from faceswap_cli.types import FloatImage

SequenceKind = Literal["png", "png16", "tiff16", "exr"]
KINDS: tuple[SequenceKind, ...] = get_args(SequenceKind)
SUFFIXES: dict[SequenceKind, str] = {
    "png": ".png",
    "png16": ".png",
    "tiff16": ".tiff",
    "exr": ".exr",
}
# Half floats have the range of HDR, and steps of 1/2048; zip of 16 lines is read everywhere.
_EXR_OPTIONS = {"format": "half", "compression": "zip16"}
_MAX_HALF = 65504.0


def encode_pictures(
    kind: SequenceKind, image: Picture, matte: Picture | None, transfer: int
) -> dict[str, bytes]:
    """Return the files of one frame: "picture", and "matte" where the format has no room for it.

    * png: 8 bits; png16, tiff16: 16 bits. Numbers as in the video. The matte is its own file.
    * exr: half floats of linear light, see linear_from_signal; channel A is the matte. The
      picture is whole, not multiplied by it.

    Of an image with alpha there is no matte: PNG and TIFF keep alpha as it is, straight; in EXR
    colours are multiplied by it, as that format wants.

    Args:
        kind: Which.
        image: (H, W, 3), or (H, W, 4) with alpha.
        matte: (H, W), white where the face is new; None if the image has alpha.
        transfer: Code of H.273 of the curve of the video; of exr only.

    Raises:
        MediaError: The matte has another size.
    """
    if matte is not None and matte.shape != image.shape[:2]:
        raise MediaError(f"a mask of {matte.shape} does not fit a frame of {image.shape[:2]}")
    if kind == "exr":
        return {"picture": encode_exr(_linear(image, matte, transfer))}
    files, suffix = {"picture": image}, SUFFIXES[kind]
    if matte is not None:
        files["matte"] = matte
    depth = 8 if kind == "png" else 16
    return {name: encode_image(at_depth(data, depth), suffix) for name, data in files.items()}


def _linear(image: Picture, matte: Picture | None, transfer: int) -> FloatImage:
    light = linear_from_signal(image[..., :3], transfer)
    mask = image[..., 3] if image.shape[2] == 4 else matte
    if mask is None:
        return light
    cover = mask.astype(np.float32) / np.float32(np.iinfo(mask.dtype).max)
    if image.shape[2] == 4:
        light = light * cover[..., None]
    return np.dstack([light, cover])


def encode_exr(light: FloatImage) -> bytes:
    """Return an OpenEXR file of half floats, compressed without loss.

    Made by ffmpeg: OpenCV's wheels have no OpenEXR.

    Args:
        light: (H, W, 3), or (H, W, 4) with A last, already multiplied or a matte.

    Raises:
        MediaError: This build of ffmpeg cannot.
    """
    height, width, num_channels = light.shape
    name = "gbrapf32le" if num_channels == 4 else "gbrpf32le"
    try:
        context: Any = av.CodecContext.create("exr", "w")
        context.width, context.height, context.pix_fmt = width, height, name
        context.options = dict(_EXR_OPTIONS)
        # ffmpeg would cut the numbers off at half a float; this rounds them.
        halves = np.clip(light, 0.0, _MAX_HALF).astype(np.float16).astype(np.float32)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(halves), format=name)
        return b"".join(bytes(packet) for packet in context.encode(frame))
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(
            f"no OpenEXR can be written: {error}", fix="take sequence = tiff16 or png16"
        ) from error
