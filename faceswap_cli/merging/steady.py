"""Steadying what networks drew along a track: with look-ahead, without lag, without smear.

The colours of a face and the edges of its masks are averaged over the frames before and after
it. A frame counts less the further away it is, the more its light differs, and, for masks,
pixel by pixel, the more its picture differs there; behind a cut it does not count at all. What
is averaged depends on nothing but the window, and comes out with the same bits each time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.faces.cuts import change, thumbnail
from faceswap_cli.faces.smoothing import MAX_STRENGTH, smooth_track
from faceswap_cli.faces.templates import ALIGNED_INDICES, MEAN_FACE
from faceswap_cli.geometry import Similarity
from faceswap_cli.merging.look import MaskName
from faceswap_cli.merging.recolour import mean_numbers
from faceswap_cli.types import FloatImage, Points, RgbImage

REACH: Final = 6
"""Frames that are looked at before and after a frame."""

CELLS: Final = 32
"""Along a side of the small picture that frames are compared by."""
MIDDLE: Final = slice(8, 24)
"""Of the cells those that show the face, not what is behind it."""
OTHER_LIGHT: Final = 6.0
"""Levels of 255 by which the halves and quarters of a face have changed when a frame does not
count any more; a face that turns and talks changes by 1 to 5 in six frames."""
MOVED: Final = 12.0
"""Levels by which a cell differs when its part of a mask does not count any more."""
CUT: Final = 0.3
"""See cuts.change. Of two pictures of different people it is 0.45 at least, from one frame to
the next 0.14 at most."""
_LEAST_SPREAD: Final = 6.0  # levels: what varies less is dark, and its noise no change

# Noise of place, size and roll: standard deviation of what it moves, in sides of the mean face,
# in the stillest fifth of the frames. BlazeFace and Face Mesh have 0.0003 to 0.0015, of which
# smoothing leaves 0.00003 to 0.0003.
MIN_TREMBLE: Final = 0.0002
USUAL_TREMBLE: Final = 0.0015
MIN_WHITE: Final = 0.2
"""Fourth over second difference where a face rests, 1 for white noise: 0.27 to 0.54 as those
landmarkers find a face, 0.03 to 0.15 when it was smoothed."""
STILL: Final = 0.35
"""Of the frames: the stillest."""
MIN_FRAMES: Final = 60
"""With fewer, some smoothed tracks look white."""
MAX_HOLE: Final = 3
"""From one frame to the next; what is further apart is smoothed apart."""


@dataclass(frozen=True, eq=False)
class Sketch:
    """What a network drew for a face, before it is given its colours."""

    frame_index: int
    track: int
    face: FloatImage
    """(S, S, 3), RGB 0..1."""
    masks: Mapping[MaskName, FloatImage]
    """(S, S), 0..1 each."""
    colour: NDArray[np.float32]
    """(D,): what recolour.measure_colour found."""
    plate: NDArray[np.float32] | None
    """(K,): further numbers of the footage, whose mean means something."""
    footage: RgbImage
    """(s, s, 3): the crop that the network saw."""
    crop_from_frame: Similarity
    """To the pixels of `face`."""
    face_px: float
    """Side of the mean face's unit square, frame pixels."""

    @cached_property
    def cells(self) -> NDArray[np.float32]:
        """The footage, shrunk, (CELLS, CELLS, 3), 0..255."""
        small = cv2.resize(self.footage, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.float32)

    @cached_property
    def quarters(self) -> NDArray[np.float32]:
        """Mean colour of each quarter of the face, (4, 3), 0..255."""
        half = (MIDDLE.stop - MIDDLE.start) // 2
        middle = self.cells[MIDDLE, MIDDLE].reshape(2, half, 2, half, 3)
        return np.asarray(middle.mean(axis=(1, 3)).reshape(4, 3), np.float32)

    @cached_property
    def pattern(self) -> NDArray[np.float32]:
        """The cells with the mean and the spread taken out."""
        centred = self.cells - self.cells.mean()
        return np.asarray(centred / (centred.std() + _LEAST_SPREAD), np.float32)


