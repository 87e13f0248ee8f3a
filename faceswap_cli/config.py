"""Every setting of the program: its name, unit, range and default. Nothing is set elsewhere.

The flags of the command line, the keys of the TOML files and the lines of `--help` are all
made from these classes. Precedence: default < --config FILE or preset < config.toml of the
workspace < flag.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from faceswap_cli.config_faces import ExtractConfig, InputConfig, MaskConfig, ScanConfig
from faceswap_cli.config_section import FACE_TYPE_ORDER, DeviceName, FaceTypeName, Section
from faceswap_cli.config_train import STRUCTURE, TrainConfig

__all__ = [
    "FACE_TYPE_ORDER",
    "STRUCTURE",
    "Config",
    "DeviceName",
    "ExtractConfig",
    "FaceTypeName",
    "InputConfig",
    "MaskConfig",
    "MergeConfig",
    "ScanConfig",
    "Section",
    "TrainConfig",
    "VideoConfig",
]

_FACE = r"^(largest|all|track \d{1,6}|person \d{1,6})$"


class MergeConfig(Section):
    """How the new face is put into the frame."""

    face: str = Field(
        "largest",
        pattern=_FACE,
        description="Which face of dst: largest, all, 'person N' or 'track N'.",
    )
    mask: Literal["hull*learned", "hull", "learned"] = Field(
        "hull*learned", description="Where the new face is painted."
    )
    respect_masks: bool = Field(
        True, description="Paint only where the masks in aligned/mask/ are white, if there are any."
    )
    jaw: float = Field(
        8.0, ge=0, le=50, description="Reach this much below the jaw line: a beard; % of the face."
    )
    grow: float = Field(0.0, ge=-50, le=50, description="Grow the hull first, % of the face.")
    erode: float = Field(1.0, ge=-50, le=50, description="Shrink the mask, % of the face.")
    likeness: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Keep swaps within how src was seen to look: less of dst comes through, "
        "rare expressions get weaker.",
    )
    morph: float = Field(
        1.0, ge=0, le=1, description="How far from dst to src (amp models); 1: all the way."
    )
    feather: float = Field(8.0, ge=0, le=50, description="Width of its soft edge, % of the face.")
    colour: Literal["rct", "none"] = Field(
        "rct", description="rct: mean and spread of the dst colours (Reinhard), inside the mask."
    )
    sharpen: float = Field(0.0, ge=0, le=5, description="Unsharp mask on the new face; 0: none.")
    format: Literal["png", "jpg"] = Field("png", description="Of the merged frames; png is exact.")
    jpeg_quality: int = Field(98, ge=50, le=100, description="Of a jpg, always 4:4:4.")
    batch_faces: int = Field(8, ge=1, le=256, description="Faces that go through at once.")
    device: DeviceName = Field("auto", description="Where the model runs.")


class VideoConfig(Section):
    """How the frames become a video."""

    codec: Literal["h264", "h265"] = Field("h264", description="Of the picture.")
    crf: int = Field(16, ge=0, le=51, description="Quality: 0 is lossless, 51 is worst.")
    container: Literal["mp4", "mkv", "mov"] = Field("mp4", description="Suffix of result.")
    sound: bool = Field(True, description="Take the sound of the dst video along.")


class Config(Section):
    """One section per stage; a stage is given its own section and no other."""

    input: InputConfig = InputConfig()
    extract: ExtractConfig = ExtractConfig()
    train: TrainConfig = TrainConfig()
    merge: MergeConfig = MergeConfig()
    video: VideoConfig = VideoConfig()
    mask: MaskConfig = MaskConfig()
    scan: ScanConfig = ScanConfig()

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        shown, seen = self.extract.face_type, self.train.face_type
        if FACE_TYPE_ORDER.index(seen) > FACE_TYPE_ORDER.index(shown):
            raise ValueError(
                f"train.face_type={seen} shows more than extract.face_type={shown}: "
                "there would be nothing to learn beyond the border"
            )
        step = 32 if set(self.train.options) & set("dt") else 16
        if self.train.resolution % step:
            raise ValueError(
                f"train.resolution={self.train.resolution} must be a multiple of {step}"
                f" with train.options={self.train.options}"
            )
        return self
