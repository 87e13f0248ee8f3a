"""Faces that get the landmarks of a file, and faces that are new."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from faceswap_cli.config import ExtractConfig
from faceswap_cli.curating.footage import Footage, record_key
from faceswap_cli.curating.landmark_files import ManualFace
from faceswap_cli.curating.matching import choose_track, pair_faces
from faceswap_cli.curating.realign import (
    is_same,
    moved_labels,
    moved_mask,
    new_record,
    realigned,
    recut,
)
from faceswap_cli.errors import FaceswapError, WorkspaceError
from faceswap_cli.faces.faceset import AlignedFace, write_aligned
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.files import fingerprint, write_atomic
from faceswap_cli.geometry import warp
from faceswap_cli.imaging import encode_image, read_grey
from faceswap_cli.media.reader import Frame
from faceswap_cli.progress import progress
from faceswap_cli.types import RgbImage, Side
from faceswap_cli.workspace import StageReport, Workspace

BEFORE = "before"
"""Folder in the trash: masks and labels as they were before their face was cut anew."""
WRITABLE = (".jpg", ".png")


@dataclass(frozen=True)
class _Change:
    """A face that gets other landmarks."""

    face: AlignedFace
    new: FaceRecord


@dataclass
class LandmarkImport:
    """One import: plan, then cut_from_footage, then cut_from_pictures.

    What was done is in `report`. `faces` are those that are there; `footage` may have no clips,
    then `why_gone` says why.
    """

    workspace: Workspace
    side: Side
    section: ExtractConfig
    footage: Footage
    why_gone: str
    faces: list[AlignedFace]
    report: StageReport = field(default_factory=lambda: StageReport("landmarks import"))
    changes: dict[str, list[_Change]] = field(default_factory=lambda: defaultdict(list))
    """By the key of the frame; what is done is taken out."""
    additions: dict[str, list[ManualFace]] = field(default_factory=lambda: defaultdict(list))
    deleted: int = 0

    def plan(self, given: Mapping[str, Sequence[ManualFace]]) -> None:
        """Find out what each face of the file is."""
        by_name = {face.path.name: face for face in self.faces}
        by_key: dict[str, list[AlignedFace]] = defaultdict(list)
        for face in self.faces:
            by_key[record_key(face.record, self.side)].append(face)
        for frame, manual in given.items():
            named = [(by_name[one.name], one) for one in manual if one.name in by_name]
            others = [one for one in manual if one.name not in by_name]
            for face, one in named:
                self._change(face, one)
            key = self.footage.find(frame, by_key) if others else None
            if others and key is None:
                self.report.failed[frame] = f"no such frame in the footage of {self.side}" + (
                    f" ({self.why_gone})" if self.why_gone else ""
                )
            elif key is not None:
                taken = {face.path for face, _ in named}
                self._match(key, others, [f for f in by_key.get(key, ()) if f.path not in taken])
        if self.deleted:
            self.report.facts["deleted since the export"] = self.deleted

    def cut_from_footage(self) -> None:
        """Cut what the footage shows."""
        keys = {*self.changes, *self.additions}
        with progress("landmarks", total=len(keys), unit="frame") as bar:
            for key, frame in self.footage.frames(keys):
                for change in [c for c in self.changes.get(key, ()) if _is_of(frame, c)]:
                    self._write(change, _cut(frame, change.new))
                    self.changes[key].remove(change)
                for face in self.additions.pop(key, ()):
                    self._add(key, frame, face)
                bar.update()
        for key in self.additions:
            why = self.why_gone or "it does not decode"
            self.report.failed[key] = f"its frame is not there: {why}"

    def cut_from_pictures(self) -> None:
        """Cut the rest from the pictures that there are."""
        rest = [change for changes in self.changes.values() for change in changes]
        for change in rest:
            try:
                image = recut(change.face.image(), change.face.record, change.new)
            except FaceswapError as error:
                self.report.failed[change.face.path.name] = error.what
                continue
            self._write(change, image)
        if rest:
            why = self.why_gone or "the footage has another size, or other times, than they"
            self.report.facts["cut from the old pictures"] = f"{len(rest)}: {why}"

    def _match(self, key: str, given: list[ManualFace], there: list[AlignedFace]) -> None:
        """Settle the faces of a frame that are not known by name."""
        pairs = pair_faces([one.points68 for one in given], [f.record.landmarks for f in there])
        for number, one in enumerate(given):
            if number in pairs:
                self._change(there[pairs[number]], one)
            elif one.name is not None:
                self.deleted += 1  # by hand, since the export: it is not wanted
            else:
                self.additions[key].append(one)

    def _change(self, face: AlignedFace, manual: ManualFace) -> None:
        name, key = face.path.name, record_key(face.record, self.side)
        if any(change.face is face for change in self.changes.get(key, ())):
            self.report.failed[name] = "twice in the file: the first is taken"
        elif face.path.suffix not in WRITABLE:
            self.report.failed[name] = f"{face.path.suffix} is not written: rename it to .jpg"
        elif is_same(face.record, manual):
            self.report.kept += 1
        else:
            try:
                self.changes[key].append(_Change(face, realigned(face.record, manual)))
            except FaceswapError as error:
                self.report.failed[name] = error.what

    def _write(self, change: _Change, image: RgbImage) -> None:
        self._move_companions(change)
        quality = self.section.jpeg_quality
        write_aligned(change.face.path, image, change.new, jpeg_quality=quality)
        self.report.done += 1

    def _move_companions(self, change: _Change) -> None:
        """Let an edited mask, and labels, follow the new crop.

        They are made from a copy that is named by the old crop, before the picture changes:
        whenever this is killed, the next run finds the same copy, and moves them once.
        """
        path, old = change.face.path, change.face.record
        mask = self.workspace.edited_masks(self.side) / f"{path.stem}.png"
        if mask.exists():
            moved = moved_mask(read_grey(self._copy(mask, old)), old, change.new)
            write_atomic(mask, encode_image(moved, ".png"))
        labels = path.with_suffix(".json")
        if labels.exists():
            copy = self._copy(labels, old).read_bytes()
            try:
                write_atomic(labels, moved_labels(copy, old, change.new))
            except WorkspaceError as error:
                self.report.failed[labels.name] = error.what

    def _copy(self, path: Path, old: FaceRecord) -> Path:
        """Return a copy of a file as it was with the old crop."""
        mark = fingerprint(crop=old.crop_from_frame)
        copy = self.workspace.trash(self.side) / BEFORE / f"{path.stem}_{mark}{path.suffix}"
        if not copy.exists():
            write_atomic(copy, path.read_bytes())
        return copy

    def _add(self, key: str, frame: Frame, manual: ManualFace) -> None:
        """Cut out a face that was not there."""
        prefix, index = self.footage.places[key]
        source = self.footage.clips[prefix]
        source_name = source.info.path.name
        clip = [f.record for f in self.faces if f.record.source_name == source_name]
        face_type, size_px, suffix = self._usual()
        try:
            track, person = choose_track(manual, index, clip)
            height, width = frame.image.shape[:2]
            record = new_record(
                manual,
                face_type=face_type,
                size_px=size_px,
                source_name=source_name,
                frame_name=source.frame_name(index),
                frame_index=index,
                frame_time_s=frame.time_s,
                frame_size_wh=(width, height),
                track=track,
                person=person,
            )
        except FaceswapError as error:
            self.report.failed[key] = error.what
            return
        path = self._free_path(key, suffix)
        write_aligned(path, _cut(frame, record), record, jpeg_quality=self.section.jpeg_quality)
        self.faces.append(AlignedFace(path, record))
        self.report.done += 1
        self.report.facts["added"] = self.report.facts.get("added", 0) + 1

    def _usual(self) -> tuple[str, int, str]:
        """Return face type, size and suffix of most of the pictures."""
        found = Counter(
            (face.record.face_type, face.record.size_px, face.path.suffix)
            for face in self.faces
            if face.path.suffix in WRITABLE
        )
        asked = self.section.face_type, self.section.size_px, f".{self.section.format}"
        return found.most_common(1)[0][0] if found else asked

    def _free_path(self, key: str, suffix: str) -> Path:
        folder = self.workspace.aligned(self.side)
        names = (f"{key}_m{number:02d}" for number in range(10**6))
        return next(
            folder / f"{name}{suffix}"
            for name in names
            if not any((folder / f"{name}{other}").exists() for other in WRITABLE)
        )


def _is_of(frame: Frame, change: _Change) -> bool:
    """Tell whether a face was found in this frame, and not in one of other footage."""
    record = change.face.record
    height, width = frame.image.shape[:2]
    return (width, height) == record.frame_size_wh and frame.time_s == record.frame_time_s


def _cut(frame: Frame, record: FaceRecord) -> RgbImage:
    size_wh = (record.size_px, record.size_px)
    return np.asarray(warp(frame.image, record.crop, size_wh=size_wh), np.uint8)
