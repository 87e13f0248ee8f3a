"""What src lacks that dst needs, in words with numbers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.curating.chain import near_copies
from faceswap_cli.curating.measures import Measures

CELL_DEG = 10
"""Of the map of poses: a network reads a face off its neighbours about so far away."""
FEW = 3
"""Fewer faces than that are none: one or two may be false landmarks."""
REACH_MARGIN_DEG = 5.0
"""As far as poses are estimated: a pose that close by is the same."""
LEAST_SHARE = 0.005
"""Of dst's faces: what concerns fewer is not worth a word."""
FAR_YAW_DEG, FAR_PITCH_DEG = 25.0, 15.0
"""Beyond them a face looks aside, up, down: the far eye, or the nostrils, begin to change."""
ENOUGH, TIMES_MORE = 30, 3
"""So many src faces of a kind will do; with fewer, dst should not have so many times more."""
SMALL_PX = 200
"""What a picture's side should show of the frame: the usual networks paint 128 to 256."""
BLURRED = 0.6
"""Of the median sharpness of the side: below it a face stands out as blurred."""
DARKER = 0.12
"""Difference of mean brightness that colour transfer at merging leaves visible."""
WIDER = 1.15
"""Opening of mouth or eyes against src's widest: less is within the landmarks' trembling."""
WIDEST_QUANTILE = 0.99
SHUT = 0.05
"""An opening that small is none."""
FEW_FACES = 200
"""Less makes a network learn the pictures by heart; users of the field begin at some hundred."""
COPY_BITS, COPY_DEG = 4, 2.0
"""Of 64 bits of the look, and of pose: a second picture of the same moment."""
MANY_COPIES = 0.3
"""Share of near copies that is worth a word."""
OUTSIDE = 0.1
"""Share of a picture beyond the frame that is worth a word."""


@dataclass(frozen=True)
class _Way:
    """A direction in which a head can be turned."""

    name: str
    angle: Callable[[Measures], float]
    """Positive that way, degrees."""
    axis: str
    far_deg: float
    mirrored: Callable[[Measures], float]
    """The same of the face seen in a mirror."""


_WAYS = (
    _Way(
        *("to the picture's right", lambda f: f.yaw_deg, "yaw", FAR_YAW_DEG),
        mirrored=lambda f: -f.yaw_deg,
    ),
    _Way(
        *("to the picture's left", lambda f: -f.yaw_deg, "yaw", FAR_YAW_DEG),
        mirrored=lambda f: f.yaw_deg,
    ),
    _Way(*("up", lambda f: f.pitch_deg, "pitch", FAR_PITCH_DEG), mirrored=lambda f: f.pitch_deg),
    _Way(
        *("down", lambda f: -f.pitch_deg, "pitch", FAR_PITCH_DEG), mirrored=lambda f: -f.pitch_deg
    ),
)


def name_gaps(src: Sequence[Measures], dst: Sequence[Measures]) -> list[str]:
    """Return what is wrong with the facesets as a pair, the poses first; none: an empty list.

    Args:
        src: Faces of the identity; may be empty.
        dst: Faces of the footage; may be empty.
    """
    gaps: list[str] = []
    if src and dst:
        for way in _WAYS:
            gaps += list(_reach(src, dst, way)) or list(_scarcity(src, dst, way))
        gaps += _uncovered(src, dst)
        gaps += _openings(src, dst)
        gaps += _light(src, dst)
    for side, faces in (("src", src), ("dst", dst)):
        gaps += _quality(side, faces)
    return gaps


