"""Opening a video file to read it; what can be wrong with it is a MediaError here."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from faceswap_cli.errors import MediaError

# ffmpeg draws any .txt file as a video of its letters.
NOT_VIDEO_FORMATS = {"tty"}
NO_VIDEO = Disposition.attached_pic | Disposition.timed_thumbnails
REMAKE = "look at it with `ffprobe {path}`; if another player shows it, `ffmpeg -i {path} new.mp4`"


@contextmanager
def open_input(path: Path) -> Iterator[Any]:
    """Open a file with ffmpeg, and close it; nothing of av.error leaves the block.

    Yields:
        The av.container.InputContainer.

    Raises:
        MediaError: There is no such file, it is empty, or ffmpeg fails on it.
    """
    _check_file(path)
    try:
        # `file:` keeps a colon in the name from being a protocol, and the white list keeps
        # playlists from reading the network.
        options = {"protocol_whitelist": "file"}
        with av.open(
            f"file:{os.fspath(path)}", "r", container_options=options, metadata_errors="replace"
        ) as container:
            yield container
    except av.FFmpegError as error:
        raise unreadable(path, error.strerror or str(error)) from error


def unreadable(path: Path, reason: str) -> MediaError:
    """Return the error of a file that is there, but is no use as a video."""
    return MediaError(
        f"{path.name} cannot be read as a video: {reason}",
        seen_in=path,
        fix=REMAKE.format(path=path),
    )


def _check_file(path: Path) -> None:
    if not path.exists():
        raise MediaError(f"there is no video {path.name}", seen_in=path, fix="check the path")
    if not path.is_file():
        raise MediaError(f"{path.name} is not a file", seen_in=path, fix="name a video file")
    if path.stat().st_size == 0:
        raise MediaError(f"{path.name} is empty: 0 bytes", seen_in=path, fix="copy it again")


def find_video_stream(container: Any, path: Path) -> Any:
    """Return the largest video stream that is not a cover or a thumbnail.

    Raises:
        MediaError: There is none, or its codec is unknown or encrypted.
    """
    if container.format.name in NOT_VIDEO_FORMATS:
        raise unreadable(path, f"ffmpeg takes it for {container.format.name}, not for a video")
    streams = [stream for stream in container.streams.video if not stream.disposition & NO_VIDEO]
    if not streams:
        sound = "only sound" if container.streams.audio else "no moving pictures"
        raise MediaError(
            f"{path.name} holds {sound}", seen_in=path, fix="give a file that has a video stream"
        )
    known = [stream for stream in streams if stream.codec_context is not None]
    if not known:
        raise unreadable(path, "its video codec is unknown to ffmpeg, or encrypted")
    return max(known, key=lambda stream: stream.width * stream.height)