def steady(window: Sequence[Sketch], at: int, *, strength: float) -> Sketch:
    """Smooth the colours, the plate and the masks of a face over time.

    Args:
        window: Sketches of one track in the order of their frames, of which some may be
            missing; what is more than REACH frames away does not count.
        at: Which of them.
        strength: 0..1: how much the others count; 0 changes nothing.

    Returns:
        `window[at]`, with other numbers and masks. Its face is the same.
    """
    here = window[at]
    near = list(_neighbours(window, at)) if strength > 0.0 else []
    if not near:
        return here
    weights = [strength * _nearness(here, other) * _same_light(here, other) for other in near]
    colours, colour_weights = _of_a_kind(here.colour, [other.colour for other in near], weights)
    plate = here.plate
    if plate is not None:
        plates, plate_weights = _of_a_kind(plate, [other.plate for other in near], weights)
        plate = np.average(plates, axis=0, weights=plate_weights).astype(np.float32)
    return replace(
        here,
        colour=mean_numbers(colours, colour_weights),
        plate=plate,
        masks=_mean_masks(here, near, strength),
    )


def _neighbours(window: Sequence[Sketch], at: int) -> Iterator[Sketch]:
    """Yield the others within reach, from the near to the far, up to another picture."""
    here = window[at]
    for side in (reversed(window[:at]), window[at + 1 :]):
        for other in side:
            if abs(other.frame_index - here.frame_index) > REACH or is_cut(here, other):
                break
            yield other


def is_cut(one: Sketch, other: Sketch) -> bool:
    """Return whether the footage of two faces, one soon after the other, is another picture."""
    unlike = float(np.abs(one.pattern - other.pattern).mean())
    # What is alike in its place is not looked at more closely: that takes a millisecond.
    return unlike >= CUT and change(thumbnail(one.footage), thumbnail(other.footage)) >= CUT


def _nearness(here: Sketch, other: Sketch) -> float:
    distance = abs(other.frame_index - here.frame_index)
    return float(np.cos(0.5 * np.pi * distance / (REACH + 1)) ** 2)


def _same_light(here: Sketch, other: Sketch) -> float:
    """Return 1 for the same light, 0 for another."""
    changed = np.abs(here.quarters - other.quarters).max(axis=1).mean()
    return float(max(1.0 - (changed / OTHER_LIGHT) ** 2, 0.0) ** 2)


