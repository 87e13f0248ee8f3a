"""Where the files of a faceset lie: in a folder, or in a pack; read in the same way."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from faceswap_cli.errors import MediaError, WorkspaceError
from faceswap_cli.faces.pack import MASKS, MAX_MEMBER_BYTES, Pack
from faceswap_cli.imaging import read_bytes
from faceswap_cli.types import Side
from faceswap_cli.workspace import Workspace

_SUFFIXES = (".jpg", ".jpeg", ".png")
ABOUT = "faceset.json"
"""In a pack: its version, and how many files of each kind it has."""
PACK_VERSION = 1
_MAX_ABOUT_BYTES = 65536
_UNKNOWN = (-1, -1)

Version = tuple[int, int]
"""Of a file: its bytes, and what else changes with it: its time in ns, in a pack its CRC."""


class FaceFiles(Protocol):
    """The pictures and masks of a faceset, by name, wherever they lie. Safe with threads."""

    @property
    def path(self) -> Path:
        """The folder or the pack: for messages."""

    def names(self) -> list[str]:
        """Return the names of the pictures, sorted; they are not opened."""

    def versions(self) -> dict[str, Version]:
        """Return what changes when a picture does, by its name."""

    def mask_versions(self) -> dict[str, Version]:
        """Return the same of the masks that a person edited, by the name without suffix."""

    def read(self, name: str) -> bytes:
        """Return a picture file, or raise MediaError."""

    def head(self, name: str, size: int) -> bytes:
        """Return its first bytes, at most `size`, or raise MediaError."""

    def read_mask(self, name: str) -> bytes | None:
        """Return the edited mask of a picture, None if there is none, or raise MediaError."""

    def mask_path(self, name: str) -> Path:
        """Return where its mask lies, or would lie: for messages."""

    def close(self) -> object:
        """Let go of the file."""


class FaceFolder:
    """A folder of aligned pictures; one that is not there has none.

    Args:
        path: Of the pictures.
        masks: Folder of the edited masks; None: `mask` in it.
    """

    def __init__(self, path: Path, masks: Path | None = None) -> None:
        self.path = path
        self._masks = path / MASKS if masks is None else masks

    def names(self) -> list[str]:
        """As FaceFiles; folders and links to nothing are told when they are read."""
        return sorted(_picture_names(self.path))

    def versions(self) -> dict[str, Version]:
        """As FaceFiles."""
        return {name: _version(self.path / name) for name in self.names()}

    def mask_versions(self) -> dict[str, Version]:
        """As FaceFiles."""
        return _mask_versions(self._masks)

    def read(self, name: str) -> bytes:
        """As FaceFiles."""
        return read_bytes(self.path / name, at_most=MAX_MEMBER_BYTES)

    def head(self, name: str, size: int) -> bytes:
        """As FaceFiles."""
        path = self.path / name
        if path.exists() and not path.is_file():  # to open a pipe would wait for ever
            raise MediaError("not a file", seen_in=path)
        try:
            with path.open("rb") as file:
                return file.read(size)
        except OSError as error:
            raise MediaError(f"cannot be read: {error.strerror}", seen_in=path) from error

    def read_mask(self, name: str) -> bytes | None:
        """As FaceFiles."""
        path = self.mask_path(name)
        return read_bytes(path, at_most=MAX_MEMBER_BYTES) if path.exists() else None

    def mask_path(self, name: str) -> Path:
        """As FaceFiles."""
        return self._masks / f"{Path(name).stem}.png"

    def close(self) -> None:
        """Do nothing: no file is held."""


class FacePack:
    """A faceset in one file; see pack.py.

    Args:
        path: Of the pack.
        masks: Folder of masks that were edited since; they go before those in the pack.

    Raises:
        WorkspaceError: It cannot be opened, or a newer version of this program made it.
    """

    def __init__(self, path: Path, masks: Path | None = None) -> None:
        self.path = path
        self.pack = Pack(path)
        self._edited = FaceFolder(path, masks)
        self.close = self.pack.close
        _check_version(self.pack)

    def names(self) -> list[str]:
        """As FaceFiles; a picture that may not be used is told when it is read."""
        return sorted(name for name in self.pack.members if is_picture(name))

    def versions(self) -> dict[str, Version]:
        """As FaceFiles."""
        return {name: self._version(name) for name in self.names()}

    def mask_versions(self) -> dict[str, Version]:
        """As FaceFiles."""
        packed = {
            name.removeprefix(MASKS).rpartition(".")[0]: self._version(name)
            for name in self.pack.members
            if name.startswith(MASKS)
        }
        return packed | self._edited.mask_versions()

    def read(self, name: str) -> bytes:
        """As FaceFiles."""
        return self.pack.read(name)

    def head(self, name: str, size: int) -> bytes:
        """As FaceFiles."""
        return self.pack.head(name, size)

    def read_mask(self, name: str) -> bytes | None:
        """As FaceFiles."""
        edited = self._edited.read_mask(name)
        packed = _mask_name(name)
        if edited is None and packed in self.pack.members:
            return self.pack.read(packed)
        return edited

    def mask_path(self, name: str) -> Path:
        """As FaceFiles."""
        edited = self._edited.mask_path(name)
        return edited if edited.exists() else self.path / _mask_name(name)

    def _version(self, name: str) -> Version:
        member = self.pack.members[name]
        return member.size, member.crc


def open_files(path: Path, masks: Path | None = None) -> FaceFolder | FacePack:
    """Return the files of a faceset.

    Args:
        path: A folder, or a pack: a file.
        masks: Folder of the edited masks, if it is another than `mask` in the folder.

    Raises:
        WorkspaceError: It is a file, and no pack.
    """
    return FacePack(path, masks) if path.is_file() else FaceFolder(path, masks)


def find_aligned(workspace: Workspace, side: Side) -> Path:
    """Return where the faces of a side are: the folder, or the pack if that has no picture."""
    folder, packed = workspace.aligned(side), workspace.packed(side)
    if next(_picture_names(folder), None) is None and packed.is_file():
        return packed
    return folder


def is_picture(name: str) -> bool:
    """Whether it is the name of an aligned picture: no mask, not hidden, of a known suffix."""
    return name.lower().endswith(_SUFFIXES) and not name.startswith(".") and "/" not in name


def _picture_names(folder: Path) -> Iterator[str]:
    if folder.is_dir():
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries if is_picture(entry.name))


def _mask_versions(folder: Path) -> dict[str, Version]:
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if e.name.endswith(".png") and e.is_file()]
    return {name.removesuffix(".png"): _version(folder / name) for name in names}


def _version(path: Path) -> Version:
    with suppress(OSError):  # a link to nothing; reading it will tell
        about = path.stat()
        return about.st_size, about.st_mtime_ns
    return _UNKNOWN


def _mask_name(name: str) -> str:
    return f"{MASKS}{Path(name).stem}.png"


def _check_version(pack: Pack) -> None:
    """Refuse a pack that is newer than we are; one without a word about itself is as good."""
    if ABOUT not in pack.members:
        return
    try:
        version = int(json.loads(pack.head(ABOUT, _MAX_ABOUT_BYTES))["version"])
    except (MediaError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return  # then it is only a zip of pictures, each of which describes itself
    if version > PACK_VERSION:
        pack.close()
        raise WorkspaceError(
            f"the packed faceset {pack.path.name} has version {version}, this program reads up "
            f"to {PACK_VERSION}",
            seen_in=pack.path,
            fix="update faceswap-cli, or unpack it with any zip program",
        )
