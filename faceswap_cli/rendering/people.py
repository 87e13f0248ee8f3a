"""Who draws which face: [merge] face and person."""

from collections.abc import Iterable
from dataclasses import dataclass

from faceswap_cli.config import MergeConfig
from faceswap_cli.errors import ConfigError
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.media.span import FrameRanges
from faceswap_cli.merging.choose import choose_faces

USUAL = "model"
"""The folder of the model in a workspace."""
SKIP = "skip"


@dataclass(frozen=True, eq=False)
class Chosen:
    """A face of the footage that is replaced."""

    record: FaceRecord
    model: str
    """Folder of the model that draws it, as it was given."""


def people(section: MergeConfig) -> dict[int, str]:
    """Return which model each person is given, or "skip".

    Raises:
        ConfigError: One person is named twice.
    """
    found: dict[int, str] = {}
    for told in section.person:
        number, _, model = told.partition("=")
        if int(number) in found:
            raise ConfigError(
                f"person {int(number)} is given twice", seen_in="merge.person", fix="keep one"
            )
        found[int(number)] = model.strip()
    return found


def choose(
    records: Iterable[FaceRecord],
    section: MergeConfig,
    *,
    excluded: FrameRanges,
    other_clips: set[str],
) -> dict[int, list[Chosen]]:
    """Return the faces to replace by frame, and who draws them.

    Where models are given to persons, these persons are replaced and nobody else; where
    persons are only skipped, `face` chooses among the others.

    Args:
        records: All faces of the footage.
        section: Its face and person.
        excluded: Frames in which no face is replaced.
        other_clips: See choose_faces.

    Raises:
        WorkspaceError: There is no such person or track.
        ConfigError: One person is named twice.
    """
    known, told = list(records), people(section)
    given = {number: model for number, model in told.items() if model != SKIP}
    if not given:
        left = [record for record in known if record.person not in told]
        chosen = choose_faces(left, section.face, excluded=excluded, other_clips=other_clips)
        return {i: [Chosen(record, USUAL) for record in found] for i, found in chosen.items()}
    merged: dict[int, list[Chosen]] = {}
    for number, model in given.items():
        found = choose_faces(known, f"person {number}", excluded=excluded, other_clips=other_clips)
        for index, faces in found.items():
            merged.setdefault(index, []).extend(Chosen(record, model) for record in faces)
    return merged
