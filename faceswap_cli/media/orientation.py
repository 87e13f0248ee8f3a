"""The display matrix: how a phone was held."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from av.sidedata.sidedata import Type as SideDataType

from faceswap_cli.types import RgbImage


@dataclass(frozen=True)
class Turn:
    """What makes a stored picture upright: first mirror, then turn.

    Args:
        clockwise_deg: 0, 90, 180 or 270.
        is_mirrored: Left and right are exchanged before the turn.
    """

    clockwise_deg: int = 0
    is_mirrored: bool = False

    @property
    def is_sideways(self) -> bool:
        """Whether width and height are exchanged."""
        return self.clockwise_deg in (90, 270)

    def upright_size(self, size_wh: tuple[int, int]) -> tuple[int, int]:
        """Return the size after the turn."""
        return size_wh[::-1] if self.is_sideways else size_wh

    def apply(self, image: RgbImage) -> RgbImage:
        """Return the upright picture, contiguous."""
        mirrored = image[:, ::-1] if self.is_mirrored else image
        return np.ascontiguousarray(np.rot90(mirrored, k=-self.clockwise_deg // 90))


def read_turn(frame: Any) -> Turn:
    """Read the display matrix of an av.VideoFrame.

    The matrix maps stored (x, y), y down, to (a*x + c*y, b*x + d*y); it is the second,
    third, ... entry of rows of three. Other angles than quarter turns are rounded to one.

    Source:
        ISO/IEC 14496-12, 8.3.2 (the track header's matrix); libavutil/display.h.
    """
    data = frame.side_data.get(SideDataType.DISPLAYMATRIX)
    if data is None:
        return Turn()
    a, b, _, c, d, *_ = (int(value) for value in np.frombuffer(bytes(data), np.int32))
    is_mirrored = a * d - b * c < 0
    right_x, right_y = (-a, -b) if is_mirrored else (a, b)  # where the right-hand side goes
    clockwise_deg = math.degrees(math.atan2(right_y, right_x))
    return Turn(round(clockwise_deg / 90) % 4 * 90, is_mirrored)
