"""Settings of all that puts faces into frames, and frames into files."""

import re
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from faceswap_cli.config_faces import RANGES
from faceswap_cli.config_section import DeviceName, Section
from faceswap_cli.errors import ConfigError
from faceswap_cli.mask_expression import MAX_CHARS, parse

_FACE = r"^(largest|all|track \d{1,6}|person \d{1,6})$"
_PERSON = r"^\d{1,6}=.+$"

ModeName = Literal[
    "overlay", "hist", "seamless", "seamless+hist", "pyramid", "raw-face", "raw-mask"
]
ColourName = Literal["none", "rct", "lct", "mkl", "idt", "sot", "mix"]


def _british(given: Any) -> Any:
    """Take color for colour."""
    if isinstance(given, dict):
        return {key.replace("color", "colour"): value for key, value in given.items()}
    return given


class LookConfig(Section):
    """How a face is put in: all that may differ from one range of frames to the next."""

    mode: ModeName = Field(
        "overlay",
        description="overlay; hist: histogram matched; seamless: Poisson; pyramid: many bands; "
        "raw-face and raw-mask: for compositors.",
    )
    mask: str = Field(
        "hull*learned",
        max_length=MAX_CHARS,
        description="Where the new face is painted: hull, learned, learned_src, learned_dst, "
        "seg_src, seg_dst, full, joined by * (both), + (either), - (but not).",
    )
    jaw: float = Field(
        8.0, ge=0, le=50, description="Reach this much below the jaw line: a beard; % of the face."
    )
    shave: float = Field(
        0.0,
        ge=0,
        le=50,
        description="Make skin of a beard of the footage that hangs out so far below the jaw line, "
        "in the shade of the new jaw, % of the face; 20 for a beard, 0: never.",
    )
    grow: float = Field(0.0, ge=-50, le=50, description="Grow the hull first, % of the face.")
    erode: float = Field(1.0, ge=-50, le=50, description="Shrink the mask, % of the face.")
    erode_left: float = Field(0.0, ge=-50, le=50, description="More at the left, held upright.")
    erode_right: float = Field(0.0, ge=-50, le=50, description="More at the right, held upright.")
    erode_top: float = Field(0.0, ge=-50, le=50, description="More at the forehead.")
    erode_bottom: float = Field(0.0, ge=-50, le=50, description="More at the chin.")
    feather: float = Field(8.0, ge=0, le=50, description="Width of its soft edge, % of the face.")
    feather_left: float = Field(0.0, ge=0, le=50, description="Wider at the left, held upright.")
    feather_right: float = Field(0.0, ge=0, le=50, description="Wider at the right, held upright.")
    feather_top: float = Field(0.0, ge=0, le=50, description="Wider at the forehead.")
    feather_bottom: float = Field(0.0, ge=0, le=50, description="Wider at the chin.")
    profile_fade: float = Field(
        0.0,
        ge=0,
        le=90,
        description="From this yaw on the mask fades, gone 25 degrees later; 0: never.",
    )
    colour: ColourName = Field(
        "rct",
        description="rct: mean and spread (Reinhard); lct, mkl: covariance; idt, sot: the whole "
        "distribution; mix: lightness by lct, the rest by sot.",
    )
    colour_from: Literal["skin", "mask"] = Field(
        "skin", description="Where colours are compared: on bare skin, or all over the mask."
    )
    sharpen: float = Field(0.0, ge=0, le=5, description="Unsharp mask on the new face; 0: none.")
    match_sharpness: float = Field(
        0.0, ge=0, le=1, description="Sharpen or soften the new face until it is as the footage."
    )
    motion_blur: float = Field(
        0.0, ge=0, le=2, description="Blur along the real motion; 1: a shutter of 180 degrees."
    )
    grain: float = Field(0.0, ge=0, le=2, description="Noise as in the footage; 1: as much.")
    jpeg: float = Field(0.0, ge=0, le=1, description="Compression blocks as in the footage.")
    face_scale: float = Field(0.0, ge=-50, le=50, description="Enlarge the new face, per cent.")
    face_x: float = Field(0.0, ge=-50, le=50, description="Move it to the right, % of the face.")
    face_y: float = Field(0.0, ge=-50, le=50, description="Move it down, % of the face.")
    light: Literal["linear", "signal"] = Field(
        "signal",
        description="At the soft edge, mix the numbers of the file, or light as a lens does: "
        "paler beside dark hair.",
    )
    steady: float = Field(
        1.0, ge=0, le=1, description="Smooth colours and mask edges over time; 0: frame by frame."
    )
    deflicker: float = Field(
        0.0, ge=0, le=1, description="Average the new face along its motion, where that fits."
    )

    @field_validator("mask")
    @classmethod
    def _mask_is_canonical(cls, given: str) -> str:
        try:
            return parse(given).shown_as
        except ConfigError as error:
            raise ValueError(error.what) from error

    @model_validator(mode="before")
    @classmethod
    def _takes_color(cls, given: Any) -> Any:
        return _british(given)


