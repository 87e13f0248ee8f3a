"""Having a model draw faces anew, in batches."""

# Shape suffixes: B batch, H = W = side of the crop, K outlines, D numbers of a colour map.

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from faceswap_cli.colour import MIN_REGION_PX
from faceswap_cli.device import Device
from faceswap_cli.errors import ConfigError, DeviceError
from faceswap_cli.geometry import resizing, warp
from faceswap_cli.mask_expression import FULL, LEARNED, LEARNED_OF, parse
from faceswap_cli.merging.cut import Cut, cut_face, to_faces
from faceswap_cli.merging.enhance import Enhance
from faceswap_cli.merging.look import Drawn, FrameImage, Look, MaskName
from faceswap_cli.merging.recolour import measure_colour, recolour
from faceswap_cli.merging.steady import Sketch
from faceswap_cli.models import AMP, Faces, Model, Painter
from faceswap_cli.types import FloatImage, Points, RgbImage

_log = logging.getLogger(__name__)
_OF_MODELS = frozenset((LEARNED, *LEARNED_OF))
_OUTLINES: tuple[MaskName, ...] = ("learned_src", "learned_dst")

Segment = Callable[[Sequence[RgbImage], Sequence[Points]], list[FloatImage]]
"""Crops (S, S, 3) and their landmarks (68, 2), crop pixels, to where the face is seen, (S, S)."""


