"""The settings of a training, by what they are about."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from faceswap_cli.config_section import DeviceName, FaceTypeName, Section

FIXED: dict[str, dict[str, Any]] = {
    "quick96": {
        "resolution": 96,
        "options": "ud",
        "face_type": "full",
        "ae_dims": 128,
        "e_dims": 64,
        "d_dims": 64,
        "d_mask_dims": 16,
    },
    "amp": {"options": "udt"},
    "original": {"resolution": 64, "options": "", "ae_dims": 1024, "e_dims": 128, "d_dims": 64},
}
"""Models of one size: what they are, whatever the defaults of the others are."""


class ModelShape(Section):
    """What is trained: none of it can change half-way."""

    model: Literal["df", "liae", "quick96", "amp", "original"] = Field(
        "liae",
        description="df keeps more of the src face, liae more of the dst light and pose; "
        "quick96: a small df; amp: from dst to src by --morph; original: faceswap's, 64 px.",
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
    inter_dims: int = Field(1024, ge=8, le=2048, description="Width of what amp mixes.")

    @model_validator(mode="before")
    @classmethod
    def _models_of_one_size(cls, given: Any) -> Any:
        """Fill in what the model settles; who asks it for something else is told."""
        if not isinstance(given, dict):
            return given
        fixed = FIXED.get(str(given.get("model")), {})
        for key, value in fixed.items():
            if given.get(key, value) != value:
                raise ValueError(
                    f"train.{key}={given[key]!r}: model {given['model']} always has {value!r}; "
                    f"leave {key} out"
                )
        return given | fixed


STRUCTURE = tuple(ModelShape.model_fields)
"""Settings that cannot change half-way."""


class LossSettings(Section):
    """What a training is after: the weight of each term, 0 leaves it out."""

    dssim: float = Field(10.0, ge=0, le=1000, description="Weight of the structure loss.")
    ms_ssim: float = Field(
        0.0, ge=0, le=1000, description="Weight of structure at five scales, from fine to coarse."
    )
    mse: float = Field(10.0, ge=0, le=1000, description="Weight of the colour loss.")
    texture: float = Field(
        0.0, ge=0, le=1000, description="Weight of having as much fine detail; try 100."
    )
    texture_from: float = Field(
        0.5, ge=0, le=1, description="Share of the iterations after which that counts."
    )
    mask: float = Field(10.0, ge=0, le=1000, description="Weight of the mask loss.")
    eyes_mouth: float = Field(
        100.0, ge=0, le=10_000, description="Weight of the colour of eyes and mouth: gaze, lips."
    )
    perceptual: float = Field(
        0.0, ge=0, le=1000, description="Weight of what a picture network sees (VGG-16)."
    )
    perceptual_weights: str = Field(
        "", description="File of VGG-16 weights (.pth or .safetensors); empty: torchvision's."
    )
    identity: float = Field(
        0.0, ge=0, le=1000, description="Weight of the swap's code being like that of src faces."
    )
    true_face: float = Field(
        0.0, ge=0, le=10, description="Weight of fooling a judge of codes (df, quick96); try 0.01."
    )
    face_style: float = Field(
        0.0, ge=0, le=100, description="Weight of the swap having dst's light; start with 0.001."
    )
    background_style: float = Field(
        0.0, ge=0, le=100, description="Weight of the swap's surroundings being dst's; try 2."
    )
    gan: float = Field(
        0.0, ge=0, le=10, description="Weight of fooling a judge of pictures: detail; try 0.1."
    )
    gan_patch: int = Field(
        0, ge=0, le=640, description="What that judge sees at once, pixels; 0: resolution / 8."
    )
    gan_dims: int = Field(16, ge=4, le=512, description="Width of that judge.")
    blur_out_mask: bool = Field(
        False, description="Blur what lies around the faces before learning them."
    )
    mix_codes: bool = Field(
        True, description="liae: draw each dst face with the B code of another; lips follow better."
    )
    morph: float = Field(
        0.5, ge=0.1, le=0.9, description="amp: share of src's channels in training."
    )


class StepSettings(Section):
    """How a training gets there."""

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
    init_from: str = Field(
        "", description="Begin with the weights of another model: its folder or checkpoint."
    )
    pretrain: str = Field(
        "", description="Folder of any aligned faces: learn faces in general into pretrained/."
    )
    freeze: str = Field(
        "", pattern=r"^[\w ]*$", description="Networks that stay as they are: 'encoder inter_AB'."
    )
    optimizer: Literal["adamw", "adabelief", "rmsprop"] = Field(
        "adamw", description="The latter two as in DeepFaceLab."
    )
    learning_rate: float = Field(2e-4, gt=0, le=0.1, description="Peak of the step size.")
    weight_decay: float = Field(0.0, ge=0, le=1, description="Pull towards zero (adamw).")
    schedule: Literal["cosine", "constant", "cycles"] = Field(
        "cosine", description="How the rate goes on from its peak; cycles: down and up again."
    )
    cycle: int = Field(500, ge=2, le=1_000_000, description="Length of a cycle, iterations.")
    warmup: int = Field(100, ge=0, le=1_000_000, description="Iterations until the peak.")
    final_rate: float = Field(0.05, ge=0, le=1, description="Last rate, as a share of the peak.")
    lr_dropout: float = Field(
        0.0, ge=0, le=0.95, description="Share of the weights that a step leaves out; try 0.7."
    )
    clip_norm: float = Field(1.0, ge=0, le=1000, description="Of the gradient; 0: no clipping.")
    clip_quantile: float = Field(
        0.0, ge=0, le=1, description="Clip to this quantile of the last 1000 norms; 0: do not."
    )
    ema_half_life: float = Field(
        200, ge=0, le=1_000_000, description="Of the averaged weights, iterations; 0: no average."
    )


class FaceSettings(Section):
    """How the faces are shown."""

    move: float = Field(
        1.0, ge=0, le=1, description="Strength of the random rotation, zoom and shift."
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
    bend: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of src faces bent to the shape of a dst face: what src never did.",
    )
    uniform_yaw: bool = Field(False, description="Show profiles as often as frontal faces.")
    jaw: float = Field(
        12.0, ge=0, le=50, description="Learn this much below the jaw line too, % of the face."
    )


class RunSettings(Section):
    """What is kept, what happens when it goes wrong, and where it runs."""

    save_every: int = Field(500, ge=1, le=1_000_000, description="Between checkpoints, iterations.")
    preview_every: int = Field(500, ge=1, le=1_000_000, description="Between previews, iterations.")
    keep_checkpoints: int = Field(
        2, ge=1, le=1000, description="Newest checkpoints kept, besides the best."
    )
    keep_hours: float = Field(
        0.0, ge=0, le=10_000, description="Also keep one of every so many hours; 0: none."
    )
    rollbacks: int = Field(
        3, ge=0, le=100, description="Times that a training gone wrong goes back, at most."
    )
    rollback_rate: float = Field(
        0.5, gt=0, le=1, description="The rate after each going back, as a share of before."
    )
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


JUDGED_CODE = ("df", "quick96")
"""Models with one bottleneck for both sides, as the term true_face needs it."""
NO_MASK = ("original",)
WHOLE_PICTURE = ("dssim", "ms_ssim", "mse", "perceptual")


class TrainConfig(RunSettings, FaceSettings, StepSettings, LossSettings, ModelShape):
    """What is trained, and for how long."""

    @property
    def batch(self) -> int:
        """batch_size as a number; `auto` must have been resolved before."""
        if self.batch_size == "auto":
            raise ValueError("batch_size is still auto")
        return self.batch_size

    @model_validator(mode="after")
    def _terms_fit_the_model(self) -> Self:
        """Refuse what a model has no part for, and a training that learns no picture."""
        if self.true_face > 0 and self.model not in JUDGED_CODE:
            raise ValueError(
                f"train.true_face={self.true_face:g}: model {self.model} draws no code of both "
                f"sides alike; set true_face to 0, or model to {' or '.join(JUDGED_CODE)}"
            )
        if self.background_style > 0 and self.model in NO_MASK:
            raise ValueError(
                f"train.background_style={self.background_style:g}: model {self.model} draws no "
                "mask, so that nothing is outside of it; set background_style to 0"
            )
        if not any(getattr(self, term) > 0 for term in WHOLE_PICTURE):
            raise ValueError(
                f"train.{', train.'.join(WHOLE_PICTURE)} are all 0: nothing teaches what a face "
                "looks like; leave one of them on"
            )
        return self
