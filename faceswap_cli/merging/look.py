"""What is said about a face that is put into a frame: what was drawn, and how it shall look.

Erosion, growth and feather are in per cent of the face's size: `face_px`, the side of the
unit square of the mean face (see faces.templates) in frame pixels. It depends on brows, eyes,
nose and mouth corners together, so that it does not change when the jaw drops, and the
same number looks the same at every resolution of frame and model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.geometry import Similarity
from faceswap_cli.types import FloatImage, Points

FrameImage = NDArray[np.uint8] | NDArray[np.uint16]
"""(H, W, 3), red first; 16 bits where the footage has more than 8."""
MaskName = Literal["learned_src", "learned_dst", "seg_src", "seg_dst"]
"""What a network says of a crop. Of what was drawn: learned_src, seg_src; of what was there:
learned_dst, seg_dst."""
ModeName = Literal[
    "overlay", "hist", "seamless", "seamless+hist", "pyramid", "raw-face", "raw-mask"
]
ColourName = Literal["none", "rct", "lct", "mkl", "idt", "sot", "mix"]


@dataclass(frozen=True)
class Look:
    """How a face is put in; the fields and their units are those of config_merge.LookConfig."""

    mode: ModeName = "overlay"
    mask: str = "hull*learned"
    jaw: float = 0.0
    """How far the hull reaches below the jaw line, per cent."""
    shave: float = 0.0
    """How far below the jaw line a beard of the footage is hidden, per cent; 0: it is not."""
    grow: float = 0.0
    """Of the hull, before all else, per cent."""
    erode: float = 0.0
    """Of the mask, per cent; negative grows it."""
    erode_left: float = 0.0
    erode_right: float = 0.0
    erode_top: float = 0.0
    erode_bottom: float = 0.0
    feather: float = 0.0
    """Width of the fade at the edge, half of it inside, per cent."""
    feather_left: float = 0.0
    feather_right: float = 0.0
    feather_top: float = 0.0
    feather_bottom: float = 0.0
    profile_fade: float = 0.0
    """Yaw from which on the mask fades, degrees; 0 is never."""
    colour: ColourName = "rct"
    colour_from: Literal["skin", "mask"] = "skin"
    sharpen: float = 0.0
    """Amount of the unsharp mask; 0 is none."""
    match_sharpness: float = 0.0
    motion_blur: float = 0.0
    """1: as a shutter that is open for half of the time."""
    grain: float = 0.0
    jpeg: float = 0.0
    face_scale: float = 0.0
    """Per cent by which the new face is enlarged about its centre."""
    face_x: float = 0.0
    face_y: float = 0.0
    """Per cent of the face by which it is moved in the frame, upright axes of the frame."""
    light: Literal["linear", "signal"] = "signal"
    steady: float = 0.0
    deflicker: float = 0.0


@dataclass(frozen=True)
class Shown:
    """Where a face of the footage is really seen: not where a hand is in front of it."""

    mask: FloatImage
    """(H, W), 0..1."""
    mask_from_frame: Similarity

    def shifted(self, corner_xy: tuple[int, int]) -> "Shown":
        """Return the same in a part of the frame that begins at `corner_xy`."""
        return replace(self, mask_from_frame=self.mask_from_frame.after(_shift(corner_xy)))


@dataclass(frozen=True)
class Drawn:
    """A face that a model has drawn, and where it belongs."""

    face: FloatImage
    """(S, S, 3), RGB 0..1, colours already matched."""
    landmarks: Points
    """(68, 2), frame pixels."""
    crop_from_frame: Similarity
    """To the pixels of `face`."""
    face_px: float
    """Side of the mean face's unit square, frame pixels."""
    masks: Mapping[MaskName, FloatImage] = field(default_factory=dict)
    """(S, S), 0..1 each, in the pixels of `face`; what is not there counts as everywhere."""
    shown: Shown | None = None
    """None: all of it is."""
    pose_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Pitch, yaw, roll, as in FaceRecord."""
    motion_px: tuple[float, float] = (0.0, 0.0)
    """How far the face moves from one frame to the next, frame pixels."""
    plate: NDArray[np.float32] | None = None
    """What merging.plate.measure_plate found, smoothed over time; None: not looked for."""
    seed: int = 0
    """Of what is random, such as grain: another one in each frame."""

    def shifted(self, corner_xy: tuple[int, int]) -> "Drawn":
        """Return the same face in a part of the frame that begins at `corner_xy`."""
        if corner_xy == (0, 0):
            return self
        return replace(
            self,
            landmarks=self.landmarks - np.array(corner_xy),
            crop_from_frame=self.crop_from_frame.after(_shift(corner_xy)),
            shown=self.shown and self.shown.shifted(corner_xy),
        )


@dataclass(frozen=True)
class Box:
    """A rectangle of frame pixels, half-open; it may reach beyond the picture."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return self.right - self.left, self.bottom - self.top

    @property
    def box_from_frame(self) -> Similarity:
        """The shift to its own pixels."""
        return Similarity(np.array([[1.0, 0.0, -self.left], [0.0, 1.0, -self.top]]))

    def within(self, size_wh: tuple[int, int]) -> "Box":
        """Return the part inside a picture; it may be empty."""
        width, height = size_wh
        left, right = (min(max(x, 0), width) for x in (self.left, self.right))
        top, bottom = (min(max(y, 0), height) for y in (self.top, self.bottom))
        return Box(left, top, max(left, right), max(top, bottom))


def _shift(corner_xy: tuple[int, int]) -> Similarity:
    """Return frame_from_part."""
    return Similarity(np.array([[1.0, 0.0, corner_xy[0]], [0.0, 1.0, corner_xy[1]]]))
