"""A machine that runs the few instructions of a pickle that plain data is made of.

Python's own can call anything; this one knows thirty-odd instructions, makes numbers, text,
bytes, lists, dicts and tuples, and calls nothing but what its caller gives it by name. It
counts the memory of what it makes, and stops before that is too much. Nothing it makes is ever
copied, compared or shown: a list that holds itself a million times over costs one list.
"""

import pickletools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from struct import Struct, unpack
from typing import Any, Final

from faceswap_cli.interop.hostile import Data, HostileError, Reader, shown
from faceswap_cli.interop.pickle_globals import Made, Named

MAX_NUMBER_BYTES: Final = 16
MAX_STACK: Final = 4_000_000
"""Things in the making at once; Python's pickler has a thousand, and as many as are nested."""
# What each thing takes, bytes, rather too much than too little.
_TEXT, _LIST, _DICT, _TUPLE, _ITEM, _PAIR, _MADE = 60, 88, 72, 56, 32, 110, 250
_STOP: Final = 0x2E
_BYTE, _WORD, _LONG, _QUAD = Struct("<B"), Struct("<H"), Struct("<I"), Struct("<Q")
_INT = Struct("<i")
_SMALL_NUMBERS = re.compile(rb"(?:K.){1,1000}", re.DOTALL)
_FLOATS = re.compile(rb"(?:G.{8}){1,1000}", re.DOTALL)


