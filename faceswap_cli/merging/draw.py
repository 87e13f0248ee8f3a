"""Cutting faces out of frames, and having a model draw them anew, in batches."""

# Shape suffixes: B batch, H = W = side of the crop.

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from faceswap_cli.colour import transfer_colour
from faceswap_cli.device import Device
from faceswap_cli.errors import ConfigError, DeviceError
from faceswap_cli.faces.templates import FACE_TYPES, crop_from_frame
from faceswap_cli.geometry import Similarity, resizing, warp
from faceswap_cli.imaging import to_float
from faceswap_cli.masks import hull_mask
from faceswap_cli.merging.compose import Drawn, MaskName, Shown
from faceswap_cli.merging.regions import colour_region
from faceswap_cli.models import AMP, Faces, Model, Painter
from faceswap_cli.types import FloatImage, Points, RgbImage

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cut:
    """A face of the footage, as a model sees it."""

    image: RgbImage
    """(S, S, 3)."""
    mask: FloatImage
    """(S, S), the hull."""
    region: FloatImage
    """(S, S), where skin is to be expected."""
    landmarks: Points
    """(68, 2), frame pixels."""
    crop_from_frame: Similarity
    face_px: float
    """Side of the mean face's unit square, frame pixels."""
    shown: Shown | None = None
    """See Drawn."""


def cut_face(frame: RgbImage, landmarks: Points, *, face_type: str, size_px: int) -> Cut:
    """Cut a face out of a picture.

    Args:
        frame: (H, W, 3).
        landmarks: (68, 2), pixels of `frame`.
        face_type: A key of FACE_TYPES.
        size_px: Side of the crop, pixels.

    Raises:
        GeometryError: The landmarks are not finite or coincide.
    """
    crop_from = crop_from_frame(landmarks, face_type, size_px)
    points = crop_from.apply(landmarks)
    return Cut(
        image=warp(frame, crop_from, size_wh=(size_px, size_px)),
        mask=to_float(hull_mask(points, (size_px, size_px))),
        region=colour_region(points, size_px),
        landmarks=landmarks,
        crop_from_frame=crop_from,
        face_px=size_px / FACE_TYPES[face_type].side / crop_from.scale,
    )


def to_faces(cuts: Sequence[Cut], device: torch.device) -> Faces:
    """Return the cuts as a batch on a device."""
    img = torch.from_numpy(np.stack([cut.image for cut in cuts])).to(device)
    mask = torch.from_numpy(np.stack([cut.mask for cut in cuts])).to(device)
    side = len(cuts[0].image)
    points = np.stack([cut.crop_from_frame.apply(cut.landmarks) for cut in cuts])
    return Faces(
        # A view of (B, H, W, 3) is in channels-last order already, what networks like best.
        img=img.permute(0, 3, 1, 2).float() / 255.0,
        lms=torch.from_numpy(((points + 0.5) * (2.0 / side) - 1.0).astype(np.float32)).to(device),
        mask=mask[:, None],
    )


def instruct(model: Model, *, morph: float, mask: MaskName) -> None:
    """Tell a model how it is to draw, before it is bound to a clip.

    Args:
        model: Remembers `morph` if it can draw what lies between dst and src.
        morph: How far from dst to src, 0..1.
        mask: What the mask will be made of.

    Raises:
        ConfigError: It cannot draw what it is asked for.
    """
    name = type(model).__name__
    if isinstance(model, AMP):
        model.set_morph(morph)
    elif morph != 1.0:
        raise ConfigError(
            f"merge.morph={morph:g}: the model, {name}, draws src or nothing; only AMP morphs",
            fix="leave morph out, or train a model of kind amp",
        )
    if model.draws_mask or mask == "hull":
        return
    if mask == "learned":
        raise ConfigError(
            f"merge.mask=learned: the model, {name}, has not learnt any mask", fix="--mask hull"
        )
    _log.info("%s draws no mask: the hull alone is where the new face is painted", name)


@dataclass(frozen=True)
class Artist:
    """A model that was bound to a clip, and how it is used."""

    painter: Painter
    device: Device
    face_type: str
    """What the model sees of the head, a key of FACE_TYPES."""
    size_px: int
    """Side of the crop it is given."""
    batch_size: int
    match_colour: bool
    """Give what it draws the colours of the footage."""

    def cut(self, frame: RgbImage, landmarks: Points) -> Cut:
        """Cut a face out of its frame; see cut_face."""
        return cut_face(frame, landmarks, face_type=self.face_type, size_px=self.size_px)

    def draw(self, cuts: Sequence[Cut]) -> list[Drawn]:
        """Draw any number of faces anew, batch by batch, in the same order.

        Raises:
            DeviceError: A batch does not fit into the memory of the device.
        """
        drawn: list[Drawn] = []
        for start in range(0, len(cuts), self.batch_size):
            try:
                drawn += self._draw_batch(cuts[start : start + self.batch_size])
            except torch.OutOfMemoryError as error:
                raise DeviceError(
                    f"no memory for {self.batch_size} faces at once",
                    seen_in=f"merge on {self.device}",
                    fix=f"--batch-faces {max(1, self.batch_size // 2)}, or --device cpu",
                ) from error
        return drawn

    @torch.inference_mode()
    def _draw_batch(self, cuts: Sequence[Cut]) -> list[Drawn]:
        # Filled up with copies: what comes out for a face must not depend, not even in its
        # last bit, on how many others are left to do.
        filled = [*cuts, *[cuts[-1]] * (self.batch_size - len(cuts))]
        place = self.device.place
        faces = to_faces(filled, place)
        with self.device.autocast():
            drawn, mask = self.painter(faces, faces)
        drawn = drawn.float()
        if self.match_colour:
            region = torch.from_numpy(np.stack([cut.region for cut in filled])).to(place)
            footage, region = (_at_size(part, drawn) for part in (faces.img, region[:, None]))
            drawn = transfer_colour(drawn, footage, region)
        images = drawn.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        # None: the hull that the composition draws anew is the mask of the canvas.
        masks = [None] * len(cuts) if mask is None else list(mask[:, 0].float().cpu().numpy())
        return [_place(*parts) for parts in zip(cuts, images, masks, strict=False)]


def _at_size(image_BCHW: Tensor, like_BCHW: Tensor) -> Tensor:
    """Return an image at the size of another one: a model may draw larger than it sees."""
    if image_BCHW.shape[-1] == like_BCHW.shape[-1]:
        return image_BCHW
    return F.interpolate(image_BCHW, like_BCHW.shape[-2:], mode="bilinear", align_corners=False)


def _place(cut: Cut, face: FloatImage, mask: FloatImage | None) -> Drawn:
    enlarged = resizing(len(face) / len(cut.image))
    crop_from_frame = enlarged.after(cut.crop_from_frame)
    return Drawn(face, mask, cut.landmarks, crop_from_frame, cut.face_px, cut.shown)
