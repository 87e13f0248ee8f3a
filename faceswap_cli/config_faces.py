"""Settings of all that makes facesets: the inputs, extraction, masks, the scan of the footage."""

from fractions import Fraction
from typing import Literal

from pydantic import Field, field_validator

from faceswap_cli.config_section import DeviceName, FaceTypeName, Section

_RATE = r"^\d{1,6}(/\d{1,6})?$"
_SPAN = r"^$|^\d*\.?\d*-\d*\.?\d*$"
RANGES = r"^$|^\d{1,9}(-\d{1,9})?(,\d{1,9}(-\d{1,9})?)*$"
_PERSONS = r"^$|^\d{1,6}(,\d{1,6})*$"


class InputConfig(Section):
    """Which part of the two inputs is used."""

    src_span: str = Field(
        "", pattern=_SPAN, description="Part of the src video, seconds: 2.5-9, 10-, -9; empty: all."
    )
    dst_span: str = Field(
        "", pattern=_SPAN, description="Part of the dst video, seconds: 2.5-9, 10-, -9; empty: all."
    )
    picture_rate: str = Field(
        "25",
        pattern=_RATE,
        description="Pictures a second of a folder of pictures: 25, 30000/1001.",
    )

    src_exclude: str = Field(
        "", pattern=RANGES, description="Frames of src that are not used, numbers: 120-260,300."
    )
    dst_exclude: str = Field(
        "", pattern=RANGES, description="Frames of dst that stay as they are: 120-260,300."
    )

    @property
    def rate(self) -> Fraction:
        """picture_rate as a number."""
        return Fraction(self.picture_rate)

    @field_validator("picture_rate")
    @classmethod
    def _rate_is_a_number(cls, value: str) -> str:
        top, _, bottom = value.partition("/")
        if int(top) == 0 or (bottom and int(bottom) == 0):
            raise ValueError("a rate must be above zero")
        return value


class ExtractConfig(Section):
    """How faces are found and cut out."""

    side: Literal["both", "src", "dst"] = Field("both", description="Which input to extract from.")
    landmarker: Literal["auto", "mesh", "fan"] = Field(
        "auto",
        description="mesh: inside the package; fan: face-alignment, better on profiles; "
        "auto: fan on CUDA when its weights are there.",
    )
    face_type: FaceTypeName = Field("whole_face", description="How much of the head a crop shows.")
    size_px: int = Field(512, ge=64, le=2048, multiple_of=16, description="Side of a crop, pixels.")
    format: Literal["jpg", "png"] = Field("jpg", description="Of the aligned pictures.")
    jpeg_quality: int = Field(95, ge=50, le=100, description="Of a jpg, always 4:4:4.")
    every: int = Field(1, ge=1, le=10_000, description="Take every Nth frame.")
    min_score: float = Field(0.5, ge=0, le=1, description="Weaker detections are dropped.")
    min_face_px: int = Field(24, ge=8, le=4096, description="Shorter side of the face box, pixels.")
    max_faces: int = Field(0, ge=0, le=1000, description="Largest faces kept a frame; 0: all.")
    repair: int = Field(
        25,
        ge=0,
        le=250,
        description="Longest gap between two sightings of a face in which it is searched again,"
        " frames; 0: none.",
    )
    smooth: float = Field(
        1.0,
        ge=0,
        le=5,
        description="How much of the landmarks' trembling is taken out; 0: as they were found.",
    )
    person: str = Field(
        "",
        pattern=_PERSONS,
        description="Cut out these people only, numbers of the list of people: 0,2; empty: all.",
    )
    like: str = Field("", description="Cut out only who looks like the face in this picture.")
    recognizer: str = Field(
        "", description="ONNX file of a face recognition network; empty: the built-in comparison."
    )
    manual: str = Field(
        "", description="JSON of landmarks, as `landmarks export` writes it: taken as they are."
    )
    overlay: bool = Field(False, description="Also draw landmarks into aligned_debug/.")
    batch_frames: int = Field(13, ge=1, le=256, description="Frames that go through at once.")
    device: DeviceName = Field("auto", description="Where the networks run.")


class MaskConfig(Section):
    """The network that learns which pixels are face, and not hand, hair or microphone."""

    side: Literal["both", "src", "dst"] = Field("both", description="Whose faces.")
    face_type: FaceTypeName = Field(
        "whole_face", description="How much of the head the network sees."
    )
    resolution: int = Field(
        256, ge=64, le=512, multiple_of=32, description="Side that the network sees, pixels."
    )
    width: int = Field(16, ge=4, le=128, multiple_of=4, description="Channels of its first layer.")
    iterations: int = Field(800, ge=1, le=10_000_000, description="Length of the training.")
    batch_size: int = Field(4, ge=1, le=1024, description="Faces an iteration.")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="At its highest.")
    occluders: float = Field(
        0.7, ge=0, le=1, description="Share of the faces that get a made-up hand, hair, thing."
    )
    plain_faces: int = Field(
        120,
        ge=0,
        le=5000,
        description="Faces a side that nobody labelled and that are learnt from too, at most.",
    )
    save_every: int = Field(100, ge=1, description="Iterations between checkpoints.")
    seed: int = Field(0, ge=0, lt=2**31, description="The same seed, the same network.")
    device: DeviceName = Field("auto", description="Where the network runs.")


class ScanConfig(Section):
    """When a frame of the footage is called doubtful."""

    side: Literal["both", "src", "dst"] = Field("both", description="Which input to look at.")
    low_score: float = Field(0.65, ge=0, le=1, description="Detections below it: low score.")
    tiny_px: int = Field(64, ge=8, le=4096, description="Faces with a smaller box: tiny, pixels.")
    extreme_deg: float = Field(50.0, gt=0, le=180, description="More yaw or pitch: extreme pose.")
    blur: float = Field(
        0.5, ge=0, le=1, description="Sharpness against the person's own median; less: blur."
    )
    jump: float = Field(
        0.25, gt=0, le=10, description="Leap between two frames: jump, sides of the face."
    )
    occluded: float = Field(
        0.2, ge=0, le=1, description="Part of the face hidden, by its mask; more: occluded."
    )
    doubt: float = Field(
        0.5, ge=0, le=1, description="Likeness to the person's other faces, usual: 1; less: doubt."
    )
