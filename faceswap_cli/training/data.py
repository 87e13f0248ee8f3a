"""Training batches: faces decoded once, and seen anew at each iteration.

A batch is a pure function of seed and iteration. It is made in two steps: `load` draws what is
random and fetches the faces, in a thread, while the network computes; `assemble` makes the
pictures of it, on the device.
"""

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from faceswap_cli.colour import draw_colour, fit_colour
from faceswap_cli.config import TrainConfig
from faceswap_cli.models import Faces
from faceswap_cli.readahead import read_ahead
from faceswap_cli.training.augment import (
    COVER,
    Draws,
    Views,
    draw,
    grid,
    points_in_view,
    sample,
    tint,
    views,
)
from faceswap_cli.training.bend import bend, bend_field, choose_shapes, draw_bend
from faceswap_cli.training.cutting import Layout
from faceswap_cli.training.damage import Damage, damage, draw_damage
from faceswap_cli.training.order import Order, all_alike, by_yaw, generator
from faceswap_cli.types import SIDES, Side

MIN_FACES = 2
AHEAD = 2
"""Batches that are loaded while one is computed."""
SHAPES = 1000
"""Faces of dst that src faces are bent towards, at most: spread over all of them."""
SEED_BITS = 32
"""More than a seed of the settings has."""
WHOLE = slice(None)


class FaceStore(Protocol):
    """All faces of a side."""

    @property
    def yaws_deg(self) -> tuple[float, ...]:
        """Of the heads, one for each face."""

    @property
    def layout(self) -> Layout:
        """How a face is packed."""

    def __len__(self) -> int: ...

    def take(self, index: Tensor, *, pin: bool = False) -> Tensor:
        """Return some faces, (n, row_bytes), uint8."""


@dataclass(frozen=True)
class HeldFaces:
    """Faces that lie in the memory of a device."""

    rows: Tensor
    """(N, row_bytes), uint8."""
    yaws_deg: tuple[float, ...]
    layout: Layout

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: Tensor, *, pin: bool = False) -> Tensor:
        """Return some faces, where they are."""
        if self.rows.is_cuda:
            index = index.pin_memory().to(self.rows.device, non_blocking=True)
        return self.rows[index]


@dataclass(frozen=True)
class SidePortion:
    """What a batch of a side is made of."""

    rows: Tensor
    """(n, row_bytes), uint8, packed faces."""
    draws: Draws
    damage: Damage | None
    colour: tuple[Tensor, Tensor] | None
    """Packed faces of dst whose colours these are given, and what is random about that."""
    chance: Tensor
    """(n,), see Faces."""
    bend: Tensor | None
    """(n, 2), see draw_bend."""


Portion = dict[Side, SidePortion]


