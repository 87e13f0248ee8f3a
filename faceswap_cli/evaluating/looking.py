"""One face of one moment, before and after: everything that is measured of it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.curating.measures import eye_opening, mouth_opening
from faceswap_cli.detect import Detection, Landmarker, Landmarks
from faceswap_cli.detect.appearance import AppearanceEngine
from faceswap_cli.detect.facemesh import MARGIN, MIN_PRESENCE, region_of_mesh
from faceswap_cli.errors import GeometryError
from faceswap_cli.evaluating.background import mask_from_difference
from faceswap_cli.evaluating.crops import View, change, cut_view, flicker_ratio, sharpness_ratio
from faceswap_cli.evaluating.identity import Person, cosine
from faceswap_cli.evaluating.placing import landmark_error, pose_error_deg, shape_error
from faceswap_cli.evaluating.seam import seam_ratio
from faceswap_cli.evaluating.tone import Tones, face_to_neck, measure_tones, tone_jump, tone_shift
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.templates import ALIGNED_INDICES, MEAN_FACE
from faceswap_cli.geometry import bounding_box, estimate_similarity
from faceswap_cli.types import FloatImage, Points, RgbImage

FOREHEAD = 0.25
"""Of the height of the 68 points: how far a detector's box reaches above them."""
AROUND = 0.8
"""Of the face: margin of the part of the frame in which edge and colours are looked at."""
UNKNOWN = float("nan")


@dataclass(frozen=True)
class FaceFigures:
    """What was measured of a face; NaN: it could not be."""

    frame: int
    time_s: Fraction
    """Of the footage."""
    track: int
    presence: float
    """0..1: how sure the landmarker is that the result shows a face there."""
    dst_presence: float
    """The same of the footage."""
    landmark_nme: float = UNKNOWN
    """Mean distance of the inner landmarks, distances of the eyes."""
    shape_nme: float = UNKNOWN
    """The same, place, size and roll left aside."""
    pose_deg: float = UNKNOWN
    mouth: float = UNKNOWN
    """Difference of the openings, in widths of the mouth."""
    eyes: float = UNKNOWN
    id_src: float = UNKNOWN
    """Cosine to the mean face of src."""
    id_dst: float = UNKNOWN
    change: float = UNKNOWN
    """Of the aligned face since the frame before, levels."""
    dst_change: float = UNKNOWN
    flicker: float = UNKNOWN
    """Their ratio."""
    sharpness: float = UNKNOWN
    seam: float = UNKNOWN
    colour: float = UNKNOWN
    """Face to neck, CIEDE2000, more than in the footage."""
    shift: float = UNKNOWN
    """Cheeks away from their colour in the footage, as seen beside the neck, CIEDE2000."""
    jump: float = UNKNOWN
    """Change of the colour of the cheeks since the frame before, more than in the footage."""
    mse: float = UNKNOWN
    """Of all outside of the mask, squared levels."""

    @property
    def is_found(self) -> bool:
        """Whether there is a face in the result."""
        return self.presence >= MIN_PRESENCE


NUMBERS = tuple(
    field.name for field in fields(FaceFigures) if field.name not in ("frame", "time_s", "track")
)


@dataclass(frozen=True, eq=False)
class Seen:
    """What of a face is kept for the next frame."""

    frame: int
    footage: View
    result: View
    tones: tuple[Tones, Tones] | None
    """Of result and footage."""


@dataclass(frozen=True, eq=False)
class Moment:
    """A frame, before and after."""

    index: int
    time_s: Fraction
    footage: RgbImage
    result: RgbImage
    faces: Sequence[FaceRecord]
    """Of the footage, that are swapped."""
    mask: FloatImage | None
    """(H, W), what merge says that it has painted; None: not known."""
    mse: float
    """Of the background, squared levels."""


