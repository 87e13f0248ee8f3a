"""Taking the flicker out of what a network draws, by what it drew for the frames around.

The drawings of the neighbours are brought to the present moment along the motion of the
footage, as optical flow sees it, and averaged. Where the footage that was brought along does
not look as it does now, there is nothing to be averaged with: a mouth opens, a lid closes, a
hand comes. Only what is coarser than the finest detail is corrected, so that nothing is
blurred; it is found on small pictures, whatever the size of the face.
"""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.merging.steady import Sketch, is_cut
from faceswap_cli.types import FloatImage

REACH: Final = 2
"""Frames that are looked at before and after a frame."""
WORK_PX: Final = 128
"""Side of the pictures on which it is done."""
LEAST_MOTION: Final = 0.3
"""Pixels of these: what moves less does not move, it is the noise of the footage."""
MISFIT: Final = 8.0 / 255.0
"""Of the footage that was brought along from the present one: there a neighbour is left out."""
OTHER_FACE: Final = 12.0 / 255.0
"""The same for the drawings: what differs by more is no flicker."""
NEAR_PX: Final = 5
"""Side of the square in which the two are compared."""
FINEST_PX: Final = 1.0
"""Sigma: finer detail than that is not corrected."""
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, of red, green and blue


def deflicker(window: Sequence[Sketch], at: int, *, strength: float) -> FloatImage:
    """Return the face of a sketch without the flicker of its network.

    Args:
        window: Sketches of one track in the order of their frames, of which some may be
            missing; what is more than REACH frames away does not count.
        at: Which of them.
        strength: 0..1: part of the correction; 0 changes nothing.

    Returns:
        (S, S, 3), RGB 0..1.
    """
    here = window[at]
    others = [window[i] for i in range(max(at - REACH, 0), min(at + REACH + 1, len(window)))]
    near = [
        other
        for other in others
        if 0 < abs(other.frame_index - here.frame_index) <= REACH and not is_cut(here, other)
    ]
    if strength == 0.0 or not near:
        return here.face
    present, face = _footage(here), _small(here.face)
    total, weight = np.zeros_like(face), np.ones(face.shape[:2], np.float32)
    for other in near:
        change, share = _change(present, face, _footage(other), _small(other.face))
        total += cv2.merge([share] * 3) * change
        weight += share
    mean = cv2.GaussianBlur(total / weight[..., None], (0, 0), FINEST_PX)
    size_wh = (here.face.shape[1], here.face.shape[0])
    correction = cv2.resize(mean, size_wh, interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(here.face + np.float32(strength) * correction, 0.0, 1.0), np.float32)


def _change(
    present: NDArray[np.uint8],
    face: FloatImage,
    footage: NDArray[np.uint8],
    other: FloatImage,
) -> tuple[FloatImage, FloatImage]:
    """Return what a neighbour would change, and how much it counts there, (P, P, 3) and (P, P)."""
    place = _place_in(present, footage)
    brought = cv2.remap(footage, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    change = cv2.remap(other, place, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE) - face
    misfit = cv2.absdiff(brought, present).astype(np.float32) / np.float32(255.0)
    unlike = np.abs(cv2.transform(change, np.array([_GREY], np.float32)))
    return change, _trust(misfit, MISFIT) * _trust(unlike, OTHER_FACE)


def _trust(difference: FloatImage, limit: float) -> FloatImage:
    """Return 1 where nothing differs around a pixel, 0 from the limit on."""
    share = cv2.blur(difference, (NEAR_PX, NEAR_PX)) / np.float32(limit)
    return np.asarray(np.maximum(1.0 - share * share, 0.0) ** 2, np.float32)


def _place_in(present: NDArray[np.uint8], footage: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return where each pixel of the present is found in a neighbour's footage, (P, P, 2)."""
    # Made anew each time: it must not remember anything of another frame.
    finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    still = np.zeros((WORK_PX, WORK_PX, 2), np.float32)
    flow = np.asarray(finder.calc(present, footage, still), np.float32)
    squared = (flow * flow).sum(axis=2, keepdims=True)
    flow *= squared / (squared + np.float32(LEAST_MOTION**2))
    line = np.arange(WORK_PX, dtype=np.float32)
    flow[..., 0] += line
    flow[..., 1] += line[:, None]
    return flow


def _footage(sketch: Sketch) -> NDArray[np.uint8]:
    small = cv2.resize(sketch.footage, (WORK_PX, WORK_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def _small(face: FloatImage) -> FloatImage:
    return np.asarray(
        cv2.resize(face, (WORK_PX, WORK_PX), interpolation=cv2.INTER_AREA), np.float32
    )
