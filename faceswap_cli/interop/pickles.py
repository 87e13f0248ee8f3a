"""Pickles of other programs, read as data: nothing in them can run.

A pickle is a program for a small machine, and that machine can call anything. Python's own is
not used here: ours (pickle_machine.py) knows the instructions that plain data is made of, and
the names by which numpy pickles an array; these stand for classes of ours.
"""

import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.errors import WorkspaceError
from faceswap_cli.interop.hostile import Data, HostileError, shown
from faceswap_cli.interop.pickle_globals import NUMPY, Enumeration, PickledArray
from faceswap_cli.interop.pickle_machine import Machine

MAX_BYTES: Final = 4 * 2**30
"""Of a file: the largest network that DeepFaceLab can make has about 1.5 GiB of weights."""
MAY_BE_AN_ATTACK: Final = (
    "take the file from the program that made it; one that names other globals than an"
    " array's may be an attack, and was not run"
)
MAX_MEMORY: Final = 2 * 2**30
"""Besides the bytes of the arrays: an iteration of a training is kept as a list of two numbers."""


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a pickled dict by name; each is read-only, of floats or integers.

    Raises:
        WorkspaceError: It is anything else, is damaged, or names a global that is refused.
    """
    arrays = {}
    for name, value in _read(path).items():
        if not isinstance(value, PickledArray) or value.values.dtype.kind not in "fiu":
            raise unreadable(path, f"{shown(name)} is no array of numbers")
        arrays[name] = value.values
    return arrays


def read_plain(path: Path) -> dict[str, Any]:
    """Return a pickled dict of text, numbers, lists, dicts; arrays in it are not for use.

    Raises:
        WorkspaceError: It is anything else, is damaged, or names a global that is refused.
    """
    return _read(path)


def plain_data(
    data: Data,
    *,
    max_bytes: int,
    max_memory: int,
    enums: Mapping[tuple[str, str], range] | None = None,
    forget: frozenset[str] = frozenset(),
) -> Any:
    """Return what some pickled bytes hold; arrays in it are for `numbers` and `raw_bytes`.

    Args:
        data: The pickle.
        max_bytes: Longer data is not looked at.
        max_memory: Bytes that all it makes may take.
        enums: By module and name, the values of enumerations; they are returned as int.
        forget: Keys of dicts whose lists stay empty.

    Raises:
        HostileError: It is anything but plain data, is damaged, or names another global.
    """
    if len(data) > max_bytes:
        raise HostileError(f"{len(data)} bytes, at most {max_bytes} are read")
    named = {**NUMPY, **{key: Enumeration(known) for key, known in (enums or {}).items()}}
    return Machine(data, named, max_memory=max_memory, forget=forget).run()


def unreadable(path: object, reason: str) -> WorkspaceError:
    """Return the error of a file that is no pickle of plain data."""
    return WorkspaceError(
        f"not a pickle of plain arrays and numbers: {reason}", seen_in=path, fix=MAY_BE_AN_ATTACK
    )


def numbers(value: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return what should be finite numbers of this shape, from an array or lists of lists.

    Raises:
        HostileError: It has another shape, or something in it is no finite number.
    """
    if isinstance(value, PickledArray):
        if value.values.shape != shape or value.values.dtype.kind not in "fiu":
            raise HostileError(f"{_kind(value)}, not {_size(shape)} numbers")
        found = value.values.astype(np.float64)
    else:
        flat: list[float] = []
        _flatten(value, shape, flat)
        found = np.array(flat, np.float64).reshape(shape)
    if not np.isfinite(found).all():
        raise HostileError("a number in it is not finite")
    return found


def raw_bytes(value: Any) -> bytes:
    """Return bytes, or those of an array of bytes; HostileError for anything else."""
    if isinstance(value, PickledArray) and value.values.dtype == np.uint8:
        return value.values.tobytes()
    if isinstance(value, bytes):
        return value
    raise HostileError(f"{_kind(value)}, not bytes")


def num_rows(value: Any) -> int:
    """Return the length of a list, or of an array along its first axis; 0 of anything else."""
    if isinstance(value, PickledArray):
        return value.values.shape[0] if value.values.ndim else 0
    return len(value) if isinstance(value, list | tuple) else 0


def _flatten(value: Any, shape: tuple[int, ...], flat: list[float]) -> None:
    """Append the numbers of lists in lists; their number is known before one is looked at."""
    if not shape:
        if type(value) not in (int, float) or not abs(value) < 1e300:
            raise HostileError(f"{_kind(value)}, not a finite number")
        flat.append(float(value))
        return
    if isinstance(value, PickledArray) and value.values.shape == shape:
        flat += numbers(value, shape).ravel().tolist()
        return
    if not isinstance(value, list | tuple) or len(value) != shape[0]:
        raise HostileError(f"{_kind(value)}, not {_size(shape)} numbers")
    for item in value:
        _flatten(item, shape[1:], flat)


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape)


def _kind(value: Any) -> str:
    if isinstance(value, PickledArray):
        return f"an array {_size(value.values.shape)} of {value.values.dtype}"
    return f"{len(value)} things" if isinstance(value, list | tuple) else type(value).__name__


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if not size:
                raise unreadable(path, "it is empty")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                memory = MAX_MEMORY + size
                found = plain_data(mapped, max_bytes=MAX_BYTES, max_memory=memory)
    except HostileError as error:
        raise unreadable(path, str(error)) from error
    except OSError as error:
        raise WorkspaceError(
            f"cannot be read: {error.strerror or error}", seen_in=path, fix="restore the file"
        ) from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise unreadable(path, "it holds no dict of names")
    return found
