"""From sightings to people: cuts, tracks, lost faces found again, tracks of one person."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from faceswap_cli.detect import Landmarker
from faceswap_cli.extracting.repair import find_holes, search
from faceswap_cli.faces.cuts import change, find_cuts
from faceswap_cli.faces.linking import link
from faceswap_cli.faces.people import group
from faceswap_cli.faces.sighting import Sighting
from faceswap_cli.faces.sighting_store import Seen, SightingStore
from faceswap_cli.media.source import Source
from faceswap_cli.progress import progress


@dataclass(frozen=True)
class Clip:
    """A video, or a folder of pictures, of a side."""

    name: str
    """Empty for the first; of others what stands behind data_SIDE_."""
    source: Source
    store: SightingStore
    every: int = 1
    """Every so many frames one was looked at."""


def understand(
    clips: Sequence[Clip], landmarker: Landmarker, *, max_gap: int, alike: float, token: str
) -> None:
    """Find tracks and people in what was seen, and write them beside it.

    Args:
        clips: Of one side, looked at to the end; people are the same in all of them.
        landmarker: For the second look at the frames where a face was lost.
        max_gap: Longest gap of a track that is searched, frames that were looked at; 0: none.
        alike: Above this product of appearances two tracks are one person.
        token: Changes with all that decides the outcome; if the clips bear it, it is done.
    """
    if all(clip.store.about("understood") == token for clip in clips):
        return
    first = 0
    for clip in clips:
        clip.store.tell(understood=None)
        clip.store.forget(("repaired", "interpolated"))
        found = _track(clip, landmarker, max_gap=max_gap)
        clip.store.assign({face: (first + track, -1) for face, track, _ in found})
        first += 1 + max((track for _, track, _ in found), default=-1)  # one clip, one track
    faces, rows = in_one_row(clips)
    person = group([face.track for _, face in faces], rows, alike=alike)
    for clip in clips:
        own = [face for owner, face in faces if owner is clip]
        clip.store.assign(
            {face.id: (face.track, person[face.track]) for face in own}, understood=token
        )


def in_one_row(clips: Sequence[Clip]) -> tuple[list[tuple[Clip, Seen]], list[Sighting]]:
    """Return all faces, and the same with frames counted on from clip to clip.

    Who is in the same frame cannot be one person; the first frames of two clips are not the
    same frame.
    """
    faces: list[tuple[Clip, Seen]] = []
    rows: list[Sighting] = []
    first = 0
    for clip in clips:
        for face in clip.store.lean():
            faces.append((clip, face))
            rows.append(replace(face.sighting, frame=first + face.sighting.frame))
        first += 1 + max(clip.store.frame_numbers(), default=0)
    return faces, rows


def _track(clip: Clip, landmarker: Landmarker, *, max_gap: int) -> list[tuple[int, int, Sighting]]:
    """Return (id, track, sighting) of all faces of a clip, with the lost ones."""
    seen = list(clip.store.lean())
    frames, cuts = find_shots(clip.store)
    clip.store.tell(cuts=json.dumps(cuts))
    # A face of one frame's absence is the same face, whether it is searched or not; of frames
    # that are left out on purpose it is absent, too.
    between = max(1, max_gap) * clip.every + clip.every - 1
    tracks = link([face.sighting for face in seen], cuts=cuts, max_gap=between)
    found = [(f.id, track, f.sighting) for f, track in zip(seen, tracks, strict=True)]
    if max_gap:
        found += _second_look(clip, landmarker, found, frames)
    return found


def find_shots(store: SightingStore) -> tuple[list[int], list[int]]:
    """Return the frames that were looked at, and those of them that begin a new shot."""
    frames, changes = [], []
    before = None
    for seen in store.frames():
        frames.append(seen.frame)
        changes.append(0.0 if before is None else change(before, seen.thumbnail))
        before = seen.thumbnail
    return frames, find_cuts(frames, changes)


def _second_look(
    clip: Clip,
    landmarker: Landmarker,
    found: Sequence[tuple[int, int, Sighting]],
    frames: Sequence[int],
) -> Iterator[tuple[int, int, Sighting]]:
    holes = find_holes([track for _, track, _ in found], [s for *_, s in found], frames)
    if not holes:
        return
    by_frame = defaultdict(list)
    for hole in holes:
        by_frame[hole.frame].append(hole)
    images = clip.source.frames(lambda index: index in by_frame, rough=True)
    filled = []
    with progress("search lost faces", total=len(holes), unit="face") as bar:
        for hole, sighting in search(images, by_frame, landmarker):
            filled.append((hole.track, sighting))
            bar.update()
    ids = clip.store.insert([sighting for _, sighting in filled])
    for face, (track, sighting) in zip(ids, filled, strict=True):
        yield face, track, sighting
