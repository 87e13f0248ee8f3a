"""What encoders and the system say when they fail, as errors of ours."""

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock

import av

from faceswap_cli.errors import MediaError

FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
MAX_LINES = 8
"""Of an encoder's own words in one of our errors."""
_STDERR = 2
_ADDRESS = re.compile(r" @ 0x[0-9a-f]+\]")
_listening = RLock()


@contextmanager
def explained(path: Path, *, listen: bool = False) -> Iterator[None]:
    """Turn what ffmpeg or the system says about the writing of a file into a MediaError.

    Args:
        path: The file, for the message.
        listen: Tell the libraries' own words, too: where an encoder is opened, a header or an
            index is written; not around every frame, see `listening`.
    """
    heard: list[str] = []
    try:
        if listen:
            with listening(heard):
                yield
        else:
            yield
    except (av.FFmpegError, OSError) as error:
        text = error.strerror or str(error)
        if error.errno in FULL_DISK:
            raise MediaError(
                f"the disk is full, or a quota is: {text}",
                seen_in=path.parent,
                fix="free some space there, or write somewhere else, and run it again",
            ) from error
        raise MediaError(
            "\n".join([f"{path.name} cannot be written: {text}", *heard]),
            seen_in=path,
            fix="check that the folder can be written, or take another codec or suffix",
        ) from error


@contextmanager
def listening(heard: list[str]) -> Iterator[None]:
    """Catch what libraries print to stderr in the block; of a failure, put it into `heard`.

    ffmpeg tells PyAV through a function of Python, which needs the lock of the interpreter: a
    thread of a decoder that has something to say while its owner waits for it would stop all.
    And x265 does not tell ffmpeg at all, but prints. So this catches the file descriptor, for
    the moment of a single call. What others print meanwhile goes to stderr afterwards.
    """
    with _listening, tempfile.TemporaryFile() as file:
        try:
            kept = os.dup(_STDERR)
        except OSError:  # a daemon may have closed it
            yield
            return
        os.dup2(file.fileno(), _STDERR)
        av.logging.set_libav_level(av.logging.ERROR)
        av.logging.restore_default_callback()
        is_fine = False
        try:
            yield
            is_fine = True
        finally:
            av.logging.set_level(av.logging.get_level())
            os.dup2(kept, _STDERR)
            os.close(kept)
            file.seek(0)
            data = file.read()
            if not is_fine:
                heard += _lines(data)
            elif data:
                with suppress(OSError):  # nobody may be listening any more
                    os.write(_STDERR, data)


def _lines(data: bytes) -> list[str]:
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines()]
    return [_ADDRESS.sub("]", line) for line in lines if line][-MAX_LINES:]
