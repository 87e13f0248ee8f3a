"""Bringing a faceset into an order: to look at, to thin out, to rename. Nothing is deleted."""

import csv
import io
import itertools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from faceswap_cli.curating.measure_cache import Measured, measure_faceset
from faceswap_cli.curating.orders import WITHOUT_THRESHOLD, Ranked, cut, ranked
from faceswap_cli.curating.sheet import Cell, draw_sheet, pages
from faceswap_cli.curating.trash import JOURNAL, Move, Trash, with_companions
from faceswap_cli.errors import ConfigError, WorkspaceError
from faceswap_cli.faces.store import FaceFolder, find_aligned
from faceswap_cli.files import only_one, write_atomic
from faceswap_cli.imaging import encode_image
from faceswap_cli.progress import progress
from faceswap_cli.types import Side
from faceswap_cli.workspace import StageReport, Workspace

NAMES_TOLD = 12
"""Of the faces that fall out, in the report; the table has all."""
SHEET_QUALITY = 88


@dataclass(frozen=True)
class Sorting:
    """What is asked for."""

    by: str
    """A key of orders.KEYS."""
    best: int = 2000
    """Of the key best: so many stay."""
    keep: int | None = None
    """So many stay, from the first on."""
    drop: int | None = None
    """So many go, the last ones."""
    below: float | None = None
    """Whose value is less goes."""
    above: float | None = None
    """Whose value is more goes."""
    rename: bool = False
    """Number the files that stay: 00000_NAME."""
    dry_run: bool = False
    """Move nothing, only report."""


def run_sort(workspace: Workspace, side: Side, sorting: Sorting) -> StageReport:
    """Write a contact sheet and a table of a faceset in some order; move out what is to go.

    Moves go to aligned_trash/, with the masks and labels of the pictures, and are in its
    journal before they begin: `run_undo` takes them back, also those of a killed run.

    Raises:
        ConfigError: A threshold without a meaning, or nothing would be left.
        WorkspaceError: There are no faces, or a file cannot be moved.
    """
    if sorting.by in WITHOUT_THRESHOLD and not sorting.below is sorting.above is None:
        raise ConfigError(
            f"the order {sorting.by} has no values that --below and --above could be about",
            seen_in="sort --by",
            fix="use --keep or --drop",
        )
    with only_one(workspace.stages, "sort"):
        measured = _measure(workspace, side)
        order = cut(
            ranked(measured.faces, sorting.by, best=sorting.best),
            keep=sorting.keep,
            drop=sorting.drop,
            below=sorting.below,
            above=sorting.above,
        )
        _check_something_is_left(order, sorting)
        report = _report(workspace, side, sorting, measured, order)
        if not sorting.dry_run:
            moves = list(_plan(workspace, side, sorting, order))
            _trash(workspace, side).move(_in_words(side, sorting), moves)
            folder = workspace.aligned(side).name
            pictures = {f"{folder}/{place.face.name}" for place in order}
            report.done = sum(start in pictures for start, _ in moves)
        return report


def run_undo(workspace: Workspace, side: Side) -> StageReport:
    """Take back what the last sort of a side has moved or renamed that is not taken back yet.

    Raises:
        WorkspaceError: There is nothing to undo.
    """
    with only_one(workspace.stages, "sort"):
        trash = _trash(workspace, side)
        undone = trash.undo()
        report = StageReport("sort --undo", done=undone.moved, kept=undone.in_place)
        report.failed = undone.failed
        report.facts["undone"] = undone.operation.what
        if undone.missing:
            report.facts["deleted since"] = _some(undone.missing)
        report.facts["more to undo"] = len(trash.operations())
        return report


def _measure(workspace: Workspace, side: Side) -> Measured:
    folder = workspace.aligned(side)
    cache = workspace.cache / f"measures_{side}.json"
    measured = measure_faceset(FaceFolder(folder), cache, what=f"measure {side}")
    if not measured.faces:
        is_packed = find_aligned(workspace, side) != folder
        raise WorkspaceError(
            f"no face of {side} to sort" + (": the faceset is packed" if is_packed else ""),
            seen_in=workspace.packed(side) if is_packed else folder,
            fix=f"faceswap-cli faceset unpack {workspace.root} --side {side}"
            if is_packed
            else f"faceswap-cli extract {workspace.root} --side {side}",
        )
    return measured


def _check_something_is_left(order: Sequence[Ranked], sorting: Sorting) -> None:
    if not any(place.is_kept for place in order):
        values = [place.value for place in order]
        raise ConfigError(
            f"none of {len(order)} faces would be left",
            seen_in=f"sort --by {sorting.by}, values from {min(values):.4g} to {max(values):.4g}",
            fix="choose other limits; sort without them writes a sheet with all values",
        )


