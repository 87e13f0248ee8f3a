"""Every setting of the program: its name, unit, range and default. Nothing is set elsewhere.

The flags of the command line, the keys of the TOML files and the lines of `--help` are all
made from these classes. Precedence: default < --config FILE or preset < config.toml of the
workspace < flag.
"""

from typing import Self

from pydantic import model_validator

from faceswap_cli.config_evaluate import EvaluateConfig
from faceswap_cli.config_faces import ExtractConfig, InputConfig, MaskConfig, ScanConfig
from faceswap_cli.config_merge import LookConfig, MergeConfig, ShotConfig, VideoConfig
from faceswap_cli.config_section import FACE_TYPE_ORDER, DeviceName, FaceTypeName, Section
from faceswap_cli.config_train import STRUCTURE, TrainConfig

__all__ = [
    "FACE_TYPE_ORDER",
    "STRUCTURE",
    "Config",
    "DeviceName",
    "EvaluateConfig",
    "ExtractConfig",
    "FaceTypeName",
    "InputConfig",
    "LookConfig",
    "MaskConfig",
    "MergeConfig",
    "ScanConfig",
    "Section",
    "ShotConfig",
    "TrainConfig",
    "VideoConfig",
]


class Config(Section):
    """One section per stage; a stage is given its own section and no other."""

    input: InputConfig = InputConfig()
    extract: ExtractConfig = ExtractConfig()
    train: TrainConfig = TrainConfig()
    merge: MergeConfig = MergeConfig()
    video: VideoConfig = VideoConfig()
    mask: MaskConfig = MaskConfig()
    scan: ScanConfig = ScanConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

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
