"""Faces made of numbers: landmarks, pictures to put them on, records."""

from fractions import Fraction

import cv2
import numpy as np

from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.templates import MEAN_FACE, crop_from_frame
from faceswap_cli.types import Points, RgbImage


def face_at(centre_xy: tuple[float, float], size_px: float) -> Points:
    """Return 68 plausible landmarks: the mean face, with a jaw, eyes and lips drawn around."""
    unit = np.zeros((68, 2))
    unit[17:49], unit[54] = MEAN_FACE[:32], MEAN_FACE[32]
    angle = np.linspace(np.pi, 0.0, 17)
    unit[:17] = np.stack([0.5 + 0.65 * np.cos(angle), 0.25 + 0.85 * np.sin(angle)], axis=1)
    lips = np.linspace(0.0, 2.0 * np.pi, 20, endpoint=False) + np.pi
    unit[48:68] = np.stack([0.49 + 0.236 * np.cos(lips), 0.78 + 0.1 * np.sin(lips)], axis=1)
    unit[48], unit[54] = MEAN_FACE[31], MEAN_FACE[32]
    return np.asarray((unit - 0.5) * size_px + np.array(centre_xy), np.float64)


def smooth_picture(seed: int, size_wh: tuple[int, int], *, detail_px: float = 4.0) -> RgbImage:
    """Return colour blobs: noise would be low-passed away by any resampling."""
    noise = np.random.default_rng(seed).normal(size=(size_wh[1], size_wh[0], 3))
    blobs = cv2.GaussianBlur(noise, (0, 0), detail_px)
    return np.asarray(np.clip(blobs / blobs.std() * 40 + 128, 0, 255), np.uint8)


def made_record(
    index: int,
    *,
    track: int = 0,
    size_px: float = 30.0,
    time_s: Fraction = Fraction(0),
    centre_xy: tuple[float, float] = (48, 32),
    frame_size_wh: tuple[int, int] = (96, 72),
    frame_name: str | None = None,
    source_name: str = "data_dst.mp4",
) -> FaceRecord:
    """Return the record of such a face."""
    landmarks = face_at(centre_xy, size_px)
    crop = crop_from_frame(landmarks, "whole_face", 64)
    return FaceRecord.model_validate(
        {
            "face_type": "whole_face",
            "size_px": 64,
            "landmarks_frame": landmarks.tolist(),
            "landmarks_crop": crop.apply(landmarks).tolist(),
            "crop_from_frame": crop.matrix.tolist(),
            "source_name": source_name,
            "frame_name": frame_name or f"{index:06d}",
            "frame_index": index,
            "frame_time_s": time_s,
            "frame_size_wh": frame_size_wh,
            "box": (0, 0, size_px, size_px),
            "score": 1.0,
            "pose_deg": (0, 0, 0),
            "track": track,
            "engines": ("made", "made"),
        }
    )
