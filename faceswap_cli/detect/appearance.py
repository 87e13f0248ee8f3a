"""What a face looks like, as a vector: the more alike two faces are, the larger its product.

Built in is a comparison of faces within one clip that needs no network. It tells people apart
who are filmed alike; it was not made to find one face among thousands, for which there are
recognition networks: see recognizer.py.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.detect import Landmarks
from faceswap_cli.detect.region import Region, cut
from faceswap_cli.errors import GeometryError
from faceswap_cli.faces.templates import ALIGNED_INDICES, MEAN_FACE
from faceswap_cli.geometry import Similarity, estimate_similarity
from faceswap_cli.types import GreyImage, Points, RgbImage

Appearance = NDArray[np.float32]
"""(D,), of length 1; (0,): this face cannot be described."""
UNKNOWN: Final[Appearance] = np.zeros(0, np.float32)

CELLS: Final = 12
"""Rows and columns of a face's map of contrasts."""
_MAP: Final = (0.0, -0.1, 1.0, 1.0)
"""What the map shows: left, top, right, bottom in the unit square of the mean face."""
_CROP_PX: Final = 64
_CROP_SIDE: Final = 1.8
"""Of the crop that is sampled, in the same unit: a turned face reaches beyond its map."""
_BLUR_PX: Final = 1.4
"""Half a cell, so that no pixel between two samples is lost."""
_NEAR_CELLS: Final = 2.25
"""Sigma within which the contrast of a cell is measured."""
_LEAST_CONTRAST: Final = 3.0
"""Grey levels: fainter ones are noise."""
_STIFFNESS: Final = 0.2
"""Of the spline that turns a face to the front."""
_AXIS: Final = float(MEAN_FACE[10, 0])
"""Of the mean face: its nose."""

Spot = tuple[float, float, float, float, float]
"""Centre x and y, width and height (sigmas), all in that unit; and how bright it is."""
# Two generic faces, drawn of soft spots: eyes, brows, ridge and base of the nose, mouth, cheeks,
# lips, forehead, chin, jaw. A spot beside the axis stands for its mirror image too. Their numbers
# were fitted to mean maps, of people who speak in a studio and of people who smile for the press.
GENERIC: Final[tuple[tuple[Spot, ...], ...]] = (
    (
        *((0.27, 0.21, 0.12, 0.09, -2.8), (0.23, 0.07, 0.1, 0.03, -1.2)),
        *((_AXIS, 0.29, 0.09, 0.14, 1.3), (_AXIS, 0.59, 0.12, 0.04, -2.1)),
        *((_AXIS, 0.81, 0.19, 0.07, -5.0), (0.08, 0.4, 0.18, 0.11, 0.7)),
        *((_AXIS, 0.79, 0.1, 0.04, 1.9), (_AXIS, -0.07, 0.34, 0.07, 0.7)),
        *((_AXIS, 0.85, 0.35, 0.08, 1.6), (-0.1, 0.93, 0.16, 0.1, -1.8)),
    ),
    (
        *((0.23, 0.21, 0.12, 0.09, -2.6), (0.24, 0.05, 0.08, 0.03, -0.8)),
        *((_AXIS, 0.32, 0.06, 0.16, 1.3), (_AXIS, 0.58, 0.25, 0.04, -0.9)),
        *((_AXIS, 0.81, 0.16, 0.08, -5.0), (0.18, 0.4, 0.21, 0.35, 4.4)),
        *((_AXIS, 0.79, 0.11, 0.08, 3.8), (_AXIS, -0.07, 0.35, 0.13, 3.0)),
        *((_AXIS, 0.92, 0.35, 0.13, 3.6), (0.06, 0.94, 0.08, 0.05, -0.8)),
    ),
)


class AppearanceEngine(Protocol):
    """Describes faces."""

    name: str
    """Engine and version; part of a stage's fingerprint."""
    alike: float
    """Product above which the mean appearances of two tracks are one person's."""

    def describe(
        self, frames: Sequence[RgbImage], landmarks: Sequence[Sequence[Landmarks]]
    ) -> list[list[Appearance]]:
        """Return the appearance of each face of each frame, in the same order."""
        ...


def build_appearance(recognizer: str, *, device: str) -> AppearanceEngine:
    """Return what describes faces.

    Args:
        recognizer: An ONNX file of a face recognition network; empty: what is built in.
        device: A torch device; the built-in one needs none.

    Raises:
        ConfigError: The file or the package that runs it is missing, or it is no such network.
    """
    if not recognizer:
        return ContrastMap()
    from faceswap_cli.detect.recognizer import Recognizer

    return Recognizer.open(Path(recognizer), device=device)


