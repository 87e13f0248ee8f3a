"""Looking at both facesets before a merge, so that swaps stay within what src looks like."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from faceswap_cli.errors import FaceswapError
from faceswap_cli.faces.faceset import AlignedFace
from faceswap_cli.faces.templates import crop_from_frame
from faceswap_cli.geometry import warp
from faceswap_cli.models import Autoencoder
from faceswap_cli.models.likeness import MIN_FACES, CodeRange, fit_range
from faceswap_cli.types import Side

FACES = 300
"""Looked at on each side, at most: spread over all of them."""
BATCH = 16
_log = logging.getLogger(__name__)


def measure_range(
    model: Autoencoder,
    facesets: Mapping[Side, Sequence[AlignedFace]],
    *,
    face_type: str,
    strength: float,
    place: torch.device,
) -> CodeRange | None:
    """Return how the codes of a swap are kept among those of src faces.

    Args:
        model: On `place`, as it will draw.
        facesets: Of both sides; pictures that cannot be decoded are passed over.
        face_type: What the model sees of the head, a key of FACE_TYPES.
        strength: See fit_range.
        place: Where the model is.

    Returns:
        None, with a warning, if the model has no code of both sides or there are too few faces.
    """
    if model.swap_inter is None:
        _log.warning("likeness plays no part: this model has no code that both sides share")
        return None
    codes = {
        side: _codes(model, faces, face_type=face_type, place=place)
        for side, faces in facesets.items()
    }
    fewest = min(codes, key=lambda side: len(codes[side]))
    if len(codes[fewest]) < MIN_FACES:
        _log.warning(
            "likeness plays no part: %d faces of %s, it needs %d",
            *(len(codes[fewest]), fewest, MIN_FACES),
        )
        return None
    return fit_range(codes["src"], codes["dst"], strength=strength)


@torch.inference_mode()
def _codes(
    model: Autoencoder, faces: Sequence[AlignedFace], *, face_type: str, place: torch.device
) -> Tensor:
    """Return the codes of some faces, (N, D)."""
    number = min(FACES, len(faces))
    spread = np.linspace(0, max(0, len(faces) - 1), number).round().astype(int).tolist()
    crops, found = [], [torch.empty(0, 0, device=place)]
    for face in (faces[i] for i in spread):
        with suppress(FaceswapError, OSError):
            points = np.array(face.record.landmarks_crop, np.float64)
            crop = crop_from_frame(points, face_type, model.size)
            crops.append(warp(face.image(), crop, size_wh=(model.size, model.size)))
    for start in range(0, len(crops), BATCH):
        pixels = torch.from_numpy(np.stack(crops[start : start + BATCH])).to(place)
        found.append(model.swap_codes(pixels.permute(0, 3, 1, 2).float() / 255.0))
    return torch.cat(found[1:]) if crops else found[0]
