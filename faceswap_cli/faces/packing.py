"""Writing a pack: an ordinary zip, its members stored, for pictures are compressed already.

The same files make the same bytes: no member has a time.
"""

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faceswap_cli import __version__
from faceswap_cli.faces.pack import MASKS
from faceswap_cli.faces.store import ABOUT, PACK_VERSION, is_picture
from faceswap_cli.files import replacing


class PackWriter:
    """A pack in the making."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.counts = {"faces": 0, "masks": 0, "labels": 0}

    def add(self, name: str, data: bytes) -> None:
        """Append a file under a name in the pack; see is_plain."""
        self._write(name, data)
        kind = "masks" if name.startswith(MASKS) else "faces" if is_picture(name) else "labels"
        self.counts[kind] += 1

    def tell_about(self) -> None:
        """Append what the pack says of itself."""
        about = {"version": PACK_VERSION, "made_by": f"faceswap-cli {__version__}", **self.counts}
        self._write(ABOUT, json.dumps(about, indent=2).encode() + b"\n")

    def _write(self, name: str, data: bytes) -> None:
        member = zipfile.ZipInfo(name)
        member.external_attr = 0o100644 << 16
        self._archive.writestr(member, data, zipfile.ZIP_STORED)


@contextmanager
def writing_pack(path: Path) -> Iterator[PackWriter]:
    """Yield a pack that takes the place of `path` when the block ends well.

    Raises:
        WorkspaceError: The disk is full, the folder read-only, ...; `path` is as before.
    """
    with (
        replacing(path) as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED, allowZip64=True) as archive,
    ):
        writer = PackWriter(archive)
        yield writer
        writer.tell_about()
