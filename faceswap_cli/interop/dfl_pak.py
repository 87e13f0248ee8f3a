"""DeepFaceLab's faceset.pak: all pictures of a faceset in one file, one after the other.

A version, a pickled list of dicts, a table of offsets from where the pictures begin, the
pictures. They describe themselves, so that of the dicts only the names are used. The last
offset is counted from the beginning of the file, by a mistake of DeepFaceLab's that its own
reader does not notice; ours takes the end of the file for it.
"""

import itertools
import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.errors import MediaError, WorkspaceError
from faceswap_cli.faces.pack import is_plain
from faceswap_cli.files import replacing
from faceswap_cli.interop.dfl_faces import DflFace
from faceswap_cli.interop.hostile import HostileError, shown
from faceswap_cli.interop.pickle_writer import Member, write_pickle
from faceswap_cli.interop.pickles import plain_data, unreadable

VERSION: Final = 1
MAX_INDEX_BYTES: Final = 256 * 2**20
"""Of the pickled list: of about 60,000 faces."""
MAX_INDEX_MEMORY: Final = 640 * 2**20
MAX_FACE_BYTES: Final = 16 * 2**20
_ENUMS: Final = {
    ("samplelib.Sample", "SampleType"): range(10),
    ("facelib.FaceType", "FaceType"): range(101),
}
_TYPE_NUMBERS: Final = {
    "half_face": 0,
    "midfull_face": 1,
    "full_face": 2,
    "whole_face": 4,
    "head": 10,
}
_SAMPLE_FACE: Final = 1
_TOO_LARGE = "unpack it with DeepFaceLab (util --unpack-faceset), then import the folder"


@dataclass(frozen=True)
class PakFace:
    """A picture of a pak, not read yet."""

    name: str
    """Its file name: a plain one, if there is no problem."""
    person: str
    """Name of the person, if it was packed from a folder for each; else empty."""
    start: int
    end: int
    """In the file."""
    problem: str = ""
    """Why it cannot be used."""


