"""What is known about one face of one frame; it travels inside the aligned picture."""

from fractions import Fraction
from typing import Annotated

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from faceswap_cli.faces.sighting import Origin
from faceswap_cli.geometry import Similarity
from faceswap_cli.types import Points

SCHEMA = 1

Xy = tuple[float, float]
Row = tuple[float, float, float]
ExactTime = Annotated[
    Fraction, BeforeValidator(Fraction), PlainSerializer(str, return_type=str, when_used="always")
]


class FaceRecord(BaseModel):
    """One face of one frame: all that is needed to train on it and to put it back."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", arbitrary_types_allowed=True, allow_inf_nan=False
    )

    schema_version: int = SCHEMA
    face_type: str
    """A key of FACE_TYPES."""
    size_px: int = Field(ge=16, le=16384)
    """Side of the aligned picture, pixels."""
    landmarks_frame: tuple[Xy, ...] = Field(min_length=68, max_length=68)
    """68 x (x, y), frame pixels."""
    landmarks_crop: tuple[Xy, ...] = Field(min_length=68, max_length=68)
    """68 x (x, y), pixels of the aligned picture."""
    mesh_frame: tuple[Row, ...] | None = Field(default=None, max_length=1000)
    """The dense mesh, if the landmarker has one: (x, y, z), frame pixels."""
    crop_from_frame: tuple[Row, Row]
    """Similarity.matrix."""
    source_name: str
    """File name of the video, or of the picture in the folder."""
    frame_name: str
    """What the frame is called in merged/, without suffix."""
    frame_index: int = Field(ge=0)
    """From 0, in presentation order, within the span."""
    frame_time_s: ExactTime
    """Presentation time in the source, seconds."""
    frame_size_wh: tuple[int, int]
    """Of the upright frame, pixels."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom of the detection, frame pixels."""
    score: float
    """Of the detection, 0 to 1."""
    pose_deg: Row
    """Pitch (up is positive), yaw (to the image's right is positive), roll (clockwise)."""
    track: int = Field(ge=0)
    """Faces of one person in consecutive frames share it."""
    person: int | None = Field(default=None, ge=0)
    """Of the list of people of its side, 0 is seen most often; None: not known."""
    origin: Origin = "detected"
    engines: tuple[str, ...]
    """Names and versions of detector and landmarker."""

    @property
    def landmarks(self) -> Points:
        """(68, 2), frame pixels."""
        return np.array(self.landmarks_frame, np.float64)

    @property
    def crop(self) -> Similarity:
        """crop_from_frame."""
        return Similarity(np.array(self.crop_from_frame, np.float64))

    @property
    def area(self) -> float:
        """Of the box, square pixels."""
        left, top, right, bottom = self.box
        return max(0.0, right - left) * max(0.0, bottom - top)
