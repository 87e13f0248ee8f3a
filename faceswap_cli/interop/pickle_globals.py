"""What stands for the globals that a pickle of plain data and arrays names.

No code of numpy sees what a file says before it is checked: types, sizes and shapes.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.interop.hostile import HostileError, shown

MAX_DIMENSIONS: Final = 8
_ORDERS = frozenset("<>|=")
_PLAIN_DTYPES = frozenset(("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"))


class Named:
    """Stands for a global that a pickle may name; may be called, if it has `make`."""

    __slots__ = ()

    def make(self, *arguments: Any) -> Any:
        """Return what a call of the global stands for; raises HostileError if it cannot be."""
        raise HostileError("refused call of a thing that is not callable")


class Made:
    """A thing that a call has made; the pickle may give it a state."""

    __slots__ = ()

    def take_state(self, state: Any) -> None:
        """Take over the state, or raise HostileError."""
        raise HostileError("refused state of a global")


class _Ndarray(Named):
    """Stands for numpy.ndarray, which is named and never called."""

    __slots__ = ()


class _Dtype(Made):
    """A number of so many bytes; the order of its bytes comes later, as state."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "="

    def take_state(self, state: Any) -> None:
        """Take over the byte order; refuse fields, and whatever else a dtype may have."""
        _, order, *fields = state
        if order not in _ORDERS or any(field is not None for field in fields[:3]):
            raise HostileError("refused dtype that is no plain number")
        self.order = order

    def read(self, raw: Any) -> NDArray[Any]:
        """Return the numbers in some bytes, (N,), not copied."""
        if not isinstance(raw, bytes):
            raise HostileError("refused array that holds objects")
        return np.frombuffer(raw, np.dtype(self.order + self.code))


class PickledArray(Made):
    """An array in the making: its shape and bytes come as state."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: NDArray[Any] = np.empty(0, np.float32)

    def take_state(self, state: Any) -> None:
        """Take over shape, dtype, order of the axes and bytes, as numpy writes them."""
        _, shape, dtype, by_columns, raw = state
        if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple):
            raise HostileError("refused array without shape or dtype")
        self.fill(dtype.read(raw), shape, by_columns=bool(by_columns))

    def fill(self, flat: NDArray[Any], shape: tuple[Any, ...], *, by_columns: bool) -> None:
        """Take over numbers, (N,), in another shape; not copied."""
        if len(shape) > MAX_DIMENSIONS or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise HostileError(f"refused array of shape {shown(shape)}")
        if math.prod(shape) != flat.size:
            raise HostileError(f"{flat.size} numbers for an array of another size")
        self.values = flat.reshape(shape, order="F" if by_columns else "C")


class _MakeDtype(Named):
    __slots__ = ()

    def make(self, code: Any, *_: Any) -> _Dtype:
        if code not in _PLAIN_DTYPES:
            raise HostileError(f"refused dtype {shown(code)}")
        return _Dtype(code)


class _MakeArray(Named):
    __slots__ = ()

    def make(self, *_: Any) -> PickledArray:
        return PickledArray()


class _MakeScalar(Named):
    __slots__ = ()

    def make(self, dtype: Any, raw: Any) -> float | int:
        if not isinstance(dtype, _Dtype):
            raise HostileError("refused number without dtype")
        number: float | int = dtype.read(raw).item()
        return number


class _MakeFromBuffer(Named):
    """How numpy writes an array in protocol 5."""

    __slots__ = ()

    def make(self, raw: Any, dtype: Any, shape: Any, order: Any) -> PickledArray:
        if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple):
            raise HostileError("refused array without shape or dtype")
        array = PickledArray()
        array.fill(dtype.read(raw), shape, by_columns=order == "F")
        return array


class Enumeration(Named):
    """Stands for an enumeration of numbers; its members are int here."""

    __slots__ = ("_known",)

    def __init__(self, known: range) -> None:
        self._known = known

    def make(self, value: Any) -> int:
        """Return the number, or raise HostileError if it is none of the enumeration's."""
        if type(value) is not int or value not in self._known:
            raise HostileError(f"refused value {shown(value)} of an enumeration")
        return value


NUMPY: Final[dict[tuple[str, str], Named]] = {
    ("numpy", "ndarray"): _Ndarray(),
    ("numpy", "dtype"): _MakeDtype(),
    ("numpy.core.multiarray", "_reconstruct"): _MakeArray(),
    ("numpy._core.multiarray", "_reconstruct"): _MakeArray(),
    ("numpy.core.multiarray", "scalar"): _MakeScalar(),
    ("numpy._core.multiarray", "scalar"): _MakeScalar(),
    ("numpy.core.numeric", "_frombuffer"): _MakeFromBuffer(),
    ("numpy._core.numeric", "_frombuffer"): _MakeFromBuffer(),
}
"""By module and name; numpy 1 and numpy 2 have the same functions under two names."""
