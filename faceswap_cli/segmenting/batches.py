"""Batches of the mask network: a pure function of seed and iteration.

A face is turned, shifted and mirrored; glasses may be put on it, and things over it; then it is
given another light and worse quality. What it teaches comes with a weight for each pixel: labels
that a person drew count everywhere, the hull of landmarks only where it can be believed.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.imaging import decode_image, encode_image, to_uint8
from faceswap_cli.masks import erode
from faceswap_cli.readahead import read_ahead
from faceswap_cli.segmenting.cutting import Canvas
from faceswap_cli.segmenting.hands import Map
from faceswap_cli.segmenting.occluders import View, cover, put_on_glasses
from faceswap_cli.segmenting.textures import Picture, background

DRAWN_SHARE = 0.75
"""Of a batch: faces with drawn labels, once there are any."""
DRAWN_BAND = (0.05, 0.25)
"""About the edge of a guessed label, inside and outside, sides of the picture: once a person has
drawn labels, where a face ends is for them to say."""
LEAST_TRUST = 0.2
"""How often faces are seen that do not seem free, against those that do."""
GLASSES, NEW_BACKGROUND, SECOND_THING = 0.08, 0.15, 0.25
"""Shares of the faces."""
AHEAD = 3
_STREAM = 0x3A5C
MIRRORED_68 = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *(27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65),
)


@dataclass(frozen=True)
class Batch:
    """What one iteration learns from."""

    image: Tensor
    """(B, 3, R, R), RGB, 0..1."""
    label: Tensor
    """(B, 1, R, R), 0..1: face."""
    weight: Tensor
    """(B, 1, R, R), 0..1: how much a pixel counts."""
    hull_only: Tensor
    """(B, 1, R, R), 0 or 1: face by the hull of landmarks alone; it may be wrong."""


class _Seen(Protocol):
    """Turns a canvas into what the network sees of it."""

    def __call__(
        self, picture: NDArray[Any], border: float | None = 0.0
    ) -> NDArray[np.float32]: ...


class Batches:
    """Makes the batch of any iteration."""

    def __init__(
        self, faces: Sequence[Canvas], *, resolution: int, batch: int, occluders: float, seed: int
    ) -> None:
        """Take the faces of all sides; those that a person labelled come more often."""
        self._faces, self._resolution, self._batch = faces, resolution, batch
        self._occluders, self._seed = occluders, seed
        self._drawn = [i for i, face in enumerate(faces) if face.drawn]
        self._plain = [i for i, face in enumerate(faces) if not face.drawn]
        odds = np.array([max(LEAST_TRUST, faces[i].trust) for i in self._plain])
        self._odds = odds / odds.sum() if len(odds) else odds

    def __call__(self, iteration: int) -> Batch:
        """Return the batch of an iteration, from 0."""
        made = [self._face(iteration, number) for number in range(self._batch)]
        images, labels, weights, hulls = zip(*made, strict=True)
        label, weight, hull = (
            torch.from_numpy(np.stack(maps))[:, None] for maps in (labels, weights, hulls)
        )
        image = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
        return Batch(image, label, weight, hull)

    def ahead(self, start: int, end: int) -> Generator[Batch, None, None]:
        """Yield the batches from `start` to before `end`, made in a thread."""
        return read_ahead(map(self, range(start, end)), depth=AHEAD)

    def _face(self, iteration: int, number: int) -> tuple[Picture, Map, Map, Map]:
        rng = np.random.default_rng((_STREAM, self._seed, iteration, number))
        if self._drawn and (not self._plain or rng.random() < DRAWN_SHARE):
            index = self._drawn[rng.integers(len(self._drawn))]
        else:
            index = int(rng.choice(self._plain, p=self._odds))
        face = self._faces[index]
        view_from, mirrored = self._draw_view(face, rng)
        size_wh = (self._resolution,) * 2

        def seen(picture: NDArray[Any], border: float | None = 0.0) -> NDArray[np.float32]:
            upright = picture[:, ::-1] if mirrored else picture
            return warp(upright, view_from, size_wh=size_wh, border=border).astype(np.float32)

        label = (seen(face.label) / 255).clip(0, 1)
        weight, hull_only = self._trust(face, label, seen)
        points = face.landmarks
        if mirrored:
            points = points[list(MIRRORED_68)] * [-1, 1] + [face.image.shape[1] - 1, 0]
        view = View(seen(face.image, None), np.zeros_like(label), view_from.apply(points))
        self._dress(view, face, label, rng)
        clear = 1 - view.covered
        weight = np.maximum(weight, view.covered)
        if face.known is not None:
            weight = weight * (seen(face.known) > 254 * 0.98)
        image = _worse(_other_light(view.image, rng), rng) / np.float32(255)
        return image, label * clear, weight, hull_only * clear

    def _draw_view(self, face: Canvas, rng: np.random.Generator) -> tuple[Similarity, bool]:
        """Return `view_from_canvas`, and whether the canvas is mirrored before."""
        resolution, side = self._resolution, face.image.shape[0]
        angle, scale = np.deg2rad(rng.normal(0, 10)), np.exp(rng.normal(0, 0.1))
        linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = np.clip(rng.normal(0, 0.05, 2), -0.12, 0.12) * resolution
        middle = np.full(2, (resolution - 1) / 2) - linear @ np.full(2, (side - 1) / 2)
        return Similarity(np.column_stack([linear, middle + shift])), bool(rng.random() < 0.5)

    def _trust(
        self, face: Canvas, label: NDArray[np.float32], seen: _Seen
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what each pixel counts, and where the hull alone says that it is face."""
        if face.drawn:
            return np.ones_like(label), np.zeros_like(label)
        weight = np.ones_like(label) if face.weight is None else seen(face.weight, None) / 255
        if self._drawn:
            inside, outside = (part * self._resolution for part in DRAWN_BAND)
            far = erode(label, amount_px=-outside) < 0.5
            weight = weight * ((erode(label, amount_px=inside) > 0.5) | far)
        return weight.clip(0, 1).astype(np.float32), (label > 0.5).astype(np.float32)

    def _dress(
        self, view: View, face: Canvas, label: NDArray[np.float32], rng: np.random.Generator
    ) -> None:
        """Give the face another background, glasses, things that cover it."""
        if face.drawn and rng.random() < NEW_BACKGROUND:
            other = self._faces[int(rng.integers(len(self._faces)))]
            behind = background(other, rng, self._resolution)
            view.image = behind + label[..., None] * (view.image - behind)
        if rng.random() < GLASSES:
            put_on_glasses(view, rng)
        if rng.random() < self._occluders:
            cover(view, face, self._faces, rng)
            if rng.random() < SECOND_THING:
                cover(view, face, self._faces, rng)


