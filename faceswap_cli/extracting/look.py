"""The first look: every frame goes past detector, landmarker and the eye for appearances.

Decoding, detecting and landmarks overlap: each works in its own thread on another batch.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.curating.landmark_files import ManualFace
from faceswap_cli.detect import Detection, Detector, Landmarker, Landmarks
from faceswap_cli.detect.appearance import AppearanceEngine
from faceswap_cli.detect.sparse import Sparse, detect_sparsely, locate_sparsely
from faceswap_cli.extracting.manual import ManualFaces
from faceswap_cli.faces.cuts import thumbnail
from faceswap_cli.faces.sighting import Box, Origin, Sighting
from faceswap_cli.faces.sighting_store import SeenFrame, SightingStore
from faceswap_cli.faces.templates import crop_from_frame
from faceswap_cli.geometry import warp
from faceswap_cli.imaging import encode_image
from faceswap_cli.media.pictures import BadFrame
from faceswap_cli.media.reader import Frame
from faceswap_cli.media.source import Source
from faceswap_cli.readahead import read_ahead
from faceswap_cli.types import RgbImage

if TYPE_CHECKING:
    from tqdm import tqdm

MIN_PRESENCE = 0.5
"""Of the landmarker: below it there is no face in the box."""
MAX_FACES = 256
"""Largest faces of a frame; a picture of a stadium must not take an hour."""
TILE_EVERY = 8
"""Frames between small pictures for the list of people."""
TILE_PX = 128
BATCHES_A_SAVE = 4
SHARPNESS_PX = 128

Batch = list[Frame]
Located = list[tuple[Detection, Landmarks]]


@dataclass(frozen=True)
class Engines:
    """The networks that look."""

    detector: Detector
    landmarker: Landmarker
    appearance: AppearanceEngine

    @property
    def names(self) -> tuple[str, str, str]:
        """Engines and versions of their weights."""
        return self.detector.name, self.landmarker.name, self.appearance.name


@dataclass(frozen=True)
class Sieve:
    """Which faces count."""

    min_score: float
    min_face_px: float


def look(
    source: Source,
    store: SightingStore,
    engines: Engines,
    sieve: Sieve,
    *,
    wanted: Callable[[int], bool],
    stride: int,
    batch_frames: int,
    manual: ManualFaces,
    failed: dict[str, str],
    bar: "tqdm[NoReturn]",
) -> None:
    """Look at the frames that were not looked at yet, and keep what is seen.

    Args:
        source: The clip.
        store: Is added to.
        engines: Whose eyes.
        sieve: What is too small or too uncertain.
        wanted: Is given an index.
        stride: See detect_sparsely.
        batch_frames: That go through at once.
        manual: Faces that were placed by a person: of their frames nothing else is taken.
        failed: Is told which pictures cannot be decoded, and why.
        bar: Moves with every frame.
    """
    done = set(store.frame_numbers())
    frames = source.frames(lambda index: wanted(index) and index not in done, rough=True)
    batches = _batches(read_ahead(frames, depth=batch_frames), batch_frames, failed)
    detected = read_ahead((_detect(engines.detector, batch, stride) for batch in batches), depth=1)
    located = read_ahead(
        (
            (batch, locate_sparsely(engines.landmarker, _images(batch), sparse))
            for batch, sparse in detected
        ),
        depth=1,
    )
    seen: list[SeenFrame] = []
    faces: list[tuple[Sighting, bytes | None]] = []
    for number, (batch, found) in enumerate(located, start=1):
        kept = [
            (_placed(manual[frame.index]), 0, 0)
            if frame.index in manual
            else _sift(found_in, sieve)
            for frame, found_in in zip(batch, found, strict=True)
        ]
        looks = engines.appearance.describe(
            _images(batch), [[marks for _, marks in faces_in] for faces_in, _, _ in kept]
        )
        for frame, (faces_in, small, weak), appearances in zip(batch, kept, looks, strict=True):
            seen.append(_seen_frame(frame, small, weak))
            origin: Origin = "manual" if frame.index in manual else "detected"
            faces += _sightings(frame, faces_in, appearances, origin)
        if number % BATCHES_A_SAVE == 0:
            store.add(seen, faces)
            seen, faces = [], []
        bar.update(len(batch))
    store.add(seen, faces)


def _images(batch: Batch) -> list[RgbImage]:
    return [frame.image for frame in batch]


def _batches(
    frames: Iterable[Frame | BadFrame], size: int, failed: dict[str, str]
) -> Iterator[Batch]:
    batch: Batch = []
    for frame in frames:
        if isinstance(frame, BadFrame):
            failed[frame.name] = frame.reason
            continue
        batch.append(frame)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _detect(detector: Detector, batch: Batch, stride: int) -> tuple[Batch, Sparse]:
    found = detect_sparsely(detector, _images(batch), stride=stride)
    if any(len(faces) > MAX_FACES for faces in found.seen.values()):
        every = [found.at(frame) for frame in range(len(batch))]
        largest = [sorted(faces, key=_area, reverse=True)[:MAX_FACES] for faces in every]
        found = Sparse(dict(enumerate(largest)))
    return batch, found


def _area(detection: Detection) -> float:
    return float(np.prod(detection.box[2:] - detection.box[:2]))


def _sift(found: Located, sieve: Sieve) -> tuple[Located, int, int]:
    """Return the faces that count, and how many are too small, and too uncertain."""
    kept: Located = []
    small = weak = 0
    for detection, marks in found:
        left, top, right, bottom = detection.box
        if detection.score < sieve.min_score or marks.score < MIN_PRESENCE:
            weak += 1
        elif min(right - left, bottom - top) < sieve.min_face_px:
            small += 1
        else:
            kept.append((detection, marks))
    return kept, small, weak


def _placed(faces: Sequence[ManualFace]) -> Located:
    return [
        (
            Detection(np.array(face.bounds, np.float64), 1.0, 0.0, np.zeros((6, 2))),
            Landmarks(face.points68, None, 1.0),
        )
        for face in faces
    ]


def _seen_frame(frame: Frame, small: int, weak: int) -> SeenFrame:
    size_wh = frame.image.shape[1], frame.image.shape[0]
    return SeenFrame(frame.index, str(frame.time_s), size_wh, thumbnail(frame.image), small, weak)


def _sightings(
    frame: Frame, found: Located, appearances: Sequence[NDArray[np.float32]], origin: Origin
) -> Iterator[tuple[Sighting, bytes | None]]:
    for (detection, marks), appearance in zip(found, appearances, strict=True):
        sighting = Sighting(
            frame=frame.index,
            box=box_of(detection),
            score=round(detection.score, 4),
            roll_deg=round(detection.roll_deg, 2),
            points68=marks.points68,
            mesh=marks.mesh,
            appearance=appearance,
            presence=round(marks.score, 4),
            sharpness=measure_sharpness(frame.image, marks.points68),
            origin=origin,
        )
        yield sighting, _tile(frame, sighting) if frame.index % TILE_EVERY == 0 else None


def box_of(detection: Detection) -> Box:
    """Return left, top, right, bottom, frame pixels, to a hundredth."""
    left, top, right, bottom = (round(float(v), 2) for v in detection.box)
    return left, top, right, bottom


def measure_sharpness(frame: RgbImage, landmarks: np.ndarray) -> float:
    """Return how much fine detail a face shows, whatever its size.

    Args:
        frame: (H, W, 3).
        landmarks: (68, 2), pixels of `frame`.

    Returns:
        The spread of the Laplacian, grey levels, of eyes to mouth, shrunk to SHARPNESS_PX at
        most: a face of more pixels is not sharper for it.
    """
    inner = landmarks[17:]
    low = np.clip(np.floor(inner.min(axis=0)), 0, None).astype(int)
    high = np.ceil(inner.max(axis=0)).astype(int) + 1
    part = frame[low[1] : high[1], low[0] : high[0]]
    if min(part.shape[:2]) < 4:
        return 0.0
    grey = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY)
    factor = SHARPNESS_PX / max(grey.shape)
    if factor < 1.0:
        grey = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return round(float(cv2.Laplacian(grey, cv2.CV_32F).std()), 3)


def _tile(frame: Frame, sighting: Sighting) -> bytes:
    crop = crop_from_frame(sighting.points68, "whole_face", TILE_PX)
    size_wh = (TILE_PX, TILE_PX)
    return encode_image(warp(frame.image, crop, size_wh=size_wh), ".jpg", jpeg_quality=85)