def pose_counts(faces: Sequence[Measures]) -> dict[tuple[int, int], int]:
    """Return how many faces there are in each cell of the map, by (yaw, pitch) cell numbers.

    Cell 0 reaches from 0 to CELL_DEG degrees.
    """
    counts: dict[tuple[int, int], int] = {}
    for face in faces:
        cell = int(face.yaw_deg // CELL_DEG), int(face.pitch_deg // CELL_DEG)
        counts[cell] = counts.get(cell, 0) + 1
    return counts


def uncovered_cells(src: Sequence[Measures], dst: Sequence[Measures]) -> dict[tuple[int, int], int]:
    """Return the cells in which dst has faces and src fewer than FEW, with dst's count.

    A src face within REACH_MARGIN_DEG of the cell counts as in it.
    """
    yaws = np.array([face.yaw_deg for face in src])
    pitches = np.array([face.pitch_deg for face in src])
    missing = {}
    for (yaw, pitch), count in sorted(pose_counts(dst).items()):
        near = _is_near(yaws, yaw) & _is_near(pitches, pitch)
        if near.sum() < FEW:
            missing[yaw, pitch] = count
    return missing


def copies(faces: Sequence[Measures]) -> list[list[str]]:
    """Return groups of faces that are nearly the same picture, by name."""
    if not faces:
        return []
    looks = np.stack([face.look for face in faces])
    poses = np.array([[face.yaw_deg, face.pitch_deg] for face in faces])
    groups = near_copies(looks, poses, most_bits=COPY_BITS, most_deg=COPY_DEG)
    return [[faces[index].name for index in group] for group in groups]


def _is_near(angles: NDArray[np.float64], cell: int) -> NDArray[np.bool_]:
    low, high = cell * CELL_DEG - REACH_MARGIN_DEG, (cell + 1) * CELL_DEG + REACH_MARGIN_DEG
    return np.asarray((angles >= low) & (angles < high), np.bool_)


def _reach(src: Sequence[Measures], dst: Sequence[Measures], way: _Way) -> Iterator[str]:
    """Yield what to say if dst turns further than src."""
    has = _farthest([way.angle(face) for face in src])
    needs = [angle for face in dst if (angle := way.angle(face)) > has + REACH_MARGIN_DEG]
    if len(needs) < _least(dst) or _farthest(needs) < has + CELL_DEG:
        return
    mirrored = _farthest([way.mirrored(face) for face in src])
    helps = mirrored > has + REACH_MARGIN_DEG
    limit = f"beyond {way.axis} {has:.0f} deg {way.name}" if has > 0.5 else f"turned {way.name}"
    yield (
        f"no src face {limit}, dst needs {max(needs):.0f} deg ({len(needs)} faces,"
        f" {_percent(len(needs), dst)} of dst)"
        + (f"; mirrored (train --src-flip) src reaches {mirrored:.0f}" if helps else "")
    )


def _scarcity(src: Sequence[Measures], dst: Sequence[Measures], way: _Way) -> Iterator[str]:
    """Yield what to say if dst looks some way often, and src seldom."""
    has = sum(way.angle(face) > way.far_deg for face in src)
    needs = sum(way.angle(face) > way.far_deg for face in dst)
    if needs >= _least(dst) and has < ENOUGH and needs > TIMES_MORE * has:
        yield (
            f"src has {_only(has)} looking {way.name} ({way.axis} beyond {way.far_deg:.0f} deg),"
            f" dst {needs}"
        )


def _uncovered(src: Sequence[Measures], dst: Sequence[Measures]) -> Iterator[str]:
    missing = sum(uncovered_cells(src, dst).values())
    if missing >= _least(dst):
        yield (
            f"{missing} dst faces ({_percent(missing, dst)}) look where src has fewer than {FEW}"
            " faces: red in the map"
        )


def _openings(src: Sequence[Measures], dst: Sequence[Measures]) -> Iterator[str]:
    for name in ("mouth", "eyes"):
        widest = float(np.quantile([getattr(face, name) for face in src], WIDEST_QUANTILE))
        wider = sum(getattr(face, name) > WIDER * max(widest, SHUT) for face in dst)
        if wider >= _least(dst):
            yield (
                f"dst opens the {name} wider than any src face does: {wider} faces,"
                f" {_percent(wider, dst)} of dst; train --bend shows src faces bent that way"
            )


def _light(src: Sequence[Measures], dst: Sequence[Measures]) -> Iterator[str]:
    levels = [float(np.median([face.brightness for face in faces])) for faces in (src, dst)]
    if abs(levels[0] - levels[1]) > DARKER:
        darker, lighter = ("src", "dst") if levels[0] < levels[1] else ("dst", "src")
        yield (
            f"{darker} is darker than {lighter}: median brightness {min(levels):.2f} against"
            f" {max(levels):.2f}"
        )


def _quality(side: str, faces: Sequence[Measures]) -> Iterator[str]:
    """Yield what is wrong with a faceset by itself."""
    if len(faces) < FEW:
        yield f"{side} has {_only(len(faces))}"
        return
    if len(faces) < FEW_FACES and side == "src":
        yield f"src has only {len(faces)} faces: a few hundred different ones are better"
    sides = np.array([face.side_px for face in faces])
    small = int((sides < SMALL_PX).sum())
    if side == "src" and 2 * small >= len(faces):
        yield (
            f"{_percent(small, faces)} of src is smaller than {SMALL_PX} px in the footage"
            f" (median {np.median(sides):.0f}): the result cannot be sharper than that"
        )
    sharpness = np.array([face.sharpness for face in faces])
    limit = BLURRED * float(np.median(sharpness))
    blurred = int((sharpness < limit).sum())
    if side == "src" and blurred >= _least(faces):
        yield (
            f"{blurred} src faces ({_percent(blurred, faces)}) are blurred: look at sort --by"
            f" blur --below {limit:.2f}"
        )
    cut = sum(face.outside > OUTSIDE for face in faces)
    if cut >= _least(faces):
        yield f"{cut} {side} faces ({_percent(cut, faces)}) reach beyond the border of the frame"
    again = sum(len(group) - 1 for group in copies(faces)) if side == "src" else 0
    if again >= max(FEW, MANY_COPIES * len(faces)):
        yield (
            f"{again} src faces ({_percent(again, faces)}) are near copies of another:"
            f" {len(faces) - again} different ones"
        )


def _farthest(angles: Sequence[float]) -> float:
    """Return how far the FEW-th farthest goes, degrees; of fewer, -90."""
    return sorted(angles)[-FEW] if len(angles) >= FEW else -90.0


def _least(faces: Sequence[Measures]) -> float:
    return max(FEW, LEAST_SHARE * len(faces))


def _percent(count: int, faces: Sequence[Measures]) -> str:
    share = 100.0 * count / len(faces)
    return f"{share:.1f} %" if share < 1.0 else f"{share:.0f} %"


def _only(count: int) -> str:
    return {0: "no face", 1: "only 1 face"}.get(count, f"only {count} faces")
