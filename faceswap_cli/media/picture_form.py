"""What all pictures of one stream have in common, and what of it its file will hold."""

import logging
from dataclasses import dataclass, field, replace
from fractions import Fraction

from faceswap_cli.media.colour import FULL_RANGE, LIMITED_RANGE, RGB_MATRIX, ColourTags
from faceswap_cli.media.encoders import INTERLACED, TOLD_SITINGS, Encoding
from faceswap_cli.media.fields import FieldOrder
from faceswap_cli.media.hdr import HdrMetadata
from faceswap_cli.media.samples import USUAL_SITING

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PictureForm:
    """What all pictures of one stream have in common.

    Args:
        size_wh: Width and height as given, pixels; an odd side becomes one longer in 4:2:0.
        time_base: Seconds of one tick.
        rate_hint: The mean of frames a second, by which an encoder spends bits.
        colour: The tags to write, and the matrix and range to convert with.
        pixel_aspect: Width of one pixel over its height.
        hdr: Of HDR10, or None.
        siting: Where the chroma samples lie, in ffmpeg's words: left, topleft, center, ...
        field_order: Of interlaced pictures; see stored_fields.
        said: What the log has been told of it: not again for each piece of one stream.
    """

    size_wh: tuple[int, int]
    time_base: Fraction
    rate_hint: Fraction
    colour: ColourTags
    pixel_aspect: Fraction = Fraction(1)
    hdr: HdrMetadata | None = None
    siting: str = USUAL_SITING
    field_order: FieldOrder | None = None
    said: set[str] = field(default_factory=set, compare=False, repr=False)

    def say(self, text: str, *, level: int = logging.WARNING) -> None:
        """Say a sentence in the log, once."""
        if text not in self.said:
            self.said.add(text)
            log.log(level, "%s", text)


def stored_size(form: PictureForm, encoding: Encoding) -> tuple[int, int]:
    """Return width and height in the file: even, but of ffv1, which stores every pixel."""
    width, height = form.size_wh
    return form.size_wh if encoding.codec == "ffv1" else (width + width % 2, height + height % 2)


def stored_colour(form: PictureForm, encoding: Encoding) -> ColourTags:
    """Return the tags that are written, which differ where a codec leaves no choice."""
    if encoding.codec == "ffv1":
        return replace(form.colour, matrix=RGB_MATRIX, range=FULL_RANGE)
    if encoding.codec == "prores":  # has no place to tell the range
        return replace(form.colour, range=LIMITED_RANGE)
    return form.colour


def stored_fields(form: PictureForm, encoding: Encoding) -> FieldOrder | None:
    """Return which field is told to be shown first; None where the file has whole pictures.

    x264 makes fields of 4:2:0 of whole pairs of chroma rows only.
    """
    _, height = stored_size(form, encoding)
    if encoding.codec not in INTERLACED or (encoding.codec == "h264" and height % 4):
        return None
    return form.field_order


def stored_siting(form: PictureForm, encoding: Encoding) -> str:
    """Return where chroma samples are put: the usual place, unless the file can tell another."""
    told = TOLD_SITINGS.get(encoding.codec, frozenset())
    can_tell = encoding.encoder == "software" and form.siting in told
    return form.siting if can_tell else USUAL_SITING
