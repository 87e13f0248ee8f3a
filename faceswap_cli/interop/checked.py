"""Values of other programs that had to be checked before they mean anything."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.geometry import Similarity
from faceswap_cli.interop.hostile import HostileError, shown
from faceswap_cli.interop.pickles import numbers

MAX_COORDINATE: Final = 1e6
MAX_NAME_LENGTH: Final = 255
MAX_SKEW: Final = 0.01
"""By which a matrix may differ from a similarity, of its scale: float32 differs by 1e-6."""
_SCALES = (1e-4, 1e4)


def coordinates(value: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return numbers that may be pixels of a frame; HostileError as of `numbers`, or far off."""
    found = numbers(value, shape)
    if np.abs(found).max() > MAX_COORDINATE:
        raise HostileError(f"{np.abs(found).max():.3g} is no pixel of a picture")
    return found


def file_name(value: Any) -> str:
    """Return text that may be the name of a file, or raise HostileError."""
    if isinstance(value, str) and 0 < len(value) <= MAX_NAME_LENGTH and value.isprintable():
        return value
    raise HostileError(f"{shown(value)} is no name")


def similarity(matrix: NDArray[np.float64]) -> Similarity:
    """Return a transform, (2, 3), unchanged; HostileError if it skews, mirrors, or shrinks away."""
    (a, b), (c, d) = matrix[:, :2].tolist()
    found = Similarity(matrix)
    if not _SCALES[0] < found.scale < _SCALES[1] or max(abs(a - d), abs(b + c)) > (
        MAX_SKEW * found.scale
    ):
        raise HostileError("its matrix does not turn and scale, it skews or mirrors")
    return found
