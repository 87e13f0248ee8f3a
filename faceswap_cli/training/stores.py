"""The faces of a training: found, decoded into the cache, and held where they are wanted."""

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.progress import progress
from faceswap_cli.training.cache import Cache, refresh
from faceswap_cli.training.cost import estimate_cost
from faceswap_cli.training.data import MIN_FACES, FaceStore, hold
from faceswap_cli.types import SIDES, Side

FACES_SHARE = 0.4
"""Of the free memory of a GPU: faces that take more stay in the cache and are sent as needed."""
ACTIVATIONS_AND_MORE = 1.5
"""Memory that a step needs, in activations that are kept for its backward pass."""
Stores = dict[Side, FaceStore]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Origin:
    """Where the faces of a side come from."""

    pictures: Path
    masks: Path
    cache: Path
    """Folder of what is decoded of them."""
    fix: str
    """How there come to be more."""


def open_stores(
    origins: Mapping[Side, Origin],
    config: TrainConfig,
    opened: ExitStack,
    facts: dict[str, Any],
    *,
    update: bool,
) -> Stores:
    """Return the faces of both sides; those of one origin are decoded once.

    Args:
        origins: By side.
        config: Of the training.
        opened: Closes their files.
        facts: Is told how many there are, and which were left out, and why.
        update: Decode what is not in the cache; else another process has done so.

    Raises:
        WorkspaceError: There are too few.
    """
    by_origin: dict[Origin, FaceStore] = {}
    for side in SIDES:
        origin = origins[side]
        if origin not in by_origin:
            by_origin[origin] = _open(side, origin, config, opened, facts, update=update)
        facts[f"{side} faces"] = len(by_origin[origin])
    return {side: by_origin[origins[side]] for side in SIDES}


def _open(
    side: Side,
    origin: Origin,
    config: TrainConfig,
    opened: ExitStack,
    facts: dict[str, Any],
    *,
    update: bool,
) -> FaceStore:
    cache = Cache(origin.cache, side, origin.pictures, origin.masks, config)
    if update:
        with progress(f"cache {side}", total=None, unit="face") as bar:
            refresh(cache, bar)
    store, skipped = cache.open()
    opened.callback(store.close)
    if len(store) < MIN_FACES:
        some = f"{len(store)} usable faces of {side}, training needs {MIN_FACES}"
        left_out = "; ".join(f"{name}: {why}" for name, why in list(skipped.items())[:3])
        raise WorkspaceError(
            (some if len(store) else f"no aligned faces of {side}")
            + (f"; {len(skipped)} pictures cannot be used: {left_out}" if skipped else ""),
            seen_in=origin.pictures,
            fix=origin.fix,
        )
    if skipped:
        facts[f"{side} skipped"] = skipped
        _log.warning("%d pictures of %s left out: %s", len(skipped), side, skipped)
    return store


def on_device(
    stores: Stores, config: TrainConfig, device: Device, *, batch: int, facts: dict[str, Any]
) -> Stores:
    """Return the faces in the memory of a GPU if they fit; a CPU reads them as they come."""
    one_of_each = {id(store): store for store in stores.values()}
    size = sum(len(store) * store.layout.row_bytes for store in one_of_each.values())
    facts["faces_mb"] = round(size / 1e6, 1)
    if device.name == "cpu":
        return stores
    step = estimate_cost(config, device, batch_size=batch).activations_bytes
    free = device.free_bytes()
    fits = size <= min(FACES_SHARE * free, free - ACTIVATIONS_AND_MORE * step)
    _log.info("%.2f GB of faces %s", size / 1e9, "on the GPU" if fits else "are sent as needed")
    if not fits:
        return stores
    held = {key: hold(store, device.place) for key, store in one_of_each.items()}
    return {side: held[id(store)] for side, store in stores.items()}
