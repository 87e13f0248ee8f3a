"""Painting the faces of many frames at once, on a GPU: the twin of compose for plain looks.

What compose does in the box of one face, this does in a stack of boxes of one size, a face
each. Frames stay where they are: only the boxes travel. The two agree within 2 of 255 levels:
OpenCV rounds positions to 1/32 of a pixel, the GPU does not.
"""

# Shape suffixes: B batch of faces, C 3 channels, H, W sides of the boxes, S side of what was
# drawn, 2 x and y.

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from faceswap_cli.geometry import warp
from faceswap_cli.mask_expression import LEARNED, LEARNED_OF, parse
from faceswap_cli.masks import hull_mask
from faceswap_cli.merging.compose import LEAST, Pasted, united
from faceswap_cli.merging.light import Light, largest
from faceswap_cli.merging.look import Box, Drawn, FrameImage, Look
from faceswap_cli.merging.masking import face_box, placed
from faceswap_cli.merging.stacks import blur_each, column, shrink_each

_SIDES = ("left", "right", "top", "bottom")
_PLAIN = (
    "profile_fade", "match_sharpness", "motion_blur", "grain", "jpeg", "shave",
    *(f"{name}_{side}" for name in ("erode", "feather") for side in _SIDES),
)  # fmt: skip


def supports(look: Look) -> bool:
    """Return whether paste_batch can paint it; what it cannot, paste_faces can."""
    return look.mode == "overlay" and all(getattr(look, name) == 0.0 for name in _PLAIN)


def paste_batch(
    frames: Sequence[FrameImage],
    faces: Sequence[Sequence[Drawn]],
    look: Look,
    *,
    device: torch.device,
) -> list[Pasted]:
    """Paint faces into copies of frames; see compose.paste_faces, which does it frame by frame.

    Args:
        frames: (H, W, 3) each, 8 or 16 bits, of any sizes.
        faces: Those of each frame, in any order.
        look: The same for all of them; one that is supported.
        device: Where it is done.

    Returns:
        The new frames, without layers.
    """
    assert supports(look), look
    done = [Pasted(f.copy(), np.zeros(f.shape[:2], np.uint8), None) for f in frames]
    waiting = [sorted(some, key=lambda drawn: drawn.face_px) for some in faces]
    for rank in range(max(map(len, waiting), default=0)):  # a face lies on those before it
        alike: defaultdict[tuple[int, str], list[_Job]] = defaultdict(list)
        for pasted, some in zip(done, waiting, strict=True):
            if rank < len(some):
                job = _Job.of(pasted, placed(some[rank], look), look)
                if 0 not in job.part.size_wh:
                    alike[len(job.drawn.face), pasted.image.dtype.name].append(job)
        for jobs in alike.values():
            _paint_all(jobs, look, device)
    return done


@dataclass(frozen=True)
class _Job:
    """A face and where it is painted."""

    pasted: Pasted
    drawn: Drawn
    box: Box
    part: Box
    """Of the box, within the picture."""

    @classmethod
    def of(cls, pasted: Pasted, drawn: Drawn, look: Look) -> "_Job":
        box = face_box(drawn, look)
        return cls(pasted, drawn, box, box.within((pasted.image.shape[1], pasted.image.shape[0])))

    @property
    def percent_px(self) -> float:
        return self.drawn.face_px / 100.0

    @property
    def scale(self) -> float:
        """Pixels of what was drawn per pixel of the frame."""
        return self.drawn.crop_from_frame.scale

    @property
    def inner(self) -> tuple[slice, slice]:
        """Rows and columns of the part in its box."""
        top, left = self.part.top - self.box.top, self.part.left - self.box.left
        width, height = self.part.size_wh
        return slice(top, top + height), slice(left, left + width)

    @property
    def outer(self) -> tuple[slice, slice]:
        """The same in its frame."""
        return slice(self.part.top, self.part.bottom), slice(self.part.left, self.part.right)


def _paint_all(jobs: Sequence[_Job], look: Look, device: torch.device) -> None:
    """Paint faces at once; where their boxes do not fit, half of them, and a single one elsewhere.

    Nothing is painted before all is known, so that it can be begun again.
    """
    try:
        _paint(jobs, look, device)
        return
    except torch.OutOfMemoryError:
        half = len(jobs) // 2
    if half == 0:
        _paint(jobs, look, torch.device("cpu"))
        return
    _paint_all(jobs[:half], look, device)
    _paint_all(jobs[half:], look, device)


