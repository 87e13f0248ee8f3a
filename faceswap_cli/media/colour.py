"""What the numbers in a video mean as colours."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

# ffmpeg's codes; they are those of ITU-T H.273.
UNSPECIFIED = 2
RGB_MATRIX = 0
LIMITED_RANGE, FULL_RANGE = 1, 2
BT709, BT470BG, SMPTE170M, BT2020 = 1, 5, 6, 9
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
# Primaries and transfer that go with a matrix when the file names only the matrix.
# 625-line video has the primaries of BT470BG, but the transfer of SMPTE170M.
COMPANIONS = {BT709: (1, 1), BT470BG: (5, 6), SMPTE170M: (6, 6), 7: (7, 7), BT2020: (9, 14)}
# swscale's own numbers of the matrices (SWS_CS_*), as PyAV wants them.
SWS_MATRICES = {BT709: 1, 4: 4, BT470BG: 5, SMPTE170M: 5, 7: 7, BT2020: 9, 10: 9}

# SWS_BICUBIC | SWS_FULL_CHR_H_INT | SWS_ACCURATE_RND; older PyAV has no names for the last two.
# Without them swscale takes short cuts: to RGB it repeats chroma samples, and each conversion
# loses 1.2 of 255 grey levels.
CONVERSION = 4 | 0x2000 | 0x40000


@dataclass(frozen=True)
class ColourTags:
    """ffmpeg's integer codes, resolved: none of matrix and range is unspecified.

    Args:
        matrix: 1 BT.709, 5 and 6 BT.601 of 625 and 525 lines, 9 BT.2020.
        range: 1 limited (16 to 235), 2 full (0 to 255).
        primaries: What red, green and blue are.
        transfer: The curve from light to numbers.
    """

    matrix: int
    range: int
    primaries: int
    transfer: int

    @property
    def sws_matrix(self) -> int:
        """The matrix as swscale numbers it."""
        return SWS_MATRICES[self.known_matrix]

    @property
    def known_matrix(self) -> int:
        """The matrix, or BT.709 for one that swscale does not have."""
        return self.matrix if self.matrix in SWS_MATRICES else BT709


def untagged_matrix(size_wh: tuple[int, int], rate: Fraction) -> int:
    """Return the matrix of a video that does not tell: BT.709 if HD, else BT.601.

    swscale takes BT.601 for all of them, which is off by up to 6/255 on skin in HD.
    """
    width, height = size_wh
    if height >= 720 or width >= 1280:
        return BT709
    is_625_lines = height in (288, 576) or rate in (25, 50)
    return BT470BG if is_625_lines else SMPTE170M


def resolve_colour(frame: Any, context: Any, rate: Fraction) -> ColourTags:
    """Return the colour tags of a stream, with the gaps filled.

    Args:
        frame: Its first decoded av.VideoFrame: the decoder knows more than the container.
        context: Its av.VideoCodecContext.
        rate: Frames a second; tells 525 from 625 lines.
    """
    matrix = _first_known(int(frame.colorspace), int(context.colorspace))
    if matrix in (UNSPECIFIED, RGB_MATRIX):
        matrix = untagged_matrix((frame.width, frame.height), rate)
    primaries, transfer = COMPANIONS.get(matrix, COMPANIONS[BT709])
    return ColourTags(
        matrix=matrix,
        range=_range(frame, context),
        primaries=_first_known(int(context.color_primaries), primaries),
        transfer=_first_known(int(context.color_trc), transfer),
    )


def _first_known(*codes: int) -> int:
    # 0 is "reserved" for primaries and transfer, but RGB for a matrix, which is a known one
    return next((code for code in codes if code != UNSPECIFIED), UNSPECIFIED)


def _range(frame: Any, context: Any) -> int:
    """Return the range; the pixel formats yuvj* and grey are full by their definition."""
    if frame.format.is_rgb:
        return LIMITED_RANGE  # what we write; an RGB picture itself has no such range
    if frame.format.name.startswith(("yuvj", "gray")):
        return FULL_RANGE
    known = int(frame.color_range) or int(context.color_range)
    return known if known in (LIMITED_RANGE, FULL_RANGE) else LIMITED_RANGE
