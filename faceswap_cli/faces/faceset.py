"""Aligned pictures, each of which describes itself; in a folder, or in a pack."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from faceswap_cli.errors import FaceswapError, MediaError, WorkspaceError
from faceswap_cli.faces.metadata import read_comment, with_comment
from faceswap_cli.faces.record import SCHEMA, FaceRecord
from faceswap_cli.faces.store import FaceFiles, FaceFolder, open_files
from faceswap_cli.files import write_atomic
from faceswap_cli.imaging import decode_grey, decode_image, encode_image, read_bytes
from faceswap_cli.media.picture_header import read_header
from faceswap_cli.types import GreyImage, RgbImage

SUFFIXES = (".jpg", ".png")


@dataclass(frozen=True)
class AlignedFace:
    """One picture of a faceset, not decoded."""

    path: Path
    """In a pack: of the pack, and the name in it."""
    record: FaceRecord
    files: FaceFiles | None = field(default=None, compare=False, repr=False)
    """Where it lies, if not simply at `path`."""

    def image(self) -> RgbImage:
        """Decode the pixels, (size_px, size_px, 3), or raise MediaError."""
        data = read_bytes(self.path) if self.files is None else self.files.read(self.path.name)
        width, height = read_header(data, self.path).size_wh
        if (width, height) != (self.record.size_px,) * 2:
            raise MediaError(
                f"{width}x{height} pixels, its record says {self.record.size_px}",
                seen_in=self.path,
                fix="undo the resize, or delete the picture",
            )
        return decode_image(data, self.path)


@dataclass
class Faceset:
    """The faces of one folder or pack, by file name, and what had to be left out."""

    faces: list[AlignedFace] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """Reason by file name."""


def write_aligned(path: Path, image: RgbImage, record: FaceRecord, *, jpeg_quality: int) -> None:
    """Write an aligned picture with its record inside, in one step."""
    write_encoded(path, encode_image(image, path.suffix, jpeg_quality=jpeg_quality), record)


def write_encoded(path: Path, picture: bytes, record: FaceRecord) -> None:
    """Write a picture that is encoded already with its record inside, in one step."""
    write_atomic(path, with_comment(picture, record.model_dump_json(exclude_none=True)))


def read_record(path: Path) -> FaceRecord:
    """Return the record inside an aligned picture.

    Raises:
        MediaError: Not a picture, or it does not describe itself.
        WorkspaceError: The record is of a newer version of this program.
    """
    return parse_record(FaceFolder(path.parent).read(path.name), path)


def parse_record(data: bytes, path: Path) -> FaceRecord:
    """Return the record inside an encoded picture; errors as read_record, which name `path`."""
    text = read_comment(data)
    if text is None or '"schema_version"' not in text:
        raise MediaError(
            "no face record inside: not made by this program",
            seen_in=path,
            fix="extract it again from its frame, or delete it",
        )
    try:
        record = FaceRecord.model_validate_json(text)
    except ValidationError as error:
        newer = _newer_schema(text)
        if newer is None:
            key = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise MediaError(f"its face record is damaged at {key!r}", seen_in=path) from error
        raise newer from error
    if record.schema_version > SCHEMA:
        raise _too_new(record.schema_version)
    return record


def read_face(files: FaceFiles, name: str) -> AlignedFace:
    """Return a picture of a folder or a pack, not decoded; errors as read_record."""
    path = files.path / name
    return AlignedFace(path, parse_record(files.read(name), path), files)


def read_mask(files: FaceFiles, name: str) -> GreyImage | None:
    """Return the mask that a person made for a picture, if there is one, or raise MediaError."""
    data = files.read_mask(name)
    return None if data is None else decode_grey(data, files.mask_path(name))


def open_faceset(faces: Path | FaceFiles, *, paths: Iterable[Path] | None = None) -> Faceset:
    """Read the records of a folder or a pack, in the order of the names.

    A picture that is damaged or foreign is left out, with the reason.

    Args:
        faces: A folder, a pack (a file), or what open_files returned.
        paths: Only these, which may lie anywhere; `faces` is not looked at.

    Raises:
        WorkspaceError: The pack as a whole cannot be read; never of a folder.
    """
    faceset = Faceset()
    if paths is not None:
        for path in paths:
            _read_into(faceset, FaceFolder(path.parent), path.name)
        return faceset
    files = open_files(faces) if isinstance(faces, Path) else faces
    for name in files.names():
        _read_into(faceset, files, name)
    return faceset


def _read_into(faceset: Faceset, files: FaceFiles, name: str) -> None:
    try:
        faceset.faces.append(read_face(files, name))
    except FaceswapError as error:
        faceset.skipped[name] = error.what


def picture_paths(folder: Path) -> Iterator[Path]:
    """Yield the pictures of a folder by name, not opened; none if there is no folder."""
    return (folder / name for name in FaceFolder(folder).names())


def _newer_schema(text: str) -> WorkspaceError | None:
    """Return an error if the record cannot be read because it is newer than we are."""
    import re

    found = re.search(r'"schema_version"\s*:\s*(\d{1,6})', text)
    version = int(found[1]) if found else 0
    return _too_new(version) if version > SCHEMA else None


def _too_new(version: int) -> WorkspaceError:
    return WorkspaceError(
        f"its face record has schema {version}, this program reads up to {SCHEMA}",
        fix="update faceswap-cli, or extract again with this version",
    )
