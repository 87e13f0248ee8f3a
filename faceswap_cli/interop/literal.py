"""Text that is the repr of plain data, read by a small parser: nothing is compiled.

Dicts, lists, tuples, text, bytes, numbers, True, False, None. `ast.literal_eval` would compile
the text first, and a few thousand brackets end the process there.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from faceswap_cli.interop.hostile import HostileError

MAX_CHARACTERS: Final = 512 * 2**10
MAX_DEPTH: Final = 16
_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"True|False|None")
_NUMBER = re.compile(r"[-+]?(?:\d{1,40}\.?\d{0,40}|\.\d{1,40})(?:[eE][-+]?\d{1,5})?")
_QUOTED = re.compile(r"""(b?)(?:'((?:[^'\\\n]++|\\.)*+)'|"((?:[^"\\\n]++|\\.)*+)")""", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))", re.DOTALL)
_SHORT: Final = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"'}
_WORDS: Final = {"True": True, "False": False, "None": None}


def parse_literal(text: str) -> Any:
    """Return what a text says, or raise HostileError."""
    if len(text) > MAX_CHARACTERS:
        raise HostileError(f"{len(text)} characters, at most {MAX_CHARACTERS} are read")
    parser = _Parser(text)
    value = parser.value(0)
    if not parser.is_at_end():
        raise HostileError("something behind its end")
    return value


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def is_at_end(self) -> bool:
        return not self._next()

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise HostileError(f"nested deeper than {MAX_DEPTH}")
        first = self._next()
        if first == "{":
            return self._dict(depth)
        if first == "[":
            return self._items("]", lambda: self.value(depth + 1))
        if first == "(":
            return tuple(self._items(")", lambda: self.value(depth + 1)))
        return self._scalar()

    def _next(self) -> str:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._text[self._at : self._at + 1]

    def _dict(self, depth: int) -> dict[Any, Any]:
        def pair() -> tuple[Any, Any]:
            key = self.value(MAX_DEPTH)  # so that it is no container
            if self._next() != ":" or not isinstance(key, str | int | float | bytes | None):
                raise HostileError("a dict that is damaged")
            self._at += 1
            return key, self.value(depth + 1)

        return dict(self._items("}", pair))

    def _items(self, end: str, item: Callable[[], Any]) -> list[Any]:
        self._at += 1
        found: list[Any] = []
        while self._next() != end:
            found.append(item())
            if self._next() not in (",", end):
                raise HostileError("a list that is damaged, or has no end")
            self._at += self._next() == ","
        self._at += 1
        return found

    def _scalar(self) -> Any:
        if found := self._match(_QUOTED):
            inside = found[2] if found[2] is not None else found[3]
            return _bytes(inside) if found[1] else _ESCAPE.sub(_unescaped, inside)
        if found := self._match(_WORD):
            return _WORDS[found[0]]
        if found := self._match(_NUMBER):
            is_float = any(mark in found[0] for mark in ".eE")
            return float(found[0]) if is_float else int(found[0])
        raise HostileError(f"something that is no plain data: {self._text[self._at :][:20]!a}")

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found


def _bytes(inside: str) -> bytes:
    try:
        return _ESCAPE.sub(_unescaped, inside).encode("latin-1")
    except UnicodeEncodeError:
        raise HostileError("bytes that are none") from None


def _unescaped(escape: re.Match[str]) -> str:
    digits = escape[1] or escape[2] or escape[3]
    if digits:
        code = int(digits, 16)
        if code > 0x10FFFF:
            raise HostileError("a letter that is none")
        return chr(code)
    if escape[4] not in _SHORT:
        raise HostileError("an escape that is not known")
    return _SHORT[escape[4]]
