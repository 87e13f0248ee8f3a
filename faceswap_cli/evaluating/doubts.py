"""Which frames need a look, why, and what might help."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from faceswap_cli.config_evaluate import EvaluateConfig
from faceswap_cli.evaluating.background import psnr_db
from faceswap_cli.evaluating.looking import FaceFigures
from faceswap_cli.evaluating.sampling import Gap

WORST = 10.0
"""The most that one reason weighs: a figure a hundred times too large is no more than wrong."""
MISSED = 5.0
NEAR = 12
"""Frames: what is wrong in two that are nearer is wrong between them."""
APART = 6
"""Frames: nearer ones with the same first reason are shown once."""
JUMP = 0.5
"""Of the limit for colours, from one frame to the next: a change is seen sooner."""
RIVAL = 0.1
"""Of the cosine, more like dst than like src, that weighs as much as any limit."""

WORDS = {
    "no_face": "no face is found in the result",
    "missed": "the old face is seen between frames with the new one",
    "landmarks": "brows, eyes, nose or mouth are off, distances of the eyes",
    "pose": "the head is turned otherwise, degrees",
    "identity": "more like dst than like src, cosine",
    "flicker": "the face changes more than in the footage since the frame before, times",
    "colour_jump": "the face changes its colour since the frame before, CIEDE2000",
    "seam": "an edge along the mask that was not there, times",
    "colour": "the cheeks are off their colour in the footage, as seen beside the neck, CIEDE2000",
    "blur": "less detail than in the footage, times",
    "background": "more has changed than the face, PSNR in dB",
}
SETTINGS = {
    "flicker": "deflicker = 0.5",
    "colour_jump": "steady = 1.0",
    "seam": "feather = 12.0",
    "colour": 'colour = "mkl"',
    "blur": "sharpen = 1.5",
    "no_face": "skip = true",
}
"""What [[merge.shot]] may change."""
ADVICE = {
    "no_face": "look at it; if nothing helps, leave the frame as it is",
    "missed": "extract with a larger --repair, or --manual landmarks; if its picture was deleted "
    "from aligned/ by mistake, extract again",
    "landmarks": "are the landmarks of dst right there? (extract --overlay, landmarks import); "
    "train longer, with more --bend",
    "pose": "does src have this pose? (faceset info); profile_fade fades out what it lacks",
    "identity": "train longer; merge --likeness 1",
    "flicker": "if the whole face trembles, see steady; extract --smooth 1",
    "colour_jump": "colour_from, or another colour mode",
    "seam": 'also: mode = "pyramid" or "seamless", erode',
    "colour": 'also: colour = "sot", mode = "seamless"',
    "blur": "train longer; or match_sharpness = 0.7",
    "background": "video --crf lower; nothing outside of the mask is painted",
}


@dataclass(frozen=True)
class Reason:
    """Why a frame needs a look."""

    code: str
    """A key of WORDS."""
    value: float
    limit: float

    @property
    def weight(self) -> float:
        """By how much the limit is missed: 1 is just so, WORST at most."""
        if self.code in ("no_face", "missed"):
            return WORST if self.code == "no_face" else MISSED
        if self.code == "identity":
            return min(WORST, 1.0 + self.value / RIVAL)
        if self.code in ("blur", "background"):
            return min(WORST, self.limit / max(self.value, 1e-9))
        return min(WORST, self.value / self.limit)


@dataclass(frozen=True)
class Doubt:
    """A frame that needs a look."""

    frame: int
    time_s: Fraction | None
    """Of the footage; None: it was not decoded."""
    track: int
    reasons: tuple[Reason, ...]
    """Worst first, at least one."""
    last: int | None = None
    """Of a range that begins with `frame`; None: one frame."""
    around: tuple[int, int] | None = None
    """First and last frame near by with the same first reason; None: it stands alone."""

    @property
    def frames(self) -> range:
        """All frames it speaks of."""
        return range(self.frame, (self.frame if self.last is None else self.last) + 1)

    @property
    def weight(self) -> float:
        """All reasons together."""
        return sum(reason.weight for reason in self.reasons)

    @property
    def hint(self) -> str:
        """What may be put into config.toml; empty if no setting of a shot helps."""
        code = self.reasons[0].code
        if code not in SETTINGS:
            return ""
        first, last = self.around or (self.frame, self.frame)
        if code == "no_face" or first == last:
            return f'[[merge.shot]]\nrange = "{self.frame}"\n{SETTINGS[code]}'
        return f'[[merge.shot]]\nrange = "{first}-{last}"\n{SETTINGS[code]}'


def find_reasons(face: FaceFigures, limits: EvaluateConfig) -> tuple[Reason, ...]:
    """Return what is wrong with a face of the result, worst first."""
    if not face.is_found and face.dst_presence > face.presence:
        found = [Reason("no_face", face.presence, 0.5)]
    else:
        found = []
    above = (
        ("landmarks", face.landmark_nme, limits.landmark_limit / 100.0),
        ("pose", face.pose_deg, limits.pose_limit),
        ("identity", face.id_dst - face.id_src, 0.0),
        ("flicker", face.flicker, limits.flicker_limit),
        ("colour_jump", face.jump, limits.colour_limit * JUMP),
        ("seam", face.seam, limits.seam_limit),
        ("colour", face.shift, limits.colour_limit),
    )
    below = (
        ("blur", face.sharpness, limits.blur_limit),
        ("background", psnr_db(face.mse), limits.background_limit),
    )
    # A comparison with NaN is false: what is not known is no reason.
    found += [Reason(code, value, limit) for code, value, limit in above if value > limit]
    found += [Reason(code, value, limit) for code, value, limit in below if value < limit]
    return tuple(sorted(found, key=lambda reason: -reason.weight))


def find_doubts(
    faces: Iterable[FaceFigures], gaps: Iterable[Gap], limits: EvaluateConfig
) -> list[Doubt]:
    """Return the frames that need a look, worst first."""
    doubts = [
        Doubt(face.frame, face.time_s, face.track, reasons)
        for face in faces
        if (reasons := find_reasons(face, limits))
    ]
    for gap in gaps:
        reason = Reason("missed", float(len(gap)), 0.0)
        doubts.append(Doubt(gap.first, None, gap.track, (reason,), gap.last))
    return sorted(_with_neighbours(doubts), key=lambda doubt: (-doubt.weight, doubt.frame))


def _with_neighbours(doubts: Iterable[Doubt]) -> Iterator[Doubt]:
    """Yield the doubts, each with the range it belongs to: one frame mended alone would jump."""
    groups: defaultdict[tuple[int, str], list[Doubt]] = defaultdict(list)
    for doubt in doubts:
        groups[doubt.track, doubt.reasons[0].code].append(doubt)
    for group in groups.values():
        run: list[Doubt] = []
        for doubt in sorted(group, key=lambda doubt: doubt.frame):
            if run and doubt.frame - run[-1].frame > NEAR:
                yield from _joined(run)
                run = []
            run.append(doubt)
        yield from _joined(run)


def _joined(run: Sequence[Doubt]) -> Iterator[Doubt]:
    around = run[0].frame, run[-1].frame
    yield from (replace(doubt, around=around) for doubt in run)


def choose_shown(doubts: Sequence[Doubt], count: int) -> list[Doubt]:
    """Return the worst of them, of neighbours with the same first reason one."""
    shown: list[Doubt] = []
    for doubt in doubts:
        if len(shown) == count:
            break
        code = doubt.reasons[0].code
        is_near = any(
            abs(other.frame - doubt.frame) < APART
            and other.reasons[0].code == code
            and other.track == doubt.track
            for other in shown
        )
        if not is_near:
            shown.append(doubt)
    return shown


def told(reason: Reason) -> str:
    """Return a reason in a few letters: its code and value."""
    name = reason.code.replace("_", " ")
    if reason.code == "no_face" or math.isnan(reason.value):
        return name
    return f"{name} {reason.value:.3g}"
