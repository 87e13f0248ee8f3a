"""The library of the C2PA: how it is set up, what it can do, and its errors as ours.

It is told to leave the network alone: left to itself, it fetches what a file refers to.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import c2pa

from faceswap_cli.errors import MediaError

SIDECAR_SUFFIX = ".c2pa"
MAX_SIDECAR_BYTES = 64 * 2**20
IN_MEMORY_MB = 32
"""Larger files go through temporary ones; the library's own limit is 512."""
SETTINGS: dict[str, Any] = {
    "version": 1,
    "core": {"backing_store_memory_threshold_in_mb": IN_MEMORY_MB, "allowed_network_hosts": []},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},  # a PNG would get 456 KB more
}


def open_context(*, anchors_pem: str = "") -> Any:
    """Return the settings as the library takes them.

    Args:
        anchors_pem: Certificates of authorities to trust, PEM.
    """
    trust = {"trust": {"user_anchors": anchors_pem}} if anchors_pem else {}
    return c2pa.Context.from_dict(SETTINGS | trust)


def can_embed(suffix: str) -> bool:
    """Tell whether files of a suffix, such as .mp4, hold their credentials themselves."""
    name = format_of(suffix)
    return name != format_of(SIDECAR_SUFFIX) and name in c2pa.Builder.get_supported_mime_types()


def format_of(suffix: str) -> str:
    """Return what the library calls files of a suffix."""
    return suffix.lower().removeprefix(".")


def sidecar_of(path: Path) -> Path:
    """Return where the credentials are of a file that cannot hold them: NAME.SUFFIX.c2pa."""
    return path.with_name(path.name + SIDECAR_SUFFIX)


def find_sidecar(path: Path) -> Path | None:
    """Return the sidecar of a file: ours, or one named as other tools do, NAME.c2pa.

    The latter may as well be of NAME.mkv as of NAME.png: it is taken for files only that cannot
    hold their credentials themselves.
    """
    named = [sidecar_of(path)]
    named += [] if can_embed(path.suffix) else [path.with_suffix(SIDECAR_SUFFIX)]
    return next((sidecar for sidecar in named if sidecar != path and sidecar.is_file()), None)


def read_sidecar(sidecar: Path) -> bytes:
    """Return its bytes, or raise MediaError: too large, or not readable."""
    try:
        if sidecar.stat().st_size > MAX_SIDECAR_BYTES:
            raise MediaError(
                f"{sidecar.stat().st_size >> 20} MiB: too large for a sidecar", seen_in=sidecar
            )
        return sidecar.read_bytes()
    except OSError as error:
        raise MediaError(f"cannot be read: {error.strerror}", seen_in=sidecar) from error


@contextmanager
def refusals(name: object) -> Iterator[None]:
    """Turn what the library refuses into a MediaError."""
    try:
        yield
    except c2pa.C2paError as error:
        raise MediaError(
            f"{name} cannot be signed: {error}",
            fix="--no-credentials leaves the signature out, and is told in the log",
        ) from error
