"""Facesets of DeepFaceLab and faceswap -> our aligned pictures."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from faceswap_cli.config import ExtractConfig, InputConfig
from faceswap_cli.errors import FaceswapError, MediaError, WorkspaceError
from faceswap_cli.faces.metadata import with_comment
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.store import FaceFolder
from faceswap_cli.files import only_one, sweep_partials, write_atomic
from faceswap_cli.imaging import read_bytes
from faceswap_cli.interop.arrivals import Arrivals, own_record
from faceswap_cli.interop.dfl_faces import DflFace, has_dfl_data, read_dfl_face
from faceswap_cli.interop.dfl_pak import MAX_FACE_BYTES, PakReader
from faceswap_cli.interop.dfl_records import agree, lies_in, mask_of, record_of
from faceswap_cli.interop.faceswap_alignments import read_alignments
from faceswap_cli.interop.faceswap_faces import StoredFace, read_face_png
from faceswap_cli.interop.frame_finder import FrameFinder, unplaced
from faceswap_cli.interop.recut import Recutter
from faceswap_cli.media.source import Source, open_side, open_source
from faceswap_cli.progress import progress
from faceswap_cli.types import Side
from faceswap_cli.workspace import StageReport, Workspace

PAK = "faceset.pak"
MAX_TOLD = 100
"""Names of what failed; a hostile pak could have a million."""
UNEVEN = (
    "the frames of the video last differently long, and the other program counts at a constant"
    " rate: faces may be a frame off; where the result shows it, extract them here instead"
)
_log = logging.getLogger(__name__)


@dataclass
class _Import:
    """One side that receives faces."""

    workspace: Workspace
    side: Side
    inputs: InputConfig
    section: ExtractConfig
    report: StageReport
    arrivals: Arrivals
    num_failed: int = 0
    num_unplaced: int = 0
    people: dict[str, int] = field(default_factory=dict)

    def fail(self, name: str, reason: str) -> None:
        """Tell what could not be taken over."""
        self.num_failed += 1
        if len(self.report.failed) < MAX_TOLD:
            self.report.failed[name] = reason

    @cached_property
    def source(self) -> Source:
        """The footage; WorkspaceError or MediaError if there is none."""
        return open_side(self.workspace, self.side, self.inputs)

    @cached_property
    def finder(self) -> FrameFinder:
        """Finds frames of the footage; made when the first is looked for: a video is read."""
        path, is_cut = self.source.info.path, self.source.span.start_s or self.source.span.end_s
        if path.is_dir():
            return FrameFinder(self.source)
        _log.info("reading the times of the frames of %s", path.name)
        found = FrameFinder(self.source, open_source(path).times() if is_cut else None)
        if found.is_uneven:
            _log.warning("%s", UNEVEN)
            self.report.facts["warning"] = UNEVEN
        return found

    @cached_property
    def has_footage(self) -> bool:
        """Whether faces can be placed in frames at all."""
        try:
            return self.finder is not None
        except FaceswapError as error:
            _log.warning("the faces belong to no footage of this workspace: %s", error.what)
            return False


def run_import_faceset(
    workspace: Workspace,
    path: Path | None = None,
    *,
    side: Side,
    inputs: InputConfig | None = None,
    section: ExtractConfig | None = None,
) -> StageReport:
    """Take over the faces of another program; its files stay, and nothing here is replaced.

    Pictures of DeepFaceLab keep their pixels and their own data, and get our record beside it:
    both programs read them. Those of faceswap are cut from the footage again. May be killed at
    any time; what is there is kept.

    Args:
        workspace: Receives them, in data_SIDE/aligned.
        path: A folder of DeepFaceLab's .jpg or faceswap's .png, a faceset.pak, an .fsa; None:
            what lies in data_SIDE/aligned itself.
        side: Whose.
        inputs: Which span the footage is cut to.
        section: How faces of faceswap are cut.

    Raises:
        WorkspaceError: There is nothing of the kind, or the pak or .fsa cannot be read.
        MediaError: faceswap's faces cannot be cut: the footage does not open.
    """
    aligned, masks = workspace.aligned(side), workspace.edited_masks(side)
    run = _Import(
        workspace,
        side,
        inputs or InputConfig(),
        section or ExtractConfig(),
        StageReport("faceset import"),
        Arrivals(aligned, masks),
    )
    origin = aligned if path is None else path
    with only_one(workspace.stages, "extract"):
        sweep_partials(aligned, masks)
        if origin.is_file():
            _take_file(run, origin)
        elif origin.is_dir():
            _take_folder(run, origin, in_place=origin.resolve() == aligned.resolve())
        else:
            raise WorkspaceError(
                "there is no such file or folder", seen_in=origin, fix="check the path"
            )
    run.report.facts |= {
        "side": side,
        "from": str(origin),
        "masks": run.arrivals.num_masks,
        "not_in_the_footage": run.num_unplaced,
        "renamed": run.arrivals.renamed,
        "faces": str(aligned),
    }
    if run.num_failed > MAX_TOLD:
        run.report.facts["failed_in_all"] = run.num_failed
    return run.report


def _take_file(run: _Import, path: Path) -> None:
    if path.suffix.lower() == ".fsa":
        faces, failed = read_alignments(path)
        for name, reason in failed.items():
            run.fail(name, reason)
        _recut(run, faces)
    elif path.suffix.lower() == ".pak":
        _take_pak(run, path)
    else:
        raise WorkspaceError(
            f"{path.name} is neither a .pak of DeepFaceLab nor an .fsa of faceswap",
            seen_in=path,
            fix="give one of these, or the folder of the aligned pictures",
        )


def _take_folder(run: _Import, folder: Path, *, in_place: bool) -> None:
    names = FaceFolder(folder).names()
    jpegs = [name for name in names if not name.lower().endswith(".png")]
    pngs = [name for name in names if name.lower().endswith(".png")]
    if not names and not (folder / PAK).is_file():
        raise WorkspaceError(
            f"no .jpg or .png, and no {PAK}", seen_in=folder, fix="give the folder of the faces"
        )
    if (folder / PAK).is_file():
        _take_pak(run, folder / PAK)
    with progress("import faces", total=len(jpegs), unit="face") as bar:
        for name in jpegs:
            _take_jpeg(run, folder / name, in_place=in_place)
            bar.update()
    foreign = list(_faceswap_faces(run, folder, pngs))
    if foreign:
        _recut(run, foreign)


def _take_pak(run: _Import, path: Path) -> None:
    pak = PakReader(path)
    with progress("import faces", total=len(pak.faces), unit="face") as bar:
        for face in pak.faces:
            name = f"{face.person}_{face.name}" if face.person else face.name
            # Who was packed as a person of their own is one here, too.
            track = run.people.setdefault(face.person, len(run.people)) if face.person else 0
            try:
                _put(run, name, pak.read(face), track=track)
            except MediaError as error:
                run.fail(name, error.what)
            bar.update()


def _take_jpeg(run: _Import, path: Path, *, in_place: bool) -> None:
    try:
        data = read_bytes(path, at_most=MAX_FACE_BYTES)
        if not in_place:
            _put(run, path.name, data)
        elif not has_dfl_data(data) and own_record(data, path) is not None:
            run.report.kept += 1
        else:
            described, face, record = _described(run, data, path)
            if described != data:
                write_atomic(path, described)
                run.report.done += 1
            else:
                run.report.kept += 1
            _put_mask(run, path, face, record)
    except MediaError as error:
        run.fail(path.name, error.what)


def _put(run: _Import, name: str, data: bytes, *, track: int = 0) -> None:
    described, face, record = _described(run, data, Path(name), track=track)
    path, is_new = run.arrivals.put(name, described)
    run.report.done += is_new
    run.report.kept += not is_new
    _put_mask(run, path, face, record)


def _described(
    run: _Import, data: bytes, path: Path, *, track: int = 0
) -> tuple[bytes, DflFace, FaceRecord]:
    """Return a picture with our record inside, and what it says in their words and in ours."""
    face, own = read_dfl_face(data, path.name), own_record(data, path)
    if own is not None and agree(own, face):
        return data, face, own
    record = _placed(run, face, path.name, track)
    return with_comment(data, record.model_dump_json(exclude_none=True)), face, record


def _placed(run: _Import, face: DflFace, name: str, track: int) -> FaceRecord:
    """Return the record of a face in its frame; of src it need not be from our footage."""
    frame = face.source_filename or name
    place = run.finder.find(frame) if run.has_footage else None
    record = None if place is None else record_of(face, place, track=track)
    if record is not None and lies_in(record):
        return record
    if run.side == "dst" and run.has_footage:
        raise MediaError(
            f"the footage has no frame {frame}"
            if record is None
            else f"it lies outside of the frame {frame} of the footage"
        )
    record = record_of(face, unplaced(frame), track=track)
    run.num_unplaced += 1
    return record


def _put_mask(run: _Import, path: Path, face: DflFace, record: FaceRecord) -> None:
    if not run.arrivals.has_mask(path):
        run.arrivals.put_mask(path, mask_of(face, record))


def _faceswap_faces(run: _Import, folder: Path, names: list[str]) -> Iterator[StoredFace]:
    for name in names:
        try:
            data = read_bytes(folder / name, at_most=MAX_FACE_BYTES)
            if own_record(data, folder / name) is None:
                yield read_face_png(data, name)
        except MediaError as error:
            run.fail(name, error.what)


def _recut(run: _Import, faces: list[StoredFace]) -> None:
    with progress("cut faces", total=len(faces), unit="face") as bar:
        recutter = Recutter(run.source, run.finder, run.section, run.arrivals, run.fail)
        try:
            recutter.cut(faces, tick=bar.update)
        finally:
            run.report.done += recutter.done
            run.report.kept += recutter.kept
