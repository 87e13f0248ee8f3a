"""Settings of the report on a finished swap."""

from typing import Literal

from pydantic import Field

from faceswap_cli.config_section import DeviceName, Section


class EvaluateConfig(Section):
    """How a swap is measured, and from where on a frame needs a look."""

    of: Literal["auto", "video", "frames"] = Field(
        "auto",
        description="What is measured: the newest result video, the merged frames, or the first of "
        "them that is there.",
    )
    frames: int = Field(
        120,
        ge=0,
        le=1_000_000,
        description="Frames that are measured, in pairs spread over the clip; 0: all.",
    )
    recognizer: str = Field(
        "", description="ONNX file of a face recognition network; empty: the built-in comparison."
    )
    landmark_limit: float = Field(
        10.0, gt=0, le=1000, description="Landmarks off by more need a look, % of the eye distance."
    )
    pose_limit: float = Field(
        8.0, gt=0, le=180, description="A head turned otherwise by more needs a look, degrees."
    )
    flicker_limit: float = Field(
        1.8, gt=1, le=1000, description="More change than in the footage needs a look, times."
    )
    seam_limit: float = Field(
        1.25, gt=1, le=1000, description="A stronger edge than in the footage needs a look, times."
    )
    colour_limit: float = Field(
        6.0,
        gt=0,
        le=100,
        description="Cheeks further off the footage's need a look, CIEDE2000; a jump: half of it.",
    )
    blur_limit: float = Field(
        0.3, gt=0, lt=1, description="Less detail than in the footage needs a look, times."
    )
    background_limit: float = Field(
        36.0, gt=0, le=100, description="A background changed by more needs a look, PSNR in dB."
    )
    thumbnails: int = Field(24, ge=0, le=200, description="Frames that are shown, at most.")
    device: DeviceName = Field("auto", description="Where the networks run.")
