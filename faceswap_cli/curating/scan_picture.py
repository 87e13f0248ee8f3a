"""The outcome of a scan as one picture: reasons and people over time, and the worst frames."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.curating.scan_measures import Bools
from faceswap_cli.curating.scan_tables import Scan
from faceswap_cli.curating.scan_thumbs import THUMB_PX
from faceswap_cli.curating.scanning import CODES, FrameFindings, count_codes
from faceswap_cli.types import RgbImage

STRIP_PX = 1240
"""Width of the time line; of a longer film a column is some frames."""
LABEL_PX, COUNT_PX, MARGIN_PX = 140, 170, 14
ROW_PX, STEP_PX, TITLE_PX, AXIS_PX = 16, 21, 40, 34
MOST_PEOPLE = 8
THUMB_COLUMNS, THUMB_GAP_PX, CAPTION_PX = 8, 6, 46
FAINTEST = 0.4
"""Of a mark: a single frame of a long film must still be seen."""
TICKS = 8
_PAPER, _ROW, _INK, _DIM = (24, 24, 26), (40, 40, 44), (232, 232, 232), (150, 150, 156)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SMALL, _LARGE = 0.4, 0.55
_LETTER_PX = 6.5
_PERSON = (96, 165, 250)
_OTHER = (110, 116, 128)
COLOURS = {
    "no_face": (239, 68, 68),
    "low_score": (251, 146, 60),
    "jump": (250, 204, 21),
    "blur": (56, 189, 248),
    "occluded": (192, 132, 252),
    "tiny": (45, 212, 191),
    "extreme_pose": (244, 114, 182),
    "identity_doubt": (163, 230, 53),
    "cut": (229, 231, 235),
    "repaired": (134, 160, 190),
    "interpolated": (150, 140, 120),
    "excluded": (120, 120, 128),
}


def draw_scan(scan: Scan, thumbs: Sequence[tuple[FrameFindings, RgbImage | None]]) -> RgbImage:
    """Return the picture, (H, W, 3).

    Args:
        scan: Of a clip.
        thumbs: The worst frames, in order, THUMB_PX squares; None: it could not be read.
    """
    people = _people(scan)
    rows = len(CODES) + len(people)
    thumbs_top = TITLE_PX + rows * STEP_PX + AXIS_PX + 26
    thumb_rows = -(-len(thumbs) // THUMB_COLUMNS)
    height = thumbs_top + thumb_rows * (THUMB_PX + CAPTION_PX) + MARGIN_PX
    page = np.full((height, LABEL_PX + STRIP_PX + COUNT_PX, 3), _PAPER, np.uint8)
    title = f"scan of {scan.side}: {scan.clip}, {len(scan.results)} frames"
    doubtful = f"{scan.num_doubtful} doubtful, {_percent(scan.num_doubtful, scan)}"
    _write(page, f"{title}, {doubtful}", (MARGIN_PX, 26), scale=_LARGE)
    _draw_rows(page, scan, people)
    _draw_axis(page, scan, TITLE_PX + rows * STEP_PX)
    if thumbs:
        above = "the worst frames: of each reason some, of a range one"
        _write(page, above, (MARGIN_PX, thumbs_top - 10), colour=_DIM)
    _draw_thumbs(page, scan, thumbs, thumbs_top)
    return page


def _people(scan: Scan) -> list[int]:
    """Return who gets a lane: who was judged, then others by how often they are seen."""
    seen = Counter(person for result in scan.results for person in result.people)
    others = [person for person, _ in seen.most_common() if person not in scan.main]
    return [*scan.main, *others][:MOST_PEOPLE]


def _draw_rows(page: RgbImage, scan: Scan, people: Sequence[int]) -> None:
    counts = count_codes(scan.results)
    marks = {code: np.zeros(len(scan.results), np.bool_) for code in CODES}
    for place, result in enumerate(scan.results):
        for code in result.codes:
            marks[code][place] = True
    top = TITLE_PX
    for code in CODES:
        told = f"{counts[code]}  {_percent(counts[code], scan)}" if counts[code] else "-"
        told = "not judged" if code in scan.not_judged and not counts[code] else told
        _draw_row(page, top, (code.replace("_", " "), told), marks[code], COLOURS[code])
        top += STEP_PX
    for person in people:
        is_seen = np.array([person in result.people for result in scan.results], np.bool_)
        colour = _PERSON if person in scan.main else _OTHER
        count = int(is_seen.sum())
        told = f"{count}  {_percent(count, scan)}"
        _draw_row(page, top, (f"person {person}", told), is_seen, colour)
        top += STEP_PX


def _draw_row(
    page: RgbImage, top: int, told: tuple[str, str], marks: Bools, colour: tuple[int, int, int]
) -> None:
    share = columns(marks, STRIP_PX)
    strength = np.where(share > 0.0, FAINTEST + (1.0 - FAINTEST) * share, 0.0)[:, None]
    lane = strength * np.array(colour) + (1.0 - strength) * np.array(_ROW)
    page[top : top + ROW_PX, LABEL_PX : LABEL_PX + STRIP_PX] = np.rint(lane).astype(np.uint8)
    ink = _INK if marks.any() else _DIM
    _write(page, told[0], (MARGIN_PX, top + 12), colour=ink)
    _write(page, told[1], (LABEL_PX + STRIP_PX + MARGIN_PX, top + 12), colour=ink)


def columns(marks: Bools, width: int) -> NDArray[np.float64]:
    """Return which part of the frames of each column is marked, (width,).

    Args:
        marks: By frame; at least one. Fewer than columns: a frame is some columns wide.
        width: Number of columns.
    """
    count = len(marks)
    if count < width:
        return marks[np.arange(width) * count // width].astype(np.float64)
    column = np.arange(count) * width // count
    marked = np.bincount(column, weights=marks, minlength=width)
    return np.asarray(marked / np.bincount(column, minlength=width), np.float64)


def _draw_axis(page: RgbImage, scan: Scan, top: int) -> None:
    """Write frame and time below some places of the time line."""
    count = len(scan.results)
    for tick in range(TICKS + 1):
        place = min(count - 1, tick * count // TICKS)
        x = LABEL_PX + min(STRIP_PX - 1, tick * STRIP_PX // TICKS)
        cv2.line(page, (x, top), (x, top + 5), _DIM, thickness=1)
        start_s = scan.times[place] - scan.times[0]
        lines = (str(scan.results[place].frame), _clock(start_s))
        for number, text in enumerate(lines):
            at = (x - round(_LETTER_PX * len(text) / 2), top + 17 + 14 * number)
            _write(page, text, at, colour=_DIM)


def _draw_thumbs(
    page: RgbImage,
    scan: Scan,
    thumbs: Sequence[tuple[FrameFindings, RgbImage | None]],
    top: int,
) -> None:
    frames = (result.frame for result in scan.results)
    time_of = dict(zip(frames, scan.times, strict=True))
    for number, (result, thumb) in enumerate(thumbs):
        row, column = divmod(number, THUMB_COLUMNS)
        left = MARGIN_PX // 2 + column * (THUMB_PX + THUMB_GAP_PX)
        upper = top + row * (THUMB_PX + CAPTION_PX)
        shown = np.full((THUMB_PX, THUMB_PX, 3), _ROW, np.uint8) if thumb is None else thumb
        page[upper : upper + THUMB_PX, left : left + THUMB_PX] = shown
        base = upper + THUMB_PX + 13
        _write(
            page, f"{result.frame}  {_clock(time_of[result.frame] - scan.times[0])}", (left, base)
        )
        _draw_reasons(page, result, (left, base + 13))


def _draw_reasons(page: RgbImage, result: FrameFindings, at: tuple[int, int]) -> None:
    """Write the reasons in their colours, two lines at most."""
    x, y = at
    for finding in result.faults:
        value = (
            "" if finding.value is None or finding.code == "no_face" else f" {finding.value:.3g}"
        )
        text = f"{finding.code.replace('_', ' ')}{value}"
        width = round(_LETTER_PX * len(text)) + 8
        if x > at[0] and x + width > at[0] + THUMB_PX:
            x, y = at[0], y + 13
        if y > at[1] + 13:
            return
        _write(page, text, (x, y), colour=COLOURS[finding.code])
        x += width


def _clock(time_s: Fraction) -> str:
    tenths = round(time_s * 10)
    minutes, rest = divmod(tenths, 600)
    return f"{minutes}:{rest // 10:02d}.{rest % 10}"


def _percent(count: int, scan: Scan) -> str:
    share = 100.0 * count / max(1, len(scan.results))
    return f"{share:.1f} %" if 0.0 < share < 10.0 else f"{share:.0f} %"


def _write(
    page: RgbImage,
    text: str,
    at: tuple[int, int],
    *,
    colour: tuple[int, int, int] = _INK,
    scale: float = _SMALL,
) -> None:
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(page, plain, at, _FONT, scale, colour, 1, cv2.LINE_AA)
