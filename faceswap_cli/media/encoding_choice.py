"""Which codec goes into which file, and with what; asked before any work is done."""

from typing import Literal

from faceswap_cli.errors import ConfigError
from faceswap_cli.media.encoders import (
    CHOICES,
    CODECS,
    MAX_CRF,
    PRESETS,
    TEN_BIT,
    Encoding,
    VideoCodec,
)

# What plays in them, not all that ffmpeg would put there. Matroska takes anything.
CONTAINERS: dict[str, tuple[str, tuple[VideoCodec, ...]]] = {
    ".mp4": ("mp4", ("h264", "h265", "av1", "vp9")),
    ".m4v": ("mp4", ("h264", "h265")),
    ".mov": ("mov", ("h264", "h265", "prores")),
    ".mkv": ("matroska", CODECS),
    ".webm": ("webm", ("vp9", "av1")),
}
_ALPHA_CONTAINERS = {"prores": (".mov", ".mkv"), "vp9": (".mkv", ".webm"), "ffv1": (".mkv",)}


def check_encoding(suffix: str, encoding: Encoding) -> None:
    """Raise ConfigError if a file of this suffix cannot hold it; the fix names what works.

    Args:
        suffix: ".mp4" etc., in any case.
        encoding: What shall go in.
    """
    suffix, codec = suffix.lower(), encoding.codec
    if suffix not in CONTAINERS:
        raise ConfigError(
            f"{suffix or 'a name without suffix'} is not a video we write",
            fix=f"name it with one of {' '.join(CONTAINERS)}",
        )
    _check_values(encoding)
    if codec not in CONTAINERS[suffix][1]:
        homes = [name for name, (_, codecs) in CONTAINERS.items() if codec in codecs]
        raise ConfigError(
            f"{codec} does not go into {suffix}",
            fix=f"{codec} goes into {' '.join(homes)}; {suffix} takes"
            f" {' '.join(CONTAINERS[suffix][1])}",
        )
    if encoding.alpha and suffix not in _ALPHA_CONTAINERS.get(codec, ()):
        ways = [f"{name} in {' '.join(homes)}" for name, homes in _ALPHA_CONTAINERS.items()]
        raise ConfigError(f"{codec} in {suffix} has no alpha", fix=f"take {', '.join(ways)}")


def _check_values(encoding: Encoding) -> None:
    for value, known, what in (
        (encoding.codec, CODECS, "codec"),
        (encoding.encoder, CHOICES, "encoder"),
        (encoding.preset, PRESETS, "preset"),
    ):
        if value not in known:
            raise ConfigError(f"{value!r} is no {what} we know", fix=f"one of {' '.join(known)}")
    if not 0 <= encoding.crf <= MAX_CRF:
        raise ConfigError(
            f"crf {encoding.crf} is out of range", fix=f"0 (best) to {MAX_CRF} (worst)"
        )
    if encoding.depth not in (8, 10):
        raise ConfigError(f"a depth of {encoding.depth} bits is none we write", fix="8 or 10")
    if encoding.depth > 8 and encoding.codec not in TEN_BIT:
        raise ConfigError(
            f"{encoding.codec} is written with 8 bits only",
            fix=f"take a depth of 8, or one of {' '.join(c for c in CODECS if c in TEN_BIT)}",
        )


def resolve_depth(
    wanted: Literal["auto", "8", "10"], codec: VideoCodec, *, footage_bits: int
) -> int:
    """Return the depth to encode with: of "auto", 10 if the footage has more than 8 bits.

    Of H.264 it is 8 then: hardly any player outside of a computer shows 10.

    Args:
        wanted: As in [video].
        codec: Not all have 10 bits.
        footage_bits: Of a sample of the footage.
    """
    if wanted != "auto":
        return int(wanted)
    return 10 if footage_bits > 8 and codec in TEN_BIT - {"h264"} else 8
