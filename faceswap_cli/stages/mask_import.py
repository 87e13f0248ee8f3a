"""Masks from a folder of another program, put beside the aligned pictures."""

from pathlib import Path

import numpy as np

from faceswap_cli.errors import FaceswapError, MediaError, WorkspaceError
from faceswap_cli.faces.faceset import AlignedFace, Faceset, open_faceset
from faceswap_cli.files import only_one
from faceswap_cli.geometry import resizing, warp
from faceswap_cli.imaging import write_image
from faceswap_cli.progress import progress
from faceswap_cli.segmenting.foreign import read_foreign_mask
from faceswap_cli.segmenting.labels import mask_is_by
from faceswap_cli.types import GreyImage, Side
from faceswap_cli.workspace import StageReport, Workspace

MAX_STRETCH = 0.01
"""How much two aspects may differ: a row more or less is rounding."""


def run_mask_import(workspace: Workspace, folder: Path, side: Side) -> StageReport:
    """Take over mask PNGs: of aligned pictures or of frames, by their names.

    NAME.png is the mask of the aligned picture NAME if there is one, scaled to its size; else
    that of the frame NAME, for each face in it. What is imported counts as made by a person:
    it is a label for `mask train`, and `mask apply` leaves it alone. A mask that a person
    has made in this workspace stays.

    Args:
        workspace: With aligned faces.
        folder: With PNG files; other files are passed over.
        side: Whose faces.

    Raises:
        WorkspaceError: There are no faces, or no PNG files.
    """
    entries = folder.iterdir() if folder.is_dir() else ()
    found = sorted(path for path in entries if path.suffix.lower() == ".png")
    if not found:
        raise WorkspaceError("no PNG files to import", seen_in=folder, fix="name another folder")
    faceset = open_faceset(workspace.aligned(side))
    if not faceset.faces:
        raise WorkspaceError(
            f"no aligned faces of {side}",
            seen_in=workspace.aligned(side),
            fix=f"faceswap-cli extract {workspace.root} --side {side}",
        )
    report = StageReport(f"mask import {side}")
    importer = _Importer(workspace, side, faceset, report)
    with (
        only_one(workspace.stages, "mask_import"),
        progress("masks", total=len(found), unit="file") as bar,
    ):
        for path in found:
            try:
                importer.take(path)
            except (FaceswapError, OSError) as error:
                report.failed[path.name] = getattr(error, "what", str(error))
            bar.update()
    report.facts |= {
        "kept as a person made them": importer.theirs,
        "folder": str(workspace.edited_masks(side)),
    }
    return report


class _Importer:
    """Finds whose mask a file is."""

    def __init__(
        self, workspace: Workspace, side: Side, faceset: Faceset, report: StageReport
    ) -> None:
        self._folder, self._report, self.theirs = workspace.edited_masks(side), report, 0
        self._by_picture = {face.path.stem: face for face in faceset.faces}
        self._by_frame: dict[str, list[AlignedFace]] = {}
        for face in faceset.faces:
            self._by_frame.setdefault(face.record.frame_name, []).append(face)

    def take(self, path: Path) -> None:
        """Import one file.

        Raises:
            MediaError: It cannot be read, fits no picture, or has another aspect.
        """
        picture, frame = self._by_picture.get(path.stem), self._by_frame.get(path.stem, [])
        if picture is None and not frame:
            raise MediaError("neither an aligned picture nor a frame has this name", seen_in=path)
        mask = read_foreign_mask(path)
        if picture is not None:
            size = picture.record.size_px
            self._write(picture, _scaled(mask, (size, size), path))
            return
        for face in frame:
            whole = _scaled(mask, face.record.frame_size_wh, path)
            size_wh = (face.record.size_px,) * 2
            self._write(face, warp(whole, face.record.crop, size_wh=size_wh, border=0.0))

    def _write(self, face: AlignedFace, mask: GreyImage) -> None:
        target = self._folder / f"{face.path.stem}.png"
        if target.is_file() and mask_is_by(target) is None:
            self.theirs += 1
            return
        write_image(target, mask)
        self._report.done += 1


def _scaled(mask: GreyImage, size_wh: tuple[int, int], path: Path) -> GreyImage:
    """Return a mask at the size of its picture."""
    height, width = mask.shape
    if (width, height) == size_wh:
        return mask
    factors = size_wh[0] / width, size_wh[1] / height
    if abs(factors[0] / factors[1] - 1.0) > MAX_STRETCH:
        raise MediaError(
            f"{width}x{height}, its picture is {size_wh[0]}x{size_wh[1]}: another aspect",
            seen_in=path,
        )
    grown = warp(mask, resizing(sum(factors) / 2.0), size_wh=size_wh)
    return np.asarray(grown, np.uint8)
