"""Face recognition networks of the user's own, as ONNX files, run by onnxruntime."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.detect import Landmarks
from faceswap_cli.detect.appearance import UNKNOWN, Appearance, cut_aligned, unit
from faceswap_cli.detect.onnx_session import (
    MAX_FILE_BYTES,
    describe_ports,
    open_session,
    session_failures,
)
from faceswap_cli.errors import ConfigError, GeometryError
from faceswap_cli.geometry import estimate_similarity, resizing
from faceswap_cli.types import Points, RgbImage

# Where eyes, tip of the nose and corners of the mouth lie in a crop of 112 pixels. From
# InsightFace, python-package/insightface/utils/face_align.py (MIT): the published reference of
# ArcFace, to which networks of this field are trained.
TEMPLATE_PX: Final = 112
TEMPLATE: Final[Points] = np.array(
    [
        *([38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366]),
        *([41.5493, 92.3655], [70.7299, 92.2041]),
    ]
)
GREY: Final = np.float32(127.5)
"""Pixels are taken from -1 to 1, as ArcFace does. A network that was made for ImageNet's mean and
deviation, nearly the same range, hardly notices: measured on one, the distances stay."""
MAX_BATCH: Final = 16
MAX_FIXED_BATCH: Final = 128
"""Of a network that takes no other number: it is given as many, filled up."""
OPTION: Final = "--recognizer"
_KIND: Final = "a face recognition network"
WANTED: Final = "one input of 1x3xSxS, RGB, and one output of 1xD"


class Recognizer:
    """Describes faces by such a network."""

    alike = 0.45
    """Of mean appearances, which are steadier than single ones, of which 0.3 is usual."""

    def __init__(self, session: Any, name: str) -> None:
        self.name = name
        self._session = session
        self._input = session.get_inputs()[0].name
        batch, _, *sides = session.get_inputs()[0].shape
        self._side_px = next((side for side in sides if isinstance(side, int)), TEMPLATE_PX)
        self._batch = batch if isinstance(batch, int) else MAX_BATCH
        self._template = resizing(self._side_px / TEMPLATE_PX).apply(TEMPLATE)

    @classmethod
    def open(cls, path: Path, *, device: str) -> "Recognizer":
        """Load a network.

        Args:
            path: An ONNX file with one input, (1, 3, S, S), and one output, (1, D).
            device: A torch device; CUDA where onnxruntime has it too, else the CPU.

        Raises:
            ConfigError: The file is missing, too large, no ONNX, or another kind of network;
                or onnxruntime is missing.
        """
        data = _read(path)
        seen_in = f"{OPTION} {path}"
        session = open_session(data, device=device, kind=_KIND, seen_in=seen_in)
        _check_ports(session, path)
        name = f"{path.stem}@{hashlib.sha256(data).hexdigest()[:8]}"
        return cls(session, name)

    def describe(
        self, frames: Sequence[RgbImage], landmarks: Sequence[Sequence[Landmarks]]
    ) -> list[list[Appearance]]:
        """Return the appearance of each face of each frame, in the same order."""
        crops: list[RgbImage | None] = [
            self._crop(frame, face.points68)
            for frame, faces in zip(frames, landmarks, strict=True)
            for face in faces
        ]
        seen = iter(self._run([crop for crop in crops if crop is not None]))
        described = iter([UNKNOWN if crop is None else next(seen) for crop in crops])
        return [[next(described) for _ in faces] for faces in landmarks]

    def _crop(self, frame: RgbImage, points68: Points) -> RgbImage | None:
        eyes = [points68[36:42].mean(axis=0), points68[42:48].mean(axis=0)]
        five = np.array([*eyes, points68[30], points68[48], points68[54]])
        try:
            crop_from_frame = estimate_similarity(five, self._template)
        except GeometryError:
            return None
        return cut_aligned(frame, crop_from_frame, self._side_px)

    def _run(self, crops: Sequence[RgbImage]) -> list[Appearance]:
        vectors: list[Appearance] = []
        for start in range(0, len(crops), self._batch):
            part = crops[start : start + self._batch]
            filled = [*part, *[part[-1]] * (self._batch - len(part))]
            pixels = (np.stack(filled).astype(np.float32) - GREY) / GREY
            vectors += [unit(vector) for vector in self._vectors(pixels)[: len(part)]]
        return vectors

    def _vectors(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the network says of pictures, (N, S, S, 3), -1..1: (N, D)."""
        try:
            [output] = self._session.run(None, {self._input: pixels.transpose(0, 3, 1, 2)})
        except session_failures() as error:
            raise _cannot_run(self.name, str(error)[:200]) from error
        if np.ndim(output) != 2 or len(output) != len(pixels):
            shape = "x".join(map(str, np.shape(output)))
            raise _cannot_run(self.name, f"of {len(pixels)} pictures it makes {shape}")
        return np.asarray(output, np.float32)


def _cannot_run(name: str, what: str) -> ConfigError:
    return ConfigError(
        f"this network cannot describe faces: {what}",
        seen_in=f"{OPTION} {name}",
        fix=f"name a network with {WANTED}",
    )


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(
                f"{path.stat().st_size:,} bytes; a recognition network has"
                f" {MAX_FILE_BYTES:,} at most",
                seen_in=f"{OPTION} {path}",
            )
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}",
            seen_in=f"{OPTION} {path}",
            fix="name an ONNX file of a face recognition network",
        ) from error


def _check_ports(session: Any, path: Path) -> None:
    """Raise ConfigError unless the network takes one picture and gives one vector."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) == len(outputs) == 1:
        floats = inputs[0].type == outputs[0].type == "tensor(float)"
        if floats and _is_of_pictures(inputs[0].shape) and len(outputs[0].shape) == 2:
            return
    raise ConfigError(
        f"no face recognition network: it has {describe_ports(session)}",
        seen_in=f"{OPTION} {path}",
        fix=f"name a network with {WANTED}",
    )


def _is_of_pictures(shape: Sequence[Any]) -> bool:
    if len(shape) != 4 or shape[1] != 3:
        return False
    batch, _, *sides = shape
    fixed = {side for side in sides if isinstance(side, int)}
    is_batch = not isinstance(batch, int) or 1 <= batch <= MAX_FIXED_BATCH
    return is_batch and len(fixed) <= 1 and all(16 <= side <= 1024 for side in fixed)
