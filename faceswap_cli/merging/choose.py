"""Which faces of the footage are replaced."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from faceswap_cli.errors import WorkspaceError
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.media.reader import Frame
from faceswap_cli.media.source import Source

NUM_LISTED = 20


def choose_faces(records: Iterable[FaceRecord], face: str) -> dict[int, list[FaceRecord]]:
    """Return the faces to replace, by frame index; frames without one are absent.

    Args:
        records: All faces of the footage; if two are equally large, the first one counts.
        face: "largest": one in each frame; "all"; or "track N": those of one person.

    Raises:
        WorkspaceError: There is no such track; names those there are.
    """
    known = list(records)
    if face.startswith("track "):
        track = int(face.removeprefix("track "))
        _check_track(known, track)
        known = [record for record in known if record.track == track]
    by_frame: defaultdict[int, list[FaceRecord]] = defaultdict(list)
    for record in known:
        by_frame[record.frame_index].append(record)
    if face == "all":
        return dict(by_frame)
    return {index: [max(found, key=lambda r: r.area)] for index, found in by_frame.items()}


def _check_track(records: list[FaceRecord], track: int) -> None:
    frames = Counter(record.track for record in records)
    if track in frames:
        return
    listed = [
        f"track {number} ({count} frames)" for number, count in frames.most_common(NUM_LISTED)
    ]
    more = f" and {len(frames) - NUM_LISTED} more" if len(frames) > NUM_LISTED else ""
    raise WorkspaceError(
        f"no face belongs to track {track}; there are {', '.join(listed)}{more}",
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
