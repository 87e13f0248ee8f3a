"""The lower face of a frame and what was drawn for it, upright and small: where beards are.

One pixel stands for so many per cent of the face that a jaw looks the same at every size and
turn of a head.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.geometry import Similarity, bounding_box, warp
from faceswap_cli.merging.light import signal_from_frame
from faceswap_cli.merging.look import Box, Drawn, FrameImage
from faceswap_cli.merging.regions import colour_region
from faceswap_cli.types import FloatImage, Points

CELL = 1.5
"""Per cent of the face that a pixel stands for; small faces are not enlarged."""
DETAIL = 0.7
"""Per cent of the face: hairs, and what is no larger."""
_LARGEST = 1000  # pixels of a side: no face looks like that
_SMALLEST = 0.1  # of a pixel for a per cent of the face
_LIGHTNESS = np.float32(0.45)
"""Light differs more along a jaw than beards do: of Lab, lightness counts less."""
_REACHING = np.interp(np.minimum(np.arange(17), 16 - np.arange(17)), [2, 4, 6], [0.0, 0.5, 1.0])
"""Of what the jaw is pushed outwards, at each of its points: beside the ears there is hair."""


@dataclass(frozen=True, eq=False)
class LowerFace:
    """All of it in its own pixels; lengths are given in per cent of the face."""

    footage: FloatImage
    """(H, W, 3), 0..1."""
    face: FloatImage
    """(H, W, 3): the new face in its place."""
    drawn: FloatImage
    """(H, W), 0..1: where a face was drawn at all."""
    shown: FloatImage
    """(H, W), 0..1: where it is seen."""
    points: Points
    """(68, 2)."""
    percent_px: float
    """A per cent of the face, pixels."""
    from_frame: Similarity
    frame: FrameImage
    """What it was cut out of, (height, width, 3)."""

    @cached_property
    def fine(self) -> tuple[FloatImage, Box]:
        """What is finer than DETAIL in the lightness of the frame, and where in it that is."""
        height, width = self.shape
        corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64) - 0.5
        detail_px = DETAIL * self.percent_px / self.from_frame.scale
        quad, size_wh = self.from_frame.inverse().apply(corners), self.frame.shape[1::-1]
        left, top, right, bottom = bounding_box(quad, size_wh, pad=4.0 * detail_px)
        part = signal_from_frame(self.frame[top:bottom, left:right])
        luma = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)
        luma -= cv2.GaussianBlur(luma, (0, 0), max(detail_px, 0.3))
        return np.asarray(luma, np.float32), Box(left, top, right, bottom)

    @cached_property
    def rough(self) -> FloatImage:
        """Standard deviation of what is finer than DETAIL, as hairs are, (H, W), 0..1."""
        fine, box = self.fine
        from_part = self.from_frame.after(box.box_from_frame.inverse())
        energy = warp(np.square(fine), from_part, size_wh=self.shape[::-1])
        return np.asarray(np.sqrt(self.soft(energy, 2.0 * DETAIL).clip(0.0)), np.float32)

    @cached_property
    def skin_rough(self) -> np.float32:
        """The same of bare skin."""
        return np.float32((self.rough * self.bare).sum() / max(float(self.bare.sum()), 1e-6))

    @cached_property
    def bare(self) -> FloatImage:
        """Where anybody's skin is bare, and seen, (H, W), 0..1."""
        height, width = self.shape
        return colour_region(self.points, max(height, width))[:height, :width] * self.shown

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return self.drawn.shape[0], self.drawn.shape[1]

    def jaw(self, by: float) -> FloatImage:
        """Draw what is inside of the jaw line pushed outwards, (H, W), 0..1.

        Args:
            by: So far; outwards only where a beard hangs over the edge, inwards everywhere.
        """
        share = _REACHING[:, None] if by > 0.0 else 1.0
        return self.inside(self.points[:17] + by * share * self._outwards)

    @cached_property
    def _outwards(self) -> Points:
        """Where points of the jaw are pushed by one per cent of the face, (17, 2)."""
        outwards = self.points[:17] - self.points[33]
        length = np.maximum(np.linalg.norm(outwards, axis=1, keepdims=True), 1e-9)
        return np.asarray(outwards * (self.percent_px / length), np.float64)

    def around(self, indices: range, *, factor: float) -> FloatImage:
        """Draw the hull of some landmarks, larger than it is, (H, W), 0..1."""
        points = self.points[list(indices)]
        larger = points.mean(axis=0) + factor * (points - points.mean(axis=0))
        return self.inside(cv2.convexHull(larger.astype(np.float32)).reshape(-1, 2))

    def inside(self, outline: NDArray[np.floating]) -> FloatImage:
        """Draw the inside of an outline, (N, 2), anti-aliased: (H, W), 0..1."""
        image = np.zeros(self.shape, np.uint8)
        fixed = np.rint(np.clip(outline, -1e4, 1e4) * 16.0).astype(np.int32).reshape(-1, 1, 2)
        cv2.fillPoly(image, [fixed], (255,), cv2.LINE_AA, 4)
        return np.asarray(image * np.float32(1.0 / 255.0), np.float32)

    def below_ears(self, start: float, end: float) -> FloatImage:
        """Return 0 down to `start` below the middle of the ears, 1 from `end` on; (H, W)."""
        middle = (self.points[2] + self.points[14]) / 2.0
        down = self.points[8] - self.points[27]
        down = down / max(float(np.linalg.norm(down)), 1e-9) / self.percent_px
        rows, columns = (np.arange(length) for length in self.shape)
        depth = (rows[:, None] - middle[1]) * down[1] + (columns - middle[0]) * down[0]
        return ramp(np.asarray(depth, np.float32), start, end)

    def soft(self, image: FloatImage, by: float) -> FloatImage:
        """Blur an image, `by` being the standard deviation."""
        sigma = max(0.3, by * self.percent_px)
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)

    def disc(self, radius: float) -> NDArray[np.uint8]:
        """Return what morphology looks at."""
        size = 2 * round(radius * self.percent_px) + 1
        return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)

    def spread(
        self, values: FloatImage, weight: FloatImage, *, by: float, tail: float = 1e-3
    ) -> FloatImage:
        """Carry values from where there is weight to everywhere.

        Args:
            values: (H, W, C), C up to 4.
            weight: (H, W).
            by: What is nearer than that is mixed; further off, what is nearest counts.
            tail: How much all that is three times as far counts in any case.

        Returns:
            (H, W, C); zero if there is no weight anywhere.
        """
        by_px = by * self.percent_px
        fewer = max(1.0, by_px)  # so that a pixel of what is blurred is no larger than that
        size_wh = tuple(max(1, round(length / fewer)) for length in self.shape[::-1])
        both = (values * weight[..., None], weight)
        above, below = (
            _spread(cv2.resize(part, size_wh, interpolation=cv2.INTER_AREA), by_px / fewer, tail)
            for part in both
        )
        found = above.reshape(*below.shape, -1) / np.maximum(below[..., None], np.float32(1e-20))
        full = cv2.resize(found, self.shape[::-1], interpolation=cv2.INTER_CUBIC)
        return np.asarray(full, np.float32).reshape(*self.shape, -1)