@torch.inference_mode()
def _paint(jobs: Sequence[_Job], look: Look, device: torch.device) -> None:
    width, height = (max(sides) for sides in zip(*(j.box.size_wh for j in jobs), strict=True))
    dtype = jobs[0].pasted.image.dtype
    white = float(largest(dtype))
    background = np.zeros((len(jobs), height, width, 3), dtype)
    for boxed, job in zip(background, jobs, strict=True):
        boxed[job.inner] = job.pasted.image[job.outer]
    # torch knows no arithmetic of uint16.
    levels = background if dtype == np.uint8 else background.astype(np.int32)
    levels_BCHW = torch.from_numpy(levels).to(device).permute(0, 3, 1, 2)
    at_BHW2 = _positions(jobs, (width, height), device)
    mask_B1HW = _masks(jobs, look, at_BHW2)
    face_BCHW = _faces(jobs, look, at_BHW2)
    mixed = _overlay(levels_BCHW.float() / white, face_BCHW, mask_B1HW, look.light)
    mixed = torch.where(mask_B1HW > 0.0, (mixed * white).round(), levels_BCHW)
    images = mixed.permute(0, 2, 3, 1).to(torch.int32).cpu().numpy().astype(dtype)
    masks = mask_B1HW[:, 0].cpu().numpy()
    for job, image, mask in zip(jobs, images, masks, strict=True):
        painted = job.pasted.mask
        painted[job.outer] = united(painted[job.outer], mask[job.inner])
        job.pasted.image[job.outer] = image[job.inner]


def _positions(jobs: Sequence[_Job], size_wh: tuple[int, int], device: torch.device) -> Tensor:
    """Return where in what was drawn each pixel of the boxes lies, (B, H, W, 2)."""
    matrices = [j.drawn.crop_from_frame.after(j.box.box_from_frame.inverse()).matrix for j in jobs]
    linear = torch.from_numpy(np.stack(matrices).astype(np.float32)).to(device)
    x = torch.arange(size_wh[0], device=device, dtype=torch.float32)
    y = torch.arange(size_wh[1], device=device, dtype=torch.float32)
    along = linear[:, None, None, :, 0] * x[None, None, :, None]
    down = linear[:, None, None, :, 1] * y[None, :, None, None]
    return along + down + linear[:, None, None, :, 2]


def _faces(jobs: Sequence[_Job], look: Look, at_BHW2: Tensor) -> Tensor:
    drawn = torch.from_numpy(np.stack([job.drawn.face for job in jobs])).to(at_BHW2.device)
    face_BCHW = _sampled(drawn.permute(0, 3, 1, 2), jobs, at_BHW2, border="border")
    if look.sharpen > 0.0:
        soft = blur_each(face_BCHW, [max(0.5, 1.0 / job.scale) for job in jobs])
        face_BCHW = face_BCHW + look.sharpen * (face_BCHW - soft)
    return face_BCHW.clamp(0.0, 1.0)


def _sampled(image_BCSS: Tensor, jobs: Sequence[_Job], at_BHW2: Tensor, *, border: str) -> Tensor:
    """Resample cubically, low-passed where it shrinks, as geometry.warp does."""
    side = image_BCSS.shape[-1]
    sigmas_px = [0.5 * math.sqrt(max(0.0, job.scale**2 - 1.0)) for job in jobs]
    return F.grid_sample(
        blur_each(image_BCSS, sigmas_px),
        at_BHW2 * (2.0 / (side - 1)) - 1.0,
        mode="bicubic",
        padding_mode=border,
        align_corners=True,
    )


def _masks(jobs: Sequence[_Job], look: Look, at_BHW2: Tensor) -> Tensor:
    """Return how much of each pixel of the boxes is painted, (B, 1, H, W); see face_mask."""
    side = len(jobs[0].drawn.face)
    mask = _evaluated(jobs, look, at_BHW2) * _crop_fade(at_BHW2, side, [1.0] * len(jobs))
    shown = _shown(jobs, at_BHW2)
    mask = shrink_each(mask * shown, [look.erode * job.percent_px for job in jobs])
    mask = blur_each(mask, [look.feather * job.percent_px / 4.0 for job in jobs]) * shown
    slopes_px = [max(1.0, look.feather * job.percent_px * job.scale) for job in jobs]
    mask = mask * _crop_fade(at_BHW2, side, slopes_px)
    mask = torch.where(mask < float(LEAST), 0.0, mask)
    return torch.where(mask > 1.0 - float(LEAST), 1.0, mask)