class ContrastMap:
    """Describes a face by where it is brighter and darker than around, turned to the front.

    Light, colour and camera play little part, and neither does a turn of up to some 30 degrees.
    What all faces have in common, dark eyes and mouths, is taken out: what remains of a face
    is what the two generic ones do not explain.
    """

    name = "contrast-map@1"
    alike = 0.7

    def __init__(self) -> None:
        left, top, right, bottom = _MAP
        steps = (np.arange(CELLS) + 0.5) / CELLS
        x, y = left + steps * (right - left), top + steps * (bottom - top)
        cells = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        self._cells_from_points = spline_weights(MEAN_FACE, cells, stiffness=_STIFFNESS)
        drawn = np.stack([_drawn(spots, cells) for spots in GENERIC], axis=1)
        self._common, _ = np.linalg.qr(drawn - drawn.mean(axis=0))  # (CELLS**2, 2)

    def describe(
        self, frames: Sequence[RgbImage], landmarks: Sequence[Sequence[Landmarks]]
    ) -> list[list[Appearance]]:
        """Return the appearance of each face of each frame, in the same order."""
        return [
            [self._describe(frame, face.points68) for face in faces]
            for frame, faces in zip(frames, landmarks, strict=True)
        ]

    def _describe(self, frame: RgbImage, points68: Points) -> Appearance:
        try:
            contrast = local_contrast(self._sample(frame, points68[list(ALIGNED_INDICES)]))
        except GeometryError:
            return UNKNOWN
        own = contrast - self._common @ (self._common.T @ contrast)
        return unit(own)

    def _sample(self, frame: RgbImage, points: Points) -> GreyImage:
        """Return the face turned to the front, (CELLS, CELLS)."""
        unit_from_frame = estimate_similarity(points, MEAN_FACE)
        scale = _CROP_PX / _CROP_SIDE
        left, top, right, bottom = _MAP
        corner = (np.array([left + right, top + bottom]) - _CROP_SIDE) / 2
        crop_from_unit = Similarity(np.column_stack([np.eye(2) * scale, -corner * scale - 0.5]))
        crop_from_frame = crop_from_unit.after(unit_from_frame)
        crop = cv2.cvtColor(cut_aligned(frame, crop_from_frame, _CROP_PX), cv2.COLOR_RGB2GRAY)
        blurred = cv2.GaussianBlur(crop, (0, 0), _BLUR_PX)
        seen = (self._cells_from_points @ crop_from_frame.apply(points)).astype(np.float32)
        x, y = seen.reshape(CELLS, CELLS, 2).transpose(2, 0, 1)
        return np.asarray(
            cv2.remap(blurred, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
        )


def unit(vector: NDArray[np.floating]) -> Appearance:
    """Return the vector at length 1, or UNKNOWN if it has none or is not finite."""
    length = float(np.linalg.norm(vector))
    if not (math.isfinite(length) and length > 1e-6):
        return UNKNOWN
    return np.asarray(vector / length, np.float32)


def cut_aligned(frame: RgbImage, crop_from_frame: Similarity, crop_px: int) -> RgbImage:
    """Return a square crop of a frame, (crop_px, crop_px, 3); large faces are shrunk fast."""
    frame_from_crop = crop_from_frame.inverse()
    centre = frame_from_crop.apply(np.full((1, 2), (crop_px - 1) / 2))[0]
    along = frame_from_crop.matrix[:, 0]
    roll_deg = math.degrees(math.atan2(along[1], along[0]))
    return cut(frame, Region(centre, crop_px * frame_from_crop.scale, roll_deg), crop_px)


def local_contrast(grey: GreyImage) -> NDArray[np.float64]:
    """Return how much brighter each cell is than those around it, in their own spread.

    Args:
        grey: (H, W), a small picture.

    Returns:
        (H * W,), of mean 0: hardly changed by light that varies slowly over the picture.
    """
    value = grey.astype(np.float64)
    above = value - cv2.GaussianBlur(value, (0, 0), _NEAR_CELLS)
    spread = np.sqrt(cv2.GaussianBlur(above * above, (0, 0), _NEAR_CELLS))
    contrast = above / (spread + _LEAST_CONTRAST)
    return np.asarray((contrast - contrast.mean()).reshape(-1), np.float64)


def spline_weights(points: Points, wanted: Points, *, stiffness: float) -> NDArray[np.float64]:
    """Return by which weights a smoothing thin-plate spline interpolates.

    Args:
        points: (N, 2), where values will be known, not all on a line.
        wanted: (M, 2), where they are wanted.
        stiffness: 0 passes through each value; the more, the nearer to an affine map.

    Returns:
        (M, N): times (N, ...) values it gives those at `wanted`; each row sums to 1.

    Source:
        Wahba, "Spline Models for Observational Data", SIAM 1990, section 2.4.
    """
    number = len(points)
    system = np.zeros((number + 3, number + 3))
    affine = np.column_stack([np.ones(number), points])
    system[:number, :number] = _bending(points, points) + stiffness * np.eye(number)
    system[:number, number:], system[number:, :number] = affine, affine.T
    basis = np.column_stack([_bending(wanted, points), np.ones(len(wanted)), wanted])
    return np.asarray(np.linalg.solve(system, basis.T).T[:, :number], np.float64)


def _bending(a: Points, b: Points) -> NDArray[np.float64]:
    """Return r^2 log r^2 of the distances r between two sets, (len(a), len(b))."""
    squared = ((a[:, None] - b[None]) ** 2).sum(axis=-1)
    return np.asarray(squared * np.log(np.maximum(squared, 1e-12)), np.float64)


def _drawn(spots: Sequence[Spot], cells: Points) -> NDArray[np.float64]:
    """Return the brightness of a generic face at each of the cells (N, 2), (N,)."""
    drawn = np.zeros(len(cells))
    for x, y, width, height, bright in spots:
        for centre in {x, 2 * _AXIS - x} if x != _AXIS else {x}:
            across, down = (cells[:, 0] - centre) / width, (cells[:, 1] - y) / height
            drawn += bright * np.exp(-(across**2 + down**2) / 2)
    return drawn
