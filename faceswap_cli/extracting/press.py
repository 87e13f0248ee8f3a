"""Cutting and encoding a face: on the CPU, or all on a GPU."""

import math
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

from faceswap_cli.extracting.describe import cut
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.geometry import Similarity
from faceswap_cli.imaging import encode_image
from faceswap_cli.media.reader import Frame
from faceswap_cli.types import RgbImage


class Press(Protocol):
    """Makes the encoded picture of a face."""

    def picture(self, frame: Frame, record: FaceRecord) -> bytes:
        """Return the file's bytes, without its record; called by several threads."""
        ...


class CpuPress:
    """Cuts and encodes with OpenCV."""

    def __init__(self, suffix: str, jpeg_quality: int) -> None:
        self._suffix, self._quality = suffix, jpeg_quality

    def picture(self, frame: Frame, record: FaceRecord) -> bytes:
        """Return the file's bytes."""
        return encode_image(cut(frame, record), self._suffix, jpeg_quality=self._quality)


class CudaPress:
    """Cuts and encodes JPEG on a GPU: only the part of the frame goes there, and the file back."""

    def __init__(self, place: torch.device, jpeg_quality: int) -> None:
        self._place, self._quality = place, jpeg_quality

    @torch.inference_mode()
    def picture(self, frame: Frame, record: FaceRecord) -> bytes:
        """Return the file's bytes."""
        x, y = frame.corner_xy
        frame_from_part = Similarity(np.array([[1.0, 0.0, x], [0.0, 1.0, y]]))
        crop_from_part = record.crop.after(frame_from_part)
        crop_3HW = warp_on(self._place, frame.image, crop_from_part, size_px=record.size_px)
        encoded = torchvision.io.encode_jpeg(crop_3HW, quality=self._quality)
        return bytes(encoded.cpu().numpy().tobytes())


def warp_on(
    place: torch.device, image: RgbImage, out_from_image: Similarity, *, size_px: int
) -> Tensor:
    """Resample a picture as geometry.warp does, on a device; beyond it, its border repeats.

    Args:
        place: Where.
        image: (H, W, 3).
        out_from_image: From pixels of `image` to pixels of the result.
        size_px: Side of the result.

    Returns:
        (3, size_px, size_px), uint8, on the device.
    """
    source_1CHW = torch.from_numpy(np.ascontiguousarray(image)).to(place)
    source_1CHW = source_1CHW.permute(2, 0, 1)[None].float()
    sigma = 0.5 * math.sqrt(max(0.0, out_from_image.scale**-2 - 1.0))
    if sigma > 0.0:
        side = 2 * math.ceil(3.0 * sigma) + 1
        reach = side // 2
        padded = F.pad(source_1CHW, (reach,) * 4, mode="replicate")
        kernel = torch.exp(-0.5 * (torch.arange(side, device=place) - reach).div(sigma) ** 2)
        kernel = (kernel / kernel.sum()).expand(3, 1, 1, side)
        across = F.conv2d(padded, kernel, groups=3)
        source_1CHW = F.conv2d(across, kernel.mT, groups=3)
    height, width = image.shape[:2]
    linear = torch.tensor(out_from_image.inverse().matrix, dtype=torch.float32, device=place)
    steps = torch.arange(size_px, dtype=torch.float32, device=place)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    at = torch.stack([x, y, torch.ones_like(x)], dim=-1) @ linear.T  # (S, S, 2), pixels
    sides = torch.tensor([width, height], dtype=torch.float32, device=place)
    grid = ((at + 0.5) * 2.0 / sides - 1.0)[None]
    warped = F.grid_sample(
        source_1CHW, grid, mode="bicubic", padding_mode="border", align_corners=False
    )
    return warped[0].round().clamp(0, 255).to(torch.uint8)
