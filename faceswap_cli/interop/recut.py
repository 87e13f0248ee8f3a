"""Faces of which only the landmarks are known, cut from the footage."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from faceswap_cli.config import ExtractConfig
from faceswap_cli.errors import FaceswapError, MediaError
from faceswap_cli.faces.metadata import with_comment
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.imaging import encode_image
from faceswap_cli.interop.arrivals import Arrivals
from faceswap_cli.interop.faceswap_faces import StoredFace, crop_mask, record_of
from faceswap_cli.interop.frame_finder import FrameFinder
from faceswap_cli.media.pictures import BadFrame
from faceswap_cli.media.source import Source
from faceswap_cli.types import RgbImage


@dataclass(frozen=True, eq=False)
class _Cut:
    face: StoredFace
    name: str
    record: FaceRecord
    crop: Similarity


@dataclass
class Recutter:
    """Cuts the faces that faceswap has found, as `extract` would have cut them."""

    source: Source
    finder: FrameFinder
    section: ExtractConfig
    arrivals: Arrivals
    fail: Callable[[str, str], None]
    """Is told what could not be done: a name and a reason."""
    done: int = 0
    kept: int = 0

    def cut(self, faces: Iterable[StoredFace], *, tick: Callable[[], object]) -> None:
        """Cut all faces that are not there yet, and write them; each frame is decoded once.

        Args:
            faces: Of any frames, in any order.
            tick: Is called after each face.
        """
        wanted = self._plan(faces, tick)
        for frame in self.source.frames(lambda index: index in wanted):
            for cut in wanted.pop(frame.index, []):
                if isinstance(frame, BadFrame):
                    self.fail(cut.name, frame.reason)
                else:
                    self._write(cut, frame.image)
                tick()
        for index, cuts in wanted.items():
            for cut in cuts:
                self.fail(cut.name, f"frame {index} of the footage cannot be decoded")
                tick()

    def _plan(
        self, faces: Iterable[StoredFace], tick: Callable[[], object]
    ) -> dict[int, list[_Cut]]:
        wanted: defaultdict[int, list[_Cut]] = defaultdict(list)
        for face in faces:
            try:
                cut = self._placed(face)
            except FaceswapError as error:
                self.fail(f"{face.frame} face {face.index}", error.what)
                tick()
                continue
            path = self.arrivals.find(cut.name, cut.record)
            if path is None:
                wanted[cut.record.frame_index].append(cut)
                continue
            self.kept += 1
            self._put_mask(cut, path)
            tick()
        return dict(wanted)

    def _placed(self, face: StoredFace) -> _Cut:
        place = self.finder.find(face.frame)
        if place is None:
            raise FaceswapError("the footage has no such frame")
        section = self.section
        record, crop = record_of(face, place, face_type=section.face_type, size_px=section.size_px)
        name = f"{place.frame_name}_{face.index:02d}.{section.format}"
        return _Cut(face, name, record, crop)

    def _write(self, cut: _Cut, image: RgbImage) -> None:
        side, section = cut.record.size_px, self.section
        crop = warp(image, cut.crop, size_wh=(side, side))
        encoded = encode_image(crop, f".{section.format}", jpeg_quality=section.jpeg_quality)
        text = cut.record.model_dump_json(exclude_none=True)
        path, is_new = self.arrivals.put(cut.name, with_comment(encoded, text))
        self.done += is_new
        self.kept += not is_new
        self._put_mask(cut, path)

    def _put_mask(self, cut: _Cut, path: Path) -> None:
        if self.arrivals.has_mask(path):
            return
        try:
            self.arrivals.put_mask(path, crop_mask(cut.face, cut.crop, cut.record.size_px))
        except MediaError as error:
            self.fail(cut.name, error.what)
