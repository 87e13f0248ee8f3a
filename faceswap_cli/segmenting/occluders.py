"""Things that are put over faces to teach what a face is not; and glasses, which are worn on it."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.segmenting import textures
from faceswap_cli.segmenting.cutting import Canvas
from faceswap_cli.segmenting.hands import Drawn, Map, draw_hand
from faceswap_cli.segmenting.textures import Picture
from faceswap_cli.types import Points

_KINDS = ("hand", "hair", "thing", "microphone", "piece")
_ODDS = (0.6, 0.13, 0.11, 0.07, 0.09)
_BITS = 4
"""Of a pixel, that cv2 draws to."""


@dataclass
class View:
    """A face as the network is going to see it, in the making."""

    image: Picture
    """(S, S, 3), 0..255."""
    covered: Map
    """(S, S), 0..1: how much of each pixel is a thing that was put there."""
    landmarks: Points
    """(68, 2), pixels."""

    @property
    def side(self) -> int:
        """S."""
        return int(self.image.shape[0])


def cover(view: View, own: Canvas, others: Sequence[Canvas], rng: np.random.Generator) -> None:
    """Put one thing over a face.

    Args:
        view: Changed in place.
        own: The face itself: its hands have its skin.
        others: Where else skin, hair and backgrounds come from.
        rng: Decides.
    """
    kind = str(rng.choice(_KINDS, p=_ODDS))
    from_face = own if rng.random() < 0.6 else others[int(rng.integers(len(others)))]
    texture, second = None, None
    if kind == "hand":
        drawn = draw_hand(rng, view.side, centre=_somewhere(view, rng), width_px=_size(view, rng))
        texture, second = textures.skin(from_face, rng, view.side), textures.cloth(rng, view.side)
    elif kind == "hair":
        drawn, texture = _strands(view, rng), textures.hair(from_face, rng, view.side)
    elif kind == "microphone":
        drawn, second = _microphone(view, rng), textures.cloth(rng, view.side)
        texture = textures.cloth(rng, view.side) * np.float32(rng.uniform(0.1, 0.6))
    else:
        drawn = _shape(view, rng)
        texture = (
            textures.background(others[int(rng.integers(len(others)))], rng, view.side)
            if kind == "piece"
            else textures.cloth(rng, view.side)
        )
    _lay(view, drawn, texture, second, rng)


def put_on_glasses(view: View, rng: np.random.Generator) -> None:
    """Draw glasses, which belong to the face: nothing is covered."""
    points, layer = view.landmarks, np.zeros(view.image.shape[:2], np.uint8)
    lens = np.zeros_like(layer)
    across = points[45] - points[36]
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    wide = float(np.linalg.norm(points[39] - points[36])) * rng.uniform(0.85, 1.15)
    high, thick = (
        wide * rng.uniform(0.55, 0.95),
        max(1, round(view.side * rng.uniform(0.004, 0.014))),
    )
    lower = np.array([0, 0.15 * high])
    eyes = [points[part].mean(axis=0) + lower for part in (range(36, 42), range(42, 48))]
    for eye in eyes:
        outline = cv2.ellipse2Poly(_ints(eye), _ints([wide, high]), round(angle), 0, 360, 10)
        cv2.polylines(layer, [outline], True, (255,), thick, cv2.LINE_AA)
        cv2.fillPoly(lens, [outline], (255,), cv2.LINE_AA)
    bridge = 0.5 * (eyes[1] - eyes[0])
    rim = bridge * (1 - wide / max(1.0, float(np.linalg.norm(bridge))))
    for first, last in (
        (eyes[0] + 2 * bridge - rim - bridge, eyes[0] + bridge + rim),
        (eyes[0] - across * 0.2, points[0]),
        (eyes[1] + across * 0.2, points[16]),
    ):
        cv2.line(layer, _ints(first), _ints(last), (255,), thick, cv2.LINE_AA)
    tint = rng.choice([0.0, 0.0, 0.15, 0.7]) * lens[..., None] / np.float32(255)
    view.image *= 1 - tint * (1 - rng.uniform(0, 0.4, 3).astype(np.float32))
    alpha = layer[..., None] / np.float32(255)
    view.image += alpha * (rng.uniform(0, 160, 3).astype(np.float32) - view.image)


def _lay(
    view: View, drawn: Drawn, texture: Picture, second: Picture | None, rng: np.random.Generator
) -> None:
    """Lay a thing over a face: its shadow, its colours, sometimes out of focus."""
    alpha, side = drawn.alpha, view.side
    if second is not None:
        texture = texture + drawn.second[..., None] * (second - texture)
    layer = texture * drawn.shade[..., None]
    if rng.random() < 0.45:
        sigma = side * rng.uniform(0.003, 0.02)
        alpha = cv2.GaussianBlur(alpha, (0, 0), sigma)
        layer = cv2.GaussianBlur(layer, (0, 0), sigma)
    if rng.random() < 0.5:
        shift = rng.normal(0, 0.03 * side, 2)
        moved = _moved(alpha, shift)
        soft = cv2.GaussianBlur(moved, (0, 0), side * rng.uniform(0.008, 0.05))
        view.image *= 1 - rng.uniform(0.2, 0.6) * soft[..., None]
    view.image += alpha[..., None] * (layer - view.image)
    view.covered = np.asarray((view.covered + alpha * (1 - view.covered)).clip(0, 1), np.float32)


def _moved(alpha: Map, shift: NDArray[np.float64]) -> Map:
    out = Similarity(np.column_stack([np.eye(2), shift]))
    return np.asarray(warp(alpha, out, size_wh=alpha.shape[::-1], border=0.0), np.float32)


def _somewhere(view: View, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a place on the face or near its edge."""
    low, high = view.landmarks.min(axis=0), view.landmarks.max(axis=0)
    low = low - [0, 0.4 * (high[1] - low[1])]  # the forehead
    reach = high - low
    return np.asarray(low + reach * rng.uniform(-0.15, 1.15, 2), np.float64)


