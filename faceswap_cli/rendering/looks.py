"""How faces are put in, frame by frame: [merge], and what [[merge.shot]] changes."""

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any

from faceswap_cli.config import MergeConfig
from faceswap_cli.mask_expression import parse
from faceswap_cli.media.colour import HDR_TRANSFERS
from faceswap_cli.media.span import FrameRanges
from faceswap_cli.merging.look import Look

_KEYS = tuple(field.name for field in fields(Look))


class Looks:
    """The look of each frame.

    Args:
        section: The settings; later shots win over earlier ones.
        transfer: Of the footage, ffmpeg's code: the light of HDR is not undone, it is blended
            as the file has it.
    """

    def __init__(self, section: MergeConfig, *, transfer: int = 1) -> None:
        self._shots = [(FrameRanges.parse(shot.range), shot) for shot in section.shot]
        self._is_hdr = transfer in HDR_TRANSFERS
        settings = {key: getattr(section, key) for key in _KEYS}
        self._looks = lru_cache(maxsize=None)(lambda shots: self._make(settings, shots))

    def at(self, frame: int) -> Look | None:
        """Return how the faces of a frame are put in; None: they are left as they are."""
        return self._looks(tuple(i for i, (range_, _) in enumerate(self._shots) if frame in range_))

    def all(self) -> list[Look]:
        """Return every look that one of the shots, or none of them, asks for."""
        alone = [self._looks((i,)) for i in range(len(self._shots))]
        return [look for look in (self._looks(()), *alone) if look is not None]

    def _make(self, settings: dict[str, Any], shots: tuple[int, ...]) -> Look | None:
        if any(self._shots[i][1].skip for i in shots):
            return None
        changed = dict(settings)
        for i in shots:
            changed |= self._shots[i][1].changes
        look = Look(**changed)
        look = replace(look, mask=parse(look.mask).shown_as)
        return replace(look, light="signal") if self._is_hdr else look


def asked_masks(looks: Sequence[Look]) -> list[frozenset[str]]:
    """Return, for each kind of mask that is asked for, the names of all that it is made of."""
    return list(dict.fromkeys(frozenset(parse(look.mask).names) for look in looks))
