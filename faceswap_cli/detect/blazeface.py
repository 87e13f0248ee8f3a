"""BlazeFace, full range: where the faces of a frame are.

Google's MediaPipe model, 192 x 192 pixels in, one candidate for each cell of a 48 x 48
grid. The net is fully convolutional, so that a larger canvas gives a larger grid: that is
how small faces are found.
"""

# Shape suffixes: B batch, C channels, H, W = canvas, h = H / 4, w = W / 4.

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from faceswap_cli.detect import Detection, SearchMode
from faceswap_cli.detect.layers import SameConv, load_weights, pad_channels
from faceswap_cli.types import RgbImage

WEIGHTS_FILE = "blazeface_full_range.safetensors"
STRIDE_PX = 4
"""Side of a grid cell, canvas pixels."""
CANVAS_STEP_PX = 32
"""The coarsest of the net's maps: the sides of a canvas are multiples of it."""
FIRST_LOOK_PX = 192
"""Longer side of the frame on the canvas, MediaPipe's choice: faces of 6 to 50 % of it."""
WIDE_LOOKS_PX = (96, 480, 1152)
"""Further looks: for faces that fill the frame, of 3 to 20 % of it, and of 1.7 to 8 %."""
SAME_FACE_OVERLAP = 0.3
"""Intersection over union; MediaPipe's min_suppression_threshold."""
MAX_BATCH_PIXELS = 16 * 192 * 192
"""Canvas pixels in one run of the net: 16 frames of the first look, about 200 MB."""

Look = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Scores (N,) and points (N, 8, 2) of the candidates: top left, bottom right, key points."""


class DoubleBlock(nn.Module):
    """Two depthwise-separable convolutions through a bottleneck, and a skip connection."""

    def __init__(self, c_in: int, c_mid: int, c_out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.depthwise_in = SameConv(c_in, c_in, stride=stride, groups=c_in)
        self.squeeze = nn.Conv2d(c_in, c_mid, 1)
        self.depthwise_mid = SameConv(c_mid, c_mid, groups=c_mid)
        self.expand = nn.Conv2d(c_mid, c_out, 1)
        self.stride, self.c_out = stride, c_out

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, H / stride, W / stride)."""
        branch = F.relu_(self.squeeze(self.depthwise_in(image_BCHW)))
        branch = self.expand(self.depthwise_mid(branch))
        skip = F.max_pool2d(image_BCHW, 2) if self.stride == 2 else image_BCHW
        return F.relu_(branch.add_(pad_channels(skip, self.c_out)))


class UpBlock(nn.Module):
    """Joins a coarse map with the finer one of the way down."""

    def __init__(self, c_coarse: int, c_fine: int, c_mid: int, c_out: int, depth: int) -> None:
        super().__init__()
        self.from_coarse = nn.Conv2d(c_coarse, c_out, 1)
        self.from_fine = nn.Conv2d(c_fine, c_out, 1)
        self.blocks = nn.Sequential(*(DoubleBlock(c_out, c_mid, c_out) for _ in range(depth)))

    def forward(self, coarse_BCHW: Tensor, fine_BCHW: Tensor) -> Tensor:
        """(B, c_coarse, H, W), (B, c_fine, 2 H, 2 W) -> (B, c_out, 2 H, 2 W)."""
        coarse = F.relu_(self.from_coarse(coarse_BCHW))
        raised = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
        joined: Tensor = self.blocks(F.relu_(self.from_fine(fine_BCHW)).add_(raised))
        return joined


