"""Networks that enlarge or restore pictures, as people publish them: ONNX files.

What they take is not written in the file: red, green and blue from 0 to 1 (Real-ESRGAN), from
-1 to 1 (GFPGAN) or from 0 to 255. They are shown a picture, and what they give back tells.
"""

# Shape suffixes: B batch, S side of a face, H = W = side of what comes out.

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from faceswap_cli.detect.onnx_session import describe_ports, open_session, session_failures
from faceswap_cli.errors import ConfigError

Enhance = Callable[[Tensor], Tensor]
"""(B, 3, S, S), RGB 0..1, to (B, 3, kS, kS), k >= 1."""

OPTION: Final = "--enhance"
MAX_FACTOR: Final = 8
MAX_SIDE_PX: Final = 2048
"""Of what a network takes, and of what is kept of what it gives: a dozen frames of it wait."""
_KIND: Final = "a network that enlarges pictures"
_WANTED: Final = "one input of 1x3xHxW and one output of 1x3xkHxkW, both float"
_DTYPES: Final = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_PROBE_PX: Final = 64
# The mean difference, 0..1, from which on what comes back is another picture than what went in
# (a grey one is off by 0.2), and that which is none: of two ranges that do as well, the first.
_ANOTHER: Final = 0.15
_NOTHING: Final = 2e-3


