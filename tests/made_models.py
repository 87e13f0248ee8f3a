"""Models that need no training, for tests of what happens around a model."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from faceswap_cli.models.base import Faces, Painter
from faceswap_cli.rendering import artists


class Inverted:
    """Draws the negative of what it sees, everywhere."""

    draws_mask = False

    def bind(self, ref: Faces | None, first: Faces) -> Painter:
        assert ref is None
        assert first.img.shape == (1, 3, 32, 32)
        return self.draw

    def draw(self, canvas: Faces, drive: Faces) -> tuple[torch.Tensor, torch.Tensor | None]:
        return 1 - canvas.img, None


def put_trained(
    monkeypatch: pytest.MonkeyPatch,
    model: Any,
    *,
    resolution: int = 32,
    fingerprint: str = "weights",
) -> None:
    """Let every workspace seem to hold this model."""
    found = SimpleNamespace(
        model=model,
        resolution=resolution,
        face_type="full",
        iteration=7,
        fingerprint=fingerprint,
    )
    monkeypatch.setattr(artists, "open_trained", lambda folder, device: found)