def _other_light(image: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture brighter or darker, of another tint, contrast and saturation."""
    picture = np.clip(image, 0, 255) / np.float32(255)
    picture = picture ** np.float32(np.exp(rng.normal(0, 0.25)))
    grey = picture.mean(axis=2, keepdims=True)
    picture = grey + np.float32(np.exp(rng.normal(0, 0.25))) * (picture - grey)
    gain = np.exp(rng.normal(0, 0.15)) * np.exp(rng.normal(0, 0.05, 3))
    lift = rng.normal(0, 0.03)
    return np.asarray(np.clip(picture * gain + lift, 0, 1) * 255, np.float32)


def _worse(image: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture out of focus, shaken, compressed, noisy, or as it is."""
    side = image.shape[0]
    if rng.random() < 0.25:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), side * rng.uniform(0.002, 0.014)))
    elif rng.random() < 0.1:
        length = max(2, round(side * rng.uniform(0.01, 0.04)))
        line = np.zeros((length, length), np.float32)
        ends = rng.uniform(0, length - 1, (2, 2)).round().astype(int)
        cv2.line(line, tuple(ends[0].tolist()), tuple(ends[1].tolist()), (1.0,))
        image = np.asarray(cv2.filter2D(image, -1, line / line.sum()))
    if rng.random() < 0.2:
        quality = int(rng.integers(15, 80))
        jpeg = encode_image(to_uint8(image / 255), ".jpg", jpeg_quality=quality)
        image = decode_image(jpeg, "augmentation").astype(np.float32)
    if rng.random() < 0.25:
        noise = rng.standard_normal(image.shape, np.float32)
        image = image + np.float32(rng.uniform(1, 9)) * noise
    return np.asarray(np.clip(image, 0, 255), np.float32)
