"""What all sections of the settings share."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

FaceTypeName = Literal["half", "mid_full", "full", "whole_face", "head"]
FACE_TYPE_ORDER: tuple[FaceTypeName, ...] = ("half", "mid_full", "full", "whole_face", "head")
DeviceName = Literal["auto", "cpu", "cuda"]


class Section(BaseModel):
    """Frozen, and closed: a misspelt key is an error, never a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")
