"""Image files and pixel types. BGR and rounding are dealt with here and nowhere else."""

import os
import stat
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.errors import MediaError
from faceswap_cli.files import write_atomic
from faceswap_cli.media.picture_header import PictureHeader, read_header
from faceswap_cli.media.png_encoding import encode_png
from faceswap_cli.types import FloatImage, GreyImage, RgbImage

MAX_FILE_BYTES = 2 * 2**30
"""Of a picture file: MAX_PIXELS of 16-bit RGBA, not compressed, are 1.5 GiB."""
if "OPENCV_LOG_LEVEL" not in os.environ:
    # It prints what is wrong with a picture, but not with which; our errors say both.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
# LZW is what every program reads; it wants differences, not values.
_TIFF_OPTIONS = [cv2.IMWRITE_TIFF_COMPRESSION, 5]
if hasattr(cv2, "IMWRITE_TIFF_PREDICTOR"):
    _TIFF_OPTIONS += [cv2.IMWRITE_TIFF_PREDICTOR, 2]

Picture = NDArray[np.uint8] | NDArray[np.uint16]
"""Of 8 or of 16 bits; white is 255 or 65535."""


def decode_image(data: bytes, name: object) -> RgbImage:
    """Decode an encoded picture to upright 8-bit RGB, (H, W, 3).

    16 bits are rounded to 8. CMYK is converted without an ICC profile, as most programs do. An
    alpha channel is dropped: colours are as they are stored, of an 8-bit TIFF as over black.

    Args:
        data: PNG, JPEG, WebP, BMP or TIFF.
        name: Of the file, for the message.

    Raises:
        MediaError: None of these, damaged, cut short, or too large; see read_header.
    """
    header = read_header(data, name)
    # UNCHANGED would ignore the EXIF orientation; ANYDEPTH | COLOR drops alpha and turns.
    bgr = _to_8_bit(_decode(data, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR, header, name))
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr), np.uint8)


def decode_grey(data: bytes, name: object) -> GreyImage:
    """Decode an encoded mask, (H, W); what is transparent in a PNG is 0.

    Raises:
        MediaError: As decode_image.
    """
    header = read_header(data, name)
    if not header.has_alpha:
        depth = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_GRAYSCALE
        return np.asarray(_to_8_bit(_decode(data, depth, header, name)), np.uint8)
    image = _to_8_bit(_decode(data, cv2.IMREAD_UNCHANGED, header, name))
    if image.ndim != 3 or image.shape[2] != 4:
        return np.asarray(image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
    grey = cv2.cvtColor(image, cv2.COLOR_BGRA2GRAY)
    return np.asarray(cv2.multiply(grey, image[..., 3], scale=1.0 / 255.0), np.uint8)


def read_image(path: Path) -> RgbImage:
    """Read a picture file as decode_image, or raise MediaError that names it."""
    return decode_image(read_bytes(path), path)


def read_grey(path: Path) -> GreyImage:
    """Read a mask file as decode_grey, or raise MediaError that names it."""
    return decode_grey(read_bytes(path), path)


def read_deep_image(path: Path) -> Picture:
    """Read a picture file as decode_deep_image, or raise MediaError that names it."""
    return decode_deep_image(read_bytes(path), path)


def decode_deep_image(data: bytes, name: object) -> Picture:
    """Decode a picture at its own depth: (H, W, 3), uint8, or uint16 if it has more.

    As decode_image in all else: upright, without alpha.

    Raises:
        MediaError: As decode_image.
    """
    header = read_header(data, name)
    bgr = _to_stored(_decode(data, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR, header, name))
    return cast(Picture, cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr))


def read_deep_grey(path: Path) -> Picture:
    """Read a mask at its own depth: (H, W), uint8 or uint16; alpha is not looked at.

    Raises:
        MediaError: As decode_image.
    """
    data = read_bytes(path)
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_GRAYSCALE
    return cast(Picture, _to_stored(_decode(data, flags, read_header(data, path), path)))