@dataclass(frozen=True)
class Span:
    """What black and white are to a network."""

    black: float
    white: float

    def encode(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values of 0..1 as the network takes them."""
        return image * np.float32(self.white - self.black) + np.float32(self.black)

    def decode(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Undo encode."""
        return (image - np.float32(self.black)) / np.float32(self.white - self.black)


SPANS: Final = (Span(0.0, 1.0), Span(-1.0, 1.0), Span(0.0, 255.0))


class Enhancer:
    """Enlarges faces by such a network, one after the other: no face depends on its batch."""

    def __init__(self, session: Any, seen_in: str) -> None:
        self._session, self._seen_in = session, seen_in
        self._input = session.get_inputs()[0]
        side = self._input.shape[2]
        self._side_px: int | None = side if isinstance(side, int) else None
        self.spans = self._find_spans()
        """How the network takes pictures, and how it gives them."""

    def __call__(self, faces_B3SS: Tensor) -> Tensor:
        """Return the faces enlarged; see Enhance.

        A network of a fixed size is given the faces resized to it; what it gives is the
        result, enlarged if it is smaller than what it was asked to better, and shrunk to
        MAX_SIDE_PX.

        Raises:
            ConfigError: It cannot take a picture of this size, or gives no finite numbers.
        """
        side_px = faces_B3SS.shape[-1]
        inside, outside = self.spans
        given = _resized(faces_B3SS.float(), self._side_px or side_px).clamp(0.0, 1.0)
        results = []
        for face_3SS in given.cpu().numpy():
            out_13HH = outside.decode(self._run(inside.encode(face_3SS[None])))
            wanted_px = max(side_px, min(out_13HH.shape[-1], MAX_SIDE_PX))
            results.append(_resized(torch.from_numpy(out_13HH), wanted_px))
        return torch.cat(results).to(faces_B3SS.device).clamp(0.0, 1.0)

    def _run(self, image_13SS: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the network makes of one picture, (1, 3, H, H), in its own span."""
        dtype = _DTYPES[self._input.type]
        side_px = image_13SS.shape[-1]
        try:
            [output] = self._session.run(None, {self._input.name: image_13SS.astype(dtype)})
        except session_failures() as error:
            raise self._error(
                f"it cannot take a picture of {side_px}x{side_px}: {str(error)[:200]}"
            ) from error
        shape = np.shape(output)
        is_picture = len(shape) == 4 and shape[:2] == (1, 3) and shape[2] == shape[3]
        if not is_picture or not side_px <= shape[2] <= MAX_FACTOR * side_px:
            size = "x".join(map(str, shape))
            raise self._error(f"of a picture of 1x3x{side_px}x{side_px} it makes {size}")
        if not np.isfinite(output).all():
            raise self._error("what it gives are no finite numbers")
        return np.asarray(output, np.float32)

    def _find_spans(self) -> tuple[Span, Span]:
        """Return the spans, in and out, in which the network gives back what it was shown."""
        side_px = self._side_px or _PROBE_PX
        shown = _probe(side_px)
        errors: dict[tuple[Span, Span], float] = {}
        for inside in SPANS:
            output = self._run(inside.encode(shown))
            for outside in (inside, *(span for span in SPANS if span != inside)):
                back = _resized(torch.from_numpy(outside.decode(output)), side_px).numpy()
                errors[inside, outside] = float(np.abs(back - shown).mean())
        least = min(errors.values())
        if least > _ANOTHER:
            raise self._error(
                f"what it gives is another picture than what it is shown: by {least:.2f} of 0..1"
            )
        return next(spans for spans, error in errors.items() if error <= least + _NOTHING)

    def _error(self, what: str) -> ConfigError:
        return ConfigError(
            f"no network that enlarges pictures: {what}",
            seen_in=self._seen_in,
            fix="name another network, or leave enhance empty",
        )


def open_enhancer(data: bytes, name: object, *, device: str = "cpu") -> Enhancer:
    """Open a network that enlarges pictures.

    Args:
        data: The content of an ONNX file, of onnx_session.MAX_FILE_BYTES at most.
        name: Of the file, for messages.
        device: A torch device; CUDA where onnxruntime has it too, else the CPU.

    Raises:
        ConfigError: It is too large, no ONNX, or another kind of network; or onnxruntime is
            missing.
    """
    seen_in = f"{OPTION} {name}"
    session = open_session(data, device=device, kind=_KIND, seen_in=seen_in)
    if not _has_picture_ports(session):
        raise ConfigError(
            f"no network that enlarges pictures: it has {describe_ports(session)}",
            seen_in=seen_in,
            fix=f"name a network with {_WANTED}",
        )
    return Enhancer(session, seen_in)


def _has_picture_ports(session: Any) -> bool:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if not len(inputs) == len(outputs) == 1 or len(inputs[0].shape) != 4:
        return False
    batch, channels, *sides = inputs[0].shape
    fixed = {side for side in sides if isinstance(side, int)}
    return (
        {inputs[0].type, outputs[0].type} <= set(_DTYPES)
        and (batch == 1 or not isinstance(batch, int))
        and (channels == 3 or not isinstance(channels, int))
        and (not fixed or sides[0] == sides[1])
        and all(16 <= side <= MAX_SIDE_PX for side in fixed)
    )


def _probe(side_px: int) -> NDArray[np.float32]:
    """Return something like a face before all greys, (1, 3, S, S): some draw nothing else."""
    at = (np.arange(side_px, dtype=np.float32) + 0.5) / side_px * 2.0 - 1.0
    x, y = np.meshgrid(at, at)
    image = np.stack([0.5 + 0.4 * x] * 3)
    spots = (
        (0.0, 0.0, 0.6, 0.8, (0.78, 0.6, 0.5)),
        (-0.25, -0.2, 0.12, 0.07, (0.2, 0.15, 0.12)),
        (0.25, -0.2, 0.12, 0.07, (0.2, 0.15, 0.12)),
        (0.0, 0.4, 0.22, 0.07, (0.65, 0.3, 0.3)),
    )
    for left, top, width, height, colour in spots:
        inside = ((x - left) / width) ** 2 + ((y - top) / height) ** 2
        share = np.clip(4.0 * (1.0 - inside), 0.0, 1.0)
        image = image + share * (np.array(colour)[:, None, None] - image)
    return np.asarray(image[None], np.float32)


def _resized(image_B3SS: Tensor, side_px: int) -> Tensor:
    if image_B3SS.shape[-1] == side_px:
        return image_B3SS
    size = (side_px, side_px)
    return F.interpolate(image_B3SS, size, mode="bicubic", align_corners=False, antialias=True)
