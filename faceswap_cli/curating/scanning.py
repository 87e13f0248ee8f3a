"""Which frames of a clip are doubtful, and why; before hours go into rendering them."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from faceswap_cli.config import ScanConfig
from faceswap_cli.curating.scan_jumps import find_jumps
from faceswap_cli.curating.scan_measures import Bools, Floats, Ints, ScannedFaces
from faceswap_cli.media.span import FrameRanges

Fault = Literal[
    "no_face", "low_score", "jump", "blur", "occluded", "tiny", "extreme_pose", "identity_doubt"
]
Note = Literal["cut", "repaired", "interpolated", "excluded"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
NOTES: tuple[Note, ...] = get_args(Note)
"""They inform, and are no reason to leave a frame out."""
CODES: tuple[Fault | Note, ...] = (*FAULTS, *NOTES)

MAIN_SHARE = 0.2
"""Of the frames with a face, in which a person must be seen to be one the film is about."""
LONGEST_LOSS = 50
"""Looks at the clip for which a person may be lost amid a shot; longer: the person had left."""


@dataclass(frozen=True)
class Finding:
    """A reason, what was measured, and the limit that it is beyond."""

    code: Fault | Note
    value: float | None = None
    limit: float | None = None
    person: int | None = None

    @property
    def weight(self) -> float:
        """How far beyond the limit, 0 to 1."""
        if self.value is None or self.limit is None:
            return 0.0
        return min(1.0, abs(self.value - self.limit) / max(1e-9, self.limit))


@dataclass(frozen=True)
class FrameFindings:
    """What is to be said of a frame."""

    frame: int
    people: tuple[int, ...]
    """Who is seen."""
    findings: tuple[Finding, ...]
    """At most one of each code, in their order."""

    @cached_property
    def codes(self) -> tuple[Fault | Note, ...]:
        """The reasons."""
        return tuple(finding.code for finding in self.findings)

    @property
    def faults(self) -> tuple[Finding, ...]:
        """The findings that are no mere notes."""
        return tuple(finding for finding in self.findings if finding.code in FAULTS)


@dataclass(frozen=True, eq=False)
class _Clip:
    """Where everything is; frames are counted by their place among those looked at."""

    frames: Ints
    shot: Ints
    """Of each frame."""
    faces: ScannedFaces
    at: Ints
    """Place of the frame of each face."""
    is_main: Bools
    """Which faces are of the people that the film is about."""


NO_FRAMES = FrameRanges()


def scan_frames(
    frames: Sequence[int],
    faces: ScannedFaces,
    section: ScanConfig,
    *,
    cuts: Sequence[int] = (),
    excluded: FrameRanges = NO_FRAMES,
    main: Collection[int] | None = None,
) -> list[FrameFindings]:
    """Judge each frame that was looked at, by the faces of the main people alone.

    Args:
        frames: Their numbers, growing.
        faces: In these frames.
        section: The limits.
        cuts: Frames that begin a shot.
        excluded: Frames that the settings leave out.
        main: Who counts; None: main_people.
    """
    numbers = np.asarray(frames, np.int64)
    clip = _Clip(
        numbers,
        np.searchsorted(np.asarray(sorted(cuts), np.int64), numbers, side="right"),
        faces,
        np.searchsorted(numbers, faces.frame),
        np.isin(faces.person, list(main_people(faces) if main is None else main)),
    )
    found: defaultdict[int, dict[str, Finding]] = defaultdict(dict)
    for place, finding in _findings(clip, section, cuts, excluded):
        known = found[place].get(finding.code)
        if known is None or finding.weight > known.weight:
            found[place][finding.code] = finding
    people: defaultdict[int, set[int]] = defaultdict(set)
    for place, person in zip(clip.at.tolist(), faces.person.tolist(), strict=True):
        people[place].add(person)
    return [
        FrameFindings(
            int(frame),
            tuple(sorted(people.get(place, ()))),
            tuple(found[place][code] for code in CODES if code in found[place])
            if place in found
            else (),
        )
        for place, frame in enumerate(numbers.tolist())
    ]


def main_people(faces: ScannedFaces) -> list[int]:
    """Return the people that the film is about: seen often, or most often of all."""
    pairs = np.unique(np.column_stack([faces.frame, faces.person]), axis=0)
    seen = Counter(pairs[:, 1].tolist())
    least = MAIN_SHARE * len(np.unique(faces.frame))
    often = [person for person, count in seen.items() if count > least]
    return sorted(often or [person for person, _ in seen.most_common(1)])


def _findings(
    clip: _Clip, section: ScanConfig, cuts: Sequence[int], excluded: FrameRanges
) -> Iterator[tuple[int, Finding]]:
    """Yield place of the frame and what is found there."""
    faces = clip.faces
    yield from _missing(clip)
    is_seen = faces.is_of("detected")
    yield from _beyond(clip, "low_score", np.where(is_seen, faces.score, np.nan), section.low_score)
    yield from _jumps(clip, section, cuts)
    yield from _beyond(clip, "blur", _sharpness(clip), section.blur)
    yield from _beyond(clip, "occluded", faces.hidden, section.occluded, is_most=True)
    left, top, right, bottom = faces.box.T
    yield from _beyond(clip, "tiny", np.minimum(right - left, bottom - top), section.tiny_px)
    yield from _beyond(clip, "extreme_pose", faces.turn_deg, section.extreme_deg, is_most=True)
    yield from _beyond(clip, "identity_doubt", faces.likeness, section.doubt)
    for place in np.flatnonzero(np.isin(clip.frames, list(cuts))):
        yield int(place), Finding("cut")
    for origin in ("repaired", "interpolated"):
        for face in np.flatnonzero(faces.is_of(origin) & clip.is_main):
            yield int(clip.at[face]), Finding(origin, person=int(faces.person[face]))
    for first, last in excluded.ranges:
        for place in np.flatnonzero((clip.frames >= first) & (clip.frames <= last)):
            yield int(place), Finding("excluded")


def _beyond(
    clip: _Clip, code: Fault, values: Floats, limit: float, *, is_most: bool = False
) -> Iterator[tuple[int, Finding]]:
    """Yield a finding for each main face whose value is below the limit, or above it; not NaN."""
    is_beyond = values > limit if is_most else values < limit
    for face in np.flatnonzero(is_beyond & clip.is_main):
        person = int(clip.faces.person[face])
        yield int(clip.at[face]), Finding(code, round(float(values[face]), 4), limit, person)


def _jumps(clip: _Clip, section: ScanConfig, cuts: Sequence[int]) -> Iterator[tuple[int, Finding]]:
    step = float(np.median(np.diff(clip.frames))) if len(clip.frames) > 1 else 1.0
    for face, size in find_jumps(clip.faces, cuts=cuts, step=step, limit=section.jump).items():
        if clip.is_main[face]:
            person = int(clip.faces.person[face])
            yield int(clip.at[face]), Finding("jump", round(size, 4), section.jump, person)


def _sharpness(clip: _Clip) -> Floats:
    """Return the sharpness of each face against the median of its person, NaN if not known."""
    faces = clip.faces
    is_known = faces.is_of("detected", "manual") & (faces.sharpness > 0.0)
    against = np.full(len(faces), np.nan)
    for person in np.unique(faces.person[clip.is_main]):
        mine = is_known & (faces.person == person)
        if mine.any():
            against[mine] = faces.sharpness[mine] / np.median(faces.sharpness[mine])
    return against


def _missing(clip: _Clip) -> Iterator[tuple[int, Finding]]:
    """Yield the frames in which nobody who counts is seen, or one is lost for a while."""
    seen_here = np.zeros(len(clip.frames), np.int64)
    lost: dict[int, list[int]] = defaultdict(list)
    people = np.unique(clip.faces.person[clip.is_main])
    for person in people.tolist():
        places = np.unique(clip.at[clip.is_main & (clip.faces.person == person)])
        seen_here[places] += 1
        for gap in np.flatnonzero((np.diff(places) > 1) & (np.diff(places) <= LONGEST_LOSS + 1)):
            first, last = int(places[gap]), int(places[gap + 1])
            if clip.shot[first] == clip.shot[last]:
                for place in range(first + 1, last):
                    lost[place].append(person)
    for place in np.flatnonzero(seen_here == 0).tolist():
        lost.setdefault(place, people.tolist() if len(people) == 1 else [])
    for place, missing in lost.items():
        here = int(seen_here[place])
        person = missing[0] if missing else None
        yield place, Finding("no_face", here, here + max(1, len(missing)), person)


def ranges_of(results: Sequence[FrameFindings], codes: Collection[str]) -> str:
    """Return the frames with any of these codes as the settings take them: `120-260,300`.

    Frames that were not looked at belong to a range that goes on after them.
    """
    runs: list[list[int]] = []
    is_open = False
    wanted = frozenset(codes)
    for result in results:
        is_one = bool(result.findings) and not wanted.isdisjoint(result.codes)
        if is_one and is_open:
            runs[-1][1] = result.frame
        elif is_one:
            runs.append([result.frame, result.frame])
        is_open = is_one
    return ",".join(f"{first}-{last}" if first < last else f"{first}" for first, last in runs)


def count_codes(results: Sequence[FrameFindings]) -> dict[str, int]:
    """Return how many frames have each code, all codes."""
    counts = Counter(code for result in results for code in result.codes)
    return {code: counts[code] for code in CODES}


def worst_frames(results: Sequence[FrameFindings], count: int) -> list[FrameFindings]:
    """Return the frames most worth a look, in order: of each reason some, of a range one."""
    queues = {code: iter(_worst_of_ranges(results, code)) for code in FAULTS}
    chosen: dict[int, FrameFindings] = {}
    while queues and len(chosen) < count:
        for code, queue in list(queues.items()):
            best = next((result for result in queue if result.frame not in chosen), None)
            if best is None:
                del queues[code]
            elif len(chosen) < count:
                chosen[best.frame] = best
    return [chosen[frame] for frame in sorted(chosen)]


def _worst_of_ranges(results: Sequence[FrameFindings], code: Fault) -> list[FrameFindings]:
    """Return the worst frame of each range with a code, the worst first."""
    worst: list[tuple[float, FrameFindings]] = []
    is_open = False
    for result in results:
        weight = next((f.weight for f in result.findings if f.code == code), None)
        if weight is not None and is_open:
            worst[-1] = max(worst[-1], (weight, result), key=lambda pair: pair[0])
        elif weight is not None:
            worst.append((weight, result))
        is_open = weight is not None
    return [result for _, result in sorted(worst, key=lambda pair: -pair[0])]
