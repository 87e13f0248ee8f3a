"""Made facesets for tests: smooth blobs with landmarks, written as the real thing is."""

from fractions import Fraction
from pathlib import Path

import numpy as np

from faceswap_cli.faces.faceset import write_aligned
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.templates import ALIGNED_INDICES, crop_from_frame, template
from faceswap_cli.types import Points, RgbImage, Side
from faceswap_cli.workspace import Workspace

FRAME_PX = 96


def face68(scale: float = 40.0, x: float = 28.0, y: float = 24.0) -> Points:
    """68 points of an upright face; the 33 aligned ones are the mean face."""
    points = np.zeros((68, 2))
    points[list(ALIGNED_INDICES)] = template("half", 1) + 0.5
    angles = np.linspace(np.pi, 0, 17)
    points[:17] = np.stack([0.5 + 0.62 * np.cos(angles), 0.25 + 0.95 * np.sin(angles)], axis=1)
    points[49:54] = np.linspace(points[48], points[54], 7)[1:-1] - [0, 0.05]
    points[55:60] = np.linspace(points[54], points[48], 7)[1:-1] - [0, -0.08]
    points[60:68] = points[[48, 50, 51, 52, 54, 56, 57, 58]]
    return points * scale + [x, y]


def blob(side_px: int, tint: tuple[int, int, int], phase: float) -> RgbImage:
    """A smooth picture that can be learnt; noise cannot."""
    rows, columns = np.mgrid[0:side_px, 0:side_px] / side_px
    wave = 0.5 + 0.5 * np.sin(6.0 * rows + 4.0 * columns + phase)
    return np.asarray(np.rint(wave[..., None] * np.array(tint)), np.uint8)


def record(index: int, *, size_px: int = 64, track: int = 0, shift: float = 0.0) -> FaceRecord:
    """The record of a face at its usual place, moved by `shift` pixels."""
    landmarks = face68(x=28.0 + shift)
    crop = crop_from_frame(landmarks, "whole_face", size_px)
    return FaceRecord(
        face_type="whole_face",
        size_px=size_px,
        landmarks_frame=tuple((x, y) for x, y in landmarks.tolist()),
        landmarks_crop=tuple((x, y) for x, y in crop.apply(landmarks).tolist()),
        crop_from_frame=(tuple(crop.matrix[0].tolist()), tuple(crop.matrix[1].tolist())),
        source_name="data_dst.mp4",
        frame_name=f"{index:06d}",
        frame_index=index,
        frame_time_s=Fraction(index, 25),
        frame_size_wh=(FRAME_PX, FRAME_PX),
        box=(28.0 + shift, 24.0, 68.0 + shift, 64.0),
        score=0.9,
        pose_deg=(0.0, 0.0, 0.0),
        track=track,
        engines=("fake", "fake"),
    )


def write_faceset(root: Path, *, count: int = 6, size_px: int = 64) -> Workspace:
    """Make a workspace with `count` faces a side."""
    workspace = Workspace(root)
    tints: dict[Side, tuple[int, int, int]] = {"src": (220, 120, 60), "dst": (80, 140, 230)}
    for side, tint in tints.items():
        for index in range(count):
            path = workspace.aligned(side) / f"{index:06d}_00.png"
            write_aligned(
                path,
                blob(size_px, tint, 0.5 * index),
                record(index, size_px=size_px),
                jpeg_quality=95,
            )
    return workspace
