"""Where the landmarks of an upright face lie, and how much of the head each face type shows."""

import math
from dataclasses import dataclass

import numpy as np

from faceswap_cli.geometry import Similarity, estimate_similarity
from faceswap_cli.types import Points

# Landmarks 17 to 48 and 54 of the mean face, in a unit square: brows, nose, eyes, mouth corners.
# From dlib, image_transforms/interpolation.h (Boost Software License 1.0).
ALIGNED_INDICES = (*range(17, 49), 54)
MEAN_FACE: Points = np.array(
    [
        [0.000213256, 0.106454], [0.0752622, 0.038915], [0.18113, 0.0187482], [0.29077, 0.0344891],
        [0.393397, 0.0773906], [0.586856, 0.0773906], [0.689483, 0.0344891], [0.799124, 0.0187482],
        [0.904991, 0.038915], [0.98004, 0.106454], [0.490127, 0.203352], [0.490127, 0.307009],
        [0.490127, 0.409805], [0.490127, 0.515625], [0.36688, 0.587326], [0.426036, 0.609345],
        [0.490127, 0.628106], [0.554217, 0.609345], [0.613373, 0.587326], [0.121737, 0.216423],
        [0.187122, 0.178758], [0.265825, 0.179852], [0.334606, 0.231733], [0.260918, 0.245099],
        [0.182743, 0.244077], [0.645647, 0.231733], [0.714428, 0.179852], [0.793132, 0.178758],
        [0.858516, 0.216423], [0.79751, 0.244077], [0.719335, 0.245099], [0.254149, 0.780233],
        [0.726104, 0.780233],
    ]
)  # fmt: skip


@dataclass(frozen=True)
class FaceType:
    """How much of the head a crop shows. `s` is the side of the mean face's unit square."""

    pad: float
    """The side of the crop is s * (1 + 2 * sqrt(2) * pad)."""
    up: float = 0.0
    """The centre of the crop lies this much above that of the unit square, in s."""
    follows_yaw: bool = False
    """The centre moves sideways, to the back of a head that is turned."""

    @property
    def side(self) -> float:
        """Side of the crop, in s."""
        return 1.0 + 2.0 * math.sqrt(2.0) * self.pad


# Paddings and shifts as DeepFaceLab's, so that its users' numbers mean the same.
FACE_TYPES = {
    "half": FaceType(pad=0.0),
    "mid_full": FaceType(pad=0.0675),
    "full": FaceType(pad=0.2109375),
    "whole_face": FaceType(pad=0.40, up=0.07),
    "head": FaceType(pad=0.70, up=0.50, follows_yaw=True),
}


def crop_from_frame(landmarks: Points, face_type: str, size_px: float) -> Similarity:
    """Return the transform that cuts an upright face out of a frame.

    Extract, train and merge all call this one, so that a face is put back where it was.

    Args:
        landmarks: (68, 2), frame pixels.
        face_type: A key of FACE_TYPES.
        size_px: Side of the crop, pixels.

    Raises:
        GeometryError: The landmarks are not finite or coincide.
    """
    kind = FACE_TYPES[face_type]
    unit_from_frame = estimate_similarity(landmarks[list(ALIGNED_INDICES)], MEAN_FACE)
    aside = _yaw_shift(unit_from_frame.apply(landmarks)) if kind.follows_yaw else 0.0
    scale = size_px / kind.side
    corner = np.array([0.5 + aside, 0.5 - kind.up]) - kind.side / 2.0
    # A fraction of a side counts from the corner, a pixel from its centre: hence the half.
    shift = -corner * scale - 0.5
    return Similarity(np.column_stack([np.eye(2) * scale, shift])).after(unit_from_frame)


def template(face_type: str, size_px: int) -> Points:
    """Return where the 33 aligned landmarks of the mean face lie in such a crop, (33, 2)."""
    kind = FACE_TYPES[face_type]
    corner = np.array([0.5, 0.5 - kind.up]) - kind.side / 2.0
    return (MEAN_FACE - corner) * (size_px / kind.side) - 0.5


def _yaw_shift(unit_landmarks: Points) -> float:
    """Return how far the centre of a head crop moves to the right, in s, from (68, 2) points."""
    x = unit_landmarks[:, 0]
    left = np.mean(x[[27, 28, 29]] - x[[0, 1, 2]])
    right = np.mean(x[[16, 15, 14]] - x[[27, 28, 29]])
    yaw = float(right - left)
    return yaw * abs(math.tanh(2.0 * yaw)) / 2.0