def _size(view: View, rng: np.random.Generator) -> float:
    """Return the width of a palm, pixels: hands are smaller than faces, and often nearer."""
    face = float(np.linalg.norm(view.landmarks[16] - view.landmarks[0]))
    return face * float(rng.uniform(0.3, 0.75))


def _strands(view: View, rng: np.random.Generator) -> Drawn:
    """Draw hair: a lock of many strands, or some of them alone."""
    side, layer = view.side, np.zeros(view.image.shape[:2], np.uint8)
    shade = np.full(layer.shape, 255, np.uint8)
    face = float(np.linalg.norm(view.landmarks[16] - view.landmarks[0]))
    start = view.landmarks[27] + rng.normal(0, 0.5, 2) * face - [0, 0.8 * face]
    end = _somewhere(view, rng) + rng.normal(0, 0.6, 2) * face
    bow, width = rng.normal(0, 0.3, 2) * face, rng.uniform(0.02, 0.3) * face
    t = np.linspace(0, 1, 24)[:, None]
    for _ in range(int(rng.integers(10, 110))):
        offset = rng.normal(0, 1, 2) * width * (0.5 + t)
        line = start + t * (end - start) + 4 * t * (1 - t) * bow + offset
        fixed = [np.rint(line * 2**_BITS).astype(np.int32).reshape(-1, 1, 2)]
        thick = max(1, round(side * rng.uniform(0.002, 0.012)))
        cv2.polylines(layer, fixed, False, (255,), thick, cv2.LINE_AA, _BITS)
        cv2.polylines(shade, fixed, False, (int(rng.uniform(110, 255)),), thick, cv2.LINE_AA, _BITS)
    alpha = layer / np.float32(255) * np.float32(rng.uniform(0.7, 1.0))
    tone = shade.astype(np.float32) / np.float32(220)
    return Drawn(alpha.astype(np.float32), tone, np.zeros(layer.shape, np.float32))


def _microphone(view: View, rng: np.random.Generator) -> Drawn:
    """Draw a ball before the mouth, on a stick that comes from below or beside."""
    points, side = view.landmarks, view.side
    face = float(np.linalg.norm(points[16] - points[0]))
    ball = points[57] + rng.normal(0, 0.25, 2) * face
    radius, angle = face * rng.uniform(0.1, 0.28), rng.normal(0, 1.0)
    along = np.array([np.sin(angle), np.cos(angle)])
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    x, y = columns - ball[0], rows - ball[1]
    away = np.sqrt(x * x + y * y)
    length, aside = x * along[0] + y * along[1], np.abs(x * along[1] - y * along[0])
    stick = np.clip(radius * rng.uniform(0.3, 0.7) - aside + 0.5, 0, 1) * (length > 0)
    round_ = np.clip(radius - away + 0.5, 0, 1)
    mesh = 1 + 0.25 * np.sin(x * rng.uniform(0.5, 2)) * np.sin(y * rng.uniform(0.5, 2))
    lit = 0.5 + 0.7 * np.clip((radius - away) / radius, 0, 1) - 0.3 * x / radius
    shade = np.where(round_ > 0, mesh * lit, 1 - 0.6 * aside / radius)
    alpha = np.maximum(stick, round_)
    return Drawn(
        alpha.astype(np.float32),
        shade.clip(0, 2).astype(np.float32),
        (stick * (round_ == 0)).astype(np.float32),
    )


def _shape(view: View, rng: np.random.Generator) -> Drawn:
    """Draw a polygon, an ellipse or a band."""
    layer, face = np.zeros(view.image.shape[:2], np.uint8), _size(view, rng)
    centre = _somewhere(view, rng)
    angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 9))))
    if rng.random() < 0.5:
        angles = np.linspace(0, 2 * np.pi, 40)
    radii = face * rng.uniform(0.3, 1.0, len(angles) if len(angles) < 40 else 1)
    stretch = np.array([1.0, rng.choice([1.0, 0.4, 0.15])])
    own = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None] * stretch
    turn = rng.uniform(0, np.pi)
    spun = own @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    fixed = np.rint((centre + spun) * 2**_BITS).astype(np.int32).reshape(-1, 1, 2)
    cv2.fillPoly(layer, [fixed], (255,), cv2.LINE_AA, _BITS)
    alpha = layer / np.float32(255)
    slope = 1 + 0.15 * textures.blobs(rng, view.side, view.side / 2)
    tone = slope.clip(0.4, 1.6).astype(np.float32)
    return Drawn(alpha.astype(np.float32), tone, np.zeros(layer.shape, np.float32))


def _ints(point: NDArray[np.float64] | Sequence[float]) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
