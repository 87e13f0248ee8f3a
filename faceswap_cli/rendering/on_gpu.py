"""Painting faces where the network has drawn them: many frames at once, on the GPU."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch

from faceswap_cli.merging.on_device import paste_batch, supports
from faceswap_cli.rendering.flow import Ready


def painted(ready: Iterable[Ready], place: torch.device, *, at_once: int) -> Iterator[Ready]:
    """Yield frames in their order, painted if the device can do what their look asks for.

    What it cannot is left to the threads of the CPU.

    Args:
        ready: Frames with their faces.
        place: Where it is done.
        at_once: Frames of one look that are painted together.
    """
    batch: list[Ready] = []
    for item in ready:
        is_possible = item.look is not None and supports(item.look)
        if batch and (not is_possible or item.look is not batch[0].look):
            yield from _paint(batch, place)
            batch = []
        if not is_possible:
            yield item
            continue
        batch.append(item)
        if len(batch) >= at_once:
            yield from _paint(batch, place)
            batch = []
    yield from _paint(batch, place)


def _paint(batch: list[Ready], place: torch.device) -> Iterator[Ready]:
    if not batch:
        return
    look = batch[0].look
    assert look is not None
    frames, faces = [item.frame.image for item in batch], [item.faces for item in batch]
    for item, pasted in zip(batch, paste_batch(frames, faces, look, device=place), strict=True):
        yield replace(item, pasted=pasted)