def _of_a_kind(
    here: NDArray[np.float32],
    others: Sequence[NDArray[np.float32] | None],
    weights: Sequence[float],
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return a vector above those of its length that count, (N, D), and all their weights."""
    pairs = [(here, 1.0)]
    for other, weight in zip(others, weights, strict=True):
        if weight > 0.0 and other is not None and other.shape == here.shape:
            pairs.append((other, weight))
    return np.stack([vector for vector, _ in pairs]), np.array([weight for _, weight in pairs])


def _mean_masks(
    here: Sketch, near: Sequence[Sketch], strength: float
) -> dict[MaskName, FloatImage]:
    """Average each mask with those of the frames whose pictures are the same there."""
    size_hw = here.face.shape[:2]
    totals = {name: mask.copy() for name, mask in here.masks.items()}
    shares = {name: np.ones_like(mask) for name, mask in here.masks.items()}
    for other in near if totals else ():
        if other.face.shape[:2] != size_hw:
            continue
        alike = _alike(here, other) * np.float32(strength * _nearness(here, other))
        share = cv2.resize(alike, size_hw, interpolation=cv2.INTER_LINEAR)
        for name in totals.keys() & other.masks.keys():
            totals[name] += share * other.masks[name]
            shares[name] += share
    return {name: np.asarray(total / shares[name], np.float32) for name, total in totals.items()}


def _alike(here: Sketch, other: Sketch) -> FloatImage:
    """Return where the picture is the same, (CELLS, CELLS): 1 is all, 0 nothing of it."""
    differs = cv2.blur(np.abs(here.cells - other.cells).max(axis=2), (3, 3))
    return np.asarray(np.maximum(1.0 - (differs / np.float32(MOVED)) ** 2, 0.0) ** 2, np.float32)


def steady_crops(landmarks: Sequence[Points], frame_indices: Sequence[int]) -> list[Points]:
    """Smooth the landmarks of a track that nobody has smoothed, those of an import above all.

    Whether they are is seen where the face rests: what a landmarker adds is new in each frame,
    so that differences of the fourth order are as large as those of the second, for their
    weights; smoothing leaves little of it. Landmarks that are smooth, and tracks too short to
    tell, are returned as they are, to the bit.

    Args:
        landmarks: (68, 2) each, frame pixels, of one track.
        frame_indices: Of the same length, growing; where more than 2 frames are missing
            in between, or it does not grow, the track is cut in two.

    Returns:
        Of the same length.
    """
    runs = _runs(frame_indices)
    tremble = _tremble(landmarks, frame_indices)
    if tremble < MIN_TREMBLE:
        return list(landmarks)
    strength = min(max(tremble / USUAL_TREMBLE, 1.0), MAX_STRENGTH)
    smooth = list(landmarks)
    for run in runs:
        frames = np.array([frame_indices[i] for i in run], np.int64)
        points = smooth_track(frames, np.stack([landmarks[i] for i in run]), strength=strength)
        for i, found in zip(run, points, strict=True):
            smooth[i] = found
    return smooth


def _runs(frame_indices: Sequence[int]) -> list[list[int]]:
    """Return the positions in a track that can be smoothed together."""
    runs: list[list[int]] = []
    for i, frame in enumerate(frame_indices):
        if i and 0 < frame - frame_indices[i - 1] <= MAX_HOLE:
            runs[-1].append(i)
        else:
            runs.append([i])
    return runs


def _tremble(landmarks: Sequence[Points], frame_indices: Sequence[int]) -> float:
    """Return the noise of place, size and roll, see MIN_TREMBLE; 0 if it is none."""
    if len(landmarks) < MIN_FRAMES:
        return 0.0
    rigid = _rigid(np.stack(landmarks)[:, list(ALIGNED_INDICES)])
    second, fourth = (
        (np.abs(np.diff(rigid, n=order, axis=0)) ** 2).mean(axis=1) / norm / 2.0
        for order, norm in ((2, 6.0), (4, 70.0))  # sums of the squared weights
    )
    second = (second[:-2] + second[1:-1] + second[2:]) / 3.0
    is_next = np.diff(np.asarray(frame_indices)) == 1
    is_whole = np.lib.stride_tricks.sliding_window_view(is_next, 4).all(axis=1)
    second, fourth = second[is_whole], fourth[is_whole]
    if len(fourth) < MIN_FRAMES - 4:
        return 0.0
    still = fourth <= np.quantile(fourth, STILL)
    if np.median(fourth[still]) < MIN_WHITE * np.median(second[still]):
        return 0.0
    return float(np.sqrt(np.quantile(fourth, 0.2)))


def _rigid(points: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return how the place and the turn and size of (N, 33, 2) move the points, (N, 2), sides."""
    flat = points @ np.array([1.0, 1.0j])
    ideal = (MEAN_FACE - MEAN_FACE.mean(axis=0)) @ np.array([1.0, 1.0j])
    centre = flat.mean(axis=1)
    energy = (np.abs(ideal) ** 2).sum()
    turn = (flat - centre[:, None]) @ ideal.conj() / energy
    side_px = max(float(np.median(np.abs(turn))), 1e-6)
    spread = np.sqrt(energy / len(ideal))
    return np.asarray(np.stack([centre, spread * turn], axis=1) / side_px)
