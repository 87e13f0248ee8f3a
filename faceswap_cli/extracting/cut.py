"""The last pass: the faces that are wanted are cut out of their frames and written."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from faceswap_cli.extracting.describe import Describer
from faceswap_cli.extracting.press import Press
from faceswap_cli.extracting.steady import SteadyFaces
from faceswap_cli.faces.faceset import write_encoded
from faceswap_cli.faces.overlay import draw_overlay
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.sighting import Sighting
from faceswap_cli.faces.sighting_store import Seen
from faceswap_cli.faces.templates import crop_from_frame
from faceswap_cli.files import Manifest
from faceswap_cli.geometry import bounding_box
from faceswap_cli.imaging import write_image
from faceswap_cli.media.pictures import BadFrame
from faceswap_cli.media.reader import Frame, PartBox
from faceswap_cli.media.source import Source
from faceswap_cli.readahead import read_ahead

if TYPE_CHECKING:
    from tqdm import tqdm

WAITING = 12
"""Frames whose pictures are not written yet."""
REACH_PX, REACH_SHRUNK = 6.0, 1.6
"""Beyond a crop, what a warp needs: its cubic, and its low-pass by how much it shrinks."""

Wanted = Callable[[Seen], bool]


@dataclass
class Cutter:
    """Cuts one clip."""

    source: Source
    faces: SteadyFaces
    describer: Describer
    manifest: Manifest
    aligned: Path
    overlays: Path | None
    """Where frames with landmarks are drawn; None: nowhere."""
    prefix: str
    """Of the names of the pictures."""
    wanted: Wanted
    press: Press
    failed: dict[str, str]
    done: int = 0

    def run(self, frames: list[int], bar: "tqdm[NoReturn]") -> None:
        """Cut the frames that are not done.

        Args:
            frames: Those that were looked at and are to be used.
            bar: Moves with every frame.
        """
        waiting: deque[tuple[int, Future[dict[str, Any]]]] = deque()
        todo = {index for index in frames if self._name(index) not in self.manifest.items}
        found: dict[int, list[Seen]] = {}

        def where(index: int) -> PartBox | None:
            """Tell what is needed of a frame; called by the thread that decodes, in order."""
            faces = self._wanted_at(index) if index in todo else []
            if not faces:
                return None
            found[index] = faces
            return self._box(faces)

        with ThreadPoolExecutor(thread_name_prefix="cut") as pool:
            for frame in read_ahead(self.source.parts(where), depth=WAITING):
                todo.discard(frame.index)
                if isinstance(frame, BadFrame):
                    self.failed[frame.name] = frame.reason
                    continue
                faces = found.pop(frame.index)
                waiting.append((frame.index, pool.submit(self._cut, frame, faces)))
                while len(waiting) > WAITING:
                    self._settle(waiting, bar)
            while waiting:
                self._settle(waiting, bar)
        for index in sorted(todo):
            self._finish(index, {"index": index, "faces": []}, bar)

    def _box(self, faces: Sequence[Seen]) -> PartBox:
        """Return what is needed of a frame."""
        size_wh, face_type = self.source.info.size_wh, self.describer.section.face_type
        if self.overlays is not None:
            return 0, 0, *size_wh
        size_px = self.describer.section.size_px
        parts = [part_of(face.sighting, face_type, size_px, size_wh) for face in faces]
        lefts, tops, rights, bottoms = zip(*parts, strict=True)
        return min(lefts), min(tops), max(rights), max(bottoms)

    def _wanted_at(self, index: int) -> list[Seen]:
        """Return the faces of a frame that are cut: the largest first, no more than asked for."""
        faces = [face for face in self.faces.at(index) if self.wanted(face)]
        faces.sort(key=lambda face: -face.sighting.side_px)
        return faces[: self.describer.section.max_faces or None]

    def _settle(
        self, waiting: deque[tuple[int, Future[dict[str, Any]]]], bar: "tqdm[NoReturn]"
    ) -> None:
        index, written = waiting.popleft()
        self._finish(index, written.result(), bar)  # a full disk ends the run here

    def _finish(self, index: int, entry: dict[str, Any], bar: "tqdm[NoReturn]") -> None:
        self.manifest.add(self._name(index), entry)
        self.done += 1
        bar.update()

    def _name(self, index: int) -> str:
        return self.prefix + self.source.frame_name(index)

    def _cut(self, frame: Frame, faces: list[Seen]) -> dict[str, Any]:
        """Write the pictures of a frame, and return its entry of the manifest; in a thread."""
        entry: dict[str, Any] = {"index": frame.index, "faces": []}
        records: list[FaceRecord] = []
        frame_name, section = self.source.frame_name(frame.index), self.describer.section
        for face in faces:
            record = self.describer.record(frame, frame_name, face)
            name = f"{self._name(frame.index)}_{face.track:02d}.{section.format}"
            write_encoded(self.aligned / name, self.press.picture(frame, record), record)
            entry["faces"].append({"name": name, "track": face.track, "person": face.person})
            records.append(record)
        if self.overlays is not None:
            path = self.overlays / f"{self._name(frame.index)}.jpg"
            write_image(path, draw_overlay(frame.image, records), jpeg_quality=85)
        return entry


def part_of(face: Sighting, face_type: str, size_px: int, size_wh: tuple[int, int]) -> PartBox:
    """Return what of a frame a crop shows.

    Args:
        face: With landmarks of 68 points.
        face_type: Of the crop.
        size_px: Side of the crop.
        size_wh: Of the frame.

    Raises:
        GeometryError: The landmarks are not finite or coincide.
    """
    frame_from_crop = crop_from_frame(face.points68, face_type, size_px).inverse()
    corners = np.array([[0, 0], [size_px, 0], [size_px, size_px], [0, size_px]], np.float64) - 0.5
    pad = REACH_PX + REACH_SHRUNK * frame_from_crop.scale
    left, top, right, bottom = bounding_box(frame_from_crop.apply(corners), size_wh, pad=pad)
    return left, top, right, bottom
