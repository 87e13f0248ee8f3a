"""Which way a head looks, from its landmarks."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.types import Points

# Points of a generic head that neither mouth nor brows move: corners of the eyes, ridge and base
# of the nose, corners of the mouth. Half the distance of the outer corners of the eyes is 100,
# x to the image's right, y down, z away from the camera. The mean of our landmarker's own faces.
HEAD_INDICES: Final = [36, 39, 42, 45, 27, 28, 29, 30, 31, 33, 35, 48, 54]
HEAD: Final = np.array(
    [
        *([-100, -50, 47], [-38, -48, 35], [38, -48, 35], [100, -50, 47]),
        *([0, -60, -5], [0, -37, -25], [0, -11, -53], [0, 14, -60]),
        *([-36, 35, -11], [0, 42, -25], [36, 35, -11], [-58, 89, 14], [58, 89, 14]),
    ],
    np.float64,
)
_SOLVE: Final = np.linalg.pinv(HEAD - HEAD.mean(axis=0))


def estimate_pose(landmarks: Points) -> tuple[float, float, float]:
    """Return (pitch, yaw, roll), degrees, of one face, (68, 2); see estimate_poses."""
    pitch, yaw, roll = estimate_poses(landmarks[None])[0].tolist()
    return pitch, yaw, roll


def estimate_poses(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how heads are turned, as seen from where the camera is.

    A face at the border of the frame that looks into the camera has yaw 0: that is how the
    aligned picture shows it.

    Args:
        landmarks: (N, 68, 2), pixels of frame or crop.

    Returns:
        (N, 3), degrees: pitch, up is positive; yaw, to the image's right is positive; roll,
        clockwise is positive. All 0 where no pose fits.

    Source:
        DeMenthon and Davis, "Model-based object pose in 25 lines of code", IJCV 15, 1995:
        its first step, for heads are small beside their distance.
    """
    seen = landmarks[:, HEAD_INDICES]
    axes = _SOLVE @ (seen - seen.mean(axis=1, keepdims=True))  # (N, 3, 2)
    u, _, vt = np.linalg.svd(np.nan_to_num(axes), full_matrices=False)
    right, down = np.moveaxis(u @ vt, 2, 0)  # (N, 3) each: the nearest two of length 1, square
    turn = np.stack([right, down, np.cross(right, down)], axis=1)  # (N, 3, 3), camera from head
    out_of_face = -turn[:, :, 2]
    sideways = turn[:, :, 0]
    angles = np.column_stack(
        [
            np.arcsin(np.clip(-out_of_face[:, 1], -1.0, 1.0)),
            np.arctan2(out_of_face[:, 0], -out_of_face[:, 2]),
            np.arctan2(sideways[:, 1], sideways[:, 0]),
        ]
    )
    fits = np.isfinite(landmarks).all(axis=(1, 2)) & (np.abs(axes).max(axis=(1, 2)) > 1e-9)
    return np.where(fits[:, None], np.degrees(angles), 0.0)
