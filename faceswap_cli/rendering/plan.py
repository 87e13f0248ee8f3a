"""What goes into each frame, and what its pixels depend on."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from faceswap_cli.files import fingerprint
from faceswap_cli.merging.look import Look
from faceswap_cli.merging.shown import FaceMasks
from faceswap_cli.merging.steady import REACH, steady_crops
from faceswap_cli.rendering.looks import Looks
from faceswap_cli.rendering.people import Chosen
from faceswap_cli.types import Points


@dataclass(frozen=True, eq=False)
class Placed:
    """A face to replace, and where it is."""

    chosen: Chosen
    landmarks: Points
    """(68, 2), frame pixels; steadied if nobody has done it before."""
    motion_px: tuple[float, float]
    """How far the face moves from one frame to the next."""
    digest: str
    """Changes when what is drawn for this face does, its look left aside."""


class Plan:
    """The faces of each frame, and which frames look at which others.

    Args:
        chosen: By frame index.
        looks: Of the frames.
        masks: Of the faces.
        models: Fingerprint of each model, by the names in `chosen`.
    """

    def __init__(
        self,
        chosen: Mapping[int, Sequence[Chosen]],
        looks: Looks,
        masks: FaceMasks,
        models: Mapping[str, str],
    ) -> None:
        self._looks = looks
        seen = {index: faces for index, faces in chosen.items() if looks.at(index) is not None}
        self.faces = _place(seen, masks, models)
        """By frame index; frames without a face to replace are absent."""
        self._frames_of: defaultdict[int, list[int]] = defaultdict(list)
        for index in sorted(self.faces):
            for face in self.faces[index]:
                self._frames_of[face.chosen.record.track].append(index)

    def look(self, frame: int) -> Look:
        """Return how the faces of a frame are put in."""
        found = self._looks.at(frame)
        assert found is not None, f"frame {frame} is left as it is"
        return found

    def neighbours(self, frame: int, face: Placed) -> list[int]:
        """Return the frames that a face is smoothed with, itself included."""
        look = self.look(frame)
        if look.steady == 0.0 and look.deflicker == 0.0:
            return [frame]
        frames = self._frames_of[face.chosen.record.track]
        near = frames[bisect_left(frames, frame - REACH) : bisect_right(frames, frame + REACH)]
        return [index for index in near if self.look(index) is look]

    def key(self, frame: int) -> str:
        """Return what changes when the pixels of a merged frame do; the footage left aside."""
        faces = self.faces.get(frame, [])
        if not faces:
            return "untouched"
        around = []
        for face in faces:
            track = face.chosen.record.track
            for index in self.neighbours(frame, face):
                same = [f for f in self.faces[index] if f.chosen.record.track == track]
                around.append([index - frame, *(f.digest for f in same)])
        return fingerprint(look=asdict(self.look(frame)), around=around)

    def needed(self, wanted: Sequence[int]) -> set[int]:
        """Return the frames that have to be read so that the wanted ones can be made."""
        found = set(wanted)
        for frame in wanted:
            for face in self.faces.get(frame, []):
                found.update(self.neighbours(frame, face))
        return found


def _place(
    chosen: Mapping[int, Sequence[Chosen]], masks: FaceMasks, models: Mapping[str, str]
) -> dict[int, list[Placed]]:
    """Return the faces with their steadied landmarks, track by track."""
    tracks: defaultdict[int, list[tuple[int, Chosen]]] = defaultdict(list)
    for index in sorted(chosen):
        for face in chosen[index]:
            tracks[face.record.track].append((index, face))
    placed: defaultdict[int, list[Placed]] = defaultdict(list)
    for track in tracks.values():
        frames = [index for index, _ in track]
        points = [face.record.landmarks for _, face in track]
        if len(set(frames)) == len(frames):  # two faces of one number: nothing to follow
            points = steady_crops(points, frames)
        for at, (index, face) in enumerate(track):
            motion_px = _motion(frames, points, at)
            digest = fingerprint(
                points=points[at].tolist(),
                motion=motion_px,
                pose=face.record.pose_deg,
                model=models[face.model],
                mask=masks.version(face.record),
            )
            placed[index].append(Placed(face, points[at], motion_px, digest))
    return dict(placed)


def _motion(frames: Sequence[int], points: Sequence[Points], at: int) -> tuple[float, float]:
    """Return how far the centre of a face moves in a frame, from those just before and after."""
    near = [i for i in (at - 1, at, at + 1) if 0 <= i < len(frames)]
    near = [i for i in near if abs(frames[i] - frames[at]) <= 1]
    first, last = near[0], near[-1]
    if frames[first] == frames[last]:
        return 0.0, 0.0
    moved = (points[last] - points[first]).mean(axis=0) / (frames[last] - frames[first])
    x, y = np.asarray(moved, np.float64).round(3)
    return float(x), float(y)
