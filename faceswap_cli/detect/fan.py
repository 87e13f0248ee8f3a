"""The second landmark engine: FAN, of the face-alignment package.

More exact than the mesh, and far slower without a GPU. Neither the package (extra `fan`)
nor its weights come with faceswap-cli; the mesh still runs first, for the region and for
the score, which FAN does not give.
"""

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Final
from urllib.parse import urlparse

import numpy as np
import torch

from faceswap_cli.detect import Detection, Landmarks
from faceswap_cli.detect.facemesh import MeshLandmarker, region_of_mesh
from faceswap_cli.detect.region import cut
from faceswap_cli.errors import ConfigError
from faceswap_cli.types import RgbImage

NETWORK: Final = "2DFAN-4"
CROP_PX: Final = 640
SURROUNDINGS: Final = 1.6
"""Side of the crop per side of the mesh's region: FAN looks at twice the box of the face."""
USE_MESH: Final = "use --landmarker mesh, which needs no download"


def is_fan_ready() -> bool:
    """Return whether the package and its weights are there: no download would be needed."""
    if importlib.util.find_spec("face_alignment") is None or not _any_weights():
        return False  # the package takes half a minute to import: not only to say no
    try:
        package = _import_package()
    except ConfigError:
        return False
    return _weights_path(package).is_file()


class FanLandmarker:
    """Places 68 points on every detection.

    Raises:
        ConfigError: The package is missing, or its weights are, and could not be downloaded.
    """

    def __init__(self, *, device: str) -> None:
        package = _import_package()
        path = _weights_path(package)
        self._mesh = MeshLandmarker(device=device)
        try:
            # `folder` is the one detector of the package that loads no weights of its own.
            self._fan = package.FaceAlignment(
                package.LandmarksType.TWO_D, device=device, face_detector="folder", compile=False
            )
        except OSError as error:  # URLError and the like: the package has tried to download
            if path.is_file():
                raise
            raise ConfigError(
                f"the weights {path.name} are missing and could not be downloaded ({error})",
                seen_in=path.parent,
                fix=f"download {_weights_url(package)} into that folder, or {USE_MESH}",
            ) from error
        self.name = f"{path.name.split('.')[0]} + {self._mesh.name}"

    def locate(
        self, frames: Sequence[RgbImage], detections: Sequence[Sequence[Detection]]
    ) -> list[list[Landmarks]]:
        """Return the landmarks of each detection of each frame, in the same order."""
        meshes = self._mesh.locate(frames, detections)
        return [
            [self._refine(frame, face) for face in faces]
            for frame, faces in zip(frames, meshes, strict=True)
        ]

    def _refine(self, frame: RgbImage, face: Landmarks) -> Landmarks:
        """Replace the 68 points of the mesh by FAN's.

        FAN is given an upright crop: it knows few turned faces, and the package cuts its
        points down to whole pixels of the picture it is given, which in a small frame
        would be visible.
        """
        if face.mesh is None:
            raise ValueError("no mesh")
        region = replace(tight := region_of_mesh(face.mesh), side_px=tight.side_px * SURROUNDINGS)
        crop_from_frame = region.crop_from_frame(CROP_PX)
        mesh = crop_from_frame.apply(face.mesh[:, :2])
        # Forehead to chin and cheek to cheek, as the boxes that FAN was trained with.
        box = [*mesh.min(axis=0).tolist(), *mesh.max(axis=0).tolist()]
        crop = cut(frame, region, CROP_PX)
        [points] = self._fan.get_landmarks_from_image(crop, detected_faces=[box])
        in_frame = crop_from_frame.inverse().apply(np.asarray(points, np.float64))
        return replace(face, points68=in_frame)


def _import_package() -> ModuleType:
    try:
        return importlib.import_module("face_alignment")
    except ImportError as error:
        raise ConfigError(
            f"the landmarker `fan` needs the package face-alignment ({error})",
            fix=f'pip install "faceswap-cli[fan]", or {USE_MESH}',
        ) from error


def _any_weights() -> bool:
    return any((Path(torch.hub.get_dir()) / "checkpoints").glob("*FAN4*"))


def _weights_url(package: ModuleType) -> str:
    return str(package.api.models_urls[NETWORK])


def _weights_path(package: ModuleType) -> Path:
    """Return where the package looks for its weights."""
    file_name = Path(urlparse(_weights_url(package)).path).name
    return Path(torch.hub.get_dir()) / "checkpoints" / file_name
