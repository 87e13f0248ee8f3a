"""A still portrait that moves its head: pure pixel code.

The face mesh gives depth; a turned head is the picture bent by what the turn does to that
depth. Good for a dozen degrees, not for a profile: what the portrait hides stays hidden.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.geometry import Similarity
from faceswap_cli.types import RgbImage

# Kernels that spread the depth of the mesh over the picture: (width as a share of the
# face's, weight). The narrow one keeps the nose; the wide ones let the depth fade over hair,
# ears and neck. The last weight is that of "no depth", which wins far away.
_KERNELS = ((0.06, 1.0), (0.12, 0.1), (0.25, 0.005))
_NO_DEPTH = 0.1
_AXIS_DEPTH = 0.15  # of the axis of a turn behind the ears, in face widths
_GRID_PX = 4  # between the points at which depth and motion are computed; both are smooth
_INVERSE_STEPS = 6  # of the fixed point: at 14 degrees a step leaves half of the error or less


@dataclass(frozen=True)
class Pose:
    """How the head is held, and how the camera is."""

    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    """Of the whole picture, clockwise."""
    zoom: float = 1.0
    shift_px: tuple[float, float] = (0.0, 0.0)
    """(x, y) of the whole picture, pixels of the clip."""
    brightness: float = 1.0


@dataclass(frozen=True)
class Puppet:
    """A portrait and the depth of its head."""

    portrait: RgbImage
    depth_px: NDArray[np.float32]
    """(H, W): how far in front of the axis of a turn, pixels; 0 away from the head."""

    def draw(
        self, pose: Pose, *, middle: tuple[float, float], size_wh: tuple[int, int]
    ) -> RgbImage:
        """Draw the portrait in a pose.

        Args:
            pose: How the head is held, and how the camera is.
            middle: The (x, y) of the portrait that is in the middle of the picture at rest.
            size_wh: Of the picture, pixels. Beyond the portrait's border it is mirrored.
        """
        width, height = size_wh
        coarse = np.mgrid[0 : height + _GRID_PX : _GRID_PX, 0 : width + _GRID_PX : _GRID_PX]
        seen_x, seen_y = _mapped(_portrait_from_clip(pose, middle, size_wh), coarse)
        still_x, still_y = seen_x, seen_y
        # A point p of the portrait is seen at p + d(p); we look for p, given where it is seen.
        for _ in range(_INVERSE_STEPS):
            move_x, move_y = self._displacement(still_x, still_y, pose)
            still_x, still_y = seen_x - move_x, seen_y - move_y
        still_x, still_y = _refined(still_x, size_wh), _refined(still_y, size_wh)
        drawn = cv2.remap(
            self.portrait, still_x, still_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )
        lit = drawn.astype(np.float32) * np.float32(pose.brightness)
        return np.asarray(np.rint(np.clip(lit, 0, 255)), np.uint8)

    def _displacement(
        self, x: NDArray[np.float32], y: NDArray[np.float32], pose: Pose
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return where a turn moves the points of the portrait, as if seen from far away."""
        depth = cv2.remap(self.depth_px, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        yaw, pitch = math.radians(pose.yaw_deg), math.radians(pose.pitch_deg)
        return (
            np.asarray(depth * np.float32(math.sin(yaw)), np.float32),
            np.asarray(depth * np.float32(-math.sin(pitch)), np.float32),
        )


def build_puppet(portrait: RgbImage, mesh: NDArray[np.float64]) -> Puppet:
    """Spread the depth of a face mesh over its portrait.

    Args:
        portrait: (H, W, 3).
        mesh: (468, 3), pixels of the portrait; smaller z is nearer.
    """
    face_px = float(np.ptp(mesh[:, 0]))
    axis_z = float(np.percentile(mesh[:, 2], 98)) + _AXIS_DEPTH * face_px
    height, width = portrait.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(0, width, _GRID_PX), np.arange(0, height, _GRID_PX)), -1)
    squared = (grid[..., 0:1] - mesh[:, 0]) ** 2 + (grid[..., 1:2] - mesh[:, 1]) ** 2  # (h, w, 468)
    weights = np.zeros_like(squared)
    for share, weight in _KERNELS:
        weights += weight * np.exp(-squared / (2.0 * (share * face_px) ** 2))
    depth = weights @ (axis_z - mesh[:, 2]) / (weights.sum(axis=-1) + _NO_DEPTH)
    return Puppet(portrait, _refined(depth.astype(np.float32), (width, height)))


def _refined(coarse: NDArray[np.float32], size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """Return the values for each pixel of a field known every _GRID_PX pixels."""
    rows, columns = np.indices(size_wh[::-1], np.float32) / np.float32(_GRID_PX)
    fine = cv2.remap(coarse, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(fine, np.float32)


def _portrait_from_clip(
    pose: Pose, middle: tuple[float, float], size_wh: tuple[int, int]
) -> Similarity:
    """Undo shift, roll and zoom, which turn around the middle of the picture."""
    angle = math.radians(-pose.roll_deg)
    cos, sin = math.cos(angle) / pose.zoom, math.sin(angle) / pose.zoom
    linear = np.array([[cos, -sin], [sin, cos]])
    clip_middle = (np.array(size_wh) - 1) / 2.0 + np.array(pose.shift_px)
    return Similarity(np.column_stack([linear, np.array(middle) - linear @ clip_middle]))


def _mapped(
    portrait_from_clip: Similarity, rows_columns: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return x and y in the portrait of points of the clip, (2, h, w): (h, w) each."""
    rows, columns = rows_columns
    points = np.stack([columns, rows], axis=-1).reshape(-1, 2).astype(np.float64)
    mapped = portrait_from_clip.apply(points).reshape(*rows.shape, 2)
    return mapped[..., 0].astype(np.float32), mapped[..., 1].astype(np.float32)
