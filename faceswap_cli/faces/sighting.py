"""One face in one frame as the engines saw it, before it belongs to anybody."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.types import Points

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, frame pixels."""
Origin = Literal["detected", "repaired", "interpolated", "manual"]
"""How a face was found: at the first look, at the second, from its neighbours, by a person."""


@dataclass(frozen=True, eq=False)
class Sighting:
    """A face at one moment."""

    frame: int
    """Index of the frame, from 0."""
    box: Box
    score: float
    """Of the detector, 0 to 1."""
    roll_deg: float
    """Of the detector: 0 is upright, positive is clockwise as seen."""
    points68: Points
    """(68, 2), frame pixels."""
    mesh: NDArray[np.float64] | None
    """(468, 3), frame pixels; None if the landmarker has none, or it was not asked for."""
    appearance: NDArray[np.float32]
    """(D,), of length 1: the more alike two faces, the larger its product; (0,): not known."""
    origin: Origin = "detected"
    presence: float = 1.0
    """Of the landmarker, 0 to 1: how sure it is that a face is there."""
    sharpness: float = 0.0
    """Spread of the Laplacian of the face at 128 px, grey levels; see measure_sharpness."""

    @property
    def side_px(self) -> float:
        """Mean side of the box, at least 1."""
        left, top, right, bottom = self.box
        return max(1.0, (right - left + bottom - top) / 2.0)
