"""Faces that a person has placed: taken as they are, instead of what the engines see there."""

from collections import defaultdict
from collections.abc import Sequence

from faceswap_cli.curating.footage import Footage
from faceswap_cli.curating.landmark_files import ManualFace, read_landmarks_file
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.files import expand_user
from faceswap_cli.media.source import Source

NUM_LISTED = 10

ManualFaces = dict[int, list[ManualFace]]
"""By frame."""


def read_manual(path: str, sources: Sequence[tuple[str, Source]]) -> dict[str, ManualFaces]:
    """Return the faces of a file by clip and frame; nothing if there is no path.

    Args:
        path: Of a JSON as `landmarks export` writes it.
        sources: The clips of a side by name.

    Raises:
        WorkspaceError: The file cannot be used, or names frames that the footage lacks.
    """
    placed: defaultdict[str, ManualFaces] = defaultdict(dict)
    if not path:
        return placed
    footage = Footage({_prefix(name): source for name, source in sources})
    unknown = []
    for frame, faces in read_landmarks_file(expand_user(path)).items():
        key = footage.find(frame, ())
        if key is None:
            unknown.append(frame)
            continue
        prefix, index = footage.places[key]
        placed[prefix.removesuffix("_")][index] = faces
    if unknown:
        listed = ", ".join(unknown[:NUM_LISTED])
        more = f" and {len(unknown) - NUM_LISTED} more" if len(unknown) > NUM_LISTED else ""
        raise WorkspaceError(
            f"{len(unknown)} frames that the footage lacks: {listed}{more}",
            seen_in=path,
            fix="name frames as `faceswap-cli landmarks export` does",
        )
    return placed


def _prefix(clip: str) -> str:
    return f"{clip}_" if clip else ""
