"""The times of footage, kept from run to run: to find them, all of it is decoded."""

import json
import logging
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from faceswap_cli import __version__
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.files import fingerprint, write_atomic
from faceswap_cli.media.codecs import ffmpeg_version
from faceswap_cli.media.reader import FrameTime
from faceswap_cli.media.source import Source

log = logging.getLogger(__name__)

MAX_BYTES = 2**26
"""Of a list that is read: 40 hours of 25 frames a second."""
MAX_INT = 2**63 - 1
"""Of a numerator or a denominator, as ffmpeg counts."""


def frame_times(source: Source, path: Path) -> list[FrameTime]:
    """Return `source.times()`, from the file at `path` if it was written for this footage.

    The file is written if it was not. One that is of other footage, damaged, or forged is made
    anew.

    Raises:
        MediaError: As `source.times()`.
    """
    if not source.info.path.is_file():
        return source.times()  # of pictures they are counted, not read
    key = fingerprint(footage=source.fingerprint(), versions=[__version__, ffmpeg_version()])
    if (kept := _read(path, key)) is not None:
        return kept
    times = source.times()
    listed = [_pair(timed.time_s) for timed in times]
    last = _pair(times[-1].duration_s)
    kept_as = {"footage": key, "times": listed, "last_duration": last}
    kept_as["check"] = fingerprint(times=listed, last=last)
    try:
        write_atomic(path, json.dumps(kept_as, separators=(",", ":")).encode())
    except WorkspaceError as error:  # the work itself will tell if it cannot write, either
        log.debug("times are not kept: %s", error)
    return times


def _pair(number: Fraction) -> list[int]:
    return [number.numerator, number.denominator]


def _read(path: Path, key: str) -> list[FrameTime] | None:
    """Return the times if the file is whole, and of that footage."""
    with suppress(OSError, ValueError, RecursionError, TypeError, KeyError):
        if path.stat().st_size > MAX_BYTES:
            return None
        kept = json.loads(path.read_bytes())
        listed, last = kept["times"], kept["last_duration"]
        if kept["footage"] != key or kept["check"] != fingerprint(times=listed, last=last):
            return None
        return _checked([_fraction(pair) for pair in listed], _fraction(last))
    return None


def _fraction(pair: Any) -> Fraction:
    numerator, denominator = pair
    for number in (numerator, denominator):
        if type(number) is not int or abs(number) > MAX_INT:
            raise ValueError(f"{number!r} is no part of a time")
    if denominator <= 0:
        raise ValueError(f"{denominator} divides no time")
    return Fraction(numerator, denominator)


def _checked(starts_s: list[Fraction], last_s: Fraction) -> list[FrameTime] | None:
    """Return the times, each lasting until the next one; None if they do not grow."""
    lasting_s = [after - start for start, after in pairwise(starts_s)] + [last_s]
    if not starts_s or min(lasting_s) <= 0:
        return None
    return [
        FrameTime(index, *timed)
        for index, timed in enumerate(zip(starts_s, lasting_s, strict=True))
    ]