class Observer:
    """Looks at faces frame by frame, and remembers each track's last one.

    Args:
        landmarker: Finds the landmarks again, in both pictures from the same start: what it is
            wrong about in both is no error.
        engine: Tells who it is.
        people: src and dst.
    """

    def __init__(
        self, landmarker: Landmarker, engine: AppearanceEngine, people: tuple[Person, Person]
    ) -> None:
        self._landmarker, self._engine = landmarker, engine
        self._src, self._dst = people
        self._last: dict[int, Seen] = {}

    def look(self, moments: Sequence[Moment]) -> list[FaceFigures]:
        """Return what can be measured of the faces of some frames, in order.

        The more frames at once, the faster: their landmarks are found together.
        """
        pictures = [image for moment in moments for image in (moment.footage, moment.result)]
        starts = [[detection_of(record) for record in moment.faces] for moment in moments]
        located = self._landmarker.locate(pictures, [start for start in starts for _ in range(2)])
        figures = []
        for number, moment in enumerate(moments):
            truths, founds = located[2 * number : 2 * number + 2]
            for record, truth, found in zip(moment.faces, truths, founds, strict=True):
                figures.append(self._compare(moment, record, truth, found))
        return figures

    def _compare(
        self, moment: Moment, record: FaceRecord, truth: Landmarks, found: Landmarks
    ) -> FaceFigures:
        figures = {"presence": found.score, "dst_presence": truth.score, "mse": moment.mse}
        if min(found.score, truth.score) >= MIN_PRESENCE:
            figures |= compare_landmarks(found.points68, truth.points68)
            figures |= self._compare_identity(moment.result, found)
        with suppress(GeometryError):  # landmarks that are no face: the rest stays unknown
            figures |= self._compare_pixels(moment, record)
        return FaceFigures(moment.index, moment.time_s, record.track, **figures)

    def _compare_identity(self, image: RgbImage, face: Landmarks) -> dict[str, float]:
        who = self._engine.describe([image], [[face]])[0][0]
        return {"id_src": cosine(who, self._src.mean), "id_dst": cosine(who, self._dst.mean)}

    def _compare_pixels(self, moment: Moment, record: FaceRecord) -> dict[str, float]:
        points = record.landmarks
        footage, result = (cut_view(image, points) for image in (moment.footage, moment.result))
        mask, images, points, face_px = _part(moment, points)
        tones = measure_tones(images, mask, points, face_px)
        last = self._last.get(record.track)
        self._last[record.track] = Seen(moment.index, footage, result, tones)
        figures = {
            "sharpness": sharpness_ratio(result, footage),
            "seam": seam_ratio(*images, mask, face_px),
        }
        if tones is not None:
            figures |= {"colour": face_to_neck(*tones), "shift": tone_shift(*tones)}
        if last is None or last.frame != moment.index - 1:
            return figures
        changes = change(last.result, result), change(last.footage, footage)
        figures |= {"change": changes[0], "dst_change": changes[1]}
        figures["flicker"] = flicker_ratio(*changes)
        if tones is not None and last.tones is not None:
            results, footages = zip(last.tones, tones, strict=True)
            figures["jump"] = tone_jump(results, footages)
        return figures


def compare_landmarks(found: Points, truth: Points) -> dict[str, float]:
    """Return the errors of place, pose and expression, (68, 2) points each."""
    return {
        "landmark_nme": landmark_error(found, truth),
        "shape_nme": shape_error(found, truth),
        "pose_deg": pose_error_deg(found, truth),
        "mouth": abs(mouth_opening(found) - mouth_opening(truth)),
        "eyes": abs(eye_opening(found) - eye_opening(truth)),
    }


def detection_of(record: FaceRecord) -> Detection:
    """Return where the landmarker is to look for a face that is known."""
    if record.mesh_frame:
        region = region_of_mesh(np.array(record.mesh_frame, np.float64))
        half = np.full(2, region.side_px / MARGIN / 2.0)
        box, roll_deg = (
            np.concatenate([region.centre - half, region.centre + half]),
            region.roll_deg,
        )
    else:
        low, high = record.landmarks.min(axis=0), record.landmarks.max(axis=0)
        low[1] -= FOREHEAD * (high[1] - low[1])
        box, roll_deg = np.concatenate([low, high]), record.pose_deg[2]
    return Detection(box, 1.0, roll_deg, np.zeros((6, 2)))


def face_side_px(landmarks: Points) -> float:
    """Return the side of the mean face's unit square, pixels; or raise GeometryError."""
    aligned: NDArray[np.float64] = landmarks[list(ALIGNED_INDICES)]
    return estimate_similarity(MEAN_FACE, aligned).scale


def _part(
    moment: Moment, landmarks: Points
) -> tuple[FloatImage, tuple[RgbImage, RgbImage], Points, float]:
    """Return mask, pictures (result, footage) and landmarks of the part around a face."""
    face_px = face_side_px(landmarks)
    size_wh = (moment.footage.shape[1], moment.footage.shape[0])
    left, top, right, bottom = bounding_box(landmarks, size_wh, pad=AROUND * face_px)
    part = slice(top, bottom), slice(left, right)
    result, footage = moment.result[part], moment.footage[part]
    points = landmarks - np.array([left, top])
    if moment.mask is None:
        mask = mask_from_difference(result, footage, points, face_px)
    else:
        mask = moment.mask[part]
    return mask, (result, footage), points, face_px