class BlazeFace(nn.Module):
    """The full-range face detector.

    The modules stand in the order in which the original graph runs them: the converter
    relies on it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, 32, stride=2)
        self.down4 = nn.Sequential(
            DoubleBlock(32, 8, 32),
            DoubleBlock(32, 8, 32),
            DoubleBlock(32, 12, 48, stride=2),
            DoubleBlock(48, 12, 48),
            DoubleBlock(48, 16, 64),
        )
        self.down8 = nn.Sequential(
            DoubleBlock(64, 24, 96, stride=2), DoubleBlock(96, 32, 128), DoubleBlock(128, 32, 128)
        )
        self.down16 = nn.Sequential(
            DoubleBlock(128, 36, 144, stride=2),
            DoubleBlock(144, 48, 192),
            DoubleBlock(192, 64, 256),
        )
        self.down32 = nn.Sequential(
            DoubleBlock(256, 96, 384, stride=2), *(DoubleBlock(384, 96, 384) for _ in range(3))
        )
        self.up16 = UpBlock(384, 256, 48, 96, depth=2)
        self.up8 = UpBlock(96, 128, 32, 64, depth=2)
        self.up4 = UpBlock(64, 64, 24, 48, depth=1)
        self.score = nn.Conv2d(48, 1, 1)
        self.box = nn.Conv2d(48, 16, 1)

    def forward(self, canvas_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Score every cell.

        Args:
            canvas_B3HW: (B, 3, H, W), RGB in -1..1; H and W multiples of 32.

        Returns:
            Logits (B, h, w), and (B, h, w, 8, 2): the centre of the box, its size and six
            key points, (x, y) in canvas pixels; all but the size are relative to the
            centre of the cell.
        """
        if canvas_B3HW.shape[1] != 3 or canvas_B3HW.shape[2] % 32 or canvas_B3HW.shape[3] % 32:
            raise ValueError(f"want (B, 3, 32 i, 32 j), got {tuple(canvas_B3HW.shape)}")
        at4 = self.down4(F.relu_(self.stem(canvas_B3HW)))
        at8 = self.down8(at4)
        at16 = self.down16(at8)
        joined = self.up4(self.up8(self.up16(self.down32(at16), at16), at8), at4)
        score_B1hw, box_BChw = self.score(joined), self.box(joined)
        return score_B1hw[:, 0], box_BChw.permute(0, 2, 3, 1).unflatten(-1, (8, 2))


