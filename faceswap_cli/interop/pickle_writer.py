"""Plain data and arrays as a pickle that DeepFaceLab's Python 3.7 and numpy 1.19 can load.

Written by hand: Python's pickler names numpy's modules as they are called today, and numpy 1.19
has no `numpy._core`. Only instructions of protocol 3 are used, none is remembered.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

PROTOCOL: Final = 3
_RECONSTRUCT: Final = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
_DTYPES: Final = frozenset(("f4", "f8", "i4", "i8", "u1"))


@dataclass(frozen=True)
class Member:
    """A member of an enumeration of another program."""

    module: str
    name: str
    """Of the enumeration."""
    value: int


def write_pickle(value: Any, *, protocol: int = PROTOCOL) -> bytes:
    """Return a pickle of numbers, text, bytes, lists, tuples, dicts, arrays and Members.

    Args:
        value: Of nothing else; integers of 32 bits.
        protocol: That it claims to be, 3 or more.

    Raises:
        TypeError: Something in it is of another type.
    """
    return b"\x80" + bytes([protocol]) + _written(value) + b"."


def _written(value: Any) -> bytes:
    kind = type(value)
    if kind in _WRITERS:
        return _WRITERS[kind](value)
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, Mapping):
        items = b"".join(_written(key) + _written(item) for key, item in value.items())
        return b"}(" + items + b"u"
    raise TypeError(f"{kind.__name__} is not plain data")


def _array(array: NDArray[Any]) -> bytes:
    code = array.dtype.str[1:]
    if code not in _DTYPES:
        raise TypeError(f"an array of {array.dtype}")
    order = "|" if array.dtype.itemsize == 1 else "<"
    little = np.ascontiguousarray(array, dtype=order + code)
    sizes = (-1, -1, 0)  # no fields, no alignment, no flags
    dtype = (
        b"cnumpy\ndtype\n"
        + _written((code, False, True))
        + b"R"
        + _written((3, order, None, None, None, *sizes))
        + b"b"
    )
    state = (_written(1), _written(array.shape), dtype, _written(False), _written(little.tobytes()))
    return _RECONSTRUCT + b"(" + b"".join(state) + b"tb"


def _text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def _bytes(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


def _list(value: list[Any]) -> bytes:
    return b"](" + b"".join(map(_written, value)) + b"e"


def _tuple(value: tuple[Any, ...]) -> bytes:
    return b"(" + b"".join(map(_written, value)) + b"t"


def _member(value: Member) -> bytes:
    name = f"c{value.module}\n{value.name}\n".encode("ascii")
    return name + _written((value.value,)) + b"R"


_WRITERS: Final[dict[type, Callable[[Any], bytes]]] = {
    type(None): lambda _: b"N",
    bool: lambda value: b"\x88" if value else b"\x89",
    int: lambda value: b"J" + struct.pack("<i", value),
    float: lambda value: b"G" + struct.pack(">d", value),
    str: _text,
    bytes: _bytes,
    list: _list,
    tuple: _tuple,
    Member: _member,
}
