"""A sheet of faces with their masks, to see at a glance what is wrong."""

import numpy as np

from faceswap_cli.errors import FaceswapError, WorkspaceError
from faceswap_cli.faces.faceset import AlignedFace, picture_paths, read_record
from faceswap_cli.imaging import read_grey, write_image
from faceswap_cli.progress import progress
from faceswap_cli.segmenting.cutting import automatic_mask
from faceswap_cli.segmenting.labels import find_label, mask_is_by
from faceswap_cli.segmenting.showing import resized, sheet, tinted
from faceswap_cli.types import GreyImage, RgbImage, Side
from faceswap_cli.workspace import StageReport, Workspace

TILE_PX = 192
COLUMNS = 8


def run_mask_preview(workspace: Workspace, side: Side, *, count: int) -> StageReport:
    """Write reports/masks_SIDE.png: faces spread over the set, each with its mask.

    Green is face, red is not. A face that has no mask yet is shown with the hull of its
    landmarks, `(hull)` by its name; one whose mask a person made with `(yours)`.

    Args:
        workspace: With aligned faces.
        side: Whose.
        count: Faces on the sheet, at most.

    Raises:
        WorkspaceError: There are no faces.
    """
    report = StageReport(f"mask preview {side}")
    found = list(picture_paths(workspace.aligned(side)))
    if not found:
        raise WorkspaceError(
            f"no aligned faces of {side}",
            seen_in=workspace.aligned(side),
            fix=f"faceswap-cli extract {workspace.root} --side {side}",
        )
    chosen = np.unique(np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int))
    tiles: list[RgbImage] = []
    with progress("preview", total=len(chosen), unit="face") as bar:
        for index in chosen:
            picture = found[index]
            try:
                face = AlignedFace(picture, read_record(picture))
                mask, whose = _mask(face, workspace, side)
                name = f"{picture.stem} {whose}"
                image, small = resized(face.image(), TILE_PX), resized(mask, TILE_PX)
                tiles.append(tinted(image, small, name))
            except (FaceswapError, OSError) as error:
                report.failed[picture.name] = getattr(error, "what", str(error))
            bar.update()
    path = workspace.reports / f"masks_{side}.png"
    if tiles:
        write_image(path, sheet(tiles, COLUMNS))
    report.done = len(tiles)
    report.facts["picture"] = str(path)
    return report


def _mask(face: AlignedFace, workspace: Workspace, side: Side) -> tuple[GreyImage, str]:
    path = workspace.edited_masks(side) / f"{face.path.stem}.png"
    size = face.record.size_px
    label = find_label(face.path, path, size)
    if label is not None:
        return label, "(yours)"
    if path.is_file() and mask_is_by(path) is not None:
        return read_grey(path), ""
    return automatic_mask(face.record, face.record.crop, (size, size)), "(hull)"
