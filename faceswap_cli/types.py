"""The words of the domain, as types."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Side = Literal["src", "dst"]
"""`src` is the identity we take; `dst` is the footage that receives it."""
SIDES: tuple[Side, Side] = get_args(Side)

RgbImage = NDArray[np.uint8]
"""(H, W, 3), red first. BGR does not leave imaging.py."""
GreyImage = NDArray[np.uint8]
"""(H, W)."""
FloatImage = NDArray[np.float32]
"""(H, W, 3) or (H, W), values in 0..1."""
Points = NDArray[np.float64]
"""(N, 2) points, (x, y), in pixels; integers are pixel centres."""
