"""All that an evaluation has found, and its main figures."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from faceswap_cli.config_evaluate import EvaluateConfig
from faceswap_cli.evaluating.background import psnr_db
from faceswap_cli.evaluating.crops import STILL
from faceswap_cli.evaluating.doubts import Doubt
from faceswap_cli.evaluating.looking import FaceFigures
from faceswap_cli.evaluating.sampling import Gap

BUILT_IN_NOTE = (
    "the built-in comparison tells faces of one clip apart; across two films it is weak: "
    "give --recognizer FILE.onnx for a figure that can be compared with others"
)


@dataclass(frozen=True)
class Embedding:
    """How identity was compared."""

    name: str
    is_built_in: bool
    src_usual: float
    """Mean cosine of the faces of src to their mean."""
    dst_usual: float
    src_vs_dst: float
    """Cosine of the two means."""


@dataclass(frozen=True)
class Outcome:
    """All that an evaluation has found."""

    result: str
    """File name of the result, or of the folder of merged frames."""
    footage: str
    num_frames: int
    """Of the clip."""
    num_swapped: int
    """Frames with a face to swap."""
    faces: Sequence[FaceFigures]
    gaps: Sequence[Gap]
    doubts: Sequence[Doubt]
    """Worst first."""
    embedding: Embedding
    section: EvaluateConfig
    masks: str
    """Where the masks came from."""
    time_error_s: float
    """The most that a frame of the result comes too early or too late."""


MEANINGS = {
    "landmark_nme": ("eye distances", "landmarks off those of dst; 0 is best"),
    "shape_nme": ("eye distances", "the same, place, size and roll aside"),
    "pose_error_deg": ("degrees", "turned otherwise than dst; 0 is best"),
    "mouth_error": ("mouth widths", "opened otherwise than dst; 0 is best"),
    "eye_error": ("eye widths", "opened otherwise than dst; 0 is best"),
    "id_src": ("cosine", "like src; higher is better"),
    "id_dst": ("cosine", "like dst; lower is better"),
    "nearer_src": ("share", "faces more like src than like dst; 1 is best"),
    "flicker_ratio": ("times dst", "change of the face from frame to frame; 1 is as steady"),
    "sharpness_ratio": ("times dst", "fine detail; 1 is as sharp"),
    "seam_ratio": (
        "times dst",
        "slope across the mask's edge; above 1: an edge that was not there",
    ),
    "colour_difference": ("CIEDE2000", "cheeks to neck, more than in dst; 0 is best"),
    "colour_shift": ("CIEDE2000", "cheeks off dst's, as seen beside the neck; 0 is best"),
    "colour_jump": ("CIEDE2000", "cheeks from frame to frame, more than in dst; 0 is best"),
    "background_psnr_db": ("dB", "outside of the mask; higher is better, 99 is equal"),
    "missed": ("share", "faces of dst that are none in the result; 0 is best"),
    "time_error_s": ("s", "the most that a frame comes too early or too late; 0 is best"),
}
"""Unit of each main figure, and what it is and what is good."""


def main_figures(outcome: Outcome) -> dict[str, float]:
    """Return the main figures, NaN where nothing could be measured; keys as of MEANINGS."""
    faces = outcome.faces
    nearer = [f.id_src > f.id_dst for f in faces if not math.isnan(f.id_src + f.id_dst)]
    return {
        "landmark_nme": mean(faces, "landmark_nme"),
        "shape_nme": mean(faces, "shape_nme"),
        "pose_error_deg": mean(faces, "pose_deg"),
        "mouth_error": mean(faces, "mouth"),
        "eye_error": mean(faces, "eyes"),
        "id_src": mean(faces, "id_src"),
        "id_dst": mean(faces, "id_dst"),
        "nearer_src": float(np.mean(nearer)) if nearer else math.nan,
        "flicker_ratio": flicker(faces),
        "sharpness_ratio": mean(faces, "sharpness"),
        "seam_ratio": mean(faces, "seam"),
        "colour_difference": mean(faces, "colour"),
        "colour_shift": mean(faces, "shift"),
        "colour_jump": mean(faces, "jump"),
        "background_psnr_db": psnr_db(mean(faces, "mse")),
        "missed": missed(faces),
        "time_error_s": outcome.time_error_s,
    }


def mean(faces: Sequence[FaceFigures], key: str) -> float:
    """Return the mean of what is known of a figure; NaN of nothing."""
    values = [value for face in faces if not math.isnan(value := getattr(face, key))]
    return float(np.mean(values)) if values else math.nan


def flicker(faces: Sequence[FaceFigures]) -> float:
    """Return the ratio of all changes together: still moments weigh little."""
    pairs = [(f.change, f.dst_change) for f in faces if not math.isnan(f.change)]
    if not pairs:
        return math.nan
    of_result, of_footage = np.maximum(np.mean(pairs, axis=0), STILL).tolist()
    return float(of_result / of_footage)


def missed(faces: Sequence[FaceFigures]) -> float:
    """Return the share of the faces of dst that are no faces in the result."""
    there = [face for face in faces if face.dst_presence >= 0.5]
    return float(np.mean([not face.is_found for face in there])) if there else math.nan


def count_reasons(doubts: Sequence[Doubt]) -> Counter[str]:
    """Return how many frames have each reason."""
    told = {(r.code, frame) for doubt in doubts for r in doubt.reasons for frame in doubt.frames}
    return Counter(code for code, _ in told)


def count_frames(doubts: Sequence[Doubt]) -> int:
    """Return how many frames need a look; two faces of one frame are one."""
    return len({frame for doubt in doubts for frame in doubt.frames})