def _report(
    workspace: Workspace, side: Side, sorting: Sorting, measured: Measured, order: list[Ranked]
) -> StageReport:
    gone = [place.face.name for place in order if not place.is_kept]
    stem = workspace.reports / f"sort_{side}_{sorting.by}"
    table = stem.with_name(f"{stem.name}.csv")
    write_atomic(table, _table(order))
    report = StageReport("sort", kept=len(order) - len(gone), failed=dict(measured.skipped))
    report.facts |= {
        "side": side,
        "by": sorting.by,
        "faces": len(order),
        "first": f"{order[0].face.name} ({order[0].value:.4g})",
        "last": f"{order[-1].face.name} ({order[-1].value:.4g})",
        "would move" if sorting.dry_run else "moved to aligned_trash": len(gone),
        "table": str(table),
        "sheets": _draw(workspace.aligned(side), stem, order),
    }
    if gone:
        report.facts["that is"] = _some(gone)
    return report


def _table(order: Sequence[Ranked]) -> bytes:
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["place", "name", "value", "kept"])
    for number, place in enumerate(order):
        kept = "yes" if place.is_kept else "no"
        rows.writerow([number, place.face.name, f"{place.value:.6g}", kept])
    return text.getvalue().encode()


def _draw(aligned: Path, stem: Path, order: Sequence[Ranked]) -> str:
    """Write the sheets, and return their path, or their pattern if there are several."""
    cells = [
        Cell(
            aligned / place.face.name,
            (f"{number}: {place.value:.4g}", Path(place.face.name).stem),
            not place.is_kept,
        )
        for number, place in enumerate(order)
    ]
    sheets = list(pages(cells))

    def draw(number: int) -> Path:
        # A page of a larger faceset, left over from before, says so by its name.
        of = f"_{number:03d}_of_{len(sheets):03d}" if len(sheets) > 1 else ""
        path = stem.with_name(f"{stem.name}{of}.jpg")
        page = draw_sheet(f"{path.stem}  ({len(order)} faces)", sheets[number - 1])
        write_atomic(path, encode_image(page, ".jpg", jpeg_quality=SHEET_QUALITY))
        return path

    with (
        progress("sheets", total=len(sheets), unit="page") as bar,
        ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="sheet") as pool,
    ):
        paths = []
        for path in pool.map(draw, range(1, len(sheets) + 1)):
            paths.append(path)
            bar.update()
    if len(paths) == 1:
        return str(paths[0])
    return str(stem.with_name(f"{stem.name}_*_of_{len(paths):03d}.jpg"))


def _plan(
    workspace: Workspace, side: Side, sorting: Sorting, order: Sequence[Ranked]
) -> Iterator[Move]:
    """Yield what has to move, pictures and what belongs to them."""
    aligned, trash = workspace.aligned(side), workspace.trash(side)
    staying = [place.face.name for place in order if place.is_kept]
    taken: set[Path] = set()
    for place in order:
        if not place.is_kept:
            names = with_companions([place.face.name], aligned, staying)
            for name, new in _free(trash, names, Path(place.face.name).stem, taken):
                yield f"{aligned.name}/{name}", f"{trash.name}/{new}"
    if sorting.rename:
        first = _trash(workspace, side).first_names()
        for number, name in enumerate(staying):
            known = Path(first.get(f"{aligned.name}/{name}", name)).name
            stem = f"{number:05d}_{Path(known).stem}"
            if stem != Path(name).stem:
                names = with_companions([name], aligned, [])
                for old, new in _free(aligned, names, stem, taken):
                    yield f"{aligned.name}/{old}", f"{aligned.name}/{new}"


def _free(folder: Path, names: list[str], stem: str, taken: set[Path]) -> list[tuple[str, str]]:
    """Return (name, name in the folder) with one stem for all that is not in use there."""
    for stem_now in itertools.chain([stem], (f"{stem}_{n}" for n in itertools.count(1))):
        moved = [str(Path(name).with_stem(stem_now)) for name in names]
        targets = {folder / name for name in moved}
        if not targets & taken and not any(path.exists() for path in targets):
            taken |= targets
            return list(zip(names, moved, strict=True))
    raise AssertionError("there is always another number")


def _trash(workspace: Workspace, side: Side) -> Trash:
    return Trash(workspace.folder(side), workspace.trash(side) / JOURNAL)


def _in_words(side: Side, sorting: Sorting) -> str:
    chosen = {"best": sorting.best} if sorting.by == "best" else {}
    given = {name: getattr(sorting, name) for name in ("keep", "drop", "below", "above")}
    chosen |= {name: value for name, value in given.items() if value is not None}
    flags = [f"--{name} {value:g}" for name, value in chosen.items()]
    return " ".join(
        ["sort --side", side, "--by", sorting.by, *flags, *["--rename"] * sorting.rename]
    )


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMES_TOLD
    return ", ".join(names[:NAMES_TOLD]) + (f" and {more} more" if more > 0 else "")