def instruct(model: Model, *, morph: float, masks: Collection[str]) -> None:
    """Tell a model how it is to draw, before it is bound to a clip.

    Args:
        model: Remembers `morph` if it can draw what lies between dst and src.
        morph: How far from dst to src, 0..1.
        masks: Names of what the mask will be made of.

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
    if model.draws_mask or not _OF_MODELS & set(masks):
        return
    others = sorted(set(masks) - _OF_MODELS - {FULL})
    if not others:
        raise ConfigError(
            f"merge.mask={'*'.join(sorted(masks))}: the model, {name}, has not learnt any mask",
            fix="--mask hull",
        )
    told = " with ".join(others)
    _log.info("%s draws no mask: the %s alone is where the new face is painted", name, told)


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
    enhance: Enhance | None = None
    """Enlarges what was drawn."""
    segment: Segment | None = None
    """Tells where a face is seen in a crop."""

    def cut(self, frame: FrameImage, landmarks: Points) -> Cut:
        """Cut a face out of its frame; see cut_face."""
        return cut_face(frame, landmarks, face_type=self.face_type, size_px=self.size_px)

    def draw(self, cuts: Sequence[Cut], looks: Sequence[Look]) -> list[Sketch]:
        """Draw any number of faces anew, batch by batch, in the same order.

        Raises:
            DeviceError: A batch does not fit into the memory of the device.
        """
        drawn: list[Sketch] = []
        for start in range(0, len(cuts), self.batch_size):
            batch = slice(start, start + self.batch_size)
            try:
                drawn += self._draw_batch(cuts[batch], looks[batch])
            except torch.OutOfMemoryError as error:
                fewer = f"--batch-faces {self.batch_size // 2}, or " if self.batch_size > 1 else ""
                raise DeviceError(
                    f"no memory for {self.batch_size} faces at once",
                    seen_in=f"merge on {self.device}",
                    fix=f"{fewer}--device cpu",
                ) from error
        return drawn

    @torch.inference_mode()
    def _draw_batch(self, cuts: Sequence[Cut], looks: Sequence[Look]) -> list[Sketch]:
        # Filled up with copies: what comes out for a face must not depend, not even in its
        # last bit, on how many others are left to do.
        filled = [*cuts, *[cuts[-1]] * (self.batch_size - len(cuts))]
        faces = to_faces(filled, self.device.place)
        with self.device.autocast():
            drawn, outlines = self.painter(faces, faces)
        drawn = drawn.float()
        if self.enhance is not None:  # it takes long, and one face after the other
            drawn = self.enhance(drawn[: len(cuts)]).float()
        found = self._masks(cuts, drawn, None if outlines is None else outlines.float(), looks)
        masks = [_asked(found, i, look) for i, look in enumerate(looks)]
        numbers = self._measure(cuts, drawn, faces, masks, looks)
        images = drawn.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return [_sketch(cut, images[i], masks[i], numbers[i]) for i, cut in enumerate(cuts)]

    def _masks(
        self, cuts: Sequence[Cut], drawn: Tensor, outlines: Tensor | None, looks: Sequence[Look]
    ) -> dict[MaskName, FloatImage]:
        """Return what networks say of the crops, (B, S, S) each, S as large as what is drawn."""
        masks: dict[MaskName, FloatImage] = {}
        if outlines is not None:
            outlines_BKHW = _at_size(outlines, drawn).cpu().numpy()
            masks |= dict(zip(_OUTLINES, outlines_BKHW.transpose(1, 0, 2, 3), strict=False))
        needed = set().union(*(parse(look.mask).needed for look in looks))
        if self.segment is None or not needed & {"seg_src", "seg_dst"}:
            return masks
        points = [cut.crop_from_frame.apply(cut.landmarks) for cut in cuts]
        if "seg_dst" in needed:
            masks["seg_dst"] = self._segmented([cut.image for cut in cuts], points, drawn)
        if "seg_src" in needed:
            small = F.interpolate(drawn, (self.size_px, self.size_px), mode="area")
            pixels = (small.clamp(0.0, 1.0) * 255.0).round().byte().permute(0, 2, 3, 1)
            pictures = list(pixels.cpu().numpy()[: len(cuts)])
            masks["seg_src"] = self._segmented(pictures, points, drawn)
        return masks

    def _segmented(
        self, pictures: Sequence[RgbImage], points: Sequence[Points], drawn: Tensor
    ) -> FloatImage:
        assert self.segment is not None
        found = torch.from_numpy(np.stack(self.segment(pictures, points)))
        return np.asarray(_at_size(found[:, None], drawn)[:, 0].numpy(), np.float32)

    def _measure(
        self,
        cuts: Sequence[Cut],
        drawn: Tensor,
        faces: Faces,
        masks: Sequence[Mapping[MaskName, FloatImage]],
        looks: Sequence[Look],
    ) -> list[NDArray[np.float32]]:
        """Return what the colours of each face and of its footage are; see measure_colour."""
        footage = _at_size(faces.img, drawn)
        numbers: list[NDArray[np.float32]] = []
        for i, (cut, look) in enumerate(zip(cuts, looks, strict=True)):
            regions = [
                _at_size(torch.from_numpy(region)[None, None].to(drawn.device), drawn)
                for region in _compared(cut, masks[i], look)
            ]
            one = slice(i, i + 1)
            measured = measure_colour(look.colour, drawn[one], regions[0], footage[one], regions[1])
            numbers.append(measured[0].cpu().numpy())
        return numbers


@torch.inference_mode()
def finish(
    cuts: Sequence[Cut], sketches: Sequence[Sketch], looks: Sequence[Look], place: torch.device
) -> list[Drawn]:
    """Give faces their colours.

    Args:
        cuts: In any order.
        sketches: What was drawn for them, smoothed over time.
        looks: Of each of them.
        place: Where to compute.
    """
    drawn: list[Drawn] = []
    both = zip(cuts, sketches, looks, strict=True)
    for (colour, _), alike in groupby(both, key=lambda b: (b[2].colour, b[1].face.shape)):
        found = list(alike)
        faces = torch.from_numpy(np.stack([sketch.face for _, sketch, _ in found]))
        numbers = torch.from_numpy(np.stack([sketch.colour for _, sketch, _ in found]))
        images = recolour(colour, faces.permute(0, 3, 1, 2).to(place), numbers.to(place))
        pixels = images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        drawn += [
            _drawn(cut, sketch, image)
            for (cut, sketch, _), image in zip(found, pixels, strict=True)
        ]
    return drawn


def _asked(masks: Mapping[MaskName, FloatImage], at: int, look: Look) -> dict[MaskName, FloatImage]:
    """Return the masks of one face: those of the segmenter only if its own look asks for them."""
    needed = parse(look.mask).needed.union(_OUTLINES)
    return {name: mask[at] for name, mask in masks.items() if name in needed}


def _compared(
    cut: Cut, masks: Mapping[MaskName, FloatImage], look: Look
) -> tuple[FloatImage, FloatImage]:
    """Return where colours of the new face and of the footage are compared, (S, S) each."""
    seen = _seen(cut, masks)
    if look.colour_from == "skin":
        regions = [cut.region, cut.region]
    else:
        regions = [cut.mask * _of_crop(cut, masks.get(name)) for name in _OUTLINES]
    # Where next to nothing of it is seen, the colours of what is before it are better than none.
    hidden = [region * seen for region in regions]
    first, second = regions if min(map(np.sum, hidden)) < MIN_REGION_PX else hidden
    return first, second


def _seen(cut: Cut, masks: Mapping[MaskName, FloatImage]) -> FloatImage:
    """Return where nothing is known to be before the face, (S, S), 0..1."""
    seen = _of_crop(cut, masks.get("seg_dst"))
    if cut.shown is None:
        return seen
    crop_from_mask = cut.crop_from_frame.after(cut.shown.mask_from_frame.inverse())
    shown = warp(cut.shown.mask, crop_from_mask, size_wh=seen.shape[::-1]).clip(0.0, 1.0)
    return np.asarray(seen * shown, np.float32)


def _of_crop(cut: Cut, mask: FloatImage | None) -> FloatImage:
    """Return a mask of what was drawn at the size of its crop, (S, S); None: everywhere."""
    if mask is None:
        return np.ones_like(cut.mask)
    return np.asarray(
        F.interpolate(torch.from_numpy(mask)[None, None], cut.mask.shape, mode="area")[0, 0].numpy()
    )


def _at_size(image_BCHW: Tensor, like_BCHW: Tensor) -> Tensor:
    """Return an image at the size of another one: a model may draw larger than it sees."""
    if image_BCHW.shape[-1] == like_BCHW.shape[-1]:
        return image_BCHW
    return F.interpolate(image_BCHW, like_BCHW.shape[-2:], mode="bilinear", align_corners=False)


def _sketch(
    cut: Cut,
    face: FloatImage,
    masks: Mapping[MaskName, FloatImage],
    numbers: NDArray[np.float32],
) -> Sketch:
    enlarged = resizing(len(face) / len(cut.image))
    return Sketch(
        frame_index=cut.frame_index,
        track=cut.track,
        face=face,
        masks=masks,
        colour=numbers,
        plate=cut.plate,
        footage=cut.image,
        crop_from_frame=enlarged.after(cut.crop_from_frame),
        face_px=cut.face_px,
    )


def _drawn(cut: Cut, sketch: Sketch, face: FloatImage) -> Drawn:
    return Drawn(
        face=face,
        landmarks=cut.landmarks,
        crop_from_frame=sketch.crop_from_frame,
        face_px=cut.face_px,
        masks=sketch.masks,
        shown=cut.shown,
        pose_deg=cut.pose_deg,
        motion_px=cut.motion_px,
        plate=sketch.plate,
        seed=cut.frame_index,
    )