class Sampler:
    """Makes the batches of src and dst of any iteration."""

    def __init__(
        self,
        stores: Mapping[Side, FaceStore],
        config: TrainConfig,
        device: torch.device,
        *,
        part: slice = WHOLE,
        salt: int = 0,
    ) -> None:
        """Prepare the orders.

        Args:
            stores: The faces.
            config: Of the training.
            device: Where the batches are made.
            part: Which faces of each batch are wanted: those of this process.
            salt: Another one makes other batches of the same seed.
        """
        self._stores, self._config, self._part = stores, config, part
        self._seed = config.seed + (salt << SEED_BITS)
        self._orders = {
            side: Order(
                by_yaw(store.yaws_deg) if config.uniform_yaw else all_alike(len(store)),
                seed=self._seed,
                stream=len(SIDES) + SIDES.index(side),
            )
            for side, store in stores.items()
        }
        self.device = device
        self._shapes = _shapes(stores["dst"]).to(device) if config.bend > 0.0 else None
        # Copies to a GPU on a stream of their own run while it computes.
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, iteration: int) -> tuple[Faces, Faces]:
        """Return the batches of src and dst."""
        return self.assemble(self.load(iteration))

    def ahead(self, first: int, end: int) -> Generator[Portion, None, None]:
        """Load the portions of these iterations, in a thread, AHEAD of who takes them."""
        return read_ahead(map(self.load, range(first, end)), depth=AHEAD)

    def load(self, iteration: int) -> Portion:
        """Draw what is random about an iteration, and fetch its faces."""
        if self._copies is None:
            return {side: self._load(side, iteration) for side in SIDES}
        with torch.cuda.stream(self._copies):
            portion = {side: self._load(side, iteration) for side in SIDES}
            # The thread waits, not the network: what is handed over has arrived.
            self._copies.synchronize()
        return portion

    def _load(self, side: Side, iteration: int) -> SidePortion:
        config, store, batch = self._config, self._stores[side], self._config.batch
        random = generator(self._seed, SIDES.index(side), iteration)
        draws = draw(
            batch,
            move=config.move,
            warp=config.warp if iteration < self._warp_until else 0.0,
            flip=0.5 if (config.src_flip if side == "src" else config.dst_flip) else 0.0,
            generator=random,
        )
        damaged = None
        if config.damage > 0.0:
            whole = draw_damage(batch, config.resolution, share=config.damage, generator=random)
            damaged = whole.each(self._here)
        colour = None
        if config.colour_from_dst != "none" and side == "src":
            others = self._stores["dst"]
            index = torch.randint(len(others), (batch,), generator=random)
            numbers = draw_colour(batch, random)
            colour = self._rows(others, index), self._here(numbers)
        chance = self._here(torch.rand(batch, generator=random))
        bends = None
        if config.bend > 0.0 and side == "src":
            bends = self._here(draw_bend(batch, share=config.bend, generator=random))
        rows = self._rows(store, self._orders[side].at(iteration, batch))
        return SidePortion(rows, draws.each(self._here), damaged, colour, chance, bends)

    @property
    def _warp_until(self) -> int:
        return math.ceil(self._config.warp_until * self._config.iterations)

    def _here(self, whole: Tensor) -> Tensor:
        """Return our part of a batch, on the device."""
        part = whole[self._part]
        if part.device == self.device:
            return part
        return part.pin_memory().to(self.device, non_blocking=True)

    def _rows(self, store: FaceStore, index: Tensor) -> Tensor:
        rows = store.take(index[self._part], pin=self._copies is not None)
        return rows.to(self.device, non_blocking=True)

    def assemble(self, portion: Portion) -> tuple[Faces, Faces]:
        """Make the pictures of a portion, on the device."""
        src, dst = (self._assemble(side, portion[side]) for side in SIDES)
        return src, dst

    def _assemble(self, side: Side, portion: SidePortion) -> Faces:
        if self._copies is not None:
            _keep_until_used(portion)
        rows = self._stores[side].layout.unpack(portion.rows)
        canvas, (where, landmarks) = rows.images.float(), self._look(rows.landmarks, portion)
        outlines = sample(rows.masks.float(), where.plain, mode="bilinear")
        plain = sample(canvas, where.plain, mode="bicubic")
        warped = sample(canvas, where.warped, mode="bilinear")
        mode = self._config.colour_from_dst
        if portion.colour is not None and mode != "none":
            like, region = self._look_at(portion.colour[0])
            recolour = fit_colour(
                mode,
                *(plain, outlines[:, :1], like, region),
                draws_BK=portion.colour[1],
            )
            plain, warped = recolour(plain), recolour(warped)
        warped = tint(
            warped,
            portion.draws.tint,
            strength=self._config.colour_shift,
            hue_deg=self._config.hue_shift,
        )
        if portion.damage is not None:
            warped = damage(warped, portion.damage)
        layout = torch.channels_last
        return Faces(
            img=plain.contiguous(memory_format=layout),
            lms=points_in_view(landmarks, portion.draws),
            mask=outlines[:, :1],
            parts=outlines[:, 1:],
            warped=warped.contiguous(memory_format=layout),
            chance=portion.chance,
        )

    def _look(self, landmarks: Tensor, portion: SidePortion) -> tuple[Views, Tensor]:
        """Return where the pixels of the views lie, and where the landmarks come to lie."""
        where = views(portion.draws, self._config.resolution)
        if portion.bend is not None and self._shapes is not None:
            shapes = choose_shapes(landmarks, self._shapes, portion.bend)
            field, landmarks = bend_field(landmarks, shapes, portion.bend)
            where = Views(bend(where.plain, field), bend(where.warped, field))
        return where, landmarks

    def _look_at(self, packed: Tensor) -> tuple[Tensor, Tensor]:
        """Return dst faces as they are, small: their colours are all that is wanted."""
        rows = self._stores["dst"].layout.unpack(packed)
        where = grid(max(16, self._config.resolution // 2), packed.device) / COVER
        where = where.expand(len(packed), *where.shape)
        like, region = (
            sample(pixels.float(), where, mode="bilinear")
            for pixels in (rows.images, rows.masks[:, :1])
        )
        return like, region


def _shapes(store: FaceStore) -> Tensor:
    """Return the landmarks of faces spread over a side, (N, 68, 2), -1..1 of the canvas."""
    index = torch.linspace(0, len(store) - 1, min(len(store), SHAPES)).round().long()
    parts = [store.layout.unpack(store.take(some)).landmarks.clone() for some in index.split(64)]
    return torch.cat(parts)


def _keep_until_used(portion: SidePortion) -> None:
    """Tell the allocator that tensors made on the copying stream are read on this one."""
    now = torch.cuda.current_stream(portion.rows.device)

    def keep(tensor: Tensor) -> Tensor:
        tensor.record_stream(now)
        return tensor

    keep(portion.rows)
    keep(portion.chance)
    if portion.bend is not None:
        keep(portion.bend)
    portion.draws.each(keep)
    for tensor in portion.colour or ():
        keep(tensor)
    if portion.damage is not None:
        portion.damage.each(keep)


def fixed_views(store: FaceStore, count: int, resolution: int, device: torch.device) -> Tensor:
    """Return `count` faces spread over a side, unaugmented, (count, 3, H, W), for previews."""
    index = torch.linspace(0, len(store) - 1, count).round().long()
    rows = store.layout.unpack(store.take(index).to(device))
    where = (grid(resolution, device) / COVER).expand(count, resolution, resolution, 2)
    return sample(rows.images.float(), where, mode="bicubic")


def hold(store: FaceStore, device: torch.device) -> HeldFaces:
    """Copy all faces of a store into the memory of a device, some at a time."""
    rows = torch.empty(len(store), store.layout.row_bytes, dtype=torch.uint8, device=device)
    for index in torch.arange(len(store)).split(64):
        rows[index[0] : index[-1] + 1] = store.take(index).to(device)
    return HeldFaces(rows, store.yaws_deg, store.layout)
