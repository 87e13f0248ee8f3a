"""Which faces of the footage were to be swapped, as merge was told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from faceswap_cli.config import InputConfig, MergeConfig
from faceswap_cli.errors import ConfigError, WorkspaceError
from faceswap_cli.faces.faceset import AlignedFace, open_faceset
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.store import find_aligned
from faceswap_cli.media.source import Source
from faceswap_cli.media.span import FrameRanges
from faceswap_cli.merging.choose import check_origin
from faceswap_cli.rendering.looks import Looks
from faceswap_cli.rendering.people import choose
from faceswap_cli.settings import load_config
from faceswap_cli.workspace import Workspace


@dataclass(frozen=True, eq=False)
class Swapped:
    """The faces that were to be swapped."""

    by_frame: Mapping[int, Sequence[FaceRecord]]
    """Frames without one are absent."""
    pictures: Sequence[AlignedFace]
    """Their aligned pictures."""
    left_out: FrameRanges
    """Frames that were to stay as they are."""


def find_swapped(
    workspace: Workspace, footage: Source, merge: MergeConfig, inputs: InputConfig
) -> Swapped:
    """Return the faces that were to be swapped.

    Args:
        workspace: With the aligned faces of dst.
        footage: Of dst.
        merge: What counts if merge has not left its own settings, or they cannot be read.
        inputs: The same: which frames were left out.

    Raises:
        WorkspaceError: There is none, or they were found in other footage.
    """
    merge, inputs = _used(workspace, merge, inputs)
    folder = find_aligned(workspace, "dst")
    faceset = open_faceset(folder)
    other_clips = {path.name for path in workspace.more_videos("dst")}
    excluded = FrameRanges.parse(inputs.dst_exclude)
    records = [face.record for face in faceset.faces]
    chosen = choose(records, merge, excluded=excluded, other_clips=other_clips)
    looks = Looks(merge)
    by_frame = {
        frame: [face.record for face in faces]
        for frame, faces in chosen.items()
        if looks.at(frame) is not None
    }
    if not by_frame:
        raise WorkspaceError(
            "no face of dst was to be swapped",
            seen_in=folder,
            fix=f"faceswap-cli extract {workspace.root} --side dst",
        )
    check_origin(by_frame, footage, folder)
    kept = {id(record) for faces in by_frame.values() for record in faces}
    skipped = [FrameRanges.parse(shot.range).ranges for shot in merge.shot if shot.skip]
    return Swapped(
        by_frame,
        [face for face in faceset.faces if id(face.record) in kept],
        FrameRanges(sum(skipped, excluded.ranges)),
    )


def _used(
    workspace: Workspace, merge: MergeConfig, inputs: InputConfig
) -> tuple[MergeConfig, InputConfig]:
    """Return the settings that merge last ran with, flags included."""
    path = workspace.settings("merge")
    if not path.is_file():
        return merge, inputs
    try:
        used = load_config(path)
    except ConfigError:  # of another version of this program
        return merge, inputs
    return used.merge, used.input if "input" in used.model_fields_set else inputs
