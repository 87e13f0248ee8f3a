"""Putting content credentials into files, or beside them."""

import datetime
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import c2pa

from faceswap_cli.errors import MediaError
from faceswap_cli.files import discard, explain_write_error, replacing, write_atomic
from faceswap_cli.media.certificates import SigningKey
from faceswap_cli.media.provenance import DIGITAL_SOURCE_TYPE, SOURCE_TYPES
from faceswap_cli.media.reference_reader import (
    IN_MEMORY_MB,
    can_embed,
    find_sidecar,
    format_of,
    open_context,
    read_sidecar,
    refusals,
    sidecar_of,
)

ANY_FORMAT = "application/octet-stream"
"""The library hashes all bytes of what it does not know, and finds no credentials in it."""
_PARENT, _MANIFEST = "parent", "parent.c2pa"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Signed:
    """What signing left: the file, and the sidecar if its format cannot hold credentials."""

    path: Path
    sidecar: Path | None


class Signing:
    """Signs what was made from one parent; the parent is looked at once.

    Args:
        key: What signs.
        parent: The footage, whose own credentials are kept; None if it is no file.
        tool_version: Of this program.
        details: What was done, for people.
    """

    def __init__(
        self,
        key: SigningKey,
        *,
        parent: Path | None,
        tool_version: str,
        details: str = "A face was replaced.",
    ) -> None:
        self._agent = {"name": "faceswap-cli", "version": tool_version}
        self._details = details
        # b"" would be an authority for timestamps, and fail.
        info = c2pa.C2paSignerInfo(key.algorithm.encode(), key.chain_pem, key.key_pem, None)
        with refusals(key.name):
            self._signer = c2pa.Signer.from_info(info)
        self._context = open_context()
        self._parent = self._look_at(parent) if parent is not None else None

    def sign(self, unsigned: Path, signed: Path, *, title: str) -> Signed:
        """Put the signed file in its place, in one step; `unsigned` is used up.

        A format that cannot hold credentials gets a sidecar, which is there before the file.

        Args:
            unsigned: May be `signed` itself, but not the `.NAME.partial` beside it.
            signed: Its suffix names the format. What is there is replaced.
            title: What the credentials call the file.

        Raises:
            MediaError: The file is damaged, or the library refuses to sign.
            WorkspaceError: The disk is full, the folder read-only, ...
        """
        if not can_embed(signed.suffix):
            sidecar = sidecar_of(signed)
            with unsigned.open("rb") as source:
                write_atomic(sidecar, self._sign(source, _Nowhere(), None, title))
            _move(unsigned, signed)
            return Signed(signed, sidecar)
        with replacing(signed) as partial:
            if partial == unsigned:
                raise ValueError(f"{unsigned} is where the signed file is made")
            with unsigned.open("rb") as source, partial.open("w+b") as target:
                # Of a full disk the library tells nothing; closing the file does.
                self._sign(source, target, signed.suffix, title)
        if unsigned != signed:
            discard(unsigned)
        return Signed(signed, None)

    def sign_picture(self, data: bytes, suffix: str, *, title: str) -> bytes:
        """Return an encoded picture with credentials in it.

        Raises:
            MediaError: The picture is damaged, or the library refuses to sign.
        """
        signed = BytesIO()
        self._sign(BytesIO(data), signed, suffix, title)
        return signed.getvalue()

    def _sign(self, source: IO[bytes], target: Any, suffix: str | None, title: str) -> bytes:
        """Return the credentials; write the file with them in, if it has a suffix that can."""
        with refusals(title), _temporary_files_beside(source):
            builder = c2pa.Builder(self._manifest(title), context=self._context)
            if self._parent is not None:
                builder.set_intent(c2pa.C2paBuilderIntent.EDIT)  # adds c2pa.opened
                builder.add_ingredient_from_archive(BytesIO(self._parent))
            if suffix is None:
                builder.set_no_embed()
            form = format_of(suffix) if suffix is not None else ANY_FORMAT
            return bytes(builder.sign(self._signer, form, source, target))

    def _manifest(self, title: str) -> dict[str, Any]:
        source_type = SOURCE_TYPES + DIGITAL_SOURCE_TYPE
        created = {"action": "c2pa.created", "digitalSourceType": source_type}
        edited = {
            "action": "c2pa.edited",
            "when": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}",
            "softwareAgent": self._agent,
            "digitalSourceType": source_type,
            "description": self._details,
        }
        actions = [edited] if self._parent is not None else [created, edited]
        return {
            "claim_generator_info": [self._agent],
            "title": title,
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
        }

    def _look_at(self, parent: Path) -> bytes:
        """Return the parent as an ingredient, with its credentials if they can be read."""
        try:
            with parent.open("rb") as file:
                sidecar = find_sidecar(parent) if not can_embed(parent.suffix) else None
                return self._ingredient(parent, file, sidecar)
        except (c2pa.C2paError, MediaError) as error:
            _log.warning("%s: its own credentials cannot be read: left out. %s", parent, error)
        except OSError as error:
            raise MediaError(f"cannot be read: {error.strerror}", seen_in=parent) from error
        with refusals(parent.name):
            return self._ingredient(parent, BytesIO(), None)

    def _ingredient(self, parent: Path, file: IO[bytes], sidecar: Path | None) -> bytes:
        """Return an archive of the parent; of an empty file it has the name only."""
        about: dict[str, Any] = {"title": parent.name, "relationship": "parentOf", "label": _PARENT}
        builder = c2pa.Builder({}, context=self._context)
        if sidecar is not None:
            manifest = read_sidecar(sidecar)
            builder.add_resource(_MANIFEST, BytesIO(manifest))
            about |= _checked(c2pa.Reader(None, file, manifest, self._context))
            file.seek(0)
        is_known = can_embed(parent.suffix) and not isinstance(file, BytesIO)
        builder.add_ingredient(about, format_of(parent.suffix) if is_known else ANY_FORMAT, file)
        archive = BytesIO()
        builder.write_ingredient_archive(_PARENT, archive)
        return archive.getvalue()


def _checked(reader: Any) -> dict[str, Any]:
    """Return what an ingredient says of credentials that stand beside its file."""
    report = json.loads(reader.json())
    return {
        "active_manifest": report["active_manifest"],
        "validation_results": report["validation_results"],
        "manifest_data": {"format": "application/c2pa", "identifier": _MANIFEST},
    }


class _Nowhere:
    """Takes the copy that the library makes even of a file that gets a sidecar."""

    def read(self, _: int = -1) -> bytes:
        return b""

    def write(self, data: bytes) -> int:
        return len(data)

    def seek(self, *_: int) -> int:
        return 0

    def tell(self) -> int:
        return 0

    def flush(self) -> None:
        pass


@contextmanager
def _temporary_files_beside(file: IO[bytes]) -> Iterator[None]:
    """Let the library make its copies of a large file on the disk of that file.

    It asks only TMPDIR, and /tmp is often small, or in memory.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size <= IN_MEMORY_MB << 20 or isinstance(file, BytesIO):
        yield
        return
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(Path(file.name).absolute().parent)
    try:
        yield
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before


def _move(path: Path, target: Path) -> None:
    if path == target:
        return
    try:
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.replace(target)
    except OSError as error:
        raise explain_write_error(error, target) from error