def cut_lower_face(frame: FrameImage, drawn: Drawn, *, reach: float) -> LowerFace | None:
    """Cut the lower face out of a frame; None if it is too small, or not in the picture.

    Args:
        frame: (H, W, 3), 8 or 16 bits.
        drawn: In its pixels.
        reach: How far it shows what is beyond the jaw, per cent of the face.
    """
    scale = min(1.0, 100.0 / CELL / max(drawn.face_px, 1e-6))
    percent_px = scale * drawn.face_px / 100.0
    linear = drawn.crop_from_frame.matrix[:, :2] * (scale / drawn.crop_from_frame.scale)
    line = drawn.landmarks[:17] @ linear.T
    pad = reach * percent_px
    # It begins at the jaw, not at a pixel of the frame: it goes along with the face.
    low, high = line.min(axis=0) - pad, line.max(axis=0) + pad
    in_picture = (drawn.landmarks[:17] >= 0.0) & (drawn.landmarks[:17] < frame.shape[1::-1])
    if percent_px < _SMALLEST or (high - low).max() > _LARGEST or not in_picture.all(axis=1).any():
        return None
    from_frame = Similarity(np.column_stack([linear, -low]))
    from_crop = from_frame.after(drawn.crop_from_frame.inverse())
    size_wh = (math.ceil(high[0] - low[0]), math.ceil(high[1] - low[1]))
    everywhere = np.ones(drawn.face.shape[:2], np.float32)
    outline = warp(
        drawn.masks.get("learned_src", everywhere), from_crop, size_wh=size_wh, border=0.0
    )
    return LowerFace(
        footage=signal_from_frame(warp(frame, from_frame, size_wh=size_wh)),
        face=np.asarray(warp(drawn.face, from_crop, size_wh=size_wh), np.float32),
        drawn=np.asarray(outline, np.float32),
        shown=_shown(drawn, from_frame, size_wh),
        points=from_frame.apply(drawn.landmarks),
        percent_px=percent_px,
        from_frame=from_frame,
        frame=frame,
    )