class Machine:
    """Runs one pickle.

    Args:
        data: All of it; bytes behind its end are left alone.
        named: What the globals it may name stand for, by module and name.
        max_memory: Bytes that all it makes may take.
        forget: Keys of dicts whose lists stay empty: they are large and of no use.
    """

    def __init__(
        self,
        data: Data,
        named: Mapping[tuple[str, str], Named],
        *,
        max_memory: int,
        forget: frozenset[str] = frozenset(),
    ) -> None:
        self._read, self._named, self._forget = Reader(data), named, forget
        self._left = max_memory
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: list[Any] = []

    def run(self) -> Any:
        """Return what the pickle makes, or raise HostileError."""
        read, runs, stack = self._read, self._instructions(), self._stack
        while (code := read.number(_BYTE)) != _STOP:
            run = runs.get(code)
            if run is None:
                raise HostileError(_refusal(code))
            run()
            if len(stack) > MAX_STACK:
                raise HostileError(f"more than {MAX_STACK} things in the making")
        return self._pop_last(1)[0]

    def _small_numbers(self) -> None:
        """Push this number, and those that follow: pictures come as lists of them."""
        start, end = self._run_of(_SMALL_NUMBERS)
        self._stack.extend(self._read.data[start + 1 : end : 2])

    def _floats(self) -> None:
        start, end = self._run_of(_FLOATS)
        form = ">" + "xd" * ((end - start) // 9)
        self._stack.extend(unpack(form, self._read.data[start:end]))

    def _run_of(self, instruction: re.Pattern[bytes]) -> tuple[int, int]:
        found = instruction.match(self._read.data, self._read.at - 1)
        if found is None:
            raise HostileError("cut short")
        self._read.at = found.end()
        return found.span()

    def _instructions(self) -> dict[int, Callable[[], None]]:
        by_name = {**self._scalars(), **self._structure()}
        return {_CODES[name]: run for name, run in by_name.items()}

    def _scalars(self) -> dict[str, Callable[[], None]]:
        push, number, sized = self._stack.append, self._read.number, self._sized
        return {
            "NONE": lambda: push(None),
            "NEWTRUE": lambda: push(True),
            "NEWFALSE": lambda: push(False),
            "BININT": lambda: push(number(_INT)),
            "BININT1": self._small_numbers,
            "BININT2": lambda: push(number(_WORD)),
            "BINFLOAT": self._floats,
            "LONG1": sized(_BYTE, self._number),
            "LONG4": sized(_LONG, self._number),
            "SHORT_BINUNICODE": sized(_BYTE, self._text),
            "BINUNICODE": sized(_LONG, self._text),
            "BINUNICODE8": sized(_QUAD, self._text),
            "SHORT_BINBYTES": sized(_BYTE, self._bytes),
            "BINBYTES": sized(_LONG, self._bytes),
            "BINBYTES8": sized(_QUAD, self._bytes),
            "BYTEARRAY8": sized(_QUAD, self._bytes),
        }

    def _structure(self) -> dict[str, Callable[[], None]]:
        push, number = self._stack.append, self._read.number
        return {
            "PROTO": lambda: self._skip(1),
            "FRAME": lambda: self._skip(8),
            "MARK": self._mark,
            "POP": self._pop_one,
            "POP_MARK": self._pop_mark,
            "EMPTY_TUPLE": lambda: push(()),
            "TUPLE": lambda: self._tuple(self._pop_marked()),
            "TUPLE1": lambda: self._tuple(self._pop_last(1)),
            "TUPLE2": lambda: self._tuple(self._pop_last(2)),
            "TUPLE3": lambda: self._tuple(self._pop_last(3)),
            "EMPTY_LIST": self._list,
            "APPEND": lambda: self._fill(self._pop_last(1)),
            "APPENDS": lambda: self._fill(self._pop_marked()),
            "EMPTY_DICT": self._dict,
            "SETITEM": lambda: self._set(self._pop_last(2)),
            "SETITEMS": lambda: self._set(self._pop_marked()),
            "MEMOIZE": lambda: self._put(len(self._memo)),
            "BINPUT": lambda: self._put(number(_BYTE)),
            "LONG_BINPUT": lambda: self._put(number(_LONG)),
            "BINGET": lambda: self._get(number(_BYTE)),
            "LONG_BINGET": lambda: self._get(number(_LONG)),
            "GLOBAL": lambda: push(self._find(self._read.line(), self._read.line())),
            "STACK_GLOBAL": lambda: push(self._find(*self._pop_last(2))),
            "REDUCE": self._call,
            "BUILD": self._build,
        }

    def _skip(self, length: int) -> None:
        self._read.take(length)

    def _sized(self, length: Struct, convert: Callable[[int], Any]) -> Callable[[], None]:
        push, number = self._stack.append, self._read.number
        return lambda: push(convert(number(length)))

    def _number(self, length: int) -> int:
        if length > MAX_NUMBER_BYTES:
            raise HostileError(f"refused number of {length} bytes")
        return int.from_bytes(self._read.take(length), "little", signed=True)

    def _text(self, length: int) -> str:
        raw = self._read.take(length)
        self._spend(_TEXT + 4 * length)  # one character outside the BMP widens all of them
        try:
            return raw.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise HostileError("text that is no UTF-8") from error

    def _bytes(self, length: int) -> bytes:
        raw = self._read.take(length)
        self._spend(_TEXT + length)
        return raw

    # Stack, marks, memory.

    def _spend(self, num_bytes: int) -> None:
        self._left -= num_bytes
        if self._left < 0:
            raise HostileError("it would take too much memory")

    def _top(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise HostileError("stack underflow")
        return self._stack[-1]

    def _pop_last(self, count: int) -> list[Any]:
        start = len(self._stack) - count
        if start < (self._marks[-1] if self._marks else 0):
            raise HostileError("stack underflow")
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _mark(self) -> None:
        self._marks.append(len(self._stack))
        self._spend(_ITEM)

    def _pop_marked(self) -> list[Any]:
        if not self._marks:
            raise HostileError("no mark on the stack")
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _pop_one(self) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._pop_last(1)

    def _pop_mark(self) -> None:
        self._pop_marked()

    def _put(self, number: int) -> None:
        if number < len(self._memo):
            self._memo[number] = self._top()
        elif number == len(self._memo):
            self._memo.append(self._top())
            self._spend(9)
        else:
            raise HostileError(f"refused number {number} of a thing to remember")

    def _get(self, number: int) -> None:
        if number >= len(self._memo):
            raise HostileError(f"nothing was remembered as number {number}")
        self._stack.append(self._memo[number])

    # Containers.

    def _list(self) -> None:
        self._spend(_LIST)
        self._stack.append([])

    def _dict(self) -> None:
        self._spend(_DICT)
        self._stack.append({})

    def _tuple(self, items: list[Any]) -> None:
        self._spend(_TUPLE + len(items) * _ITEM)
        self._stack.append(tuple(items))

    def _fill(self, items: list[Any]) -> None:
        target = self._top()
        if type(target) is not list:
            raise HostileError("refused to append to what is no list")
        key = self._stack[-2] if len(self._stack) > 1 else None
        if type(key) is str and key in self._forget:
            return
        self._spend(len(items) * _ITEM)
        target.extend(items)

    def _set(self, items: list[Any]) -> None:
        target, keys, values = self._top(), items[::2], items[1::2]
        if type(target) is not dict or len(keys) != len(values):
            raise HostileError("refused to set an item of what is no dict")
        self._spend(len(keys) * _PAIR)
        for key, value in zip(keys, values, strict=True):
            # A tuple of tuples of tuples ... has a hash that overflows the stack of the process.
            if not isinstance(key, str | int | float | None):
                raise HostileError(f"refused {type(key).__name__} as a key")
            target[key] = value

    # Globals, and what they make.

    def _find(self, module: Any, name: Any) -> Named:
        is_name = isinstance(module, str) and isinstance(name, str)
        found = self._named.get((module, name)) if is_name else None
        if found is None:
            raise HostileError(f"refused global {shown(module)}.{shown(name)}")
        return found

    def _call(self) -> None:
        what, arguments = self._pop_last(2)
        if not isinstance(what, Named) or type(arguments) is not tuple:
            raise HostileError("refused call of a thing that is not callable")
        self._spend(_MADE)
        with _explained():
            self._stack.append(what.make(*arguments))

    def _build(self) -> None:
        (state,) = self._pop_last(1)
        target = self._top()
        if not isinstance(target, Made):
            raise HostileError("refused state of a global")
        with _explained():
            target.take_state(state)


@contextmanager
def _explained() -> Iterator[None]:
    """Arguments may be anything, of any number: what fails on them is a HostileError."""
    try:
        yield
    except HostileError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise HostileError(f"refused arguments: {error}") from error


def _refusal(code: int) -> str:
    names = {known: name for name, known in _CODES.items()}
    return f"refused instruction {names.get(code, hex(code))}"


_CODES: Final = {known.name: ord(known.code) for known in pickletools.opcodes}
