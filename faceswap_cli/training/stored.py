"""The file of a checkpoint: named tensors and what is known about them, under a checksum.

It is a safetensors file: nothing in it is ever run. The checksum covers every name, shape, type
and byte of the tensors and the text about them; a bit that has flipped on a disk is found when
the file is read, and not weeks later by a face that looks odd.
"""

import hashlib
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from faceswap_cli.errors import WorkspaceError
from faceswap_cli.files import replacing

FORMAT = 2
"""1 had no checksum, and knew neither judges nor going back."""
ALONE_BYTES = 2**24
"""Up to so many are read by one thread: to begin others costs more."""
_ABOUT, _CHECKSUM = "faceswap-cli", "sha256"
_NAME = re.compile(r"iter_(\d{8})\.safetensors")
_OS_ERROR = re.compile(r"os error (\d+)")


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a model folder, oldest first."""
    return sorted(path for path in folder.glob("iter_*.safetensors") if _NAME.fullmatch(path.name))


def checkpoint_path(folder: Path, iteration: int) -> Path:
    """Return where the checkpoint of an iteration lies."""
    return folder / f"iter_{iteration:08d}.safetensors"


def write_stored(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write tensors and what is known about them, in one step.

    Args:
        path: Is as before if this fails.
        tensors: On any device.
        about: JSON values.

    Raises:
        WorkspaceError: The disk is full, the folder read-only, ...
    """
    text = json.dumps(about | {"format": FORMAT})
    # Contiguous: safetensors stores rows, channels-last weights are views in another order.
    tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    with replacing(path) as partial:
        try:
            save_file(
                tensors, partial, metadata={_ABOUT: text, _CHECKSUM: _checksum(text, tensors)}
            )
        except SafetensorError as error:
            raise _as_os_error(error) from error


def read_about(path: Path) -> dict[str, Any]:
    """Return iteration, loss, settings ... of a checkpoint from its header.

    Raises:
        WorkspaceError: Damaged, not a checkpoint, or of a newer version.
    """
    return _parsed(_header(path)[_ABOUT], path)


def read_stored(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what is known about a checkpoint, and its tensors, on the CPU.

    Raises:
        WorkspaceError: Damaged, not a checkpoint, or of a newer version.
    """
    header = _header(path)
    about = _parsed(header[_ABOUT], path)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(f"not a checkpoint, or cut short: {error}", path) from error
    has_one = _CHECKSUM in header or int(about.get("format", 0)) > 1
    if has_one and header.get(_CHECKSUM) != _checksum(header[_ABOUT], tensors):
        raise _damaged("its checksum does not match what is in it", path)
    return about, tensors


def _header(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, framework="pt") as file:
            header = dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(f"not a checkpoint, or cut short: {error}", path) from error
    if _ABOUT not in header:
        raise _damaged("not a checkpoint of this program", path)
    return header


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        about = dict(json.loads(text))
        number = int(about.get("format", 0))
    except (ValueError, TypeError) as error:
        raise _damaged(f"what it says about itself cannot be read: {error}", path) from error
    if number > FORMAT:
        raise WorkspaceError(
            f"checkpoint of format {number}, this program reads up to {FORMAT}",
            seen_in=path,
            fix="update faceswap-cli",
        )
    return about


def _damaged(why: str, path: Path) -> WorkspaceError:
    return WorkspaceError(
        f"the checkpoint is damaged: {why}",
        seen_in=path,
        fix=f"move it away; the next older one in {path.parent.name}/ is used then",
    )


def _checksum(text: str, tensors: dict[str, Tensor]) -> str:
    """Return the SHA-256 of a text and of those of all tensors; threads compute large ones."""
    names = sorted(tensors)
    given = names, [tensors[name] for name in names]
    size = sum(tensor.nbytes for tensor in tensors.values())
    whole = hashlib.sha256(text.encode())
    with ThreadPoolExecutor(thread_name_prefix="checksum") as pool:
        for each in pool.map(_digest, *given) if size > ALONE_BYTES else map(_digest, *given):
            whole.update(each)
    return whole.hexdigest()


def _digest(name: str, tensor: Tensor) -> bytes:
    one = hashlib.sha256(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
    one.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return one.digest()


def _as_os_error(error: SafetensorError) -> OSError:
    """Return what the system has said: the library passes on only the text of it."""
    found = _OS_ERROR.search(str(error))
    number = int(found[1]) if found else 0
    return OSError(number, os.strerror(number) if number else str(error))
