"""Merged frames put back into the decoder's own pictures: only what was painted is converted.

A whole picture that goes to RGB and back is off by a few levels in places.
"""

from collections.abc import Sequence
from typing import Any

from faceswap_cli.imaging import Picture, decode_deep_image, read_bytes
from faceswap_cli.media.encoders import pixel_format
from faceswap_cli.media.encoding import Encoding, PictureForm
from faceswap_cli.media.patching import Patchers
from faceswap_cli.media.picture_form import stored_colour, stored_fields, stored_siting
from faceswap_cli.media.pictures import BadFrame
from faceswap_cli.media.reader import FrameTime, VideoInfo
from faceswap_cli.media.samples import find_layout
from faceswap_cli.media.source import Source
from faceswap_cli.readahead import read_ahead
from faceswap_cli.rendering.merged import FrameFile

FRAMES_AHEAD = 2  # of the footage, decoded while the encoder works


def can_repaint(
    frames: Sequence[FrameFile], info: VideoInfo, form: PictureForm, encoding: Encoding
) -> bool:
    """Tell whether the decoder's pictures are of use under these frames.

    Merge must have noted what it painted, and the encoder must take samples as they are: it
    does not if it wants RGB, or another range, siting or order of fields.

    Args:
        frames: All of them.
        info: Of the footage, one of can_patch.
        form: Of the frames.
        encoding: Of the frames.
    """
    return (
        form.size_wh == info.size_wh
        and stored_colour(form, encoding) == info.colour
        and stored_siting(form, encoding) == info.siting
        and stored_fields(form, encoding) == info.field_order
        and any(frame.noted for frame in frames)
    )


class Originals:
    """The decoder's own pictures by their times, decoded ahead in a thread.

    Nothing is decoded before the first one is asked for.

    Args:
        source: The footage; None: there are no such pictures.
    """

    def __init__(self, source: Source | None) -> None:
        parts = source.parts(lambda _: None, native=True, deep=True) if source else ()
        self._parts = read_ahead(parts, depth=FRAMES_AHEAD)

    def find(self, timed: FrameTime) -> Any:
        """Return the av.VideoFrame of a time, later than those before; None if there is none."""
        found = next((part for part in self._parts if part.index >= timed.index), None)
        if found is None or isinstance(found, BadFrame):
            return None
        is_it = (found.index, found.time_s) == (timed.index, timed.time_s)
        return found.native if is_it else None

    def close(self) -> None:
        """End the thread."""
        self._parts.close()


class Repainter:
    """Turns merged frames into pictures for the encoder; from any thread.

    Args:
        info: Of the footage.
        encoding: Of the pictures.
    """

    def __init__(self, info: VideoInfo, encoding: Encoding) -> None:
        self._info, self._patchers = info, Patchers(info)
        self._is_finer = _is_finer(encoding, info)

    def picture(self, frame: FrameFile, native: Any) -> Any:
        """Return the decoder's picture with what merge has painted, an av.VideoFrame.

        A frame that is not as merge made it, or whose mask is not, is returned as the RGB
        picture that it is. So is a painted one where the encoder holds more than the footage: in
        the footage's own format, the face would lose some of it.

        Args:
            frame: A merged frame.
            native: The av.VideoFrame of that time.

        Raises:
            MediaError: The file of the frame cannot be read.
        """
        data = read_bytes(frame.path)
        mask = frame.painted(data) if self._is_usual(native) else None
        if mask is None or mask.shape != (native.height, native.width):
            return decode_deep_image(data, frame.path)
        if not mask.any():
            return native
        image: Picture = decode_deep_image(data, frame.path)
        if self._is_finer or image.shape[:2] != mask.shape:
            return image
        return self._patchers.mine().patch(native, image, (0, 0), mask)

    def _is_usual(self, native: Any) -> bool:
        """Tell whether a picture is stored as the first one of the footage."""
        info, stored_as = self._info, (native.format.name, native.interlaced_frame)
        return stored_as == (info.pixel_format, info.field_order is not None)


def _is_finer(encoding: Encoding, info: VideoInfo) -> bool:
    """Tell whether an encoder holds more chroma samples than the footage, or deeper ones."""
    wanted, stored = find_layout(pixel_format(encoding)), find_layout(info.pixel_format)
    if wanted is None or stored is None:
        return True
    pairs = zip(wanted.step_xy, stored.step_xy, strict=True)
    return wanted.bits > info.depth or any(step < other for step, other in pairs)
