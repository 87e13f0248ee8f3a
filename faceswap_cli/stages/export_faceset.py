"""Our aligned pictures -> a faceset of DeepFaceLab: a folder, or a faceset.pak."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from faceswap_cli.errors import FaceswapError, MediaError, WorkspaceError
from faceswap_cli.faces.faceset import parse_record, read_mask
from faceswap_cli.faces.metadata import with_comment
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.store import FaceFiles, find_aligned, open_files
from faceswap_cli.files import only_one, write_atomic
from faceswap_cli.imaging import decode_image, encode_image, read_bytes
from faceswap_cli.interop.dfl_faces import DflFace, has_dfl_data, read_dfl_face, with_dfl_face
from faceswap_cli.interop.dfl_pak import write_pak
from faceswap_cli.interop.dfl_records import agree, face_of
from faceswap_cli.interop.hostile import HostileError
from faceswap_cli.interop.polygons import encode_mask
from faceswap_cli.progress import progress
from faceswap_cli.types import Side
from faceswap_cli.workspace import StageReport, Workspace

JPEG_QUALITY = 95
"""Of pictures that were PNG: DeepFaceLab reads nothing but .jpg."""


@dataclass
class _Export:
    files: FaceFiles
    report: StageReport
    faces: list[tuple[str, DflFace]] = field(default_factory=list)
    """Of a pak: what goes into its index, by the name of our picture."""


def run_export_faceset(
    workspace: Workspace, output: Path, *, side: Side, form: Literal["dfl", "pak"] = "dfl"
) -> StageReport:
    """Write the faces of a side so that DeepFaceLab reads them; pixels of a .jpg stay as they are.

    Our record stays inside, so that what comes back is what went out. An edited mask becomes
    DeepFaceLab's XSeg mask, at 256 px. A picture that is there is not replaced, but if
    `output` is the folder of the faces itself, its .jpg get DeepFaceLab's data.

    Args:
        workspace: With aligned faces, in a folder or a pack.
        output: A folder, or the file of a pak.
        side: Whose.
        form: dfl: pictures; pak: a faceset.pak.

    Raises:
        WorkspaceError: There are no faces, or the pak is there already, or cannot be written.
    """
    aligned = find_aligned(workspace, side)
    files = open_files(aligned, workspace.edited_masks(side))
    run = _Export(files, StageReport("faceset export"))
    names = files.names()
    if not names:
        raise WorkspaceError(
            f"no aligned faces of {side}",
            seen_in=aligned,
            fix=f"faceswap-cli extract {workspace.root} --side {side}",
        )
    with only_one(workspace.stages, "extract"):
        if form == "pak":
            _write_pak(run, names, output)
        else:
            _write_folder(run, names, output, in_place=output.resolve() == aligned.resolve())
    run.report.facts |= {"side": side, "as": form, "output": str(output)}
    return run.report


def _write_folder(run: _Export, names: list[str], output: Path, *, in_place: bool) -> None:
    with progress("export faces", total=len(names), unit="face") as bar:
        for name in names:
            try:
                data = run.files.read(name)
                made = with_dfl_face(_as_jpeg(data, name), _told(run.files, name, data))
                _place(run, output / f"{Path(name).stem}.jpg", made, replace=in_place, of=name)
            except MediaError as error:
                run.report.failed[name] = error.what
            bar.update()


def _place(run: _Export, path: Path, made: bytes, *, replace: bool, of: str) -> None:
    if replace and path.name != of:
        raise MediaError("not a .jpg, which is all that DeepFaceLab reads; export to a folder")
    if path.exists():
        if read_bytes(path) == made:
            run.report.kept += 1
            return
        if not replace:
            raise MediaError(f"another {path.name} is there already; it stays")
    write_atomic(path, made)
    run.report.done += 1


def _write_pak(run: _Export, names: list[str], output: Path) -> None:
    if output.exists():
        raise WorkspaceError(
            f"there is a {output.name} already",
            seen_in=output.parent,
            fix="name another --output, or move that one away",
        )
    with progress("export faces", total=2 * len(names), unit="face") as bar:
        for name in names:
            try:
                data = run.files.read(name)
                face = _told(run.files, name, data)
                with_dfl_face(_as_jpeg(data, name), face)  # so that it does not fail later
                run.faces.append((name, face))
            except MediaError as error:
                run.report.failed[name] = error.what
            bar.update()
        index = [(f"{Path(name).stem}.jpg", face) for name, face in run.faces]
        write_pak(output, index, _pictures(run, bar.update))
    run.report.done = len(run.faces)


def _pictures(run: _Export, tick: Callable[[], object]) -> Iterator[bytes]:
    for name, face in run.faces:
        yield with_dfl_face(_as_jpeg(run.files.read(name), name), face)
        tick()


def _told(files: FaceFiles, name: str, data: bytes) -> DflFace:
    """Return what DeepFaceLab is told of a picture; what it knew itself is kept."""
    record = _record(data, files.path / name)
    known = read_dfl_face(data, name) if has_dfl_data(data) else None
    if known is not None and not agree(record, known):
        known = None
    return face_of(
        record,
        mask=_mask(files, name, known),
        polygons=() if known is None else known.polygons,
        source_filename="" if known is None else known.source_filename,
    )


def _mask(files: FaceFiles, name: str, known: DflFace | None) -> bytes | None:
    edited = read_mask(files, name)
    if edited is None:
        return None if known is None else known.mask
    try:
        return encode_mask(edited)
    except HostileError as error:
        raise MediaError(f"its mask: {error}", fix="save it square, or delete it") from error


def _record(data: bytes, path: Path) -> FaceRecord:
    try:
        return parse_record(data, path)
    except MediaError:
        raise
    except FaceswapError as error:  # of a newer version of this program
        raise MediaError(error.what) from error


def _as_jpeg(data: bytes, name: str) -> bytes:
    if Path(name).suffix.lower() in (".jpg", ".jpeg"):
        return data
    record = _record(data, Path(name))
    encoded = encode_image(decode_image(data, name), ".jpg", jpeg_quality=JPEG_QUALITY)
    return with_comment(encoded, record.model_dump_json(exclude_none=True))
