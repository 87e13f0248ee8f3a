"""The report on two facesets as a picture."""

import io
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from faceswap_cli.curating.gaps import CELL_DEG, pose_counts, uncovered_cells
from faceswap_cli.curating.measures import Measures

_COLOURS = {"src": "tab:blue", "dst": "tab:orange"}
_LEAST_DEG = 40
"""The maps reach at least so far each way."""
_HISTOGRAMS: tuple[tuple[str, Callable[[Measures], float]], ...] = (
    ("yaw, degrees (the picture's right is positive)", lambda face: face.yaw_deg),
    ("pitch, degrees (up is positive)", lambda face: face.pitch_deg),
    ("side of the picture in the frame, pixels", lambda face: face.side_px),
    ("sharpness", lambda face: face.sharpness),
    ("brightness", lambda face: face.brightness),
    ("steadiness: low is motion blur", lambda face: face.steadiness),
    ("opening of the mouth, of its width", lambda face: face.mouth),
    ("opening of the eyes, of their width", lambda face: face.eyes),
)
_BARS = 30
_GAPS_INCH = 3.0
"""Of height, for labels between the charts."""
_LETTERS = 150
"""Of a line below the charts."""


def draw_report(sides: Mapping[str, Sequence[Measures]], gaps: Sequence[str]) -> bytes:
    """Return the picture, PNG.

    Args:
        sides: Faces by side, src and dst; a side may have none.
        gaps: Sentences below the charts.
    """
    # Not at the top: it takes a second, and only this function needs it.
    from matplotlib.figure import Figure

    lines = _lines(gaps)
    heights = (4.6, 3.4, 3.4, 0.4 + 0.2 * len(lines))
    tall = sum(heights) + _GAPS_INCH
    figure = Figure(figsize=(16, tall), dpi=80)  # a computed layout would take seconds
    grid = figure.add_gridspec(4, 4, height_ratios=heights, hspace=_GAPS_INCH / sum(heights))
    grid.update(left=0.05, right=0.98, wspace=0.25, bottom=0.01, top=1 - 0.4 / tall)
    limits = _limits([face for faces in sides.values() for face in faces])
    missing = uncovered_cells(sides["src"], sides["dst"])
    for column, (side, faces) in enumerate(sides.items()):
        axes = figure.add_subplot(grid[0, 2 * column : 2 * column + 2])
        _draw_map(figure, axes, side, faces, limits)
        for yaw, pitch in missing if side == "dst" else ():
            axes.add_patch(_cell(yaw, pitch, edgecolor="red"))
    for number, (label, value) in enumerate(_HISTOGRAMS):
        axes = figure.add_subplot(grid[1 + number // 4, number % 4])
        _draw_histogram(axes, label, {s: [value(f) for f in faces] for s, faces in sides.items()})
    axes = figure.add_subplot(grid[3, :])
    axes.set_axis_off()
    look: dict[str, Any] = {"va": "top", "family": "monospace", "fontsize": 10, "parse_math": False}
    axes.text(0.0, 1.0, "\n".join(lines), transform=axes.transAxes, **look)
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()


def _lines(gaps: Sequence[str]) -> list[str]:
    said = gaps or ["src has all that dst needs"]
    return [
        line for gap in said for line in textwrap.wrap(f"- {gap}", _LETTERS, subsequent_indent="  ")
    ]


def _draw_map(
    figure: Any, axes: Any, side: str, faces: Sequence[Measures], limits: tuple[int, int]
) -> None:
    """Draw how many faces look which way."""
    far_yaw, far_pitch = limits
    counts = np.zeros((2 * far_pitch, 2 * far_yaw))
    for (yaw, pitch), count in pose_counts(faces).items():
        counts[pitch + far_pitch, yaw + far_yaw] = count
    reach = [edge * CELL_DEG for edge in (-far_yaw, far_yaw, -far_pitch, far_pitch)]
    shown = axes.imshow(
        np.log1p(counts), origin="lower", extent=reach, aspect="equal", cmap="viridis"
    )
    for row, column in np.argwhere(counts > 0):
        axes.text(
            (column - far_yaw + 0.5) * CELL_DEG,
            (row - far_pitch + 0.5) * CELL_DEG,
            f"{counts[row, column]:.0f}",
            **{"ha": "center", "va": "center", "fontsize": 8},
            color="black" if np.log1p(counts[row, column]) > 0.6 * shown.get_clim()[1] else "white",
        )
    marked = ", red: src lacks them" if side == "dst" else ""
    axes.set(title=f"{side}: {len(faces)} faces{marked}", xlabel="yaw", ylabel="pitch")
    axes.axhline(0, color="white", linewidth=0.5)
    axes.axvline(0, color="white", linewidth=0.5)


def _draw_histogram(axes: Any, label: str, values: Mapping[str, Sequence[float]]) -> None:
    every = np.concatenate([np.asarray(side, np.float64) for side in values.values()])
    low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
    bins = np.linspace(low, high if high > low else low + 1.0, _BARS + 1)
    for side, held in values.items():
        if len(held):  # as shares, so that a long clip does not hide a short one
            shares = 100.0 / len(held) * np.histogram(held, bins)[0]
            axes.stairs(shares, bins, fill=True, label=side, color=_COLOURS[side], alpha=0.55)
    axes.set(xlabel=label, ylabel="% of the faces")
    axes.grid(alpha=0.3)
    if len(every):
        axes.legend()


def _cell(yaw: int, pitch: int, **look: Any) -> Any:
    from matplotlib.patches import Rectangle

    corner = yaw * CELL_DEG, pitch * CELL_DEG
    return Rectangle(corner, CELL_DEG, CELL_DEG, fill=False, linewidth=2, **look)


def _limits(faces: Sequence[Measures]) -> tuple[int, int]:
    """Return how many cells the maps reach each way, of yaw and of pitch."""
    far_yaw = max([_LEAST_DEG, *(abs(face.yaw_deg) for face in faces)])
    far_pitch = max([_LEAST_DEG, *(abs(face.pitch_deg) for face in faces)])
    return int(far_yaw // CELL_DEG) + 1, int(far_pitch // CELL_DEG) + 1
