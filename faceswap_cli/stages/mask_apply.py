"""A mask for every aligned face, made by the mask network; what a person made stays."""

from pathlib import Path
from typing import Literal

import numpy as np

from faceswap_cli.config import MaskConfig
from faceswap_cli.device import choose_device
from faceswap_cli.errors import FaceswapError, MediaError
from faceswap_cli.faces.faceset import AlignedFace, picture_paths, read_record
from faceswap_cli.files import only_one, sweep_partials
from faceswap_cli.interop.labelme import read_labelme
from faceswap_cli.progress import progress
from faceswap_cli.segmenting.inference import Segmenter, open_segmenter, put_back, segment
from faceswap_cli.segmenting.labels import (
    draw_outlines,
    drawing_path,
    drawn_by,
    mask_is_by,
    write_own_mask,
)
from faceswap_cli.types import SIDES, GreyImage, Side
from faceswap_cli.workspace import StageReport, Workspace

What = Literal["done", "kept", "theirs"]


def run_mask_apply(workspace: Workspace, section: MaskConfig) -> list[StageReport]:
    """Write aligned/mask/NAME.png for every face; those of the same network are not redone.

    A face with outlines drawn in labelme gets these as its mask: they are the truth.

    Returns:
        A report for each side that has faces.

    Raises:
        WorkspaceError: There is no trained network.
    """
    device = choose_device(section.device)
    segmenter = open_segmenter(workspace.mask_model, device)
    sides = SIDES if section.side == "both" else (section.side,)
    with only_one(workspace.stages, "mask_apply"):
        return [
            _apply(workspace, side, segmenter)
            for side in sides
            if workspace.aligned(side).is_dir() or section.side == side
        ]


def _apply(workspace: Workspace, side: Side, segmenter: Segmenter) -> StageReport:
    report = StageReport(f"mask apply {side}")
    folder, theirs = workspace.edited_masks(side), 0
    if folder.is_dir():
        sweep_partials(folder)
    pictures = list(picture_paths(workspace.aligned(side)))
    with progress(f"masks of {side}", total=len(pictures), unit="face") as bar:
        for picture in pictures:
            try:
                what = _apply_one(picture, folder / f"{picture.stem}.png", segmenter)
            except (FaceswapError, OSError) as error:
                report.failed[picture.name] = getattr(error, "what", str(error))
            else:
                report.done += what == "done"
                report.kept += what == "kept"
                theirs += what == "theirs"
            bar.update()
    report.facts |= {
        "kept as a person made them": theirs,
        "network": f"{segmenter.fingerprint}, iteration {segmenter.iteration}",
        "folder": str(folder),
    }
    return report


def _apply_one(picture: Path, path: Path, segmenter: Segmenter) -> What:
    drawn = drawing_path(picture)
    by = f"network {segmenter.fingerprint}"
    if drawn.is_file():
        by = drawn_by(drawn)
    if path.is_file():
        made_by = _made_by(path)
        if made_by is None:
            return "theirs"
        if made_by == by:
            return "kept"
    face = AlignedFace(picture, read_record(picture))
    size, mask = face.record.size_px, None
    if drawn.is_file():
        drawing = read_labelme(drawn, (size, size))
        mask = draw_outlines(drawing, size) if drawing.outlines else None
    mask = draw(face, segmenter) if mask is None else mask
    write_own_mask(path, mask, by=by)
    return "done"


def _made_by(path: Path) -> str | None:
    """Return what of ours made a mask; one that cannot be read may be a person's, too."""
    try:
        return mask_is_by(path)
    except MediaError as error:
        raise MediaError(
            f"its mask {path.name} cannot be read, and is left as it is", seen_in=path
        ) from error


def draw(face: AlignedFace, segmenter: Segmenter) -> GreyImage:
    """Return what a network says of an aligned picture, as large as the picture.

    Raises:
        FaceswapError: The picture cannot be read, or its landmarks coincide.
    """
    record = face.record
    net_from_picture = segmenter.net_from_frame(record.landmarks).after(record.crop.inverse())
    crop = segmenter.cut(face.image(), net_from_picture)
    mask = put_back(segment(segmenter, [crop])[0], net_from_picture, (record.size_px,) * 2)
    return np.asarray(np.rint(mask * 255.0), np.uint8)
