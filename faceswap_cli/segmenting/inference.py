"""Masks from a trained network: of crops, of aligned pictures, of frames."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from faceswap_cli.config import MaskConfig
from faceswap_cli.device import Device
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.segmenting.cutting import net_from_frame
from faceswap_cli.segmenting.eyes import Eyes
from faceswap_cli.segmenting.network import MaskNet
from faceswap_cli.segmenting.state import check_eyes, stored_section
from faceswap_cli.training.fitting import fill
from faceswap_cli.training.stored import checkpoints, read_stored
from faceswap_cli.types import FloatImage, Points, RgbImage

LEAST_PART = 0.04
"""Of the largest part of a mask: smaller parts are specks, larger ones are the rest of a face
that a finger divides."""
LEAST_HOLE = 0.003
"""Of the mask: smaller holes are closed."""
EDGE = (0.25, 0.75)
"""What the network says where the soft edge begins and ends."""
SMOOTH = 0.004
"""Of the edge, sides of the crop."""
_AVERAGE = "average/"


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A network ready to make masks."""

    net: MaskNet
    eyes: Eyes
    device: Device
    face_type: str
    resolution: int
    """Side of the crops it sees, pixels."""
    iteration: int
    fingerprint: str
    """Changes with the weights."""

    def net_from_frame(self, landmarks: Points) -> Similarity:
        """Return the transform from a frame to what the network sees of it."""
        return net_from_frame(landmarks, self.face_type, self.resolution)

    def cut(self, image: RgbImage, net_from_image: Similarity) -> RgbImage:
        """Cut a crop of the network out of a picture, (resolution, resolution, 3)."""
        return warp(image, net_from_image, size_wh=(self.resolution,) * 2)


def open_segmenter(folder: Path, device: Device) -> Segmenter:
    """Return the newest mask network of a folder, with its averaged weights, on the device.

    Raises:
        WorkspaceError: There is none, or it is damaged.
    """
    found = checkpoints(folder)
    if not found:
        raise WorkspaceError(
            "no trained mask network",
            seen_in=folder,
            fix=f"faceswap-cli mask train {folder.parent}",
        )
    about, tensors = read_stored(found[-1])
    section = stored_section(about, found[-1])
    net = MaskNet(section.width)
    weights = {n.removeprefix(_AVERAGE): t for n, t in tensors.items() if n.startswith(_AVERAGE)}
    fill(net.state_dict(keep_vars=True), weights, found[-1])
    eyes = Eyes(device.place)
    check_eyes(about, eyes, found[-1])
    return segmenter_of(net, eyes, device, section, iteration=int(about["iteration"]))


def segmenter_of(
    net: MaskNet, eyes: Eyes, device: Device, section: MaskConfig, *, iteration: int
) -> Segmenter:
    """Make a network ready to make masks.

    Args:
        net: With its weights; moved to the device, and not to be trained any more.
        eyes: On the device.
        device: Where it is going to run.
        section: Of its training.
        iteration: So far it was trained.
    """
    face_type, resolution = section.face_type, section.resolution
    digest = hashlib.sha256(f"{face_type} {resolution} {eyes.name}".encode())
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    ready = net.to(device.place).eval().requires_grad_(False)
    fingerprint = digest.hexdigest()[:12]
    return Segmenter(ready, eyes, device, face_type, resolution, iteration, fingerprint)


@torch.inference_mode()
def segment(segmenter: Segmenter, crops: Sequence[RgbImage]) -> list[FloatImage]:
    """Return where the face is visible in each crop.

    The mean of what the network says of a crop and of its mirror image, without specks and pin
    holes, its edge smoothed.

    Args:
        segmenter: See open_segmenter.
        crops: (resolution, resolution, 3) each; see Segmenter.cut.

    Returns:
        (resolution, resolution) each, 0..1.
    """
    if not crops:
        return []
    place = segmenter.device.place
    images = torch.from_numpy(np.stack(crops)).to(place).permute(0, 3, 1, 2).float() / 255.0
    with segmenter.device.autocast():
        straight, mirrored = (
            segmenter.net(each, segmenter.eyes(each)).float().sigmoid()
            for each in (images, images.flip(3))
        )
        mirrored = mirrored.flip(3)
    mean = (0.5 * (straight + mirrored))[:, 0].cpu().numpy()
    return [clean_mask(each) for each in mean]


def clean_mask(said: FloatImage) -> FloatImage:
    """Return what a network says, (H, W), 0..1, as a mask with smooth edges and without specks."""
    smooth = cv2.GaussianBlur(said, (0, 0), max(0.3, SMOOTH * said.shape[0]))
    parts = _without_small(smooth > 0.5, LEAST_PART, of_largest=True)
    whole = ~_without_small(~parts, LEAST_HOLE * max(1, int(parts.sum())), of_largest=False)
    mask = np.clip((smooth - EDGE[0]) / (EDGE[1] - EDGE[0]), 0.0, 1.0)
    # A soft edge lies on both sides of 0.5: it goes with the part that it belongs to.
    near = cv2.dilate(whole.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    mask = np.where(near, mask, 0.0)
    closed = whole & ~(smooth > 0.5)
    return np.where(closed, 1.0, mask).astype(np.float32)


def put_back(mask: FloatImage, net_from_image: Similarity, size_wh: tuple[int, int]) -> FloatImage:
    """Return a mask of a crop as one of the picture that the crop was cut from, 0..1."""
    whole = warp(mask, net_from_image.inverse(), size_wh=size_wh, border=0.0)
    return np.asarray(whole.clip(0.0, 1.0), np.float32)


def _without_small(
    parts: NDArray[np.bool_], least: float, *, of_largest: bool
) -> NDArray[np.bool_]:
    """Return a mask without parts of less area than `least`, pixels or share of the largest."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(parts.astype(np.uint8))
    if count < 2:
        return parts
    areas = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    areas[0] = 0.0
    stays = areas >= (least * areas.max() if of_largest else least)
    stays[0] = False
    return np.asarray(stays[labels], np.bool_)
