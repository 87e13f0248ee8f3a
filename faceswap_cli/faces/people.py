"""Which tracks are one person, and who looks like a given face."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.errors import WorkspaceError
from faceswap_cli.faces.pose import estimate_pose
from faceswap_cli.faces.sighting import Sighting

STRAY_FACES: Final = 2
"""Tracks of so few faces found nobody: they are listed last, behind all others."""
STRAY_SCORE: Final = 0.7
"""If the detector was no surer than this on average."""
MAX_POSES: Final = 2000
"""Faces of a person whose pose is estimated, spread over all of them."""
YAW_SHARE: Final = 0.01
"""Of the faces on each side that a range of yaw leaves out: wrong landmarks have wild poses."""
SINGLE: Final = 0.8
"""One face varies more than a mean: this share of the likeness of means is enough for it."""
LISTED: Final = 6
"""People that a message names."""


@dataclass(frozen=True, eq=False)
class Person:
    """All faces of somebody in a clip."""

    number: int
    """From 0, who has most faces first."""
    tracks: tuple[int, ...]
    """Ascending."""
    num_faces: int
    """Which is the number of frames too: nobody is twice in one."""
    first_frame: int
    last_frame: int
    mean_score: float
    """Of the detector, 0 to 1."""
    mean_side_px: float
    """Of the box."""
    yaw_range_deg: tuple[float, float]
    """Lowest and highest, but for YAW_SHARE on either side."""
    appearance: NDArray[np.float32]
    """Mean of all, (D,), of length 1; (0,): none is known."""


@dataclass(eq=False)
class _Group:
    """Tracks that are taken for one person."""

    tracks: list[int]
    frames: set[int] = field(default_factory=set)
    total: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """Sum of the appearances, (D,) or (0,)."""
    score: float = 0.0
    """Sum."""

    @property
    def look(self) -> NDArray[np.float32]:
        """Mean appearance, of length 1, or (0,)."""
        length = max(1e-9, float(np.linalg.norm(self.total)))
        return np.asarray(self.total / length, np.float32)

    @property
    def is_stray(self) -> bool:
        """Whether it is probably no face at all."""
        return len(self.frames) <= STRAY_FACES and self.score < STRAY_SCORE * len(self.frames)

    def see(self, sighting: Sighting) -> None:
        """Add a sighting."""
        self.frames.add(sighting.frame)
        self.score += sighting.score
        if sighting.appearance.size:
            if not self.total.size:
                self.total = np.zeros(sighting.appearance.size)
            self.total = self.total + sighting.appearance

    def join(self, other: "_Group") -> None:
        """Take in another."""
        self.tracks += other.tracks
        self.frames |= other.frames
        self.score += other.score
        self.total = self.total + other.total if other.total.size else self.total


def group(tracks: Sequence[int], sightings: Sequence[Sighting], *, alike: float) -> dict[int, int]:
    """Return the number of the person of each track.

    The tracks with most faces come first; each joins the most similar of those before it that
    is alike and was never seen beside it. What joined is then compared once more as a whole.

    Args:
        tracks: Of each sighting, see `linking.link`.
        sightings: As many. Their appearances are all of one engine.
        alike: Product of mean appearances above which two are one person, see the engine.

    Returns:
        Persons by track. 0 has most faces; strays, of which each is somebody, come last.
    """
    singles: dict[int, _Group] = {}
    for track, sighting in zip(tracks, sightings, strict=True):
        singles.setdefault(track, _Group([track])).see(sighting)
    groups, before = list(singles.values()), len(singles) + 1
    while len(groups) < before:
        before = len(groups)
        groups = _joined(groups, alike)
    groups.sort(key=lambda one: (one.is_stray, -len(one.frames), min(one.frames)))
    return {track: number for number, one in enumerate(groups) for track in one.tracks}


def _joined(groups: Iterable[_Group], alike: float) -> list[_Group]:
    """Return fewer groups, or the same ones; strays join, but nobody joins them."""
    order = sorted(groups, key=lambda one: (one.is_stray, -len(one.frames), min(one.frames)))
    looks = np.zeros((len(order), max((one.total.size for one in order), default=0)), np.float32)
    kept: list[_Group] = []
    for one in order:
        look = one.look
        likeness = looks[: len(kept), : look.size] @ look  # nothing is like who has no look: 0
        index = _most_alike(one, kept, likeness, alike) if look.size else None
        if index is None:
            looks[len(kept), : look.size] = look
            kept.append(one)
        else:
            kept[index].join(one)
            looks[index] = kept[index].look
    return kept


def _most_alike(
    one: _Group, others: Sequence[_Group], likeness: NDArray[np.float32], alike: float
) -> int | None:
    """Return which of the others a group joins, or None."""
    near = np.flatnonzero(likeness >= alike)
    for index in near[np.argsort(-likeness[near], kind="stable")].tolist():
        other = others[index]
        if not other.is_stray and other.frames.isdisjoint(one.frames):
            return int(index)
    return None


def summarise(
    persons: Mapping[int, int],
    tracks: Sequence[int],
    sightings: Sequence[Sighting],
) -> list[Person]:
    """Return the list of people.

    Args:
        persons: By track, see `group`.
        tracks: Of each sighting.
        sightings: As many.
    """
    faces: dict[int, list[Sighting]] = defaultdict(list)
    own: dict[int, set[int]] = defaultdict(set)
    for track, sighting in zip(tracks, sightings, strict=True):
        faces[persons[track]].append(sighting)
        own[persons[track]].add(track)
    return [_person(number, sorted(own[number]), faces[number]) for number in sorted(faces)]


def _person(number: int, tracks: Sequence[int], faces: Sequence[Sighting]) -> Person:
    one = _Group(list(tracks))
    for sighting in faces:
        one.see(sighting)
    yaw_deg = [
        estimate_pose(faces[index].points68)[1]
        for index in np.unique(np.linspace(0, len(faces) - 1, MAX_POSES).round().astype(int))
    ]
    low, high = np.quantile(yaw_deg, [YAW_SHARE, 1.0 - YAW_SHARE])
    return Person(
        number=number,
        tracks=tuple(tracks),
        num_faces=len(faces),
        first_frame=min(one.frames),
        last_frame=max(one.frames),
        mean_score=one.score / len(faces),
        mean_side_px=float(np.mean([sighting.side_px for sighting in faces])),
        yaw_range_deg=(round(float(low), 1), round(float(high), 1)),
        appearance=one.look,
    )


def find_like(
    appearance: NDArray[np.float32],
    people: Sequence[Person],
    *,
    alike: float,
    picture: object,
) -> int:
    """Return the number of the person who looks most like a given face.

    Args:
        appearance: Of the face, by the engine that described the people.
        people: Of the clip.
        alike: Product above which two mean appearances are one person, see the engine; of one
            face SINGLE of it is asked.
        picture: Where the face is from, for the message.

    Raises:
        WorkspaceError: Nobody is as alike; it names the likeness of each.
    """
    ranked = sorted(
        (
            (float(person.appearance @ appearance), person.number)
            for person in people
            if appearance.size and person.appearance.size == appearance.size
        ),
        key=lambda pair: (-pair[0], pair[1]),
    )
    if ranked and ranked[0][0] >= SINGLE * alike:
        return ranked[0][1]
    named = ", ".join(f"person {number} {likeness:.2f}" for likeness, number in ranked[:LISTED])
    raise WorkspaceError(
        f"nobody looks like that face: {named or 'there is nobody to compare it with'}"
        f" (it takes {SINGLE * alike:.2f})",
        seen_in=picture,
        fix="choose by number, with --person, from the list of people; or another picture, seen"
        " from the front",
    )
