"""What every model promises, and all that it sees."""

# Shape suffixes: B batch, H = W = side of the crop.

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Faces:
    """A batch of crops on one device."""

    img: Tensor
    """(B, 3, H, W), RGB, 0..1."""
    lms: Tensor
    """(B, 68, 2), (x, y) in crop coordinates: -1 is the left or upper edge, 1 the other."""
    mask: Tensor
    """(B, 1, H, W), 0..1: where the face is."""
    parts: Tensor | None = None
    """(B, 1, H, W), 0..1: eyes and mouth."""
    warped: Tensor | None = None
    """(B, 3, H, W): `img` distorted at random, what an autoencoder is given in training."""
    chance: Tensor | None = None
    """(B,), 0..1: what a model may decide by at random, for each face, when it learns."""
    mel: Tensor | None = None
    """(B, 1, 80, 16): the sound at this frame."""
    alt: "Faces | None" = None
    """Another moment of the same person, same clip."""

    def __len__(self) -> int:
        return len(self.img)

    def part(self, which: slice) -> "Faces":
        """Return some of the faces."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        parts: dict[str, Any] = {
            name: value.part(which) if isinstance(value, Faces) else value[which]
            for name, value in given.items()
            if value is not None
        }
        return Faces(**parts)


@dataclass(frozen=True)
class Crop:
    """How a model wants its faces cut; merge inverts the same matrix."""

    align: bool = True
    """Rotated upright; False: only moved and scaled."""
    cover: float = 1.0
    """Side of the crop, in sides of its face type."""
    tube: bool = False
    """One region for the whole clip."""
    square: bool = True


Painter = Callable[[Faces, Faces], tuple[Tensor, Tensor | None]]
"""(canvas, drive) -> face (B, 3, S, S) and where it is, (B, 1 or 2, S, S): the new face and, if the
model tells, the old one; None: keep the canvas' mask."""

Terms = dict[str, Tensor]
"""Loss terms by name, each (B,), not weighted."""


class Model(nn.Module, ABC):
    """A system that redraws faces: one function, bound once to a reference."""

    size: int = 128
    """Side of the crop it is given, pixels."""
    scale: int = 1
    """Side of what it draws, in sides of what it is given."""
    window: int = 1
    """Consecutive frames a sample."""
    crop: Crop = Crop()
    turns: int = 1
    """How many times `losses` yields."""
    draws_mask: bool = True
    """False: what it draws has no mask of its own."""
    takes_morph: bool = False
    """True: it can draw what lies between dst and src."""
    critics: tuple[str, ...] = ()
    """Child networks that only judge: no part of what draws, nor of the averaged weights."""

    def trained(self) -> list[str]:
        """Return the child networks that learn; each has an optimiser of its own."""
        return [name for name, _ in self.named_children()]

    @abstractmethod
    def losses(self, src: Faces, dst: Faces) -> Iterator[tuple[str, Terms]]:
        """Yield who steps, on what: names of children divided by spaces, and the terms.

        The trainer weights the terms, steps those children, and asks for the next ones.
        """

    def recompute_activations(self) -> None:
        """Keep few activations for the backward pass and compute the others again."""
        for module in self.modules():
            if hasattr(module, "recompute"):
                setattr(module, "recompute", True)  # noqa: B010 - no attribute of every module

    @abstractmethod
    def bind(self, ref: Faces | None, first: Faces) -> Painter:
        """Return the painter for a reference.

        Args:
            ref: The face to draw; None if the model has learnt it.
            first: The first face of the clip, for models that work relative to it.
        """

    def adopt(self, state: dict[str, Tensor]) -> None:
        """Take over a published checkpoint by name, or raise RuntimeError naming the keys."""
        self.load_state_dict(state, strict=True)
