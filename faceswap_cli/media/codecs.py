"""What this build of ffmpeg can do."""

from fractions import Fraction

import av

from faceswap_cli.media.colour import BT709, LIMITED_RANGE, ColourTags
from faceswap_cli.media.encoders import CODECS, HARDWARE, SOFTWARE, Encoding, hardware_encoder
from faceswap_cli.media.encoding import PictureForm, why_not

# Large enough for the smallest picture that hardware takes.
_TRIAL = PictureForm(
    size_wh=(256, 256),
    time_base=Fraction(1, 25),
    rate_hint=Fraction(25),
    colour=ColourTags(matrix=BT709, range=LIMITED_RANGE, primaries=BT709, transfer=BT709),
)
ENCODERS = {SOFTWARE[codec]: f"{codec} video" for codec in CODECS} | {
    "exr": "sequences of OpenEXR",
    "gif": "moving previews",
    "libwebp_anim": "moving previews",
    "aac": "sound",
    "libopus": "sound of webm",
}
"""What each encoder in software is for."""


def ffmpeg_version() -> str:
    """Return the version of ffmpeg inside PyAV."""
    info = av.ffmpeg_version_info if hasattr(av, "ffmpeg_version_info") else "unknown version"
    return f"{info} in av {av.__version__}"


def has_encoder(name: str) -> bool:
    """Tell whether pictures or sound can be encoded with it."""
    try:
        return bool(av.Codec(name, "w").is_encoder)
    except av.codec.codec.UnknownCodecError:
        return False


def try_hardware() -> dict[str, str]:
    """Open each encoder in hardware that this build has; return what speaks against it.

    Returns:
        ffmpeg's name of the encoder, and a reason, empty if it can be used.
    """
    reasons = {}
    for codec in CODECS:
        for kind in HARDWARE:
            name = hardware_encoder(codec, kind)
            if name and has_encoder(name):
                reasons[name] = why_not(name, _TRIAL, Encoding(codec, kind))
    return reasons
