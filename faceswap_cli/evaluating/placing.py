"""How well the new face keeps place, pose and expression: landmarks against landmarks."""

import numpy as np

from faceswap_cli.errors import GeometryError
from faceswap_cli.faces.pose import estimate_pose
from faceswap_cli.geometry import estimate_similarity
from faceswap_cli.types import Points

INNER = slice(17, 68)
"""Brows, eyes, nose and mouth: the jaw line is that of another head."""
_LEAST_PX = 1e-6


def eye_distance(points: Points) -> float:
    """Return the distance of the middles of the eyes of (68, 2) points; more than 0."""
    between = points[36:42].mean(axis=0) - points[42:48].mean(axis=0)
    return max(float(np.linalg.norm(between)), _LEAST_PX)


def landmark_error(found: Points, truth: Points) -> float:
    """Return the mean distance of the inner points, in distances of the eyes of `truth`.

    Args:
        found: (68, 2), frame pixels.
        truth: (68, 2), frame pixels.
    """
    apart = np.linalg.norm(found[INNER] - truth[INNER], axis=1)
    return float(apart.mean()) / eye_distance(truth)


def shape_error(found: Points, truth: Points) -> float:
    """Return the same after the best similarity: what is left is expression and identity.

    NaN if there is no such similarity.
    """
    try:
        truth_from_found = estimate_similarity(found[INNER], truth[INNER])
    except GeometryError:
        return float("nan")
    return landmark_error(truth_from_found.apply(found), truth)


def pose_error_deg(found: Points, truth: Points) -> float:
    """Return by how much pitch, yaw or roll differ, whichever does most, degrees."""
    apart = np.subtract(estimate_pose(found), estimate_pose(truth))
    return float(np.abs((apart + 180.0) % 360.0 - 180.0).max())
