"""A text comment inside a picture file, in the field that other tools show as its comment.

JPEG: a COM segment before the first SOS. PNG: an iTXt chunk `Comment` before the first IDAT.
Pixels are never touched. Every length is checked before it is believed.
"""

import struct

from faceswap_cli.errors import MediaError
from faceswap_cli.media.png_encoding import pack_png_chunk

_PNG = b"\x89PNG\r\n\x1a\n"
_KEYWORD = b"Comment\x00\x00\x00\x00\x00"  # no compression, no language, no translated keyword
_MAX_SEGMENT = 65533
MAX_PARTS = 4096
"""Segments or chunks before the pixels; a comment of 256 MiB would not be a comment."""
MAX_FILL = 4096
"""Bytes between two segments."""
_SOI, _SOS, _COM = 0xD8, 0xDA, 0xFE
_APP = range(0xE0, 0xF0)


def read_comment(data: bytes) -> str | None:
    """Return the comment of an encoded JPEG or PNG, None if it has none.

    Raises:
        MediaError: Neither a JPEG nor a PNG, or cut short before its pixels.
    """
    parts = [text for _, _, text in _comments(data)]
    if not parts:
        return None
    return b"".join(parts).decode("utf-8", errors="replace")


def with_comment(data: bytes, text: str) -> bytes:
    """Return the same picture with this comment in place of the old one.

    Raises:
        MediaError: As read_comment.
    """
    for start, end, _ in reversed(_comments(data)):
        data = data[:start] + data[end:]
    payload = text.encode("utf-8")
    if data.startswith(_PNG):
        at, new = _after_ihdr(data), pack_png_chunk(b"iTXt", _KEYWORD + payload)
    else:
        at, new = _after_apps(data), _jpeg_segments(payload)
    return data[:at] + new + data[at:]


def _comments(data: bytes) -> list[tuple[int, int, bytes]]:
    """Return (start, end, text) of each comment, in file order."""
    if data.startswith(_PNG):
        return [
            (start, end, data[start + 8 + len(_KEYWORD) : end - 4])
            for kind, start, end in png_chunks(data)
            if kind == b"iTXt" and data.startswith(_KEYWORD, start + 8)
        ]
    if data.startswith(b"\xff\xd8"):
        return [
            (start, end, data[start + 4 : end])
            for marker, start, end in jpeg_segments(data)
            if marker == _COM
        ]
    raise MediaError("neither a JPEG nor a PNG")


def jpeg_segments(data: bytes) -> list[tuple[int, int, int]]:
    """Return (marker, start, end) of the segments before the pixels, or raise MediaError."""
    found: list[tuple[int, int, int]] = []
    at = 2
    while True:
        fill_end = at + MAX_FILL
        while data[at : at + 2] == b"\xff\xff" and at < fill_end:
            at += 1  # fill bytes may stand before any marker
        if at + 4 > len(data) or data[at] != 0xFF:
            raise MediaError("a JPEG cut short, or damaged")
        marker, (length,) = data[at + 1], struct.unpack_from(">H", data, at + 2)
        if marker == _SOS:
            return found
        end = at + 2 + length
        if length < 2 or end > len(data) or len(found) == MAX_PARTS:
            raise MediaError("a JPEG cut short, or damaged")
        found.append((marker, at, end))
        at = end


def _jpeg_segments(payload: bytes) -> bytes:
    pieces = [payload[i : i + _MAX_SEGMENT] for i in range(0, len(payload), _MAX_SEGMENT)]
    return b"".join(
        b"\xff" + bytes([_COM]) + struct.pack(">H", len(p) + 2) + p for p in pieces or [b""]
    )


def _after_apps(data: bytes) -> int:
    ends = [end for marker, _, end in jpeg_segments(data) if marker in _APP]
    return max(ends, default=2)


def png_chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """Return (type, start, end) of the chunks before the pixels, or raise MediaError."""
    found: list[tuple[bytes, int, int]] = []
    at = len(_PNG)
    while True:
        if at + 12 > len(data):
            raise MediaError("a PNG cut short, or damaged")
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if kind == b"IDAT":
            return found
        if end > len(data) or len(found) == MAX_PARTS:
            raise MediaError("a PNG cut short, or damaged")
        found.append((kind, at, end))
        at = end


def _after_ihdr(data: bytes) -> int:
    chunks = png_chunks(data)
    if not chunks or chunks[0][0] != b"IHDR":
        raise MediaError("a PNG without a header")
    return chunks[0][2]
