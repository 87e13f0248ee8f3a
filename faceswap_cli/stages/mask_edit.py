"""Masks laid out to be edited in a paint program or in labelme, and taken back."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from faceswap_cli.errors import FaceswapError, MediaError, WorkspaceError
from faceswap_cli.faces.faceset import AlignedFace, picture_paths, read_record
from faceswap_cli.files import only_one, write_atomic
from faceswap_cli.imaging import read_grey, write_image
from faceswap_cli.interop.labelme import labelme_json, read_labelme
from faceswap_cli.segmenting.cutting import automatic_mask
from faceswap_cli.segmenting.foreign import read_foreign_mask
from faceswap_cli.segmenting.labels import (
    draw_outlines,
    drawing_path,
    drawn_by,
    find_label,
    mask_is_by,
    outlines_of,
    write_own_mask,
)
from faceswap_cli.types import GreyImage, Side
from faceswap_cli.workspace import StageReport, Workspace

Form = Literal["png", "labelme"]
LIST = "laid_out.json"
"""What was laid out and how it looked, to know what has been edited."""
MASK_SUFFIX = ".mask.png"
_FORMAT = 1
_MAX_LIST_BYTES = 32 * 2**20


def lay_out(
    workspace: Workspace,
    side: Side,
    *,
    names: Sequence[str],
    spread: int,
    form: Form,
    folder: Path,
) -> StageReport:
    """Write pictures and their masks as they are now into a folder.

    png: NAME.png is the picture, NAME.mask.png its mask, white is face. labelme: NAME.png with
    NAME.json, polygons `face` and `not_face`.

    Args:
        workspace: With aligned faces.
        side: Whose.
        names: Of aligned pictures, with or without suffix.
        spread: So many more, evenly over the set.
        form: For which kind of program.
        folder: New or empty: edited masks are not overwritten.

    Raises:
        WorkspaceError: A name is unknown, nothing is named, or the folder is not empty.
    """
    chosen = _choose(workspace, side, names, spread)
    if folder.exists() and any(folder.iterdir()):
        raise WorkspaceError(
            "the folder is not empty: masks that are being edited may lie there",
            seen_in=folder,
            fix=f"--output with a new folder, or take them back: --back {folder}",
        )
    report = StageReport(f"mask edit {side}")
    listed: dict[str, str] = {}
    for picture in chosen:
        try:
            face = AlignedFace(picture, read_record(picture))
            mask = _current(face, workspace, side)
            write_image(folder / f"{picture.stem}.png", face.image())
            listed[picture.stem] = _write_one(folder, picture.stem, mask, face, form)
            report.done += 1
        except (MediaError, OSError) as error:
            report.failed[picture.name] = getattr(error, "what", str(error))
    content = {"format": _FORMAT, "form": form, "side": side, "masks": listed}
    write_atomic(folder / LIST, json.dumps(content, indent=1).encode())
    report.facts |= {
        "folder": str(folder),
        "next": f"edit them, then: faceswap-cli mask edit {workspace.root} --side {side}"
        f" --back {folder}",
    }
    return report


def take_back(workspace: Workspace, side: Side, folder: Path) -> StageReport:
    """Take over the masks of a folder that have been edited since they were laid out.

    A mask or drawing of a person that is replaced is kept in aligned_trash/mask/.

    Raises:
        WorkspaceError: The folder was not laid out by this program, or for the other side.
    """
    form, listed = _read_list(folder, side)
    report = StageReport(f"mask edit {side}")
    with only_one(workspace.stages, "mask_edit"):
        pictures = {path.stem: path for path in picture_paths(workspace.aligned(side))}
        for stem, was in listed.items():
            try:
                if stem not in pictures:
                    raise MediaError("there is no such aligned picture any more")
                changed = _take_one(workspace, side, folder, pictures[stem], form, was)
            except (FaceswapError, OSError) as error:
                report.failed[stem] = getattr(error, "what", str(error))
            else:
                report.done += changed
                report.kept += not changed
    report.facts["unchanged"] = report.kept
    return report


def _choose(workspace: Workspace, side: Side, names: Sequence[str], spread: int) -> list[Path]:
    found = list(picture_paths(workspace.aligned(side)))
    by_name = {path.stem: path for path in found} | {path.name: path for path in found}
    unknown = [name for name in names if name not in by_name]
    if unknown or not found or not (names or spread):
        what = f"no aligned picture {', '.join(unknown[:5])}" if unknown else "no face is named"
        raise WorkspaceError(
            what if found else f"no aligned faces of {side}",
            seen_in=workspace.aligned(side),
            fix="--faces with names of pictures there, or --spread 20 for some of all",
        )
    count = min(spread, len(found))
    over = np.linspace(0, len(found) - 1, count).round().astype(int).tolist()
    return sorted({by_name[name] for name in names} | {found[i] for i in over})


def _current(face: AlignedFace, workspace: Workspace, side: Side) -> GreyImage:
    """Return the mask of a face as it is now: a person's, the network's, or the hull."""
    path, size = workspace.edited_masks(side) / f"{face.path.stem}.png", face.record.size_px
    label = find_label(face.path, path, size)
    if label is not None:
        return label
    if path.is_file():
        return read_grey(path)
    return automatic_mask(face.record, face.record.crop, (size, size))


def _write_one(folder: Path, stem: str, mask: GreyImage, face: AlignedFace, form: Form) -> str:
    """Write a mask to edit; return what tells whether it has been edited."""
    size = face.record.size_px
    if form == "png":
        write_image(folder / f"{stem}{MASK_SUFFIX}", mask)
        return _hash(mask.tobytes())
    own = drawing_path(face.path)
    drawing = read_labelme(own, (size, size)) if own.is_file() else outlines_of(mask)
    data = labelme_json(drawing, f"{stem}.png", (size, size))
    write_atomic(folder / f"{stem}.json", data)
    return _hash(data)


def _take_one(
    workspace: Workspace, side: Side, folder: Path, picture: Path, form: Form, was: str
) -> bool:
    """Take one mask back; tell whether it had been edited.

    Raises:
        FaceswapError: It is gone, cannot be read, or has another size.
    """
    size = read_record(picture).size_px
    target = workspace.edited_masks(side) / f"{picture.stem}.png"
    trash = workspace.trash(side) / "mask"
    if form == "png":
        mask = read_foreign_mask(folder / f"{picture.stem}{MASK_SUFFIX}")
        if _hash(mask.tobytes()) == was:
            return False
        if mask.shape != (size, size):
            raise MediaError(f"{mask.shape[1]}x{mask.shape[0]}, its picture is {size}x{size}")
        if target.is_file() and mask_is_by(target) is None:
            _keep_copy(target, trash)
        write_image(target, mask)
        return True
    edited = folder / f"{picture.stem}.json"
    if edited.is_file() and _hash(edited.read_bytes()) == was:
        return False
    drawing = read_labelme(edited, (size, size))
    if not any(outline.include for outline in drawing.outlines):
        raise MediaError("nothing in it is face: no polygon with that label")
    own = drawing_path(picture)
    for replaced in (own, target):
        if replaced.is_file() and (replaced == own or mask_is_by(replaced) is None):
            _keep_copy(replaced, trash)
    write_atomic(own, labelme_json(drawing, picture.name, (size, size)))
    write_own_mask(target, draw_outlines(drawing, size), by=drawn_by(own))
    return True


def _read_list(folder: Path, side: Side) -> tuple[Form, dict[str, str]]:
    path = folder / LIST
    try:
        if path.stat().st_size > _MAX_LIST_BYTES:
            raise ValueError("too large")
        content: dict[str, Any] = dict(json.loads(path.read_bytes()))
        form, whose, masks = content["form"], content["side"], dict(content["masks"])
        if form not in ("png", "labelme") or content["format"] != _FORMAT:
            raise ValueError("of another version")
        listed = {str(stem): str(was) for stem, was in masks.items()}
        if any(Path(stem).name != stem for stem in listed):
            raise ValueError("a name leads out of the folder")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise WorkspaceError(
            f"no masks were laid out here: {error}",
            seen_in=path,
            fix="faceswap-cli mask edit WORKSPACE --spread 20 --output FOLDER lays them out",
        ) from error
    if whose != side:
        raise WorkspaceError(
            f"these are masks of {whose}, not of {side}", seen_in=path, fix=f"--side {whose}"
        )
    return form, listed


def _keep_copy(path: Path, trash: Path) -> None:
    """Copy a file that is going to be replaced to where it can be found again."""
    data = path.read_bytes()
    number = 0
    target = trash / path.name
    while target.exists():
        if target.read_bytes() == data:
            return
        number += 1
        target = trash / f"{path.stem}.{number}{path.suffix}"
    write_atomic(target, data)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:24]
