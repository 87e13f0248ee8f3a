"""Which faces of the footage are replaced."""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable

import numpy as np

from faceswap_cli.errors import MediaError, WorkspaceError
from faceswap_cli.faces.faceset import Faceset
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.media.reader import Frame
from faceswap_cli.media.source import Source
from faceswap_cli.types import Points, RgbImage

NUM_LISTED = 20


def choose_faces(
    records: Iterable[FaceRecord],
    face: str,
    *,
    excluded: Container[int] = (),
    other_clips: Container[str] = (),
) -> dict[int, list[FaceRecord]]:
    """Return the faces to replace, by frame index; frames without one are absent.

    Args:
        records: All faces of the footage; if two are equally large, the first one counts.
        face: "largest": one in each frame; "all"; "person N" of the list of people; "track N".
        excluded: Frames in which no face is replaced.
        other_clips: Names of further videos of dst, whose faces serve for training only.

    Raises:
        WorkspaceError: There is no such person or track; names those there are.
    """
    known = [record for record in records if record.source_name not in other_clips]
    if face.startswith("track "):
        known = _of("track", int(face.removeprefix("track ")), known)
    elif face.startswith("person "):
        known = _of("person", int(face.removeprefix("person ")), known)
    by_frame: defaultdict[int, list[FaceRecord]] = defaultdict(list)
    for record in known:
        if record.frame_index not in excluded:
            by_frame[record.frame_index].append(record)
    if face == "all":
        return dict(by_frame)
    return {index: [max(found, key=lambda r: r.area)] for index, found in by_frame.items()}


def first_face(faceset: Faceset, chosen: dict[int, list[FaceRecord]]) -> tuple[RgbImage, Points]:
    """Return picture and landmarks, in its pixels, of the first face that decodes.

    It is taken from the aligned pictures, so that it is the same whatever is done already.
    """
    if not chosen:
        raise WorkspaceError(
            "no face of dst is left to be replaced: all are skipped, excluded, or of other clips",
            seen_in=faceset.faces[0].path.parent,
            fix="look at merge.person and input.dst_exclude",
        )
    ids = {id(record) for records in chosen.values() for record in records}
    faces = [face for face in faceset.faces if id(face.record) in ids]
    for face in sorted(faces, key=lambda face: face.record.frame_index):
        try:
            return face.image(), np.array(face.record.landmarks_crop, np.float64)
        except MediaError as error:
            faceset.skipped[face.path.name] = error.what
    raise WorkspaceError(
        f"none of the {len(faces)} chosen faces of dst can be decoded",
        seen_in=faceset.faces[0].path.parent,
        fix="faceswap-cli extract --side dst --redo",
    )


def _of(kind: str, number: int, records: list[FaceRecord]) -> list[FaceRecord]:
    """Return the faces of one track or person, or raise WorkspaceError."""
    numbers = [record.track if kind == "track" else record.person for record in records]
    frames = Counter(found for found in numbers if found is not None)
    if number in frames:
        return [r for r, found in zip(records, numbers, strict=True) if found == number]
    listed = [f"{kind} {found} ({count} frames)" for found, count in frames.most_common(NUM_LISTED)]
    more = f" and {len(frames) - NUM_LISTED} more" if len(frames) > NUM_LISTED else ""
    raise WorkspaceError(
        f"no face belongs to {kind} {number}; there are {', '.join(listed) or 'none'}{more}",
        fix="take one of these for --face, or 'largest', or 'all'",
    )


def check_origin(chosen: dict[int, list[FaceRecord]], source: Source, folder: object) -> None:
    """Make sure that the faces were found in this footage.

    Args:
        chosen: By frame index.
        source: The footage; its frames are not decoded.
        folder: Of the faces, for the message.

    Raises:
        WorkspaceError: One of them was found in another video, or in pictures that have
            been renamed, added or removed since.
    """
    path = source.info.path
    for index, records in chosen.items():
        for record in records:
            is_other_video = not path.is_dir() and record.source_name != path.name
            is_other_size = record.frame_size_wh != source.info.size_wh and not path.is_dir()
            if is_other_video or is_other_size:
                width, height = record.frame_size_wh
                raise _other_footage(f"{record.source_name} ({width}x{height})", source, folder)
            if path.is_dir() and not _is_frame(record.frame_name, source, index):
                raise _other_footage(
                    f"a picture {record.frame_name}, number {index}", source, folder
                )


def check_time(record: FaceRecord, frame: Frame, source: Source, folder: object) -> None:
    """Make sure that a face belongs to a frame, or raise WorkspaceError.

    Frames are counted from the beginning of the span: in another span the same number
    means another moment.
    """
    if not source.info.path.is_dir() and record.frame_time_s != frame.time_s:
        raise _other_footage(
            f"frame {frame.index} at {float(record.frame_time_s):.3f} s (now it is at"
            f" {float(frame.time_s):.3f} s: another span)",
            source,
            folder,
        )


def _is_frame(name: str, source: Source, index: int) -> bool:
    try:
        return source.frame_name(index) == name
    except IndexError:
        return False


def _other_footage(found: str, source: Source, folder: object) -> WorkspaceError:
    return WorkspaceError(
        f"the faces of dst were found in {found}, the footage is {source.info.path.name}"
        f" ({source.info.size_wh[0]}x{source.info.size_wh[1]})",
        seen_in=folder,
        fix="`faceswap-cli extract --side dst` on this footage, or bring the other one back",
    )
