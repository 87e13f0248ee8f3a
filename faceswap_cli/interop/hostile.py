"""Bytes of other programs: no length in them is believed before there are so many bytes."""

import mmap
import struct
from typing import Any, Final

Data = bytes | bytearray | mmap.mmap
MAX_LINE: Final = 200


class HostileError(ValueError):
    """What is damaged, or would do harm; the caller knows the file, and explains."""


class Reader:
    """Reads forwards; anything behind the end is a HostileError."""

    def __init__(self, data: Data, at: int = 0) -> None:
        self.data, self.at, self.size = data, at, len(data)

    @property
    def left(self) -> int:
        """Bytes that are still to come."""
        return self.size - self.at

    def take(self, length: int) -> bytes:
        """Return the next bytes."""
        start, end = self.at, self.at + length
        if end > self.size:
            raise HostileError(f"expected {length} bytes, there are {self.size - start}")
        self.at = end
        return bytes(self.data[start:end])

    def number(self, form: struct.Struct) -> Any:
        """Return the next value of a struct of one value."""
        try:
            (value,) = form.unpack_from(self.data, self.at)
        except struct.error:
            raise HostileError(f"expected {form.size} bytes, there are {self.left}") from None
        self.at += form.size
        return value

    def line(self) -> str:
        """Return the text up to the next newline, short and ASCII."""
        line, newline, _ = bytes(self.data[self.at : self.at + MAX_LINE]).partition(b"\n")
        if not newline:
            raise HostileError("a line that does not end")
        self.at += len(line) + 1
        return line.decode("ascii", "replace")


def shown(value: Any) -> str:
    """Return a piece of a file for a message; never the inside of a container."""
    return ascii(value)[1:61].removesuffix("'") if isinstance(value, str) else type(value).__name__
