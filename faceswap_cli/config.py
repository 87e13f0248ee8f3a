"""Every setting of the program: its name, unit, range and default. Nothing is set elsewhere.

The flags of the command line, the keys of the TOML files and the lines of `--help` are all
made from these classes. Precedence: default < --config FILE or preset < config.toml of the
workspace < flag.
"""

from fractions import Fraction
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

FaceTypeName = Literal["half", "mid_full", "full", "whole_face", "head"]
FACE_TYPE_ORDER: tuple[FaceTypeName, ...] = ("half", "mid_full", "full", "whole_face", "head")
DeviceName = Literal["auto", "cpu", "cuda"]
_FACE = r"^(largest|all|track \d{1,6})$"
_RATE = r"^\d{1,6}(/\d{1,6})?$"
_SPAN = r"^$|^\d*\.?\d*-\d*\.?\d*$"


class Section(BaseModel):
    """Frozen, and closed: a misspelt key is an error, never a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
    min_score: float = Field(0.5, ge=0, le=1, description="Weaker detections are dropped.")
    min_face_px: int = Field(24, ge=8, le=4096, description="Shorter side of the face box, pixels.")
    max_faces: int = Field(0, ge=0, le=1000, description="Largest faces kept a frame; 0: all.")
    overlay: bool = Field(False, description="Also draw landmarks into aligned_debug/.")
    batch_frames: int = Field(8, ge=1, le=256, description="Frames that go through at once.")
    device: DeviceName = Field("auto", description="Where the networks run.")


class TrainConfig(Section):
    """What is trained, and for how long."""

    model: Literal["df", "liae"] = Field(
        "liae", description="df keeps more of the src face, liae more of the dst light and pose."
    )
    options: str = Field(
        "ud",
        pattern=r"^u?d?t?c?$",
        description="u: normalised code, d: half the cost, t: more detail, c: cosine activation.",
    )
    resolution: int = Field(128, ge=16, le=640, multiple_of=16, description="Of the model, pixels.")
    face_type: FaceTypeName = Field("full", description="What the model sees of the head.")
    ae_dims: int = Field(256, ge=8, le=1024, description="Width of the bottleneck.")
    e_dims: int = Field(64, ge=4, le=256, multiple_of=2, description="Width of the encoder.")
    d_dims: int = Field(64, ge=4, le=256, multiple_of=2, description="Width of the decoders.")
    d_mask_dims: int = Field(22, ge=2, le=256, multiple_of=2, description="Of the mask decoders.")
    iterations: int = Field(200_000, ge=1, le=10_000_000, description="Length of the training.")
    hours: float = Field(0.0, ge=0, le=10_000, description="Stop after so many hours; 0: no limit.")
    batch_size: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = Field(
        8, description="Faces of each side an iteration; auto: what fits the GPU, 8 on a CPU."
    )
    micro_batch: int = Field(
        0,
        ge=0,
        le=4096,
        description="Faces of each side computed at once, gradients are summed; 0: the whole "
        "batch, halved where memory runs out.",
    )
    recompute: bool = Field(
        False, description="Compute activations twice instead of keeping them: less memory."
    )
    init: Literal["faces", "glorot"] = Field(
        "faces", description="First weights: fitted to the faces (learns sooner), or Glorot's."
    )
    learning_rate: float = Field(2e-4, gt=0, le=0.1, description="Peak step of AdamW.")
    warmup: int = Field(100, ge=0, le=1_000_000, description="Iterations until the peak.")
    final_rate: float = Field(0.05, ge=0, le=1, description="Last rate, as a share of the peak.")
    clip_norm: float = Field(1.0, ge=0, le=1000, description="Of the gradient; 0: no clipping.")
    ema_half_life: float = Field(
        200, ge=0, le=1_000_000, description="Of the averaged weights, iterations; 0: no average."
    )
    dssim: float = Field(10.0, ge=0, le=1000, description="Weight of the structure loss.")
    mse: float = Field(10.0, ge=0, le=1000, description="Weight of the colour loss.")
    mask: float = Field(10.0, ge=0, le=1000, description="Weight of the mask loss.")
    move: float = Field(
        1.0, ge=0, le=1, description="Strength of the random rotation, zoom and shift."
    )
    eyes_mouth: float = Field(
        100.0, ge=0, le=10_000, description="Weight of the colour of eyes and mouth: gaze, lips."
    )
    warp: float = Field(1.0, ge=0, le=2, description="Strength of the random warp; 0: none.")
    warp_until: float = Field(
        0.7, ge=0, le=1, description="Share of the iterations with warp; the rest sharpens."
    )
    src_flip: bool = Field(False, description="Mirror src faces at random.")
    dst_flip: bool = Field(True, description="Mirror dst faces at random.")
    colour_shift: float = Field(
        0.05, ge=0, le=0.5, description="Random shift of brightness, contrast, saturation, balance."
    )
    hue_shift: float = Field(0.0, ge=0, le=60, description="Random turn of the hue, degrees.")
    colour_from_dst: Literal["none", "rct", "lct", "mkl", "idt", "sot"] = Field(
        "none", description="Give src faces the colours of random dst faces, by this method."
    )
    damage: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the given pictures that are blurred, noised, compressed: poor dst.",
    )
    uniform_yaw: bool = Field(False, description="Show profiles as often as frontal faces.")
    jaw: float = Field(
        12.0, ge=0, le=50, description="Learn this much below the jaw line too, % of the face."
    )
    save_every: int = Field(500, ge=1, le=1_000_000, description="Between checkpoints, iterations.")
    preview_every: int = Field(500, ge=1, le=1_000_000, description="Between previews, iterations.")
    keep_checkpoints: int = Field(2, ge=1, le=1000, description="Newest checkpoints kept.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 where the hardware computes it, else fp32."
    )
    device: DeviceName = Field("auto", description="Where it trains.")
    compile: Literal["auto", "on", "off", "graphs"] = Field(
        "auto",
        description="torch.compile: auto is on for CUDA; graphs: with CUDA graphs, small models.",
    )
    devices: int = Field(
        1, ge=0, le=64, description="GPUs that train together, on a CPU processes; 0: all GPUs."
    )
    shard_optimizer: bool = Field(
        False, description="Divide the state of the optimiser among the devices: less memory each."
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Same seed, same run.")

    @property
    def batch(self) -> int:
        """batch_size as a number; `auto` must have been resolved before."""
        if self.batch_size == "auto":
            raise ValueError("batch_size is still auto")
        return self.batch_size


class MergeConfig(Section):
    """How the new face is put into the frame."""

    face: str = Field(
        "largest", pattern=_FACE, description="Which face of dst: largest, all, or 'track N'."
    )
    mask: Literal["hull*learned", "hull", "learned"] = Field(
        "hull*learned", description="Where the new face is painted."
    )
    jaw: float = Field(
        8.0, ge=0, le=50, description="Reach this much below the jaw line: a beard; % of the face."
    )
    grow: float = Field(0.0, ge=-50, le=50, description="Grow the hull first, % of the face.")
    erode: float = Field(1.0, ge=-50, le=50, description="Shrink the mask, % of the face.")
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
