"""The stages that make one file of a faceset, and a folder of it again."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from faceswap_cli.errors import ConfigError, MediaError, WorkspaceError
from faceswap_cli.faces.pack import MASKS, MAX_MEMBER_BYTES, Pack, is_plain
from faceswap_cli.faces.packing import writing_pack
from faceswap_cli.faces.store import ABOUT, FaceFolder, FacePack, is_picture
from faceswap_cli.files import only_one, sweep_partials, write_atomic
from faceswap_cli.imaging import read_bytes
from faceswap_cli.progress import progress
from faceswap_cli.types import SIDES, Side
from faceswap_cli.workspace import StageReport, Workspace

Sides = Literal["src", "dst", "both"]
WRITERS = 8
"""Threads, each of which waits for its file to be on the disk."""
MAX_TOLD = 100
"""Names of what failed; a hostile pack could have half a million."""


def run_pack(
    workspace: Workspace, side: Sides, *, output: Path | None = None, redo: bool = False
) -> list[StageReport]:
    """Write the aligned faces into one file a side; the folder is left as it is.

    Args:
        workspace: Its folders data_SIDE/aligned are packed: the pictures, and the masks and
            labels that belong to them.
        side: "both": those that have faces.
        output: Of one side; None: data_SIDE/aligned.zip.
        redo: Replace a pack even if it has pictures that the folder has not.

    Raises:
        WorkspaceError: No faces, the disk is full, or a file stands there that is to be kept.
        ConfigError: One file for both sides.
    """
    _check_one_file(side, output, "--output")
    sides = [name for name in _sides(side) if FaceFolder(workspace.aligned(name)).names()]
    if not sides:
        raise WorkspaceError(
            f"no aligned faces of {side if side != 'both' else 'src and dst'} to pack",
            seen_in=workspace.root,
            fix=f"faceswap-cli extract {workspace.root}",
        )
    with only_one(workspace.stages, "extract"):
        return [_pack(workspace, name, output or workspace.packed(name), redo) for name in sides]


def _pack(workspace: Workspace, side: Side, target: Path, redo: bool) -> StageReport:
    sweep_partials(workspace.folder(side))
    report, folder = StageReport("faceset pack"), workspace.aligned(side)
    files = _files_of(folder)
    _check_replaced(target, set(files), redo=redo)
    _check_space(target.parent, sum(_size(path) for path in files.values()), target.name)
    with (
        writing_pack(target) as writer,
        progress(f"pack {side}", total=len(files), unit="file") as bar,
    ):
        for name, path in files.items():
            bar.update()
            try:
                if not is_plain(name) or name == ABOUT:
                    raise MediaError("a name that a pack cannot have: rename it")
                data = read_bytes(path, at_most=MAX_MEMBER_BYTES)
            except MediaError as error:
                report.failed[name] = error.what
                continue
            writer.add(name, data)
            report.done += 1
    report.facts = {"side": side, "pack": str(target), **writer.counts}
    report.facts["megabytes"] = round(target.stat().st_size / 1e6, 1)
    if target == workspace.packed(side) and not report.failed:
        report.facts["next"] = f"{folder} may be moved away: without it the pack is read"
    return report


def _files_of(folder: Path) -> dict[str, Path]:
    """Return the pictures of a folder, and what belongs to each, by the name in the pack."""
    found = {}
    for name in FaceFolder(folder).names():
        stem = Path(name).stem
        found[name] = folder / name
        for extra in (f"{MASKS}{stem}.png", f"{stem}.json"):
            if (folder / extra).exists():
                found[extra] = folder / extra
    return found


def _check_replaced(target: Path, names: set[str], *, redo: bool) -> None:
    """Refuse to replace what is no pack, or has pictures that would be lost with it."""
    if not os.path.lexists(target):
        return
    try:
        old = Pack(target)
    except WorkspaceError as error:
        raise WorkspaceError(
            f"there is a file {target.name} that is no packed faceset",
            seen_in=target.parent,
            fix="move it away, or name another file with --output",
        ) from error
    lost = sorted(name for name in old.members if is_picture(name) and name not in names)
    old.close()
    if lost and not redo:
        raise WorkspaceError(
            f"{target.name} has {len(lost)} pictures that the folder has not: {lost[0]}, ...",
            seen_in=target.parent,
            fix="move it away, or replace it with --redo",
        )


def run_unpack(
    workspace: Workspace, side: Sides, *, source: Path | None = None
) -> list[StageReport]:
    """Write the files of a pack into data_SIDE/aligned; nothing that is there is replaced.

    Args:
        workspace: Receives them.
        side: "both": those that have a pack.
        source: Pack of one side; None: data_SIDE/aligned.zip.

    Raises:
        WorkspaceError: There is no pack, it cannot be opened, or the disk is full.
        ConfigError: One file for both sides.
    """
    _check_one_file(side, source, "--input")
    packs = {name: source or workspace.packed(name) for name in _sides(side)}
    if side == "both":
        packs = {name: path for name, path in packs.items() if path.exists()}
    missing = [path for path in packs.values() if not path.exists()]
    if missing or not packs:
        raise WorkspaceError(
            f"there is no {missing[0].name if missing else 'packed faceset'}",
            seen_in=missing[0].parent if missing else workspace.root,
            fix="give the file with --side and --input",
        )
    with only_one(workspace.stages, "extract"):
        return [_unpack(workspace.aligned(name), name, path) for name, path in packs.items()]


def _unpack(folder: Path, side: Side, source: Path) -> StageReport:
    sweep_partials(folder, folder / MASKS)
    report, pack = StageReport("faceset unpack"), FacePack(source).pack
    names = [name for name in pack.members if name != ABOUT]
    there = FaceFolder(folder).names()
    others = len(set(there) - set(names))
    _check_space(folder.parent, sum(pack.members[name].size for name in names), folder.name)
    failed = dict(pack.refused)
    with (
        progress(f"unpack {side}", total=len(names), unit="file") as bar,
        ThreadPoolExecutor(WRITERS, thread_name_prefix="unpack") as pool,
    ):
        for name, made in zip(
            names, pool.map(lambda name: _unpack_one(pack, name, folder), names), strict=True
        ):
            bar.update()
            if isinstance(made, str):
                failed[name] = made
            else:
                report.done, report.kept = report.done + made, report.kept + (not made)
    report.failed = dict(list(failed.items())[:MAX_TOLD])
    report.facts = {"side": side, "pack": str(source), "folder": str(folder)}
    if len(failed) > MAX_TOLD:
        report.facts["failed_in_all"] = len(failed)
    if others:
        report.facts["pictures_not_of_the_pack"] = others
    return report


def _unpack_one(pack: Pack, name: str, folder: Path) -> bool | str:
    """Write a file: True, False if it is there, or why not."""
    target = folder / name
    try:
        data = pack.read(name)
        if not os.path.lexists(target):
            write_atomic(target, data)
            return True
        if _size(target) == len(data) and read_bytes(target) == data:
            return False
    except MediaError as error:
        return error.what
    return "another file of this name is there: it is left as it is"


def _sides(side: Sides) -> tuple[Side, ...]:
    return SIDES if side == "both" else (side,)


def _check_one_file(side: Sides, path: Path | None, flag: str) -> None:
    if path is not None and side == "both":
        raise ConfigError(
            f"{flag} names one file, and there are two sides",
            seen_in=path,
            fix=f"give --side src or --side dst with {flag}",
        )


def _check_space(folder: Path, needed: int, name: str) -> None:
    """Refuse before the work, not in the middle of it."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise WorkspaceError(
            f"the disk is full: {name} needs {needed / 1e9:.2f} GB, {free / 1e9:.2f} GB are free",
            seen_in=folder,
            fix="free some space, then run the same command again",
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
