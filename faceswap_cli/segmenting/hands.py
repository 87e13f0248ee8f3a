"""Made-up hands: a palm, fingers and a forearm of tapering capsules, shaded as round things are.

They need not be pretty. What a network is to learn from them is that skin which has the form and
the shading of fingers, and an outline of its own, is not the face that it lies over.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.types import Points

Map = NDArray[np.float32]


class At(Protocol):
    """Turns points of a hand into pixels."""

    def __call__(self, *points: tuple[float, float]) -> Points:
        """Return (N, 2) pixels."""


_FINGERS = ((-0.36, 0.72), (-0.12, 0.88), (0.12, 0.84), (0.35, 0.62))
"""Of four fingers: where they begin across the palm, and how long they are; in palm widths."""


@dataclass(frozen=True)
class Drawn:
    """Something over the face, as yet without a colour."""

    alpha: Map
    """(S, S), 0..1, its edge anti-aliased."""
    shade: Map
    """(S, S), about 1: its light and shadow."""
    second: Map
    """(S, S), 0..1: what of it has a second texture (a sleeve)."""


class _Canvas:
    """Capsules painted one over the other."""

    def __init__(self, side_px: int, light: NDArray[np.float64]) -> None:
        self.alpha = np.zeros((side_px, side_px), np.float32)
        self.shade = np.ones((side_px, side_px), np.float32)
        self.second = np.zeros((side_px, side_px), np.float32)
        self._light, self._side = light, side_px

    def capsule(
        self,
        ends: Points,
        radii: tuple[float, float],
        *,
        second: bool = False,
        shade: float = 1.0,
    ) -> None:
        """Paint a rod with round ends, (2, 2), pixels, and a radius at each."""
        reach = max(radii) + 1.5
        low = np.clip(np.floor(ends.min(axis=0) - reach), 0, self._side).astype(int)
        high = np.clip(np.ceil(ends.max(axis=0) + reach) + 1, 0, self._side).astype(int)
        if (low >= high).any():
            return
        part = slice(low[1], high[1]), slice(low[0], high[0])
        rows, columns = np.mgrid[part].astype(np.float32)
        along = (ends[1] - ends[0]).astype(np.float32)
        x, y = columns - np.float32(ends[0, 0]), rows - np.float32(ends[0, 1])
        t = np.clip((x * along[0] + y * along[1]) / max(1e-6, float(along @ along)), 0, 1)
        dx, dy = x - t * along[0], y - t * along[1]
        radius = np.float32(radii[0]) + t * np.float32(radii[1] - radii[0])
        away = np.sqrt(dx * dx + dy * dy)
        alpha = np.clip(radius - away + 0.5, 0, 1)
        height = np.sqrt(np.clip(1 - (away / radius) ** 2, 0, 1))
        lit = (dx * self._light[0] + dy * self._light[1]) / radius
        tone = shade * (0.55 + 0.45 * height + 0.3 * lit)
        for kept, new in ((self.shade, tone), (self.second, float(second))):
            kept[part] += alpha * (new - kept[part])
        self.alpha[part] = np.maximum(self.alpha[part], alpha)

    def drawn(self) -> Drawn:
        return Drawn(self.alpha, self.shade, self.second)


def draw_hand(
    rng: np.random.Generator, side_px: int, *, centre: NDArray[np.float64], width_px: float
) -> Drawn:
    """Draw an open hand, a fist, a pointing finger or a thumb, with its arm.

    Args:
        rng: Decides about all that is not given.
        side_px: Of the picture.
        centre: (2,), of the palm, pixels.
        width_px: Of the palm.
    """
    angle = rng.normal(0, 1.0) + rng.choice([0.0, 0.0, 0.0, np.pi])
    sign = rng.choice([-1.0, 1.0])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn[:, 0] *= sign

    def at(*points: tuple[float, float]) -> Points:
        # Of the hand: x across the palm, y towards the fingers, in palm widths.
        own = np.array(points) * [1.0, -1.0] * width_px
        return np.asarray(own @ turn.T + centre, np.float64)

    light = rng.normal(0, 1, 2)
    canvas = _Canvas(side_px, light / max(1e-6, float(np.linalg.norm(light))))
    _draw_arm(canvas, rng, at, width_px)
    kind = rng.choice(["open", "fist", "point", "thumb"], p=[0.35, 0.2, 0.2, 0.25])
    stretched = {"open": 4, "fist": 0, "point": int(rng.integers(1, 3)), "thumb": 0}[str(kind)]
    for x in (-0.26, 0.0, 0.26):
        canvas.capsule(at((x * 0.8, -0.3), (x, 0.3)), (0.27 * width_px, 0.25 * width_px))
    order = rng.permutation(4)
    straight = set(order[:stretched].tolist())
    spread = rng.uniform(0.0, 0.35)
    for finger, (x, length) in enumerate(_FINGERS):
        _draw_finger(
            canvas,
            rng,
            at,
            (x, length * rng.uniform(0.8, 1.2)),
            width_px,
            finger in straight,
            spread,
        )
    _draw_thumb(canvas, rng, at, width_px, up=kind == "thumb" or rng.random() < 0.4)
    return canvas.drawn()


def _draw_arm(canvas: _Canvas, rng: np.random.Generator, at: At, width_px: float) -> None:
    bend = rng.normal(0, 0.8)
    cuff = rng.uniform(0.8, 3.5)
    thick = rng.uniform(0.3, 0.42) * width_px
    canvas.capsule(at((0, -0.3), (bend, -5.0)), (thick, 1.4 * thick))
    if rng.random() < 0.4:
        start = (bend * (cuff - 0.3) / 4.7, -cuff)
        canvas.capsule(at(start, (bend, -5.0)), (1.25 * thick, 1.6 * thick), second=True)


def _draw_finger(
    canvas: _Canvas,
    rng: np.random.Generator,
    at: At,
    form: tuple[float, float],
    width_px: float,
    straight: bool,
    spread: float,
) -> None:
    """Paint a finger from the outer edge of the palm: stretched, or curled up before it."""
    (x, length), thick = form, rng.uniform(0.115, 0.15) * width_px
    if straight:
        lean = spread * x * 2.2 + rng.normal(0, 0.05)
        knee = (x + 0.5 * length * lean, 0.42 + 0.5 * length)
        bend = lean + rng.normal(0, 0.12)
        tip = (knee[0] + 0.5 * length * bend, knee[1] + 0.5 * length)
        canvas.capsule(at((x, 0.38), knee), (thick, 0.92 * thick))
        canvas.capsule(at(knee, tip), (0.94 * thick, 0.75 * thick), shade=rng.uniform(0.95, 1.05))
        return
    top, low = (x, 0.42 + rng.normal(0, 0.04)), (x + rng.normal(0, 0.03), rng.uniform(-0.1, 0.1))
    canvas.capsule(at(top, low), (1.05 * thick, 0.95 * thick), shade=rng.uniform(0.85, 1.1))


def _draw_thumb(
    canvas: _Canvas, rng: np.random.Generator, at: At, width_px: float, *, up: bool
) -> None:
    thick = rng.uniform(0.14, 0.18) * width_px
    lean = rng.uniform(-0.1, 0.5) if up else rng.uniform(0.5, 1.2)
    if not up and rng.random() < 0.4:
        lean = -rng.uniform(0.9, 1.3)  # across the fingers
    knee = (0.42 + 0.45 * np.sin(lean), -0.05 + 0.45 * np.cos(lean))
    bend = lean + rng.normal(0, 0.2)
    tip = (knee[0] + 0.4 * np.sin(bend), knee[1] + 0.4 * np.cos(bend))
    canvas.capsule(at((0.36, -0.15), knee), (1.15 * thick, thick))
    canvas.capsule(at(knee, tip), (thick, 0.85 * thick), shade=rng.uniform(0.95, 1.1))
