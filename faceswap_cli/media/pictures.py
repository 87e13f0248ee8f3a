"""A folder of pictures, read as if it were a video."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from faceswap_cli.errors import MediaError
from faceswap_cli.media.reader import Frame, FrameTime
from faceswap_cli.media.span import Span
from faceswap_cli.types import RgbImage

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
PICTURE_RATE = Fraction(25)  # frames a second; nominal, pictures have no time


@dataclass(frozen=True)
class BadFrame:
    """A picture that cannot be decoded.

    Args:
        index: Its place in the order, as in Frame.
        name: Its file name.
        reason: What is wrong with it.
    """

    index: int
    name: str
    reason: str


def list_pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder; 2.png comes before 10.png.

    Hidden files and sub-folders are left out.

    Raises:
        MediaError: There is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise MediaError(f"there is no folder {folder.name}", seen_in=folder, fix="check the path")
    found = [path for path in folder.iterdir() if _is_picture(path)]
    if not found:
        raise MediaError(
            f"no picture in {folder.name}",
            seen_in=folder,
            fix=f"put pictures into it ({' '.join(sorted(SUFFIXES))})",
        )
    return sorted(found, key=_natural_key)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _natural_key(path: Path) -> tuple[list[tuple[bool, int, str]], str]:
    parts = re.findall(r"([0-9]+)|([^0-9]+)", path.stem.lower())
    return [(bool(text), int(digits or 0), text) for digits, text in parts], path.name


def picture_times(num_pictures: int, *, span: Span, rate: Fraction) -> list[FrameTime]:
    """Return when each picture inside the span is shown; the first of all is at 0 s."""
    positions = [
        position
        for position in range(num_pictures)
        if position / rate >= span.start_s and (span.end_s is None or position / rate < span.end_s)
    ]
    return [FrameTime(index, place / rate, 1 / rate) for index, place in enumerate(positions)]


def read_picture_frames(
    paths: list[Path],
    *,
    span: Span | None = None,
    wanted: Callable[[int], bool] | None = None,
    rate: Fraction = PICTURE_RATE,
) -> Iterator[Frame | BadFrame]:
    """Yield pictures, or what is wrong with them.

    Args:
        paths: What `list_pictures` returned.
        span: Seconds at the nominal rate; None is all of them.
        wanted: Is given an index; pictures for which it is False are not decoded.
        rate: Pictures a second.
    """
    for timed in picture_times(len(paths), span=span or Span(), rate=rate):
        if wanted is not None and not wanted(timed.index):
            continue
        path = paths[int(timed.time_s * rate)]
        try:
            image = read_picture(path)
        except MediaError as error:
            yield BadFrame(timed.index, path.name, error.what)
        else:
            yield Frame(timed.index, timed.time_s, timed.duration_s, image)


def read_picture(path: Path) -> RgbImage:
    """Decode a picture to upright 8-bit RGB; an alpha channel is dropped.

    Raises:
        MediaError: It cannot be read or decoded.
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        # UNCHANGED would ignore the EXIF orientation; ANYDEPTH | COLOR drops alpha and turns
        image = cv2.imdecode(data, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR) if data.size else None
    except (OSError, cv2.error) as error:
        raise _undecodable(path, str(error).strip()) from error
    if image is None:
        raise _undecodable(path, "0 bytes" if not data.size else "not a picture, or a broken one")
    return np.asarray(cv2.cvtColor(_to_8_bit(image), cv2.COLOR_BGR2RGB), np.uint8)


def _to_8_bit(image: Any) -> Any:
    if image.dtype == np.uint16:
        return ((image.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    if image.dtype != np.uint8:  # floating point TIFF, 0..1
        return np.rint(np.clip(np.nan_to_num(image), 0, 1) * 255).astype(np.uint8)
    return image


def _undecodable(path: Path, reason: str) -> MediaError:
    return MediaError(
        f"{path.name} cannot be decoded: {reason}",
        seen_in=path,
        fix="delete the picture, or save it again as PNG",
    )
