"""A faceset in one file: an ordinary zip whose members lie in it as they are.

Read with rules of our own, for a pack comes from anywhere: of each member where it lies and how
long it is, is checked when the pack is opened, and again when it is read. Only the directory at
the end is read at first; a member is read by its place, in any thread. The format: PKWARE's
APPNOTE 6.3, sections 4.3 to 4.5.
"""

import os
import stat
import struct
import weakref
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from faceswap_cli.errors import MediaError, WorkspaceError

MAX_MEMBER_BYTES = 256 * 2**20
MAX_INFLATED_BYTES = 64 * 2**20
"""Of a member that another program has compressed."""
MAX_RATIO, RATIO_SLACK_BYTES = 100, 2**16
"""A compressed picture hardly shrinks; deflate could make a thousandth of zeros."""
MAX_TOTAL_RATIO, TOTAL_SLACK_BYTES = 10, 256 * 2**20
MAX_DIRECTORY_BYTES = 32 * 2**20
"""Half a million members."""
MAX_NAME_BYTES = 240
MASKS = "mask/"
_PICTURES, _LABELS = (".jpg", ".jpeg", ".png"), ".json"
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _UTF8 = 0x2041, 0x0800
_LOCAL = struct.Struct("<4s5H3L2H")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_LOCATOR, _END64 = struct.Struct("<4sLQL"), struct.Struct("<4sQ2H2L4Q")
_MAX_COMMENT = 0xFFFF
_TOO_LONG_32 = 0xFFFFFFFF


class _PackError(Exception):
    """Why a pack or a member cannot be used."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file in a pack."""

    size: int
    """Of the file, bytes."""
    crc: int
    offset: int
    packed: int
    """Bytes it takes in the pack."""
    method: int
    raw_name: bytes
    problem: str = ""
    """Why it cannot be used."""

    @property
    def end(self) -> int:
        """Where it ends at the earliest."""
        return self.offset + _LOCAL.size + len(self.raw_name) + self.packed


class _Directory(NamedTuple):
    start: int
    length: int
    num_members: int


def is_plain(name: str) -> bool:
    """Whether a name is one of a faceset: NAME.jpg, NAME.png, mask/NAME.png or NAME.json."""
    folder, slash, base = name.rpartition("/")
    is_face = not slash and base.lower().endswith((*_PICTURES, _LABELS))
    is_mask = folder + slash == MASKS and base.endswith(".png")
    return (
        (is_face or is_mask)
        and not base.startswith(".")
        and "\\" not in base
        and all(" " <= letter != "\x7f" and not "\ud800" <= letter <= "\udfff" for letter in base)
        and len(base.encode("utf-8", errors="replace")) <= MAX_NAME_BYTES
    )


