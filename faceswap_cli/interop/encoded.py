"""The parts of an encoded JPEG or PNG before its pixels, not decoded."""

import struct
from dataclasses import dataclass
from typing import Final

from faceswap_cli.interop.hostile import HostileError

PNG: Final = b"\x89PNG\r\n\x1a\n"
JPEG: Final = b"\xff\xd8"
MAX_PARTS: Final = 4096
MAX_FILL: Final = 4096
_SOS: Final = 0xDA


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
    found: list[Part] = []
    at = 2
    while True:
        fill = at + MAX_FILL
        while data[at : at + 2] == b"\xff\xff" and at < fill:
            at += 1  # fill bytes may stand before any marker
        if at + 4 > len(data) or data[at] != 0xFF:
            raise HostileError("a JPEG cut short, or damaged")
        (length,) = struct.unpack_from(">H", data, at + 2)
        end = at + 2 + length
        if length < 2 or end > len(data) or len(found) == MAX_PARTS:
            raise HostileError("a JPEG cut short, or damaged")
        if data[at + 1] == _SOS:
            return found
        found.append(Part(data[at + 1 : at + 2], at, end, data[at + 4 : end]))
        at = end


def png_parts(data: bytes) -> list[Part]:
    """Return the chunks before the pixels, or raise HostileError."""
    if not data.startswith(PNG):
        raise HostileError("not a PNG")
    found: list[Part] = []
    at = len(PNG)
    while True:
        if at + 12 > len(data):
            raise HostileError("a PNG cut short, or damaged")
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if kind == b"IDAT":
            return found
        if end > len(data) or len(found) == MAX_PARTS:
            raise HostileError("a PNG cut short, or damaged")
        found.append(Part(kind, at, end, data[at + 8 : end - 4]))
        at = end
