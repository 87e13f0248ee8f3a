"""The parts of an encoded JPEG or PNG before its pixels, not decoded."""

from dataclasses import dataclass
from typing import Final

from faceswap_cli.errors import MediaError
from faceswap_cli.faces.metadata import jpeg_segments, png_chunks
from faceswap_cli.interop.hostile import HostileError

PNG: Final = b"\x89PNG\r\n\x1a\n"
JPEG: Final = b"\xff\xd8"


@dataclass(frozen=True)
class Part:
    """A segment of a JPEG, or a chunk of a PNG, before the pixels."""

    kind: bytes
    """The marker, one byte; or the type, four letters."""
    start: int
    """Where it begins, marker or length included."""
    end: int
    payload: bytes


def jpeg_parts(data: bytes) -> list[Part]:
    """Return the segments before the pixels, or raise HostileError."""
    if not data.startswith(JPEG):
        raise HostileError("not a JPEG")
    try:
        segments = jpeg_segments(data)
    except MediaError as error:
        raise HostileError(error.what) from error
    return [Part(bytes([kind]), start, end, data[start + 4 : end]) for kind, start, end in segments]


def png_parts(data: bytes) -> list[Part]:
    """Return the chunks before the pixels, or raise HostileError."""
    if not data.startswith(PNG):
        raise HostileError("not a PNG")
    try:
        chunks = png_chunks(data)
    except MediaError as error:
        raise HostileError(error.what) from error
    return [Part(kind, start, end, data[start + 8 : end - 4]) for kind, start, end in chunks]
