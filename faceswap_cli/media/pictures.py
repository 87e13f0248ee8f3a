"""A folder of pictures, read as if it were a video."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

from faceswap_cli.errors import MediaError
from faceswap_cli.imaging import read_deep_image, read_image
from faceswap_cli.media.picture_header import MAX_PIXELS
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
    deep: bool = False,
) -> Iterator[Frame | BadFrame]:
    """Yield pictures, or what is wrong with them.

    Args:
        paths: What `list_pictures` returned.
        span: Seconds at the nominal rate; None is all of them.
        wanted: Is given an index; pictures for which it is False are not decoded.
        rate: Pictures a second.
        deep: Give 16 bits where a picture has them.
    """
    for timed in picture_times(len(paths), span=span or Span(), rate=rate):
        if wanted is not None and not wanted(timed.index):
            continue
        path = paths[int(timed.time_s * rate)]
        try:
            image = read_picture(path, deep=deep)
        except MediaError as error:
            yield BadFrame(timed.index, path.name, error.what)
        else:
            yield Frame(timed.index, timed.time_s, timed.duration_s, image)


def read_picture(path: Path, *, deep: bool = False) -> RgbImage:
    """Decode a picture of the footage to upright 8-bit RGB; see decode_image.

    Args:
        path: Of the picture.
        deep: Of 16 bits, if it is stored so; see read_deep_image.

    Raises:
        MediaError: It cannot be read or decoded, or is too large.
    """
    try:
        return cast(RgbImage, read_deep_image(path)) if deep else read_image(path)
    except MediaError as error:
        raise MediaError(
            f"{path.name} cannot be decoded: {error.what}",
            seen_in=path,
            fix=f"delete the picture, or save it as PNG, up to {MAX_PIXELS // 10**6} megapixels",
        ) from error
