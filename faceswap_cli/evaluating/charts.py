"""What was measured, over time, as a picture."""

import io
import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from faceswap_cli.curating.scan_thumbs import THUMB_PX
from faceswap_cli.evaluating.background import psnr_db
from faceswap_cli.evaluating.doubts import Doubt, told
from faceswap_cli.evaluating.looking import FaceFigures
from faceswap_cli.evaluating.outcome import MEANINGS, Outcome, main_figures
from faceswap_cli.evaluating.thumbs import BETWEEN_PX
from faceswap_cli.types import RgbImage

WIDTH_INCH, ROW_INCH, HEAD_INCH, DPI = 16.0, 2.1, 1.9, 80
GAP_FRAMES = 1
"""A line joins frames no further apart; else there are only dots."""
COLUMNS, MARGIN_PX, STEP_PX, CAPTION_PX = 3, 14, 40, 58
_PAPER, _INK, _DIM = (255, 255, 255), (20, 20, 20), (110, 110, 110)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_MOST_LETTERS = 58
"""That fit below a picture."""


def draw_charts(outcome: Outcome) -> RgbImage:
    """Return the curves, (H, W, 3), main figures above them."""
    # Not at the top: it takes a second, and only this function needs it.
    from matplotlib.figure import Figure

    limits = outcome.section
    panels: tuple[tuple[str, Sequence[tuple[str, Any]], float], ...] = (
        ("landmarks, % of the eye distance", [("", _percent)], limits.landmark_limit),
        ("pose, degrees", [("", lambda f: f.pose_deg)], limits.pose_limit),
        ("identity, cosine", [("src", lambda f: f.id_src), ("dst", lambda f: f.id_dst)], math.nan),
        ("flicker, times dst", [("", lambda f: f.flicker)], limits.flicker_limit),
        ("sharpness, times dst", [("", lambda f: f.sharpness)], limits.blur_limit),
        ("seam, times dst", [("", lambda f: f.seam)], limits.seam_limit),
        (
            "colour of the cheeks, off dst, CIEDE2000",
            [("", lambda f: f.shift)],
            limits.colour_limit,
        ),
        ("background, dB", [("", lambda f: psnr_db(f.mse))], limits.background_limit),
    )
    tall = HEAD_INCH + ROW_INCH * len(panels) / 2
    figure = Figure(figsize=(WIDTH_INCH, tall), dpi=DPI)  # a computed layout would take seconds
    grid = figure.add_gridspec(len(panels) // 2, 2, hspace=0.55, wspace=0.12)
    grid.update(left=0.05, right=0.985, bottom=0.06, top=1.0 - HEAD_INCH / tall)
    for number, (title, lines, limit) in enumerate(panels):
        axes = figure.add_subplot(grid[number // 2, number % 2])
        _draw_lines(axes, outcome.faces, lines)
        if math.isfinite(limit):
            axes.axhline(limit, color="tab:red", linewidth=1, linestyle="--")
        axes.set_xlim(-0.5, max(1, outcome.num_frames) - 0.5)
        axes.set_title(title, fontsize=10, loc="left", parse_math=False)
        axes.grid(alpha=0.3)
    _write_figures(figure, outcome)
    data = io.BytesIO()
    figure.savefig(data, format="rgba")
    width, height = (round(float(side) * DPI) for side in figure.get_size_inches())
    pixels = np.frombuffer(data.getvalue(), np.uint8).reshape(height, width, 4)
    return np.ascontiguousarray(pixels[..., :3])


def draw_page(charts: RgbImage, doubts: Sequence[Doubt], sides: Sequence[RgbImage]) -> RgbImage:
    """Return the curves and below them the frames that need a look, (H, W, 3).

    Args:
        charts: As of draw_charts.
        doubts: To be shown, worst first.
        sides: The picture of each, as of read_sides.
    """
    tall = THUMB_PX + CAPTION_PX
    rows = -(-len(doubts) // COLUMNS)
    below = np.full((STEP_PX + rows * tall + MARGIN_PX, charts.shape[1], 3), _PAPER, np.uint8)
    said = "frames that need a look, footage | result" if doubts else "no frame needs a look"
    _write(below, said, (MARGIN_PX, 26), colour=_INK, scale=0.55)
    step = (charts.shape[1] - MARGIN_PX) // COLUMNS
    for number, (doubt, side) in enumerate(zip(doubts, sides, strict=True)):
        row, column = divmod(number, COLUMNS)
        left, top = MARGIN_PX + column * step, STEP_PX + row * tall
        below[top : top + THUMB_PX, left : left + 2 * THUMB_PX + BETWEEN_PX] = side
        base = top + THUMB_PX + 16
        _write(below, caption(doubt), (left, base), colour=_INK)
        reasons = ", ".join(told(reason) for reason in doubt.reasons)
        _write(below, reasons[:_MOST_LETTERS], (left, base + 16), colour=_DIM)
        _write(below, reasons[_MOST_LETTERS : 2 * _MOST_LETTERS], (left, base + 30), colour=_DIM)
    return np.vstack([charts, below])


def caption(doubt: Doubt) -> str:
    """Return which frame it is, and when: `frame 120, 0:04.80`."""
    frames = f"frame {doubt.frame}"
    if doubt.last is not None and doubt.last > doubt.frame:
        frames = f"frames {doubt.frame}-{doubt.last}"
    if doubt.time_s is None:
        return frames
    minutes, hundredths = divmod(round(doubt.time_s * 100), 6000)
    return f"{frames}, {minutes}:{hundredths // 100:02d}.{hundredths % 100:02d}"


def _percent(face: FaceFigures) -> float:
    return 100.0 * face.landmark_nme


def _draw_lines(axes: Any, faces: Sequence[FaceFigures], lines: Sequence[tuple[str, Any]]) -> None:
    for (name, value), colour in zip(lines, ("tab:blue", "tab:orange"), strict=False):
        by_track: dict[int, list[tuple[int, float]]] = {}
        for face in faces:
            by_track.setdefault(face.track, []).append((face.frame, value(face)))
        label: str | None = name
        for points in by_track.values():
            x, y = _broken(points)
            axes.plot(x, y, color=colour, marker=".", markersize=3, linewidth=0.8, label=label)
            label = None
    if any(name for name, _ in lines) and faces:
        axes.legend(fontsize=8, loc="upper right")


def _broken(points: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    """Return x and y, with a break where frames do not follow each other."""
    x: list[int] = []
    y: list[float] = []
    for frame, value in points:
        if x and frame - x[-1] > GAP_FRAMES:
            x.append(frame)
            y.append(math.nan)
        x.append(frame)
        y.append(value)
    return x, y


def _write_figures(figure: Any, outcome: Outcome) -> None:
    """Write the main figures in columns at the top."""
    looked_at = len({face.frame for face in outcome.faces})
    title = (
        f"{outcome.result} against {outcome.footage}: {looked_at} of {outcome.num_frames} frames"
    )
    look: dict[str, Any] = {"va": "top", "family": "monospace", "parse_math": False}
    tall = float(figure.get_size_inches()[1])
    figure.text(0.01, 1.0 - 0.12 / tall, title, fontsize=12, **look)
    cells = [
        f"{key:<20}{'-' if math.isnan(value) else f'{value:.4g}':>8} {MEANINGS[key][0]}"
        for key, value in main_figures(outcome).items()
    ]
    rows = -(-len(cells) // 3)
    for column in range(3):
        text = "\n".join(cells[column * rows : (column + 1) * rows])
        figure.text(0.01 + 0.33 * column, 1.0 - 0.42 / tall, text, fontsize=9, **look)


def _write(
    page: RgbImage,
    text: str,
    at: tuple[int, int],
    *,
    colour: tuple[int, int, int],
    scale: float = 0.42,
) -> None:
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(page, plain, at, _FONT, scale, colour, 1, cv2.LINE_AA)
