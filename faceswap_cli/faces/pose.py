"""Which way a head looks, from its landmarks."""

import math

import cv2
import numpy as np

from faceswap_cli.types import Points

# Nose tip, chin, outer corners of the eyes, corners of the mouth of a generic head, in units
# of no importance, x to the image's right, y down, z away from the camera.
_INDICES = [30, 8, 36, 45, 48, 54]
_HEAD = np.array(
    [
        [0, 0, 0],
        [0, 330, 65],
        [-225, -170, 135],
        [225, -170, 135],
        [-150, 150, 125],
        [150, 150, 125],
    ],
    np.float64,
)


def estimate_pose(landmarks: Points, size_wh: tuple[int, int]) -> tuple[float, float, float]:
    """Return (pitch, yaw, roll), degrees.

    Args:
        landmarks: (68, 2), frame pixels.
        size_wh: Of the frame; the focal length is taken as its longer side.

    Returns:
        Pitch: up is positive. Yaw: to the image's right is positive. Roll: clockwise is
        positive. All 0 where no pose fits.
    """
    width, height = size_wh
    focal = float(max(width, height))
    camera = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], np.float64)
    points = np.ascontiguousarray(landmarks[_INDICES])
    found, turn, _ = cv2.solvePnP(_HEAD, points, camera, None, flags=cv2.SOLVEPNP_SQPNP)
    if not found:
        return 0.0, 0.0, 0.0
    forward = cv2.Rodrigues(turn)[0] @ np.array([0.0, 0.0, -1.0])  # out of the face
    side = cv2.Rodrigues(turn)[0] @ np.array([1.0, 0.0, 0.0])
    pitch = math.degrees(math.asin(float(np.clip(-forward[1], -1, 1))))
    yaw = math.degrees(math.atan2(forward[0], -forward[2]))
    return pitch, yaw, math.degrees(math.atan2(side[1], side[0]))
