"""Training batches: faces decoded once, kept on the device, seen anew at each iteration."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from faceswap_cli.config import TrainConfig
from faceswap_cli.errors import FaceswapError, WorkspaceError
from faceswap_cli.faces.faceset import AlignedFace
from faceswap_cli.faces.templates import FACE_TYPES, crop_from_frame
from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.imaging import read_grey
from faceswap_cli.masks import eyes_mouth_mask, hull_mask
from faceswap_cli.models import Faces
from faceswap_cli.training.augment import COVER, draw_views, sample, tint
from faceswap_cli.types import SIDES, FloatImage, RgbImage, Side

MIN_FACES = 2
DETAIL = 1.25
"""Pixels of a canvas per pixel of a view: what the resampling of a view costs in sharpness."""

Sampler = Callable[[int], tuple[Faces, Faces]]
"""The batches of src and dst at an iteration. A pure function: resuming needs no position."""


@dataclass(frozen=True)
class FaceStore:
    """All faces of a side, on the device."""

    images: Tensor
    """(N, 3, C, C), uint8, RGB; C is the side of the canvas."""
    masks: Tensor
    """(N, 2, C, C), uint8: the face; its eyes and mouth."""
    landmarks: Tensor
    """(N, 68, 2), -1..1 of the canvas."""
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)


def canvas_side(resolution: int) -> int:
    """Return C, pixels."""
    return math.ceil(resolution * COVER * DETAIL)


def load_store(
    faces: list[AlignedFace], config: TrainConfig, *, masks: Path, device: torch.device
) -> tuple[FaceStore, dict[str, str]]:
    """Decode and cut the faces of a side.

    Args:
        faces: Of one side.
        config: Resolution, face type, how far the mask reaches.
        masks: Folder of masks that a person may have edited, NAME.png.
        device: Where the tensors live.

    Returns:
        The store, and the reason by name of the pictures that had to be left out.
    """
    skipped: dict[str, str] = {}

    def load(face: AlignedFace) -> tuple[RgbImage, NDArray[np.uint8], FloatImage] | None:
        try:
            return _cut(face, config, masks / f"{face.path.stem}.png")
        except FaceswapError as error:
            skipped[face.path.name] = error.what
            return None

    with ThreadPoolExecutor() as pool:
        cut = list(pool.map(load, faces))
    good = [(face, parts) for face, parts in zip(faces, cut, strict=True) if parts is not None]
    if len(good) < MIN_FACES:
        raise WorkspaceError(
            f"{len(good)} usable faces, training needs {MIN_FACES}",
            seen_in=masks.parent,
            fix="extract from more footage: `faceswap-cli extract`",
        )
    images = torch.from_numpy(np.stack([parts[0] for _, parts in good])).permute(0, 3, 1, 2)
    return FaceStore(
        images.contiguous().to(device),
        torch.from_numpy(np.stack([parts[1] for _, parts in good])).to(device),
        torch.from_numpy(np.stack([parts[2] for _, parts in good])).to(device),
        tuple(face.path.name for face, _ in good),
    ), skipped


def canvas_from_frame(face: AlignedFace, face_type: str, resolution: int) -> Similarity:
    """Return the transform of a canvas: a crop of the face type, COVER times as wide."""
    side = canvas_side(resolution)
    view_px = side / COVER
    view_from_frame = crop_from_frame(face.record.landmarks, face_type, view_px)
    margin = (side - view_px) / 2.0
    return Similarity(np.array([[1.0, 0.0, margin], [0.0, 1.0, margin]])).after(view_from_frame)


def _cut(
    face: AlignedFace, config: TrainConfig, edited: Path
) -> tuple[RgbImage, NDArray[np.uint8], FloatImage]:
    side = canvas_side(config.resolution)
    canvas_from = canvas_from_frame(face, config.face_type, config.resolution)
    canvas_from_picture = canvas_from.after(face.record.crop.inverse())
    image = warp(face.image(), canvas_from_picture, size_wh=(side, side))
    landmarks = canvas_from.apply(face.record.landmarks)
    if edited.exists():
        mask = warp(read_grey(edited), canvas_from_picture, size_wh=(side, side), border=0.0)
    else:
        unit_px = side / COVER / FACE_TYPES[config.face_type].side
        mask = hull_mask(landmarks, (side, side), jaw_px=config.jaw / 100.0 * unit_px)
    normal = ((landmarks + 0.5) * (2.0 / side) - 1.0).astype(np.float32)
    parts = eyes_mouth_mask(landmarks, (side, side))
    return image, np.stack([mask, parts]), normal


def build_sampler(
    stores: dict[Side, FaceStore], config: TrainConfig, device: torch.device
) -> Sampler:
    """Return the function that makes the batches of an iteration."""
    flips = {"src": config.src_flip, "dst": config.dst_flip}
    warp_until = math.ceil(config.warp_until * config.iterations)

    def batch(side: Side, iteration: int) -> Faces:
        store = stores[side]
        generator = _generator(config.seed, SIDES.index(side), iteration)
        index = _indices(len(store), config, SIDES.index(side), iteration).to(device)
        flip = torch.rand(len(index), generator=generator) < (0.5 if flips[side] else 0.0)
        views = draw_views(
            len(index),
            config.resolution,
            move=config.move,
            warp=config.warp if iteration < warp_until else 0.0,
            flips=flip,
            generator=generator,
        )
        canvas, outlines = (t[index].float() / 255.0 for t in (store.images, store.masks))
        plain, warped = views.plain.to(device), views.warped.to(device)
        outlines = sample(outlines, plain, mode="bilinear")
        layout = torch.channels_last
        return Faces(
            img=sample(canvas, plain, mode="bicubic").contiguous(memory_format=layout),
            lms=store.landmarks[index],
            mask=outlines[:, :1],
            parts=outlines[:, 1:],
            warped=tint(
                sample(canvas, warped, mode="bilinear"),
                strength=config.colour_shift,
                generator=generator,
            ).contiguous(memory_format=layout),
        )

    return lambda iteration: (batch("src", iteration), batch("dst", iteration))


def fixed_views(store: FaceStore, count: int, resolution: int) -> Tensor:
    """Return `count` faces spread over a side, unaugmented, (count, 3, H, W), for previews."""
    index = torch.linspace(0, len(store) - 1, count).round().long().to(store.images.device)
    centres = (torch.arange(resolution) + 0.5) * (2.0 / resolution) - 1.0
    grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1) / COVER
    grid = grid.expand(count, resolution, resolution, 2).to(store.images.device)
    return sample(store.images[index].float() / 255.0, grid, mode="bicubic")


def _indices(count: int, config: TrainConfig, side: int, iteration: int) -> Tensor:
    """Return which faces an iteration sees: each once before any comes again."""
    first = iteration * config.batch_size
    picks = []
    for place in range(first, first + config.batch_size):
        epoch, at = divmod(place, count)
        picks.append(int(_order(count, config.seed, side, epoch)[at]))
    return torch.tensor(picks)


@lru_cache(maxsize=8)
def _order(count: int, seed: int, side: int, epoch: int) -> Tensor:
    return torch.randperm(count, generator=_generator(seed, len(SIDES) + side, epoch))


def _generator(seed: int, stream: int, number: int) -> Generator:
    """Return a generator that depends on these three numbers alone."""
    mixed = np.random.SeedSequence((seed, stream, number)).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(mixed >> np.uint64(1)))
