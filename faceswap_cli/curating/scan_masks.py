"""How much of a face is hidden, by its mask."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from faceswap_cli.curating.scan_measures import Floats, ScannedFaces
from faceswap_cli.errors import FaceswapError
from faceswap_cli.faces.faceset import read_face, read_mask
from faceswap_cli.faces.store import FaceFiles
from faceswap_cli.geometry import resizing
from faceswap_cli.masks import hull_mask
from faceswap_cli.progress import progress
from faceswap_cli.types import GreyImage, Points

COMPARED_PX = 128

Found = tuple[tuple[int, int], float]
"""(frame, track), and the part that is hidden."""


def measure_hidden(
    files: FaceFiles, faces: ScannedFaces, *, source_name: str, failed: dict[str, str]
) -> Floats:
    """Return ScannedFaces.hidden, NaN where there is no mask.

    The pictures tell themselves which face they are: a person may have renamed them.

    Args:
        files: Aligned pictures and their masks.
        faces: Of the clip.
        source_name: Of the clip.
        failed: Is told which cannot be read, and why.
    """
    masks = files.mask_versions()
    names = [name for name in files.names() if Path(name).stem in masks]
    known: dict[tuple[int, int], float] = {}
    with ThreadPoolExecutor() as pool, progress("masks", total=len(names), unit="mask") as bar:
        for name, found in zip(names, pool.map(_measure(files, source_name), names), strict=True):
            if isinstance(found, str):
                failed[name] = found
            elif found is not None:
                known[found[0]] = found[1]
            bar.update()
    pairs = zip(faces.frame.tolist(), faces.track.tolist(), strict=True)
    return np.array([known.get(pair, np.nan) for pair in pairs], np.float64)


def _measure(files: FaceFiles, source_name: str) -> Callable[[str], Found | str | None]:
    def measure(name: str) -> Found | str | None:
        try:
            record = read_face(files, name).record
            mask = read_mask(files, name)
        except FaceswapError as error:
            return error.what
        if mask is None or record.source_name != source_name:
            return None
        landmarks = np.array(record.landmarks_crop, np.float64)
        hidden = hidden_part(mask, landmarks, size_px=record.size_px)
        return (record.frame_index, record.track), hidden

    return measure


def hidden_part(mask: GreyImage, landmarks: Points, *, size_px: int) -> float:
    """Return which part of the hull of a face is not in its mask, 0 to 1.

    Args:
        mask: (H, W), of any size, 255 where the face is seen.
        landmarks: (68, 2), pixels of the aligned picture.
        size_px: Side of that picture.
    """
    size_wh = (COMPARED_PX, COMPARED_PX)
    points = resizing(COMPARED_PX / size_px).apply(landmarks)
    hull = hull_mask(points, size_wh).astype(np.float64)
    seen = cv2.resize(mask, size_wh, interpolation=cv2.INTER_AREA) / 255.0
    return float(1.0 - (hull * seen).sum() / max(1.0, hull.sum()))
