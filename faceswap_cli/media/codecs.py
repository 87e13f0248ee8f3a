"""What this build of ffmpeg can do."""

import av


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
