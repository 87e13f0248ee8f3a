"""Where the faces of a frame are, and where their 68 points: one protocol, several engines.

Convention: points are (x, y) in frame pixels, (0, 0) is the centre of the top left pixel.
"Right" and "left" are the person's: the right eye is at the left of the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.types import Points, RgbImage

LandmarkerName = Literal["auto", "mesh", "fan"]
SearchMode = Literal["auto", "always", "never"]


@dataclass(frozen=True)
class Detection:
    """One face, roughly."""

    box: NDArray[np.float64]
    """(4,): left, top, right, bottom, frame pixels; may reach beyond the frame."""
    score: float
    """0..1."""
    roll_deg: float
    """Rotation in the plane, from the eyes: 0 is upright, positive is clockwise as seen."""
    keypoints: Points
    """(6, 2): right eye, left eye, tip of the nose, mouth, right ear, left ear."""
    is_exact: bool = False
    """The box is that of landmarks near by in time: to look once is enough to place them."""


@dataclass(frozen=True)
class Landmarks:
    """One face, precisely."""

    points68: Points
    """(68, 2), frame pixels, in the order of iBUG 300-W and dlib."""
    mesh: NDArray[np.float64] | None
    """(468, 3), frame pixels, z in the same scale and smaller is nearer; None without a mesh."""
    score: float
    """0..1: how sure the engine is that a face is there; below 0.5 it is not."""


class Detector(Protocol):
    """Finds faces."""

    name: str
    """Engine and version of its weights; part of a stage's fingerprint."""

    def detect(self, frames: Sequence[RgbImage]) -> list[list[Detection]]:
        """Return the faces of each frame, best first."""
        ...


class Landmarker(Protocol):
    """Places the landmarks of faces that were found."""

    name: str
    """Engine and version of its weights; part of a stage's fingerprint."""

    def locate(
        self, frames: Sequence[RgbImage], detections: Sequence[Sequence[Detection]]
    ) -> list[list[Landmarks]]:
        """Return the landmarks of each detection of each frame, in the same order."""
        ...


def build_detector(*, device: str, min_score: float, wide_search: SearchMode = "auto") -> Detector:
    """Return the face detector.

    Args:
        device: A torch device, e.g. `cpu` or `cuda:0`.
        min_score: 0..1; fainter detections are dropped.
        wide_search: When to look again, at other scales, for faces that fill the frame or
            are as small as 1.7 % of its longer side. `auto`: in frames where the first
            look finds nothing; it sees faces of 6 to 50 %.
    """
    from faceswap_cli.detect.blazeface import BlazeFaceDetector

    return BlazeFaceDetector(device=device, min_score=min_score, wide_search=wide_search)


def build_landmarker(name: LandmarkerName, *, device: str) -> Landmarker:
    """Return a landmark engine; which one is in its `.name`.

    Args:
        name: `mesh` comes with the package; `fan` needs the extra of that name and its
            weights; `auto` is `fan` on a CUDA device where both are there, else `mesh`.
        device: A torch device, e.g. `cpu` or `cuda:0`.

    Raises:
        ConfigError: `fan` was asked for, and the package or its weights are missing.
    """
    from faceswap_cli.detect.facemesh import MeshLandmarker
    from faceswap_cli.detect.fan import FanLandmarker, is_fan_ready

    if name == "fan" or (name == "auto" and device.startswith("cuda") and is_fan_ready()):
        return FanLandmarker(device=device)
    return MeshLandmarker(device=device)
