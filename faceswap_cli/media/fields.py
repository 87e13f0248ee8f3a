"""Interlaced pictures: the even and the odd rows of each are two moments."""

from typing import Any, Literal

import numpy as np

from faceswap_cli.media.conversion import Cropper, filter_graph
from faceswap_cli.media.samples import view_plane

FieldOrder = Literal["tff", "bff"]
"""Whether the top row belongs to the earlier moment, or the row below it; ffmpeg's words."""

# AV_FIELD_TB and AV_FIELD_BT: the fields share a picture, and this one is shown first.
FIELD_CODES: dict[FieldOrder, int] = {"tff": 4, "bff": 5}
_PROBE_PX = 16


def read_field_order(frame: Any) -> FieldOrder | None:
    """Return which field of a decoded picture is shown first; None if it is not interlaced.

    PyAV tells only that it is; so the fields of a picture with the same flags are taken apart.

    Args:
        frame: An av.VideoFrame.
    """
    if not frame.interlaced_frame or min(frame.width, frame.height) < _PROBE_PX:
        return None
    probe = Cropper().cut(frame, (0, 0, _PROBE_PX, _PROBE_PX))
    probe.make_writable()
    rows = view_plane(probe.planes[0], np.uint8)
    rows[::2], rows[1::2] = 0, 255
    push, _, pull = filter_graph(probe, ("separatefields", ""), threads=1)
    push(probe)
    first = view_plane(pull().planes[0], np.uint8)
    return "tff" if first[0, 0] == 0 else "bff"


def telling_fields(order: FieldOrder | None) -> list[tuple[str, str]]:
    """Return the filter that tells pictures that they are interlaced; none for None."""
    return [("setparams", f"field_mode={order}")] if order else []


class FieldTeller:
    """Tells the pictures of one stream what PyAV cannot.

    Args:
        order: Of their fields; None: they are as they are.
        siting: Where their chroma samples lie, in ffmpeg's words; None: not told.
    """

    def __init__(self, order: FieldOrder | None, siting: str | None = None) -> None:
        self._steps = telling_fields(order)
        if siting:
            self._steps.append(("setparams", f"chroma_location={siting}"))
        self._key: object = None
        self._push: Any = None
        self._pull: Any = None

    def tell(self, frame: Any) -> Any:
        """Return the av.VideoFrame again, on the same samples."""
        if not self._steps:
            return frame
        key = frame.width, frame.height, frame.format.name
        if key != self._key:
            self._push, _, self._pull = filter_graph(frame, *self._steps, threads=1)
            self._key = key
        self._push(frame)
        return self._pull()
