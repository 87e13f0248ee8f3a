"""Face Mesh: 468 points of one face, in three dimensions.

Google's MediaPipe model, run on an upright square around the face, 192 x 192 pixels.
"""

# Shape suffixes: B batch, C channels, H, W height and width.

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from faceswap_cli.detect import Detection, Landmarks
from faceswap_cli.detect.layers import SameConv, load_weights, pad_channels
from faceswap_cli.detect.mesh68 import points68_from_mesh
from faceswap_cli.detect.region import Region, cut
from faceswap_cli.types import RgbImage

WEIGHTS_FILE = "facemesh_468.safetensors"
CROP_PX = 192
NUM_POINTS = 468
MARGIN = 1.5
"""Side of the region per side of the detection's box; MediaPipe's detection-to-ROI."""
MAX_BATCH = 32
MIN_PRESENCE = 0.5
"""Score below which there is no face: a mesh that fits nothing gives no region."""
MAX_LOOKS = 5
LEVEL_DEG = 5.0
"""Roll between two looks below which the second counts as upright."""
RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 33, 263


class MeshBlock(nn.Module):
    """A depthwise-separable convolution and a skip connection."""

    def __init__(self, c_in: int, c_out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = SameConv(c_in, c_in, stride=stride, groups=c_in)
        self.pointwise = nn.Conv2d(c_in, c_out, 1)
        self.activation = nn.PReLU(c_out)
        self.stride, self.c_out = stride, c_out

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, H / stride, W / stride)."""
        branch = self.pointwise(self.depthwise(image_BCHW))
        skip = F.max_pool2d(image_BCHW, 2) if self.stride == 2 else image_BCHW
        activated: Tensor = self.activation(branch.add_(pad_channels(skip, self.c_out)))
        return activated


def head(*blocks: nn.Module, c_out: int) -> nn.Sequential:
    """(B, 128, 6, 6) -> (B, c_out, 1, 1)."""
    narrow = nn.Conv2d(128, 32, 1), nn.PReLU(32), MeshBlock(32, 32)
    return nn.Sequential(*blocks, *narrow, nn.Conv2d(32, c_out, 3))


class FaceMesh(nn.Module):
    """The 468-point landmarker.

    The modules stand in the order in which the original graph runs them, but for the two
    heads, which it runs in turns: the converter relies on it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(SameConv(3, 16, stride=2), nn.PReLU(16))
        blocks: list[nn.Module] = [MeshBlock(16, 16), MeshBlock(16, 16)]
        for c_in, c_out in [(16, 32), (32, 64), (64, 128), (128, 128)]:
            blocks.append(MeshBlock(c_in, c_out, stride=2))
            blocks += [MeshBlock(c_out, c_out), MeshBlock(c_out, c_out)]
        self.trunk = nn.Sequential(*blocks)
        self.deep = nn.Sequential(MeshBlock(128, 128, stride=2), MeshBlock(128, 128))
        self.presence = head(MeshBlock(128, 128, stride=2), c_out=1)
        self.points = head(MeshBlock(128, 128), c_out=3 * NUM_POINTS)

    def forward(self, crop_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Locate the points.

        Args:
            crop_B3HW: (B, 3, 192, 192), RGB in 0..1.

        Returns:
            (B, 468, 3): x and y in crop pixels counted from the **corner** of the crop, z
            in the same scale, smaller is nearer; and the logit of "a face is here", (B,).
        """
        if crop_B3HW.shape[1:] != (3, CROP_PX, CROP_PX):
            raise ValueError(f"want (B, 3, {CROP_PX}, {CROP_PX}), got {tuple(crop_B3HW.shape)}")
        features = self.trunk(self.stem(crop_B3HW))
        points_BC11 = self.points(self.deep(features))
        presence_B111 = self.presence(features)
        return points_BC11.reshape(-1, NUM_POINTS, 3), presence_B111.reshape(-1)


def region_of_detection(detection: Detection) -> Region:
    """Return the square that the net wants to see: level eyes, half a box of margin."""
    left, top, right, bottom = detection.box
    centre = np.array([left + right, top + bottom]) / 2
    # A box of no size cannot be cut; one pixel gives a low score like any other non-face.
    side_px = max(1.0, MARGIN * max(right - left, bottom - top))
    return Region(centre, side_px, detection.roll_deg)


def region_of_mesh(mesh: NDArray[np.float64] | None) -> Region:
    """Return the same square around a face whose mesh is known; MediaPipe tracks with it."""
    if mesh is None:
        raise ValueError("no mesh")
    points = mesh[:, :2]
    eyes = points[LEFT_EYE_OUTER] - points[RIGHT_EYE_OUTER]
    angle = math.atan2(eyes[1], eyes[0])
    frame_from_level = np.array(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    )
    level = points @ frame_from_level  # v @ R is R transposed, the inverse, applied to v
    low, high = level.min(axis=0), level.max(axis=0)
    side_px = max(1.0, MARGIN * float((high - low).max()))
    return Region(frame_from_level @ ((low + high) / 2), side_px, math.degrees(angle))


class MeshLandmarker:
    """Places 468 points on every detection."""

    def __init__(self, *, device: str) -> None:
        net = FaceMesh()
        self.name = load_weights(net, WEIGHTS_FILE)
        self._net = net.eval().to(device).to(memory_format=torch.channels_last)
        self._device = device

    def locate(
        self, frames: Sequence[RgbImage], detections: Sequence[Sequence[Detection]]
    ) -> list[list[Landmarks]]:
        """Return the landmarks of each detection of each frame, in the same order."""
        faces = [
            (frame, region_of_detection(detection), detection.is_exact)
            for frame, found in zip(frames, detections, strict=True)
            for detection in found
        ]
        located: list[Landmarks] = []
        for start in range(0, len(faces), MAX_BATCH):
            some = faces[start : start + MAX_BATCH]
            is_exact = [exact for *_, exact in some]
            located += self._look_again([(frame, region) for frame, region, _ in some], is_exact)
        results = iter(located)
        return [[next(results) for _ in found] for found in detections]

    def _look_again(
        self, faces: Sequence[tuple[RgbImage, Region]], is_exact: Sequence[bool]
    ) -> list[Landmarks]:
        """Locate, and locate again in the region that the first mesh asks for.

        The second look halves the scatter that an inexact box causes (2.0 to 0.9 % of the
        distance of the eyes, boxes off by 8 % and 10 degrees). Of strongly turned faces
        the detector sees too little roll: they are looked at until they are upright.
        """
        located, regions = self._run(faces), [region for _, region in faces]
        again = list(range(len(faces)))
        for look in range(MAX_LOOKS - 1):
            closer: dict[int, Region] = {}
            for index in again:
                region = region_of_mesh(located[index].mesh)
                turned_deg = abs((region.roll_deg - regions[index].roll_deg + 180) % 360 - 180)
                wanted = (look == 0 and not is_exact[index]) or turned_deg > LEVEL_DEG
                if located[index].score >= MIN_PRESENCE and wanted:
                    closer[index] = region
            if not closer:
                break
            again = list(closer)
            for index, face in zip(
                again, self._run([(faces[i][0], closer[i]) for i in again]), strict=True
            ):
                located[index], regions[index] = face, closer[index]
        return located

    @torch.inference_mode()
    def _run(self, faces: Sequence[tuple[RgbImage, Region]]) -> list[Landmarks]:
        crops = np.stack([cut(frame, region, CROP_PX) for frame, region in faces])
        pixels = torch.from_numpy(crops).to(self._device).permute(0, 3, 1, 2)
        points_BN3, logits_B = self._net(pixels.float() / 255.0)
        scores = logits_B.sigmoid().tolist()
        meshes = points_BN3.cpu().double().numpy()
        return [
            _landmarks(mesh, region, score)
            for mesh, (_, region), score in zip(meshes, faces, scores, strict=True)
        ]


def _landmarks(mesh: NDArray[np.float64], region: Region, score: float) -> Landmarks:
    """Bring a mesh from the crop, where it counts from the corner, into the frame."""
    frame_from_crop = region.crop_from_frame(CROP_PX).inverse()
    points = frame_from_crop.apply(mesh[:, :2] - 0.5)
    in_frame = np.column_stack([points, mesh[:, 2] * region.side_px / CROP_PX])
    return Landmarks(points68_from_mesh(in_frame), in_frame, score)
