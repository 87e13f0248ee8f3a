"""What the first bytes of a picture say of it: kind and size, before a decoder is let at it.

A PNG of 200 bytes may claim 100,000 x 100,000 pixels, and a decoder would ask for 30 GB before it
finds that they are not there. Only the kinds whose header is read here are decoded at all.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from faceswap_cli.errors import MediaError

MAX_FILL = 4096
"""Bytes between two segments of a JPEG."""
MAX_PIXELS = 200_000_000
"""Of a picture that is decoded; a camera of 150 megapixels is the largest there is."""
MAX_SCANNED_PIXELS = 5_000_000_000
"""Pixels times scans of a progressive JPEG: each scan of ten bytes goes over the whole picture."""
MAX_CHUNKS = 500_000
"""Of a PNG; most programs make one of every 8 KiB."""
MAX_TEXTS = 20
"""In a PNG, that may be compressed: each could take a tenth of a second to inflate."""
KINDS = "PNG, JPEG, WebP, BMP or TIFF"
_FIX = "save it again as PNG, or delete it"
_OTHERS = {b"GIF8": "GIF", b"8BPS": "PSD", b"%PDF": "PDF", b"\0\0\0\x0cjP": "JPEG 2000"}
_SOFS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # DHT, JPG and DAC lie between them
_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 322, 323  # TIFF 6.0
_NUMBERS = {3: "H", 4: "I", 16: "Q"}  # TIFF: SHORT, LONG, LONG8


@dataclass(frozen=True)
class PictureHeader:
    """What a picture claims to be."""

    kind: str
    """PNG, JPEG, WebP, BMP or TIFF: by the content, not by the name."""
    size_wh: tuple[int, int]
    """Pixels as stored, before an orientation in EXIF turns them."""
    has_alpha: bool = False
    """Of a PNG; of no other kind is it looked up."""


def read_header(data: bytes, name: object) -> PictureHeader:
    """Return what an encoded picture claims to be.

    Args:
        data: The whole file: a JPEG is looked through for its end.
        name: Of the file, for the message.

    Raises:
        MediaError: Of another kind, its header is damaged, or it is larger than MAX_PIXELS.
    """
    try:
        kind, (width, height) = _look(data)
    except (struct.error, IndexError, OverflowError):
        raise MediaError("cut short, or its header is damaged", seen_in=name, fix=_FIX) from None
    except MediaError as error:
        raise MediaError(error.what, seen_in=name, fix=_FIX) from None
    if width * height > MAX_PIXELS:
        raise MediaError(
            f"{width}x{height} pixels are {width * height / 1e6:.0f} megapixels, "
            f"the limit is {MAX_PIXELS // 10**6}",
            seen_in=name,
            fix="make it smaller, or delete it",
        )
    if width < 1 or height < 1:
        raise MediaError(f"its header says {width}x{height} pixels", seen_in=name, fix=_FIX)
    scans = data.count(b"\xff\xda") if kind == "JPEG" else 1
    if scans * width * height > MAX_SCANNED_PIXELS:
        what = f"a JPEG of {width}x{height} pixels in {scans} scans: takes too long"
        raise MediaError(what, seen_in=name, fix=_FIX)
    return PictureHeader(kind, (width, height), kind == "PNG" and _has_alpha(data))


def _look(data: bytes) -> tuple[str, tuple[int, int]]:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG", _png(data)
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG", _jpeg(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP", _webp(data)
    if data.startswith(b"BM"):
        return "BMP", _bmp(data)
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF", _tiff(data)
    raise MediaError(_what_else(data))


def _what_else(data: bytes) -> str:
    if not data:
        return "0 bytes"
    other = next((kind for magic, kind in _OTHERS.items() if data.startswith(magic)), "")
    if data[4:8] == b"ftyp":
        other = "AVIF or HEIC"
    return f"a {other} file, not {KINDS}" if other else f"not a picture: no {KINDS}"


def _png(data: bytes) -> tuple[int, int]:
    length, kind, width, height = struct.unpack_from(">I4sII", data, 8)
    if kind != b"IHDR" or length != 13:
        raise MediaError("a PNG without a header")
    _check_chunks(data)
    return width, height


def _check_chunks(data: bytes) -> None:
    """Refuse a PNG whose lengths lie: OpenCV 5.0 takes 4 GiB and 20 s for a chunk that says so."""
    at, texts = 8, 0
    for _ in range(MAX_CHUNKS):
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length
        texts += kind in (b"zTXt", b"iTXt")
        if at > len(data):
            raise MediaError("a PNG cut short, or damaged")
        if texts > MAX_TEXTS:
            raise MediaError(f"a PNG with more than {MAX_TEXTS} texts")
        if kind == b"IEND":
            return
    raise MediaError(f"a PNG in more than {MAX_CHUNKS} pieces")


def _has_alpha(data: bytes) -> bool:
    return data[25:26] in (b"\x04", b"\x06") or b"tRNS" in data[: max(0, data.find(b"IDAT"))]


def _jpeg(data: bytes) -> tuple[int, int]:
    at = 2
    while True:
        fill_end = at + MAX_FILL
        while data[at : at + 2] == b"\xff\xff" and at < fill_end:
            at += 1  # fill bytes
        if data[at] != 0xFF or data[at + 1] in (0xD9, 0xDA):
            raise MediaError("a JPEG without a header, or a damaged one")
        if data[at + 1] in _SOFS:
            break
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    height, width = struct.unpack_from(">HH", data, at + 5)
    if data.rfind(b"\xff\xd9", at) < 0:
        raise MediaError("a JPEG cut short: its end is missing")
    return width, height


def _webp(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return width, height
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise MediaError("a WebP without a header, or a damaged one")


def _bmp(data: bytes) -> tuple[int, int]:
    (length,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if length == 12 else "<ii", data, 18)
    return width, abs(height)  # negative: the first row is the top


def _tiff(data: bytes) -> tuple[int, int]:
    found = dict.fromkeys((_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT), 0)
    for tag, value in _tiff_numbers(data):
        if tag in found:
            found[tag] = value
    tile = found[_TILE_WIDTH] * found[_TILE_HEIGHT]
    if tile > MAX_PIXELS:
        raise MediaError(f"a TIFF in tiles of {tile / 1e6:.0f} megapixels")
    return found[_WIDTH], found[_HEIGHT]


def _tiff_numbers(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield tag and value of the single numbers of the first directory."""
    order = "<" if data.startswith(b"II") else ">"
    is_big = data[2:4] in (b"+\0", b"\0+")
    first, number, entry, value = (8, "Q", 20, 12) if is_big else (4, "I", 12, 8)
    (at,) = struct.unpack_from(order + number, data, first)
    (count,) = struct.unpack_from(order + ("Q" if is_big else "H"), data, at)
    at += 8 if is_big else 2
    for start in range(at, min(at + entry * count, len(data) - entry + 1), entry):
        tag, kind = struct.unpack_from(order + "HH", data, start)
        if kind in _NUMBERS:
            yield tag, struct.unpack_from(order + _NUMBERS[kind], data, start + value)[0]