class PakReader:
    """A faceset.pak that is open for reading.

    Raises:
        WorkspaceError: It is none, damaged, of another version, or names what is refused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._size = path.stat().st_size
            with path.open("rb") as file:
                length = self._header(file.read(16))
                known = self._index(file.read(length))
                if not isinstance(known, list):
                    raise self._damaged("its index is no list")
                if 8 * (len(known) + 1) > self._size - 16 - length:
                    raise self._damaged(f"cut short: {len(known)} faces have no place in it")
                table = np.frombuffer(file.read(8 * (len(known) + 1)), "<u8")
                self._begin = file.tell()
        except OSError as error:
            raise WorkspaceError(
                f"cannot be read: {error.strerror or error}", seen_in=path
            ) from error
        bounds = self._bounds(table)
        self.faces = [
            self._face(item, start, end)
            for item, start, end in zip(known, bounds[:-1], bounds[1:], strict=True)
        ]

    def read(self, face: PakFace) -> bytes:
        """Return the bytes of a picture, or raise MediaError."""
        if face.problem:
            raise MediaError(face.problem, seen_in=self.path)
        try:
            with self.path.open("rb") as file:
                file.seek(face.start)
                return file.read(face.end - face.start)
        except OSError as error:
            raise MediaError(f"cannot be read: {error.strerror}", seen_in=self.path) from error

    def _header(self, head: bytes) -> int:
        """Return the length of the index."""
        if len(head) < 16:
            raise self._damaged("cut short")
        version, length = struct.unpack("<QQ", head)
        if version != VERSION:
            raise self._damaged(f"version {version}, {VERSION} is read")
        if length > self._size - 16:
            raise self._damaged(f"cut short: its index has {length} bytes, the file {self._size}")
        if length > MAX_INDEX_BYTES:
            raise WorkspaceError(
                f"an index of {length >> 20} MiB, at most {MAX_INDEX_BYTES >> 20} are read",
                seen_in=self.path,
                fix=_TOO_LARGE,
            )
        return int(length)

    def _index(self, data: bytes) -> Any:
        try:
            return plain_data(
                data, max_bytes=MAX_INDEX_BYTES, max_memory=MAX_INDEX_MEMORY, enums=_ENUMS
            )
        except HostileError as error:
            raise unreadable(self.path, str(error)) from error

    def _bounds(self, table: NDArray[np.uint64]) -> list[int]:
        """Return where pictures begin and end, in the file."""
        room = self._size - self._begin
        offsets = [int(offset) for offset in table]
        offsets[-1] = min(offsets[-1], room)  # the mistake
        # Pictures that overlap would let a small file stand for any number of bytes.
        if any(start > end for start, end in itertools.pairwise(offsets)):
            raise self._damaged("its offsets do not ascend, or lead out of the file")
        return [self._begin + offset for offset in offsets]

    def _face(self, item: Any, start: int, end: int) -> PakFace:
        known = item if isinstance(item, dict) else {}
        name, person = known.get("filename"), known.get("person_name") or ""
        problem = ""
        if not isinstance(name, str) or not is_plain(name) or not name.lower().endswith(".jpg"):
            problem = f"a picture called {shown(name)}: no plain name of a .jpg"
        elif not isinstance(person, str) or (person and not is_plain(f"{person}.jpg")):
            problem = f"a person called {shown(person)}: no plain name"
        elif not 0 < end - start <= MAX_FACE_BYTES:
            problem = f"{end - start} bytes, at most {MAX_FACE_BYTES} are read"
        if problem:
            return PakFace(shown(name), "", start, end, problem)
        return PakFace(str(name), str(person), start, end)

    def _damaged(self, reason: str) -> WorkspaceError:
        return WorkspaceError(
            f"not a faceset.pak, or a damaged one: {reason}",
            seen_in=self.path,
            fix="copy it again from where DeepFaceLab made it",
        )


def write_pak(path: Path, faces: Sequence[tuple[str, DflFace]], pictures: Iterable[bytes]) -> None:
    """Write a faceset.pak; it appears in one step.

    Args:
        path: Of the file.
        faces: Names and what DeepFaceLab knows, for the index.
        pictures: The encoded pictures in the same order; one at a time is in memory.

    Raises:
        WorkspaceError: The disk is full, the folder read-only, ...; `path` is as before.
    """
    index = write_pickle([_indexed(name, face) for name, face in faces], protocol=4)
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(struct.pack("<QQ", VERSION, len(index)) + index)
        table = file.tell()
        file.write(bytes(8 * (len(faces) + 1)))
        begin = file.tell()
        offsets = []
        for _, picture in zip(faces, pictures, strict=True):
            offsets.append(file.tell() - begin)
            file.write(picture)
        offsets.append(file.tell())  # from the beginning of the file: as DeepFaceLab has it
        file.seek(table, os.SEEK_SET)
        file.write(np.array(offsets, "<u8").tobytes())


def _indexed(name: str, face: DflFace) -> dict[str, Any]:
    """Return an entry of the index, all its keys."""
    polygons = [
        {"type": int(polygon.is_face), "pts": polygon.points.astype(np.float32)}
        for polygon in face.polygons
    ]
    return {
        "sample_type": Member("samplelib.Sample", "SampleType", _SAMPLE_FACE),
        "filename": name,
        "face_type": Member("facelib.FaceType", "FaceType", _TYPE_NUMBERS[face.face_type]),
        "shape": (face.size_px, face.size_px, 3),
        "landmarks": face.landmarks.tolist(),
        "seg_ie_polys": {"polys": polygons},
        "xseg_mask": None,
        "xseg_mask_compressed": None if face.mask is None else np.frombuffer(face.mask, np.uint8),
        "eyebrows_expand_mod": face.eyebrows_expand_mod,
        "source_filename": face.source_filename,
        "person_name": None,
    }
