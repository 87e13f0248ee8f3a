"""Moving pictures out of a faceset, or renaming them, so that it can always be taken back.

What will be moved is on the disk, in a journal, before the first file moves. Undoing looks at
where each file is, so that it does not matter how far a killed run has come.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from faceswap_cli.errors import WorkspaceError
from faceswap_cli.files import explain_write_error

JOURNAL = "undo.jsonl"
Move = tuple[str, str]
"""From, to: paths within the folder of the side, with slashes."""


@dataclass(frozen=True)
class Operation:
    """What one command has moved."""

    number: int
    what: str
    """In words."""
    moves: tuple[Move, ...]


@dataclass
class Undone:
    """What an undo has done."""

    operation: Operation
    moved: int = 0
    in_place: int = 0
    """Files that had never been moved: the command was killed before."""
    missing: list[str] = field(default_factory=list)
    """Files that are in neither place: somebody deleted them."""
    failed: dict[str, str] = field(default_factory=dict)
    """Reason by file."""


@dataclass(frozen=True)
class Trash:
    """The folder of what was sorted out of a side, and its journal."""

    root: Path
    """Of the side; the faceset and the trash are folders in it."""
    journal: Path

    def operations(self) -> list[Operation]:
        """Return what can be undone, oldest first; a line cut by a kill moved nothing.

        Raises:
            WorkspaceError: The journal cannot be read.
        """
        found: dict[int, Operation] = {}
        for entry in self._entries():
            if isinstance(entry, Operation):
                found[entry.number] = entry
            else:
                found.pop(entry, None)
        return list(found.values())

    def move(self, what: str, moves: Sequence[Move]) -> None:
        """Write the moves down, then move. Files that are not there any more are passed over.

        Raises:
            WorkspaceError: A file stands where one should go, or the disk refuses. What was
                moved until then can be undone.
        """
        if not moves:
            return
        number = 1 + max((entry_number(entry) for entry in self._entries()), default=0)
        self._append({"operation": number, "what": what, "moves": moves})
        for start, end in moves:
            if self._at(start).exists():
                self._rename(start, end)

    def undo(self) -> Undone:
        """Take the last operation back that is not undone yet.

        Raises:
            WorkspaceError: There is none.
        """
        operations = self.operations()
        if not operations:
            raise WorkspaceError(
                "nothing to undo",
                seen_in=self.journal,
                fix="only what sort has moved or renamed can be taken back",
            )
        undone = Undone(operations[-1])
        for start, end in reversed(undone.operation.moves):
            self._take_back(start, end, undone)
        if not undone.failed:  # else it stays the last one: mend what is in the way, undo again
            self._append({"undone": undone.operation.number})
        return undone

    def first_names(self) -> dict[str, str]:
        """Return what the files that were renamed were called at first, by path now."""
        first: dict[str, str] = {}
        for operation in self.operations():
            for start, end in operation.moves:
                first[end] = first.get(start, start)
        return first

    def _take_back(self, start: str, end: str, undone: Undone) -> None:
        if not self._at(end).exists():
            if self._at(start).exists():
                undone.in_place += 1
            else:
                undone.missing.append(end)
        elif self._at(start).exists():
            undone.failed[end] = f"{start} is there again and stands in the way"
        else:
            self._rename(end, start)
            undone.moved += 1

    def _rename(self, start: str, end: str) -> None:
        target = self._at(end)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                raise WorkspaceError(
                    f"{target.name} is there already, and is not overwritten",
                    seen_in=target,
                    fix="move it away, take back what was done with --undo, and sort again",
                )
            self._at(start).rename(target)
        except OSError as error:
            raise explain_write_error(error, target) from error

    def _at(self, path: str) -> Path:
        return self.root / path

    def _append(self, entry: dict[str, Any]) -> None:
        try:
            self.journal.parent.mkdir(parents=True, exist_ok=True)
            with self.journal.open("ab+") as file:
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    # The last line was cut by a kill; it must not eat the new one.
                    file.write(b"\n" if file.read() != b"\n" else b"")
                file.write(json.dumps(entry).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise explain_write_error(error, self.journal) from error

    def _entries(self) -> "Iterator[Operation | int]":
        """Yield what the journal says: an operation, or the number of one that was undone."""
        if not self.journal.exists():
            return
        try:
            with closing(self.journal.open(encoding="utf-8", errors="replace")) as lines:
                for line in lines:
                    entry = _parse(line)
                    if entry is not None:
                        yield entry
        except OSError as error:
            raise WorkspaceError(
                f"cannot be read: {error.strerror}", seen_in=self.journal
            ) from error


def entry_number(entry: "Operation | int") -> int:
    """Return the number of the operation that a line is about."""
    return entry.number if isinstance(entry, Operation) else entry


def with_companions(names: Iterable[str], aligned: Path, staying: Iterable[str]) -> list[str]:
    """Return pictures and what belongs to them: mask/NAME.png and NAME.json.

    Args:
        names: Of pictures.
        aligned: Their folder.
        staying: Pictures that stay; what belongs to one of them, too, stays with it.
    """
    kept = {Path(name).stem for name in staying}
    found: dict[str, None] = {}
    for name in names:
        found[name] = None
        stem = Path(name).stem
        for companion in (f"mask/{stem}.png", f"{stem}.json"):
            if stem not in kept and (aligned / companion).exists():
                found[companion] = None
    return list(found)


def _parse(line: str) -> "Operation | int | None":
    """Return what a line says, None if it is damaged or would leave the folder."""
    try:
        entry = json.loads(line)
        if "undone" in entry:
            return int(entry["undone"])
        moves = tuple((str(start), str(end)) for start, end in entry["moves"])
        number, what = int(entry["operation"]), str(entry["what"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    is_inside = all(_is_inside(path) for move in moves for path in move)
    return Operation(number, what, moves) if is_inside else None


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not PurePosixPath(path).is_absolute() and ".." not in parts
