"""What a video says of the screen it was graded on, and of its brightest pixels (HDR10)."""

import struct
from dataclasses import dataclass
from typing import Any

from av.sidedata.sidedata import Type as SideDataType

# Units of SMPTE ST 2086 and CTA-861.3, as HEVC's SEI messages and the boxes of mp4 count.
XY_PER_ONE = 50_000
NITS_PER_ONE = 10_000
_MASTERING = struct.Struct("=22i")  # AVMasteringDisplayMetadata: ten rationals, two flags
_LIGHT = struct.Struct("=2I")  # AVContentLightMetadata
_MAX_UINT16, _MAX_UINT32 = 2**16 - 1, 2**32 - 1


@dataclass(frozen=True)
class MasteringDisplay:
    """The screen that the colours were made for; SMPTE ST 2086.

    Args:
        primaries_xy: x and y of red, green and blue, in 1/50000.
        white_xy: Of its white, in 1/50000.
        luminance: Of its black and of its white, in 1/10000 cd/m2.
    """

    primaries_xy: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    white_xy: tuple[int, int]
    luminance: tuple[int, int]


@dataclass(frozen=True)
class ContentLight:
    """How bright the pictures get; CTA-861.3.

    Args:
        max_pixel: The brightest pixel (MaxCLL), cd/m2.
        max_frame: The brightest mean of a frame (MaxFALL), cd/m2.
    """

    max_pixel: int
    max_frame: int


@dataclass(frozen=True)
class HdrMetadata:
    """All that HDR10 tells of a whole video; either part may be absent."""

    mastering: MasteringDisplay | None = None
    light: ContentLight | None = None


def read_hdr(frame: Any) -> HdrMetadata | None:
    """Return what a decoded av.VideoFrame carries, or None if it carries nothing that is sound.

    Decoders put it on the first frame of each coded sequence, ffmpeg's demuxers on those of
    containers that hold it.
    """
    found = HdrMetadata(
        _read_mastering(_side_data(frame, SideDataType.MASTERING_DISPLAY_METADATA)),
        _read_light(_side_data(frame, SideDataType.CONTENT_LIGHT_LEVEL)),
    )
    return found if found != HdrMetadata() else None


def _side_data(frame: Any, kind: SideDataType) -> bytes:
    return next((bytes(data) for data in frame.side_data if data.type == kind), b"")


def _read_mastering(data: bytes) -> MasteringDisplay | None:
    if len(data) < _MASTERING.size:
        return None
    numbers = _MASTERING.unpack_from(data)
    has_primaries, has_luminance = numbers[20:]
    if not (has_primaries and has_luminance) or any(den <= 0 for den in numbers[1:20:2]):
        return None  # half of it cannot be written again
    ratios = list(zip(numbers[0:20:2], numbers[1:20:2], strict=True))
    xy = [round(num * XY_PER_ONE / den) for num, den in ratios[:8]]
    luminance = [round(num * NITS_PER_ONE / den) for num, den in ratios[8:]]
    if not (
        all(0 <= v <= _MAX_UINT16 for v in xy) and all(0 <= v <= _MAX_UINT32 for v in luminance)
    ):
        return None
    return MasteringDisplay(
        ((xy[0], xy[1]), (xy[2], xy[3]), (xy[4], xy[5])),
        (xy[6], xy[7]),
        (luminance[0], luminance[1]),
    )


def _read_light(data: bytes) -> ContentLight | None:
    if len(data) < _LIGHT.size:
        return None
    max_pixel, max_frame = _LIGHT.unpack_from(data)
    if max(max_pixel, max_frame) > _MAX_UINT16 or max_pixel == max_frame == 0:
        return None
    return ContentLight(max_pixel, max_frame)


def x265_text(hdr: HdrMetadata) -> dict[str, str]:
    """Return the values of x265's and x264's parameters, without their names.

    Returns:
        "display": G B R WP L, in the units of MasteringDisplay; "light": MaxCLL,MaxFALL.
    """
    texts = {}
    if screen := hdr.mastering:
        red, green, blue = screen.primaries_xy
        black, white = screen.luminance
        spots = [("G", green), ("B", blue), ("R", red), ("WP", screen.white_xy)]
        spots.append(("L", (white, black)))
        texts["display"] = "".join(f"{name}({x},{y})" for name, (x, y) in spots)
    if light := hdr.light:
        texts["light"] = f"{light.max_pixel},{light.max_frame}"
    return texts


def svtav1_text(hdr: HdrMetadata) -> dict[str, str]:
    """Return the same for SVT-AV1, which wants fractions of one and cd/m2."""
    texts = {}
    if screen := hdr.mastering:
        red, green, blue = screen.primaries_xy
        black, white = screen.luminance
        spots = [("G", green), ("B", blue), ("R", red), ("WP", screen.white_xy)]
        display = "".join(
            f"{name}({x / XY_PER_ONE:.5f},{y / XY_PER_ONE:.5f})" for name, (x, y) in spots
        )
        texts["display"] = f"{display}L({white / NITS_PER_ONE:.4f},{black / NITS_PER_ONE:.4f})"
    if light := hdr.light:
        texts["light"] = f"{light.max_pixel},{light.max_frame}"
    return texts
