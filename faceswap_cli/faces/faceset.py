"""A folder of aligned pictures, each of which describes itself."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from faceswap_cli.errors import FaceswapError, MediaError, WorkspaceError
from faceswap_cli.faces.metadata import read_comment, with_comment
from faceswap_cli.faces.record import SCHEMA, FaceRecord
from faceswap_cli.files import write_atomic
from faceswap_cli.imaging import decode_image, encode_image
from faceswap_cli.types import RgbImage

SUFFIXES = (".jpg", ".png")
_MAX_BYTES = 256 * 2**20


@dataclass(frozen=True)
class AlignedFace:
    """One picture of a faceset, not decoded."""

    path: Path
    record: FaceRecord

    def image(self) -> RgbImage:
        """Decode the pixels, (size_px, size_px, 3), or raise MediaError."""
        image = decode_image(self.path.read_bytes(), self.path)
        if image.shape[:2] != (self.record.size_px,) * 2:
            raise MediaError(
                f"{image.shape[1]}x{image.shape[0]} pixels, its record says {self.record.size_px}",
                seen_in=self.path,
                fix="undo the resize, or delete the picture",
            )
        return image


@dataclass
class Faceset:
    """The faces of one folder, by file name, and what had to be left out."""

    faces: list[AlignedFace] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """Reason by file name."""


def write_aligned(path: Path, image: RgbImage, record: FaceRecord, *, jpeg_quality: int) -> None:
    """Write an aligned picture with its record inside, in one step."""
    encoded = encode_image(image, path.suffix, jpeg_quality=jpeg_quality)
    write_atomic(path, with_comment(encoded, record.model_dump_json(exclude_none=True)))


def read_record(path: Path) -> FaceRecord:
    """Return the record inside an aligned picture.

    Raises:
        MediaError: Not a picture, or it does not describe itself.
        WorkspaceError: The record is of a newer version of this program.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise MediaError(f"{path.stat().st_size >> 20} MiB: too large for a face", seen_in=path)
    text = read_comment(path.read_bytes())
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


def open_faceset(folder: Path, *, paths: Iterable[Path] | None = None) -> Faceset:
    """Read the records of a folder, in the order of the names.

    A picture that is damaged or foreign is left out, with the reason; nothing is raised.
    """
    faceset = Faceset()
    for path in picture_paths(folder) if paths is None else paths:
        try:
            faceset.faces.append(AlignedFace(path, read_record(path)))
        except FaceswapError as error:
            faceset.skipped[path.name] = error.what
        except OSError as error:
            faceset.skipped[path.name] = error.strerror or "cannot be read"
    return faceset


def picture_paths(folder: Path) -> Iterator[Path]:
    """Yield the pictures of a folder by name, not opened; none if there is no folder."""
    if folder.is_dir():
        yield from sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in (*SUFFIXES, ".jpeg") and not path.name.startswith(".")
        )


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
