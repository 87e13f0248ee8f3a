"""Landmarks out to a file, and back in: faces are cut anew, nothing is detected."""

from collections import defaultdict
from pathlib import Path

from faceswap_cli.config import ExtractConfig, InputConfig
from faceswap_cli.curating.footage import Footage, clip_prefix, record_key
from faceswap_cli.curating.landmark_files import ManualFace, landmarks_json, read_landmarks_file
from faceswap_cli.curating.landmark_import import LandmarkImport
from faceswap_cli.errors import FaceswapError, WorkspaceError
from faceswap_cli.faces.faceset import open_faceset
from faceswap_cli.files import only_one, write_atomic
from faceswap_cli.media.source import open_clips
from faceswap_cli.types import Side
from faceswap_cli.workspace import StageReport, Workspace


def run_landmarks_export(
    workspace: Workspace, side: Side, path: Path, inputs: InputConfig, *, as_faceswap: bool = False
) -> StageReport:
    """Write the landmarks of all faces of a side to a JSON file, see landmark_files.

    Args:
        workspace: With faces of the side.
        side: Whose.
        path: The file; it is replaced.
        inputs: Which span of the footage the faces are of.
        as_faceswap: Only what faceswap's own import reads, frames named as it names them.

    Raises:
        WorkspaceError: There are no faces, or the file cannot be written.
    """
    faceset = open_faceset(workspace.aligned(side))
    if not faceset.faces:
        raise _no_faces(workspace, side)
    footage, why_gone = _open_footage(workspace, side, inputs)
    report = StageReport("landmarks export", done=len(faceset.faces), failed=faceset.skipped)
    frames: dict[str, list[ManualFace]] = defaultdict(list)
    order = sorted(faceset.faces, key=lambda f: (f.record.source_name, f.record.frame_index))
    for face in order:
        record = face.record
        name = footage.file_name(record_key(record, side), as_faceswap=as_faceswap)
        given = ManualFace(
            record.box, record.landmarks, face.path.name, record.track, record.person
        )
        frames[name].append(given)
    write_atomic(path, landmarks_json(frames, with_names=not as_faceswap))
    report.facts |= {"frames": len(frames), "file": str(path)}
    if why_gone:
        report.facts["names of frames"] = f"as in the faceset: {why_gone}"
    return report


def run_landmarks_import(
    workspace: Workspace, side: Side, path: Path, inputs: InputConfig, section: ExtractConfig
) -> StageReport:
    """Give faces the landmarks of a file, cut them anew, and add faces that are not there.

    A face is found by the name of its picture, else it is the nearest one of its frame. What
    has the same landmarks already is left as it is, so that a killed run can be repeated.
    Pixels come from the footage; from the old picture where that is gone.

    Args:
        workspace: With faces of the side, or at least its footage.
        side: Whose.
        path: The file.
        inputs: Which span of the footage the faces are of.
        section: What new pictures are like if there are none to go by; the JPEG quality.

    Raises:
        WorkspaceError: The file cannot be used, or a picture cannot be written.
    """
    given = read_landmarks_file(path)
    with only_one(workspace.stages, "sort"):
        faceset = open_faceset(workspace.aligned(side))
        footage, why_gone = _open_footage(workspace, side, inputs)
        job = LandmarkImport(workspace, side, section, footage, why_gone, faceset.faces)
        job.report.failed |= faceset.skipped
        job.plan(given)
        job.cut_from_footage()
        job.cut_from_pictures()
        return job.report


def _open_footage(workspace: Workspace, side: Side, inputs: InputConfig) -> tuple[Footage, str]:
    """Return the footage, or none and why."""
    try:
        clips = open_clips(workspace, side, inputs)
    except FaceswapError as error:
        return Footage(), error.what
    prefixed = {clip_prefix(s.info.path.name, side) if name else "": s for name, s in clips}
    return Footage(prefixed), ""


def _no_faces(workspace: Workspace, side: Side) -> WorkspaceError:
    return WorkspaceError(
        f"no faces of {side}",
        seen_in=workspace.aligned(side),
        fix=f"faceswap-cli extract {workspace.root} --side {side}",
    )
