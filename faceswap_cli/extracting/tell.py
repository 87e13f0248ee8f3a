"""What extract says at its end."""

import json
from collections import Counter
from collections.abc import Sequence

from faceswap_cli.config import ExtractConfig
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.extracting.understand import Clip
from faceswap_cli.faces.people import Person
from faceswap_cli.files import Manifest
from faceswap_cli.workspace import StageReport

NUM_LISTED = 8


def tell_side(
    report: StageReport,
    clips: Sequence[Clip],
    manifests: Sequence[Manifest],
    people: Sequence[Person],
    section: ExtractConfig,
) -> None:
    """Sum a side up in its report."""
    entries = [entry for manifest in manifests for entry in manifest.items.values()]
    tracks = Counter(face["track"] for entry in entries for face in entry["faces"])
    small, weak = _left_out(clips)
    origins = Counter(face.sighting.origin for clip in clips for face in clip.store.lean())
    report.facts |= {
        "faces": tracks.total(),
        "frames with a face": sum(1 for entry in entries if entry["faces"]),
        "frames": len(entries),
        "too small": small,
        "too uncertain": weak,
        "found at the second look": origins["repaired"],
        "put between their neighbours": origins["interpolated"],
        "tracks": len({track for person in people for track in person.tracks}),
    }
    for person in people[:NUM_LISTED]:
        report.facts[f"person {person.number}"] = _about(person)
    if len(people) > NUM_LISTED:
        report.facts["further people"] = len(people) - NUM_LISTED
    if section.person or section.like:
        report.facts["faces of other people, not cut out"] = origins.total() - tracks.total()
    for clip in clips:
        report.failed |= json.loads(clip.store.about("failed") or "{}")
        if (losses := clip.store.about("losses")) is not None:
            report.facts["not decodable"] = losses


def refuse_nobody(side: str, clips: Sequence[Clip], people: Sequence[Person]) -> None:
    """Raise WorkspaceError if no face was found."""
    if people:
        return
    small, weak = _left_out(clips)
    raise WorkspaceError(
        f"no face in {sum(len(clip.store.frame_numbers()) for clip in clips)} frames of {side}"
        f" ({small} too small, {weak} too uncertain)",
        seen_in=clips[0].source.info.path,
        fix="choose footage with a face, or lower --min-score and --min-face-px",
    )


def _left_out(clips: Sequence[Clip]) -> tuple[int, int]:
    seen = [(frame.small, frame.weak) for clip in clips for frame in clip.store.frames()]
    return sum(small for small, _ in seen), sum(weak for _, weak in seen)


def _about(person: Person) -> str:
    low, high = person.yaw_range_deg
    return (
        f"{person.num_faces} faces in {len(person.tracks)} tracks, frames {person.first_frame} to"
        f" {person.last_frame}, yaw {low:.0f} to {high:.0f} deg"
    )
