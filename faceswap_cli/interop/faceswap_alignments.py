"""faceswap's alignments file, .fsa: a compressed pickle of all faces of all frames."""

import zlib
from pathlib import Path
from typing import Any, Final

from faceswap_cli.errors import WorkspaceError
from faceswap_cli.imaging import read_bytes
from faceswap_cli.interop.checked import file_name
from faceswap_cli.interop.faceswap_faces import StoredFace, stored_face
from faceswap_cli.interop.hostile import HostileError
from faceswap_cli.interop.pickles import plain_data

MAX_FILE_BYTES: Final = 512 * 2**20
MAX_BYTES: Final = 512 * 2**20
"""Decompressed: of about 37,000 faces with thumbnails."""
MAX_RATIO: Final = 20
"""Real ones shrink to a half or a third; zeros would to a thousandth."""
RATIO_SLACK_BYTES: Final = 2**20
MAX_MEMORY: Final = 384 * 2**20
_CHUNK = 2**20
_NOT_NEEDED: Final = frozenset(("thumb", "t-face", "vggface2"))
"""Thumbnails, and who somebody is by its own networks: most of the file."""
MAX_FACES: Final = 10_000
"""Of a frame."""


def read_alignments(path: Path) -> tuple[list[StoredFace], dict[str, str]]:
    """Return the faces of all frames, and the reasons by frame of those that cannot be used.

    Raises:
        WorkspaceError: It is none, of a version below 2, damaged, or names what is refused.
    """
    try:
        known = plain_data(
            _decompressed(read_bytes(path, at_most=MAX_FILE_BYTES)),
            max_bytes=MAX_BYTES,
            max_memory=MAX_MEMORY,
            forget=_NOT_NEEDED,
        )
        frames = _frames(known)
    except HostileError as error:
        raise WorkspaceError(
            f"not an alignments file of faceswap 2: {error}",
            seen_in=path,
            fix="give the .fsa that `faceswap.py extract` made",
        ) from error
    found: list[StoredFace] = []
    failed: dict[str, str] = {}
    for frame, entry in frames.items():
        try:
            name = file_name(frame)
        except HostileError as error:
            failed[ascii(frame)[:60]] = str(error)
            continue
        try:
            found += _faces(name, entry)
        except HostileError as error:
            failed[name] = str(error)
    return found, failed


def _decompressed(data: bytes) -> bytearray:
    """Return all that is compressed in it; a bomb stops at MAX_BYTES."""
    plain, inflate = bytearray(), zlib.decompressobj()
    starts = range(0, len(data) + _CHUNK, _CHUNK)  # the last block is empty
    try:
        for start in starts:
            left, piece = data[start : start + _CHUNK], b"."
            while (left or piece) and not inflate.eof:
                piece = inflate.decompress(left, _CHUNK)
                left = inflate.unconsumed_tail
                plain += piece
                if len(plain) > RATIO_SLACK_BYTES + MAX_RATIO * len(data):
                    raise HostileError(f"data that shrinks to a {MAX_RATIO}th is no such file")
                if len(plain) > MAX_BYTES:
                    raise HostileError(f"more than {MAX_BYTES >> 20} MiB of data")
    except zlib.error as error:
        raise HostileError(f"it does not decompress: {error}") from error
    if not inflate.eof:
        raise HostileError("it is cut short")
    return plain


def _frames(known: Any) -> dict[Any, Any]:
    about = known.get("__meta__") if isinstance(known, dict) else None
    version = about.get("version") if isinstance(about, dict) else None
    frames = known.get("__data__") if isinstance(known, dict) else None
    if not isinstance(version, int | float) or not 2 <= version < 3:
        raise HostileError("its version is not 2")
    if not isinstance(frames, dict):
        raise HostileError("it has no frames")
    return frames


def _faces(frame: str, entry: Any) -> list[StoredFace]:
    faces = entry.get("faces") if isinstance(entry, dict) else None
    if not isinstance(faces, list) or len(faces) > MAX_FACES:
        raise HostileError("its faces are no list")
    return [stored_face(known, frame=frame, index=index) for index, known in enumerate(faces)]
