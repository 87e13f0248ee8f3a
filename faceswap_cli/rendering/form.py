"""How the pictures of a result are encoded: [video], and what the footage is like."""

from faceswap_cli.config import VideoConfig
from faceswap_cli.media.encoding import Encoding, PictureForm
from faceswap_cli.media.encoding_choice import resolve_depth
from faceswap_cli.media.reader import VideoInfo


def encoding_of(section: VideoConfig, *, bits: int) -> Encoding:
    """Return what an encoder is asked for.

    Args:
        section: The settings.
        bits: Of a component of the pictures that are encoded.
    """
    return Encoding(
        codec=section.codec,
        encoder=section.encoder,
        crf=section.crf,
        preset=section.preset,
        depth=resolve_depth(section.depth, section.codec, footage_bits=bits),
        alpha=section.alpha,
    )


def form_of(info: VideoInfo, *, size_wh: tuple[int, int] | None = None) -> PictureForm:
    """Return what the pictures made from some footage have in common.

    Args:
        info: Of the footage.
        size_wh: Of the pictures, if they have another size.
    """
    return PictureForm(
        size_wh=size_wh or info.size_wh,
        time_base=info.time_base,
        rate_hint=info.average_rate,
        colour=info.colour,
        pixel_aspect=info.pixel_aspect,
        hdr=info.hdr,
        siting=info.siting,
        field_order=info.field_order if size_wh in (None, info.size_wh) else None,
    )