class ShotConfig(BaseModel):
    """Other settings for some frames: [[merge.shot]]."""

    model_config = ConfigDict(frozen=True, extra="allow")

    range: str = Field(pattern=RANGES, min_length=1, description="Frames: 120-260,300.")
    skip: bool = Field(False, description="Leave these frames as they are.")

    @model_validator(mode="before")
    @classmethod
    def _takes_color(cls, given: Any) -> Any:
        return _british(given)

    @model_validator(mode="after")
    def _are_settings(self) -> Self:
        try:
            LookConfig.model_validate(self.model_extra)
        except ValidationError as error:
            wrong = [
                f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}"
                for e in error.errors()
            ]
            raise ValueError(f"frames {self.range}: {'; '.join(wrong)}") from error
        return self

    @property
    def changes(self) -> dict[str, Any]:
        """What is other than in [merge], checked: of "5" it is 5.0."""
        given = self.model_extra or {}
        look = LookConfig.model_validate(given)
        return {key: getattr(look, key) for key in given}


class MergeConfig(LookConfig):
    """How the new face is put into the frame."""

    face: str = Field(
        "largest",
        pattern=_FACE,
        description="Which face of dst: largest, all, 'person N' or 'track N'.",
    )
    person: tuple[str, ...] = Field(
        (),
        description="N=skip, or N=FOLDER of the model for this person, in the workspace or not; "
        "N=model is the usual one. Once for each person.",
    )
    shot: tuple[ShotConfig, ...] = Field(
        (), description="Other settings for a range of frames; in config.toml only."
    )
    respect_masks: bool = Field(
        True, description="Paint only where the masks in aligned/mask/ are white, if there are any."
    )
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
    enhance: str = Field(
        "", description="An ONNX file that enlarges pictures, for the new face; empty: none."
    )
    stream: bool = Field(False, description="Encode at once, as [video] says, without frame files.")
    format: Literal["png", "jpg"] = Field("png", description="Of the merged frames; png is exact.")
    jpeg_quality: int = Field(98, ge=50, le=100, description="Of a jpg, always 4:4:4.")
    depth: Literal["auto", "8", "16"] = Field(
        "auto", description="Bits of the merged frames; auto: 16 if the footage has more than 8."
    )
    layer: bool = Field(
        False, description="Also write the new face alone, with its mask as alpha: merged_layer/."
    )
    batch_faces: int = Field(8, ge=1, le=256, description="Faces that go through at once.")
    device: DeviceName = Field("auto", description="Where the model runs.")

    @model_validator(mode="after")
    def _persons_are_told(self) -> Self:
        for told in self.person:
            if not re.match(_PERSON, told):
                raise ValueError(f"person {told!r}: give N=skip or N=FOLDER, e.g. 1=skip")
        return self


class VideoConfig(Section):
    """How the frames become a video."""

    codec: Literal["h264", "h265", "av1", "prores", "vp9", "ffv1"] = Field(
        "h264", description="Of the picture."
    )
    encoder: Literal["auto", "software", "nvenc", "qsv", "videotoolbox"] = Field(
        "software",
        description="Of the codec; auto: the hardware's, if there is one. What is not there is "
        "said, and done in software.",
    )
    crf: int = Field(
        16, ge=0, le=51, description="Quality: 0 is best, 51 is worst; one scale for all codecs."
    )
    preset: Literal[
        "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower"
    ] = Field("medium", description="Speed against size, in the words of x264.")
    depth: Literal["auto", "8", "10"] = Field(
        "auto",
        description="Bits; auto: 10 if the footage has more than 8, but of h264 and vp9, which "
        "are played in 8.",
    )
    container: Literal["mp4", "mkv", "mov", "webm"] = Field("mp4", description="Suffix of result.")
    sound: bool = Field(True, description="Take the sound of the dst video along.")
    tracks: bool = Field(True, description="Take subtitles, chapters and tags along.")
    alpha: bool = Field(
        False,
        description="Only the new face, transparent around it: prores in mov or mkv, vp9 in webm "
        "or mkv, ffv1 in mkv; needs merge --layer.",
    )
    sequence: Literal["none", "png", "png16", "tiff16", "exr"] = Field(
        "none", description="Also write numbered pictures and mattes, for compositors."
    )
    animation: Literal["none", "gif", "webp"] = Field(
        "none", description="Also write a small moving preview."
    )
    label: str = Field(
        "", max_length=80, description="Visible label in a corner of each frame; empty: none."
    )
    credentials: bool = Field(
        True, description="Sign the result with content credentials (C2PA): what was done to it."
    )
    certificate: str = Field(
        "", description="PEM file of your certificate chain; empty: one made on this machine."
    )
    private_key: str = Field("", description="PEM file of its private key.")
    segment: int = Field(
        250, ge=10, le=100_000, description="Frames encoded in one piece: what a kill can cost."
    )


CONTAINERS: tuple[str, ...] = get_args(VideoConfig.model_fields["container"].annotation)
"""Suffixes that a result may have, without the dot."""