class Pack:
    """The members of a zip, by name; those that may not be used say why.

    Raises:
        WorkspaceError: It is no zip, it is damaged, or a bomb.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refused: dict[str, str] = {}
        """Reason by name, made printable: of what is no part of a faceset."""
        self.members: dict[str, Member] = {}
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise _error(path, f"cannot be read: {error.strerror}") from error
        self.close = weakref.finalize(self, os.close, self._file)
        """Let go of the file; else when nobody holds the pack any more."""
        try:
            self._open()
        except (_PackError, struct.error, OSError) as error:
            self.close()
            why = str(error) if isinstance(error, _PackError) else "a zip that is damaged"
            raise _error(path, why) from None

    def read(self, name: str) -> bytes:
        """Return a member, or raise MediaError: damaged, encrypted, of another length, ..."""
        return self._told(name, None)

    def head(self, name: str, size: int) -> bytes:
        """Return the first bytes of a member, or raise MediaError; they are not compared."""
        return self._told(name, size)

    def _told(self, name: str, at_most: int | None) -> bytes:
        member = self.members.get(name)
        try:
            if member is None or member.problem:
                raise _PackError(member.problem if member else "no such member")
            if member.method == _STORED and at_most is not None:
                return self._packed(member, min(at_most, member.size))
            data = _unpacked(self._packed(member, member.packed), member)
        except (_PackError, OSError, struct.error, zlib.error) as error:
            why = str(error) if isinstance(error, _PackError) else "damaged in the pack"
            raise MediaError(why, seen_in=self.path / name, fix="pack the faces again") from None
        return data[:at_most]

    def _packed(self, member: Member, length: int) -> bytes:
        """Return the bytes of a member as they lie in the pack."""
        fields = _LOCAL.unpack(self._at(member.offset, _LOCAL.size))
        start = member.offset + _LOCAL.size
        if fields[0] != b"PK\3\4" or fields[3] != member.method or fields[2] & _ENCRYPTED:
            raise _PackError("the two headers of it in the pack differ")
        if self._at(start, fields[9]) != member.raw_name:
            raise _PackError("the two names of it in the pack differ")
        return self._at(start + fields[9] + fields[10], length)

    def _at(self, offset: int, length: int) -> bytes:
        data = os.pread(self._file, length, offset)
        if len(data) != length:
            raise _PackError("cut short in the pack")
        return data

    def _open(self) -> None:
        about = os.fstat(self._file)
        if not stat.S_ISREG(about.st_mode):
            raise _PackError("not a file")
        found = self._find_directory(about.st_size)
        if found.length > MAX_DIRECTORY_BYTES or found.start + found.length > about.st_size:
            raise _PackError(f"a zip with a directory of {found.length} bytes")
        entries = _read_entries(self._at(found.start, found.length), found.num_members)
        for name, member in entries:
            printable = name.encode("unicode_escape").decode()[:MAX_NAME_BYTES]
            if name == MASKS and not member.size:
                continue  # other programs list the folder too
            if not is_plain(name):
                self.refused[printable] = "not a name of a faceset: NAME.jpg, mask/NAME.png, ..."
                continue
            twice = replace(member, problem="it is in the pack twice")
            self.members[name] = twice if name in self.members else member
        self._refuse_overlapping(found.start)
        self._refuse_bomb()

    def _refuse_overlapping(self, directory: int) -> None:
        """Refuse what reaches into its neighbour: the same bytes would count many times."""
        names = sorted(self.members, key=lambda name: self.members[name].offset)
        begins = [*(self.members[name].offset for name in names), directory][1:]
        for name, next_begins in zip(names, begins, strict=True):
            member = self.members[name]
            if member.end > min(next_begins, directory) and not member.problem:
                self.members[name] = replace(member, problem="it lies over another in the pack")

    def _refuse_bomb(self) -> None:
        usable = [member for member in self.members.values() if not member.problem]
        total, packed = sum(m.size for m in usable), sum(m.packed for m in usable)
        if total > MAX_TOTAL_RATIO * packed + TOTAL_SLACK_BYTES:
            raise _PackError(f"a zip of {packed >> 20} MiB that would become {total >> 20} MiB")

    def _find_directory(self, size: int) -> _Directory:
        length = min(size, _END.size + _MAX_COMMENT)
        tail = self._at(size - length, length)
        at = tail.rfind(b"PK\5\6")
        while at >= 0 and at + _END.size <= length:
            _, disk, first_disk, _, count, bytes_, start, comment = _END.unpack_from(tail, at)
            if at + _END.size + comment == length:
                break
            at = tail.rfind(b"PK\5\6", 0, at)
        else:
            raise _PackError("not a zip, or one cut short")
        if disk or first_disk:
            raise _PackError("a zip in several parts")
        if count == 0xFFFF or _TOO_LONG_32 in (bytes_, start):
            return self._find_directory_64(size - length + at)
        return _Directory(start, bytes_, count)

    def _find_directory_64(self, end: int) -> _Directory:
        """Return where the directory of a large zip is; `end` is where its short form would."""
        where = max(0, end - _LOCATOR.size)
        magic, _, at, _ = _LOCATOR.unpack(self._at(where, _LOCATOR.size))
        if magic != b"PK\6\7" or at + _END64.size > where:
            raise _PackError("a large zip that is damaged")
        magic, *_, count, length, start = _END64.unpack(self._at(at, _END64.size))
        if magic != b"PK\6\6" or start + length > at:
            raise _PackError("a large zip that is damaged")
        return _Directory(start, length, count)


def _read_entries(directory: bytes, count: int) -> Iterator[tuple[str, Member]]:
    at = 0
    for _ in range(count):
        fields = _ENTRY.unpack_from(directory, at)
        flags, method, crc, packed, size = *fields[3:5], *fields[7:10]
        name, extra, comment = fields[10:13]
        if fields[0] != b"PK\1\2":
            raise _PackError("a zip that is damaged")
        at += _ENTRY.size
        raw_name = directory[at : at + name]
        sizes = _large(directory[at + name : at + name + extra], (size, packed, fields[16]))
        mode = fields[15] >> 16
        at += name + extra + comment
        text = raw_name.decode("utf-8" if flags & _UTF8 else "cp437", errors="replace")
        problem = _problem(flags, method, sizes, mode)
        size, packed, offset = sizes
        yield text, Member(size, crc, offset, packed, method, raw_name, problem)


def _large(extra: bytes, sizes: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return size, packed size and offset; where 32 bits are too few, they are in `extra`."""
    at, numbers = 0, list[int]()
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            whole = extra[at + 4 : at + 4 + min(length, 24)]
            numbers = [number for (number,) in struct.iter_unpack("<Q", whole[: len(whole) & ~7])]
        at += 4 + length
    more = iter(numbers)
    size, packed, offset = (next(more, n) if n == _TOO_LONG_32 else n for n in sizes)
    return size, packed, offset


def _problem(flags: int, method: int, sizes: tuple[int, int, int], mode: int) -> str:
    """Return why a member cannot be used, by what the directory says of it."""
    size, packed, _ = sizes
    if flags & _ENCRYPTED:
        return "it is encrypted in the pack"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "it is a link or a folder in the pack"
    if method not in (_STORED, _DEFLATED):
        return f"it is compressed in the pack, by method {method}: store it"
    limit = MAX_MEMBER_BYTES if method == _STORED else MAX_INFLATED_BYTES
    if size > limit:
        return f"{size >> 20} MiB: too large for a face"
    if method == _STORED and size != packed:
        return f"the pack says it has {size} bytes, and {packed}"
    if size > MAX_RATIO * packed + RATIO_SLACK_BYTES:
        return f"{packed} bytes in the pack would become {size}"
    return ""


def _unpacked(data: bytes, member: Member) -> bytes:
    if member.method == _DEFLATED:
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        data = inflate.decompress(data, member.size + 1)
        if not inflate.eof or len(data) != member.size:
            raise _PackError(f"it has not the {member.size} bytes that the pack says")
    if zlib.crc32(data) != member.crc:
        raise _PackError("damaged in the pack: its check sum differs")
    return data


def _error(path: Path, why: str) -> WorkspaceError:
    return WorkspaceError(
        f"the packed faceset {path.name} cannot be opened: {why}",
        seen_in=path,
        fix="copy it again, or have it made again by `faceswap-cli faceset pack`",
    )
