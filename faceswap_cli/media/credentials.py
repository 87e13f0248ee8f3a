"""Content credentials (C2PA): a signed statement in a file of what was done to it.

Nothing here uses the network: no manifest, no revocation list, no timestamp is fetched.
"""

import base64
import json
from pathlib import Path
from typing import IO, Any

import c2pa

from faceswap_cli.errors import ConfigError, MediaError
from faceswap_cli.media.certificates import SigningKey, find_key, read_anchors
from faceswap_cli.media.reference_reader import (
    SIDECAR_SUFFIX,
    find_sidecar,
    open_context,
    read_sidecar,
)
from faceswap_cli.media.signing import Signed, Signing
from faceswap_cli.media.verdict import Verdict, clean, read_verdict

# One grey pixel.
_TRIAL_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)
_NOTHING_IN_IT = ("ManifestNotFound", "NotSupported")
"""What the library's errors begin with where a file has no credentials in it."""
_ELSEWHERE = "Remote"


def prepare_key(certificate: str, private_key: str, folder: Path) -> SigningKey:
    """Return the key that will sign, after a trial: to be called before the work, not after.

    Args:
        certificate: PEM file of the user's chain; empty: one made on this machine.
        private_key: PEM file of its key; empty as well then.
        folder: Where the certificate that is made here is kept.

    Raises:
        ConfigError: The user's key cannot sign.
        WorkspaceError: That of the workspace cannot be read or made.
    """
    key = find_key(certificate, private_key, folder)
    try:
        Signing(key, parent=None, tool_version="trial").sign_picture(_TRIAL_PNG, ".png", title="a")
    except MediaError as error:
        raise ConfigError(
            f"this certificate cannot sign content credentials: {error.__cause__}",
            seen_in=certificate or folder,
            fix="C2PA wants an end-entity certificate for digital signatures, with the extended"
            " key usage emailProtection; without --certificate one is made on this machine",
        ) from error
    return key


def sign_file(
    unsigned: Path,
    signed: Path,
    *,
    title: str,
    parent: Path | None,
    key: SigningKey,
    tool_version: str,
    details: str = "A face was replaced.",
) -> Signed:
    """Sign one file; the arguments are those of Signing and Signing.sign.

    Raises:
        MediaError: The file is damaged, or the library refuses to sign.
        WorkspaceError: The disk is full, the folder read-only, ...
    """
    signing = Signing(key, parent=parent, tool_version=tool_version, details=details)
    return signing.sign(unsigned, signed, title=title)


def verify(path: Path, *, anchors: Path | None = None) -> Verdict:
    """Return what the credentials in or beside a file say, and whether it is unchanged.

    Args:
        path: Any file; or a sidecar, NAME.SUFFIX.c2pa, with its file beside it.
        anchors: PEM file of the certificates of authorities to trust.

    Raises:
        MediaError: The file is not there or cannot be read.
        ConfigError: The anchors cannot be read.
    """
    if path.suffix == SIDECAR_SUFFIX and not path.with_suffix("").is_file():
        raise MediaError(
            f"a sidecar says nothing without its file, {path.with_suffix('').name}",
            seen_in=path,
            fix="put the file beside it",
        )
    media = path.with_suffix("") if path.suffix == SIDECAR_SUFFIX else path
    context = _trusting(anchors)
    try:
        if not media.is_file():
            raise MediaError("no such file", seen_in=media, fix="check the path")
        with media.open("rb") as file:
            return _verify(media, file, context)
    except OSError as error:
        raise MediaError(f"cannot be read: {error.strerror}", seen_in=media) from error


def _verify(media: Path, file: IO[bytes], context: Any) -> Verdict:
    found = _read(file, None, context, kept_in="the file")
    sidecar = find_sidecar(media)
    if found.state != "none" or sidecar is None:
        return found
    file.seek(0)
    return _read(file, read_sidecar(sidecar), context, kept_in=sidecar.name)


def _read(file: IO[bytes], manifest: bytes | None, context: Any, *, kept_in: str) -> Verdict:
    try:
        with c2pa.Reader(None, file, manifest, context) as reader:
            return read_verdict(json.loads(reader.json()), kept_in=kept_in)
    except c2pa.C2paError as error:
        said = clean(str(error))
    if manifest is None and said.startswith(_NOTHING_IN_IT):
        return Verdict("none", reason="there are none in the file, and no sidecar is beside it")
    if said.startswith(_ELSEWHERE):
        return Verdict("none", reason=f"they are not in the file, nothing is fetched: {said}")
    return Verdict(
        "invalid", kept_in, failures=(f"the file or its credentials are damaged: {said}",)
    )


def _trusting(anchors: Path | None) -> Any:
    """Return the library's settings with these authorities, or raise ConfigError."""
    if anchors is None:
        return open_context()
    pem = read_anchors(anchors)
    try:
        return open_context(anchors_pem=pem)
    except c2pa.C2paError as error:
        raise ConfigError(
            f"the certificates to trust cannot be used: {clean(str(error))}",
            seen_in=anchors,
            fix="give the certificates of authorities, in PEM",
        ) from error
