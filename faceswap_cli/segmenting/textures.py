"""What made-up things look like: skin, hair and backgrounds taken from other faces, cloth, noise.

All pictures here are float32, 0..255, RGB.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.segmenting.cutting import Canvas

Picture = NDArray[np.float32]
"""(H, W, 3), 0..255."""

# Where skin can be taken: between these pairs of landmarks, by this share of the way.
_SKIN_SPOTS = ((1, 31, 0.5), (15, 35, 0.5), (3, 48, 0.5), (13, 54, 0.5), (27, 8, -0.35), (30, 8, 0))


def skin(canvas: Canvas, rng: np.random.Generator, side_px: int) -> Picture:
    """Return skin of a face as a texture, in a light of its own.

    Cheeks, forehead, nose; whatever lies there: most faces are free.
    """
    first, second, share = _SKIN_SPOTS[rng.integers(len(_SKIN_SPOTS))]
    points = canvas.landmarks
    centre = points[first] + share * (points[second] - points[first])
    reach = float(np.linalg.norm(points[16] - points[0])) * rng.uniform(0.06, 0.12)
    texture = _tiled(canvas, centre, reach, rng, side_px)
    return relight(texture, rng)


def hair(canvas: Canvas, rng: np.random.Generator, side_px: int) -> Picture:
    """Return what is above the forehead of a face: mostly hair."""
    points = canvas.landmarks
    up = points[27] - points[8]
    centre = points[27] + rng.uniform(0.75, 1.0) * up + rng.uniform(-0.4, 0.4) * up[::-1]
    texture = _tiled(canvas, centre, 0.1 * float(np.linalg.norm(up)), rng, side_px)
    return np.asarray(texture * rng.uniform(0.6, 1.3), np.float32)


def background(canvas: Canvas, rng: np.random.Generator, side_px: int) -> Picture:
    """Return the picture of a face turned and enlarged at random: anything."""
    turned = _turning(canvas.image.shape[0], side_px, rng.uniform(0, 360), rng.uniform(1.0, 2.5))
    picture = warp(canvas.image, turned, size_wh=(side_px, side_px))
    return relight(picture.astype(np.float32), rng)


def cloth(rng: np.random.Generator, side_px: int) -> Picture:
    """Return one colour, with a pattern of noise or stripes."""
    colour = rng.uniform(5, 235, 3)
    rows, columns = np.mgrid[0:side_px, 0:side_px].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), rng.uniform(3, 40)
    wave = np.sin((np.cos(angle) * columns + np.sin(angle) * rows) * (2 * np.pi / period))
    pattern = wave if rng.random() < 0.4 else blobs(rng, side_px, rng.uniform(0.5, 12))
    texture = colour + rng.uniform(0, 45) * pattern[..., None] * rng.uniform(0.3, 1, 3)
    return np.asarray(texture, np.float32)


def blobs(rng: np.random.Generator, side_px: int, detail_px: float) -> NDArray[np.float32]:
    """Return smooth noise, (side, side), of mean 0 and deviation about 1."""
    small = max(2, round(side_px / max(1.0, detail_px)))
    noise = rng.standard_normal((small, small), np.float32)
    return np.asarray(cv2.resize(noise, (side_px, side_px), interpolation=cv2.INTER_CUBIC))


def relight(texture: Picture, rng: np.random.Generator) -> Picture:
    """Return a texture as in another light: brighter or darker, a little warmer or cooler."""
    gain = np.exp(rng.normal(0, 0.25)) * np.exp(rng.normal(0, rng.choice([0.02, 0.08]), 3))
    mean = texture.mean(axis=(0, 1))
    contrast = rng.uniform(0.4, 1.3)
    return np.asarray((mean + contrast * (texture - mean)) * gain, np.float32)


def _tiled(
    canvas: Canvas,
    centre: NDArray[np.float64],
    reach_px: float,
    rng: np.random.Generator,
    side_px: int,
) -> Picture:
    """Return a spot of a picture, mirrored again and again, turned and enlarged."""
    limit = canvas.image.shape[0] - 1
    reach = max(3, round(reach_px))
    x, y = (int(v) for v in np.clip(np.rint(centre), reach, limit - reach))
    spot = canvas.image[y - reach : y + reach, x - reach : x + reach]
    pair = np.hstack([spot, spot[:, ::-1]])
    four = np.vstack([pair, pair[::-1]])
    scale = rng.uniform(0.8, 2.5)
    times = max(1, int(np.ceil(1.5 * side_px / scale / four.shape[0])))
    tiles = np.tile(four, (times, times, 1))
    turned = _turning(tiles.shape[0], side_px, rng.uniform(0, 360), scale)
    return np.asarray(warp(tiles, turned, size_wh=(side_px, side_px)), np.float32)


def _turning(from_px: int, to_px: int, degrees: float, scale: float) -> Similarity:
    """Return the turn about the middle of a square that ends in the middle of another."""
    angle = np.deg2rad(degrees)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = np.full(2, (to_px - 1) / 2) - linear @ np.full(2, (from_px - 1) / 2)
    return Similarity(np.column_stack([linear, shift]))