def _evaluated(jobs: Sequence[_Job], look: Look, at_BHW2: Tensor) -> Tensor:
    """Return what the mask expression makes of the masks there are."""
    expression = parse(look.mask)
    stack: list[Tensor] = []
    for step in expression.steps:
        if step in ("+", "-", "*"):
            right, left = stack.pop(), stack.pop()
            both = left * (1.0 - right if step == "-" else right)
            stack.append(torch.maximum(left, right) if step == "+" else both)
        elif step == "hull":
            stack.append(_hulls(jobs, look, at_BHW2))
        elif step in expression.names:
            stack.append(_outlines(jobs, step, at_BHW2))
        else:
            stack.append(torch.full_like(at_BHW2[:, None, ..., 0], float(step)))
    return stack[0]


def _hulls(jobs: Sequence[_Job], look: Look, at_BHW2: Tensor) -> Tensor:
    size_wh = (at_BHW2.shape[2], at_BHW2.shape[1])
    hulls = [
        hull_mask(
            job.box.box_from_frame.apply(job.drawn.landmarks),
            size_wh,
            jaw_px=look.jaw * job.percent_px,
        )
        for job in jobs
    ]
    hull_B1HW = torch.from_numpy(np.stack(hulls)).to(at_BHW2.device)[:, None].float() / 255.0
    return shrink_each(hull_B1HW, [-look.grow * job.percent_px for job in jobs])


def _outlines(jobs: Sequence[_Job], name: str, at_BHW2: Tensor) -> Tensor:
    """Return a mask of what was drawn, in the boxes; 1 for faces that have none."""
    parts = LEARNED_OF if name == LEARNED else (name,)
    found = [[m for key, m in job.drawn.masks.items() if key in parts] for job in jobs]
    blank = np.ones_like(jobs[0].drawn.face[..., 0])
    masks = np.stack([np.minimum.reduce(some) if some else blank for some in found])
    outline = torch.from_numpy(masks).to(at_BHW2.device)[:, None]
    outline = _sampled(outline, jobs, at_BHW2, border="zeros").clamp(0.0, 1.0)
    is_there = torch.tensor([bool(some) for some in found], device=at_BHW2.device)
    return torch.where(is_there[:, None, None, None], outline, 1.0)


def _shown(jobs: Sequence[_Job], at_BHW2: Tensor) -> Tensor:
    """Return where the faces are seen; few frames have something before them."""
    shown = np.ones((len(jobs), 1, *at_BHW2.shape[1:3]), np.float32)
    for one, job in zip(shown[:, 0], jobs, strict=True):
        if job.drawn.shown is not None:
            back = job.box.box_from_frame.after(job.drawn.shown.mask_from_frame.inverse())
            one[:] = warp(job.drawn.shown.mask, back, size_wh=one.shape[::-1]).clip(0.0, 1.0)
    return torch.from_numpy(shown).to(at_BHW2.device)


def _crop_fade(at_BHW2: Tensor, side: int, slopes_px: Sequence[float]) -> Tensor:
    half = (side - 1) / 2.0
    inside = half - (at_BHW2 - half).abs().amax(dim=3)
    return (inside / column(slopes_px, at_BHW2)[:, 0]).clamp(0.0, 1.0)[:, None]


def _overlay(below: Tensor, above: Tensor, mask: Tensor, light: Light) -> Tensor:
    """Return above where mask is 1, and below where it is 0; see blending.overlay."""
    if light == "signal":
        return below + mask * (above - below)
    below, lit = (
        torch.where(x < 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4) for x in (below, above)
    )
    mixed = (below + mask * (lit - below)).clamp(0.0, 1.0)
    curve = 1.055 * mixed.clamp(min=0.0031308) ** (1.0 / 2.4) - 0.055
    return torch.where(mask < 1.0, torch.where(mixed < 0.0031308, 12.92 * mixed, curve), above)