def read_layer(path: Path) -> Picture:
    """Read a picture with alpha at its own depth: (H, W, 4), colours not multiplied.

    Of a picture without alpha, all of it covers.

    Raises:
        MediaError: As decode_image.
    """
    data = read_bytes(path)
    header = read_header(data, path)
    bgra = _to_stored(_decode(data, cv2.IMREAD_UNCHANGED, header, path))
    num_channels = bgra.shape[2] if bgra.ndim == 3 else 1
    turned = {1: cv2.COLOR_GRAY2RGBA, 3: cv2.COLOR_BGR2RGBA, 4: cv2.COLOR_BGRA2RGBA}
    if num_channels not in turned:
        raise MediaError(f"a picture of {num_channels} channels", seen_in=path)
    return cast(Picture, cv2.cvtColor(bgra, turned[num_channels]))


def read_bytes(path: Path, *, at_most: int = MAX_FILE_BYTES) -> bytes:
    """Return the content of a file, or raise MediaError: no file, too large, not readable."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # to open a pipe would wait for ever
            raise MediaError("not a file", seen_in=path)
        if about.st_size > at_most:
            raise MediaError(f"{about.st_size >> 20} MiB: too large", seen_in=path)
        return path.read_bytes()
    except OSError as error:
        raise MediaError(f"cannot be read: {error.strerror}", seen_in=path) from error


def _decode(data: bytes, flags: int, header: PictureHeader, name: object) -> Any:
    """Return what OpenCV makes of it, BGR."""
    width, height = header.size_wh
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except (cv2.error, MemoryError) as error:
        if isinstance(error, MemoryError) or error.code == cv2.Error.StsNoMem:
            raise MediaError(
                f"there is no memory for its {width}x{height} pixels",
                seen_in=name,
                fix="make it smaller, or end other programs",
            ) from error
        image = None
    if image is None:
        raise MediaError(
            f"a damaged {header.kind}, or one cut short",
            seen_in=name,
            fix="delete it, or replace it by a whole one",
        )
    return image


def _to_stored(image: Any) -> Any:
    """Return 8 bits as they are, and anything else as 16."""
    if image.dtype in (np.uint8, np.uint16):
        return image
    light = np.clip(np.nan_to_num(image.astype(np.float32)), 0.0, 1.0)
    return np.asarray(np.rint(light * 65535.0), np.uint16)


def _to_8_bit(image: Any) -> Any:
    if image.dtype == np.uint16:
        return cv2.convertScaleAbs(image, alpha=1.0 / 257.0)  # rounds, in little memory
    if image.dtype != np.uint8:  # floating point TIFF, 0..1
        return to_uint8(np.nan_to_num(image))
    return image


def encode_image(image: Picture, suffix: str, *, jpeg_quality: int = 95) -> bytes:
    """Encode an image as a file of that suffix: .png and .tiff lossless, .jpg 4:4:4.

    Args:
        image: (H, W), (H, W, 3), or (H, W, 4) with alpha last, not multiplied; uint8 or uint16.
        suffix: ".png", ".tiff" or ".jpg", which takes 8 bits of 16, and no alpha.
        jpeg_quality: 1 to 100.
    """
    if suffix == ".png":
        return encode_png(image)
    options = {
        ".tiff": _TIFF_OPTIONS,
        ".jpg": [
            cv2.IMWRITE_JPEG_QUALITY,
            jpeg_quality,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        ],
    }[suffix]
    if suffix == ".jpg":
        image = _to_8_bit(image)
    turned = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    bgr = cv2.cvtColor(image, turned[image.shape[2]]) if image.ndim == 3 else image
    _, data = cv2.imencode(suffix, bgr, options)
    return bytes(data)


def write_image(path: Path, image: Picture, *, jpeg_quality: int = 95) -> None:
    """Write an image file in one step; its suffix names the format."""
    write_atomic(path, encode_image(image, path.suffix, jpeg_quality=jpeg_quality))


def to_uint8(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Convert 0..1 to 0..255, rounding: a bare astype darkens by half a level."""
    return np.asarray(np.rint(np.clip(image, 0.0, 1.0) * 255.0), np.uint8)


def to_float(image: NDArray[np.uint8]) -> FloatImage:
    """Convert 0..255 to 0..1."""
    return image.astype(np.float32) / np.float32(255.0)