def _shown(drawn: Drawn, from_frame: Similarity, size_wh: tuple[int, int]) -> FloatImage:
    """Return where no hand is known to be before the face, (height, width), 0..1."""
    shown = np.ones(size_wh[::-1], np.float32)
    if drawn.shown is not None:
        from_mask = from_frame.after(drawn.shown.mask_from_frame.inverse())
        shown *= warp(drawn.shown.mask, from_mask, size_wh=size_wh).clip(0.0, 1.0)
    if "seg_dst" in drawn.masks:
        from_crop = from_frame.after(drawn.crop_from_frame.inverse())
        shown *= warp(drawn.masks["seg_dst"], from_crop, size_wh=size_wh).clip(0.0, 1.0)
    return shown


def _spread(image: FloatImage, sigma: float, tail: float) -> FloatImage:
    """Blur an image three times as far again and again, each time with less weight."""
    found = image.mean(axis=(0, 1), keepdims=True).reshape(1, 1, -1) * np.float32(1e-9)
    found = np.asarray(found + np.zeros_like(image).reshape(*image.shape[:2], -1), np.float32)
    size_wh = (image.shape[1], image.shape[0])
    for times in range(3):
        blurred = cv2.GaussianBlur(image, (0, 0), max(0.3, sigma))
        full = cv2.resize(blurred, size_wh).reshape(found.shape)
        found += np.float32(tail**times) * full
        fewer_wh = [max(1, round(length / 3)) for length in image.shape[1::-1]]
        image = np.asarray(cv2.resize(blurred, fewer_wh, interpolation=cv2.INTER_AREA), np.float32)
    return found.reshape(size_wh[1], size_wh[0], -1).squeeze()


def ramp(values: FloatImage | np.float32, start: float, end: float) -> FloatImage:
    """Return 0 up to `start` and 1 from `end` on, smooth between."""
    share = np.clip((values - np.float32(start)) * np.float32(1.0 / (end - start)), 0.0, 1.0)
    return np.asarray(share * share * (np.float32(3.0) - np.float32(2.0) * share), np.float32)


def seen_colours(image: FloatImage) -> FloatImage:
    """Return colours in CIE Lab, lightness made less of; (H, W, 3)."""
    lab = np.asarray(cv2.cvtColor(image.clip(0.0, 1.0), cv2.COLOR_RGB2Lab), np.float32)
    lab[..., 0] *= _LIGHTNESS
    return lab


def squares(image: FloatImage) -> FloatImage:
    """Return the sum of the squares of the channels, (..., C) to (...)."""
    return np.asarray(np.einsum("...i,...i->...", image, image), np.float32)