@dataclass(frozen=True)
class Canvas:
    """A frame, fitted into the middle of a black canvas."""

    image: RgbImage
    """(H, W, 3), sides multiples of CANVAS_STEP_PX."""
    factors: NDArray[np.float64]
    """(2,): canvas pixels per frame pixel, x and y."""
    corner: NDArray[np.float64]
    """(2,): where the corner of the frame lies, canvas pixels from the corner of the canvas."""

    @classmethod
    def fit(cls, frame: RgbImage, long_px: int) -> "Canvas":
        """Resize a frame so that its longer side is `long_px`, or leave it if it is smaller.

        Frames below the size of the first look are enlarged to that: small pictures hold
        faces as large as others do.
        """
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
            raise ValueError(f"want a frame of (H, W, 3), got {frame.shape}")
        height, width = frame.shape[:2]
        factor = min(long_px, max(height, width, FIRST_LOOK_PX)) / max(height, width)
        size_wh = max(1, round(width * factor)), max(1, round(height * factor))
        canvas_wh = [math.ceil(side / CANVAS_STEP_PX) * CANVAS_STEP_PX for side in size_wh]
        left, top = ((c - s) // 2 for c, s in zip(canvas_wh, size_wh, strict=True))
        # INTER_AREA averages when it shrinks; when it enlarges it only repeats pixels.
        filter_ = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        image = np.zeros((canvas_wh[1], canvas_wh[0], 3), np.uint8)
        fitted = cv2.resize(frame, dsize=size_wh, interpolation=filter_)
        image[top : top + size_wh[1], left : left + size_wh[0]] = fitted
        factors = np.array([size_wh[0] / width, size_wh[1] / height])
        return cls(image, factors, np.array([left, top], float))


def decode(
    logits_hw: NDArray[np.float32], boxes_hw82: NDArray[np.float32], min_score: float
) -> Look:
    """Read the candidates off the grid.

    Args:
        logits_hw: (h, w), see BlazeFace.forward.
        boxes_hw82: (h, w, 8, 2), see BlazeFace.forward.
        min_score: 0..1.

    Returns:
        Scores (N,), and (N, 8, 2): top left, bottom right and six key points, (x, y) in
        canvas pixels from the corner of the canvas.
    """
    scores = 1.0 / (1.0 + np.exp(-np.clip(logits_hw.astype(np.float64), -80, 80)))
    rows, columns = np.nonzero(scores >= min_score)
    points = boxes_hw82[rows, columns].astype(np.float64)
    half = points[:, 1] / 2
    cell_centre = (np.stack([columns, rows], axis=-1) + 0.5) * STRIDE_PX
    points += cell_centre[:, None]
    points[:, 0], points[:, 1] = points[:, 0] - half, points[:, 0] + half
    whole = (half > 0).all(axis=-1)
    return scores[rows, columns][whole], points[whole]


def overlaps(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the intersection over union of a box (2, 2) with each of (N, 2, 2)."""
    sides = np.minimum(box[1], boxes[:, 1]) - np.maximum(box[0], boxes[:, 0])
    shared = sides.clip(min=0).prod(axis=-1)
    return np.asarray(shared / ((box[1] - box[0]).prod() + np.ptp(boxes, 1).prod(-1) - shared))


def merge_candidates(
    scores: NDArray[np.float64], points: NDArray[np.float64]
) -> list[tuple[float, NDArray[np.float64]]]:
    """Average the candidates that overlap the best one, weighted by their scores; repeat.

    Args:
        scores: (N,).
        points: (N, 8, 2): top left, bottom right, key points.

    Returns:
        The best score and the mean points (8, 2) of each face, best first.

    Source:
        MediaPipe, non_max_suppression_calculator.cc, algorithm WEIGHTED.
    """
    order = np.argsort(-scores, kind="stable")
    scores, points = scores[order], points[order]
    faces = []
    while len(scores):
        same = overlaps(points[0, :2], points[:, :2]) > SAME_FACE_OVERLAP
        same[0] = True  # also when the box is so thin that its overlap is not a number
        mean = np.average(points[same], axis=0, weights=scores[same])
        faces.append((float(scores[0]), mean))
        scores, points = scores[~same], points[~same]
    return faces


class BlazeFaceDetector:
    """Finds faces, see `build_detector`."""

    def __init__(self, *, device: str, min_score: float, wide_search: SearchMode) -> None:
        net = BlazeFace()
        self.name = load_weights(net, WEIGHTS_FILE)
        self._net = net.eval().to(device).to(memory_format=torch.channels_last)
        self._device, self._min_score, self._wide_search = device, min_score, wide_search

    def detect(self, frames: Sequence[RgbImage]) -> list[list[Detection]]:
        """Return the faces of each frame, best first."""
        found = [[look] for look in self._look(frames, FIRST_LOOK_PX)]
        for long_px in WIDE_LOOKS_PX:
            again = [index for index, looks in enumerate(found) if self._is_wanted(looks)]
            more = self._look([frames[index] for index in again], long_px)
            for index, look in zip(again, more, strict=True):
                found[index].append(look)
        return [_detections(looks) for looks in found]

    def _is_wanted(self, looks: Sequence[Look]) -> bool:
        """Return whether a frame is looked at once more."""
        if self._wide_search == "auto":
            return not any(len(scores) for scores, _ in looks)
        return self._wide_search == "always"

    def _look(self, frames: Sequence[RgbImage], long_px: int) -> list[Look]:
        """Return each frame's candidates: scores (N,) and points (N, 8, 2), frame pixels."""
        canvases = [Canvas.fit(frame, long_px) for frame in frames]
        looks = []
        for shape, group in groupby(canvases, key=lambda canvas: canvas.image.shape):
            alike = list(group)
            batch = max(1, MAX_BATCH_PIXELS // (shape[0] * shape[1]))
            for start in range(0, len(alike), batch):
                looks += self._run(alike[start : start + batch])
        return looks

    @torch.inference_mode()
    def _run(self, canvases: list[Canvas]) -> list[Look]:
        pixels = torch.from_numpy(np.stack([canvas.image for canvas in canvases]))
        canvas_B3HW = pixels.to(self._device).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        outputs = (output.float().cpu().numpy() for output in self._net(canvas_B3HW))
        looks = []
        for canvas, logits, boxes in zip(canvases, *outputs, strict=True):
            scores, points = decode(logits, boxes, self._min_score)
            # From the corner of the canvas to the centre of the frame's first pixel.
            looks.append((scores, (points - canvas.corner) / canvas.factors - 0.5))
        return looks


def _detections(
    looks: Sequence[Look],
) -> list[Detection]:
    scores, points = (np.concatenate(parts) for parts in zip(*looks, strict=True))
    detections = []
    for score, face in merge_candidates(scores, points):
        right_eye, left_eye = face[2:4]
        roll = math.degrees(math.atan2(*(left_eye - right_eye)[::-1]))
        detections.append(Detection(face[:2].reshape(4), score, roll, face[2:]))
    return detections
