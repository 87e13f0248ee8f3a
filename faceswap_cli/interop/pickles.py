"""Pickles of other programs, read as data: nothing in them can run.

A pickle is a program for a small machine, and that machine can call anything. Two walls stand
around it here. The instructions are looked through before the first one runs: only those that
plain data and arrays need are let in, and none that could take more memory than the file is
long. Then every global is refused but the names by which numpy pickles an array, and these
stand for classes of this file: no code of numpy sees what the file says before it is checked.
"""

import math
import mmap
import pickle
import pickletools
from pathlib import Path
from typing import IO, Any, Final, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.errors import WorkspaceError

MAX_BYTES: Final = 4 * 2**30
"""Of a file: the largest network that DeepFaceLab can make has about 1.5 GiB of weights."""
MAX_TUPLES: Final = 10_000
"""In a file. An array has four; as the key of a dict, 100,000 in one another end the process."""
MAX_DIMENSIONS: Final = 8
_ORDERS = frozenset("<>|=")
_PLAIN_DTYPES = frozenset(("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"))
_FAILURES = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError),
    *(AttributeError, OverflowError, RecursionError, MemoryError),
)
# Left out, besides all that loads or calls objects in other ways: the text forms of protocol 0.
_HARMLESS = frozenset(
    (
        *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "NONE", "NEWTRUE", "NEWFALSE"),
        *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS"),
        *("MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
        *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
    )
)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a pickled dict by name; each is read-only, of floats or integers.

    Raises:
        WorkspaceError: It is anything else, is damaged, or names a global that is refused.
    """
    arrays = {}
    for name, value in _read(path).items():
        if not isinstance(value, _Array) or value.values.dtype.kind not in "fiu":
            raise _unreadable(path, f"{_shown(name)} is no array of numbers")
        arrays[name] = value.values
    return arrays


def read_plain(path: Path) -> dict[str, Any]:
    """Return a pickled dict of text, numbers, lists, dicts; arrays in it are not for use.

    Raises:
        WorkspaceError: It is anything else, is damaged, or names a global that is refused.
    """
    return _read(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size > MAX_BYTES:
                raise _unreadable(path, f"{size} bytes, at most {MAX_BYTES} are read")
            # Reading past the end of mapped memory takes no memory, whatever length is claimed.
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                file_like = cast("IO[bytes]", mapped)
                _look_through(file_like)
                mapped.seek(0)
                found = _Unpickler(file_like).load()
    except OSError as error:
        raise WorkspaceError(
            f"cannot be read: {error.strerror or error}", seen_in=path, fix="restore the file"
        ) from error
    except _FAILURES as error:
        raise _unreadable(path, str(error) or type(error).__name__) from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise _unreadable(path, "it holds no dict of names")
    return found


def _look_through(file: IO[bytes]) -> None:
    """Raise UnpicklingError if an instruction is not harmless; none is run."""
    tuples = 0
    for count, (instruction, argument, _) in enumerate(pickletools.genops(file)):
        name = instruction.name
        if name == "GLOBAL":
            _stand_in(*str(argument).split(" ", maxsplit=1))
        elif name not in _HARMLESS:
            raise pickle.UnpicklingError(f"refused instruction {name} {_shown(argument)}")
        elif name.endswith("BINPUT") and int(argument or 0) > count:
            raise pickle.UnpicklingError(f"refused number {argument} of a thing to remember")
        tuples += "TUPLE" in name
        if tuples > MAX_TUPLES:
            raise pickle.UnpicklingError(f"more than {MAX_TUPLES} tuples")


class _Unpickler(pickle.Unpickler):
    """Knows the globals of `_STAND_INS`, and no others."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a global, or raise UnpicklingError naming it."""
        return _stand_in(module, name)

    def persistent_load(self, pid: Any) -> NoReturn:
        """Refuse: there is nothing outside of the file."""
        raise pickle.UnpicklingError("refused reference to a thing outside of the file")


class _Sealed:
    """What a pickle can call or pass on, and not change."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> NoReturn:
        raise pickle.UnpicklingError("refused state of a global")


class _Ndarray(_Sealed):
    """Stands for numpy.ndarray, which is named and never called."""

    __slots__ = ()


class _Dtype:
    """A number of so many bytes; the order of its bytes comes later, as state."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: Any) -> None:
        """Take over the byte order; refuse fields, and whatever else a dtype may have."""
        _, order, *fields = state
        if order not in _ORDERS or any(field is not None for field in fields[:3]):
            raise pickle.UnpicklingError("refused dtype that is no plain number")
        self.order = order

    def read(self, raw: Any) -> NDArray[Any]:
        """Return the numbers in some bytes, (N,), not copied."""
        if not isinstance(raw, bytes):
            raise pickle.UnpicklingError("refused array that holds objects")
        return np.frombuffer(raw, np.dtype(self.order + self.code))


class _Array:
    """An array in the making: its shape and bytes come as state."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: NDArray[Any] = np.empty(0, np.float32)

    def __setstate__(self, state: Any) -> None:
        """Take over shape, dtype, order of the axes and bytes, as numpy writes them."""
        _, shape, dtype, by_columns, raw = state
        if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple):
            raise pickle.UnpicklingError("refused array without shape or dtype")
        flat = dtype.read(raw)
        if len(shape) > MAX_DIMENSIONS or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise pickle.UnpicklingError(f"refused array of shape {_shown(shape)}")
        if math.prod(shape) != flat.size:
            raise pickle.UnpicklingError(f"{flat.size} numbers for an array of another size")
        self.values = flat.reshape(shape, order="F" if by_columns else "C")


class _MakeDtype(_Sealed):
    __slots__ = ()

    def __call__(self, code: Any, *_: Any) -> _Dtype:
        if code not in _PLAIN_DTYPES:
            raise pickle.UnpicklingError(f"refused dtype {_shown(code)}")
        return _Dtype(code)


class _MakeArray(_Sealed):
    __slots__ = ()

    def __call__(self, *_: Any) -> _Array:
        return _Array()


class _MakeScalar(_Sealed):
    __slots__ = ()

    def __call__(self, dtype: Any, raw: Any) -> float | int:
        if not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("refused number without dtype")
        number: float | int = dtype.read(raw).item()
        return number


# numpy 1 and numpy 2 have the same functions under two names.
_STAND_INS: dict[tuple[str, str], _Sealed] = {
    ("numpy", "ndarray"): _Ndarray(),
    ("numpy", "dtype"): _MakeDtype(),
    ("numpy.core.multiarray", "_reconstruct"): _MakeArray(),
    ("numpy._core.multiarray", "_reconstruct"): _MakeArray(),
    ("numpy.core.multiarray", "scalar"): _MakeScalar(),
    ("numpy._core.multiarray", "scalar"): _MakeScalar(),
}


def _stand_in(module: str, name: str) -> _Sealed:
    found = _STAND_INS.get((module, name))
    if found is None:
        raise pickle.UnpicklingError(f"refused global {_shown(module)}.{_shown(name)}")
    return found


def _shown(value: Any) -> str:
    """Return a piece of the file for a message; never the inside of a container."""
    return ascii(value)[1:61].removesuffix("'") if isinstance(value, str) else type(value).__name__


def _unreadable(path: Path, reason: str) -> WorkspaceError:
    return WorkspaceError(
        f"not a pickle of plain arrays and numbers: {reason}",
        seen_in=path,
        fix="take the file from the program that made it; one that names other globals than an"
        " array's may be an attack, and was not run",
    )
