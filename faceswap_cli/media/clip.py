"""Small clips made from nothing: pictures, and a tone as sound."""

import tempfile
import wave
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from faceswap_cli.errors import MediaError
from faceswap_cli.media.colour import BT709, LIMITED_RANGE, ColourTags
from faceswap_cli.media.sound import SoundPlan, SoundReport
from faceswap_cli.media.writer import open_writer
from faceswap_cli.types import RgbImage

SOUND_RATE = 48_000
LOUDNESS = 0.1  # of full scale: audible, and no fright
_COLOUR = ColourTags(matrix=BT709, range=LIMITED_RANGE, primaries=BT709, transfer=BT709)


def write_clip(
    path: Path,
    images: Iterable[RgbImage],
    *,
    rate: Fraction,
    tone_hz: float | None,
    crf: int = 12,
    metadata: dict[str, str] | None = None,
) -> None:
    """Encode pictures of one size as H.264, with a sine of the same length as sound.

    Args:
        path: The video to make; it appears when it is whole.
        images: (H, W, 3) each.
        rate: Pictures a second.
        tone_hz: Of the sine; None makes a silent film.
        crf: 0 is best, 51 is worst.
        metadata: Keys and values of the container.

    Raises:
        MediaError: There is no picture, their size changes, or the disk is full.
    """
    pictures = list(images)
    if not pictures:
        raise MediaError("a clip needs at least one picture", seen_in=path)
    height, width, _ = pictures[0].shape
    with tempfile.TemporaryDirectory() as folder:
        sound = None
        if tone_hz is not None:
            tone = _write_tone(Path(folder) / "tone.wav", len(pictures) / rate, tone_hz)
            sound = SoundPlan(tone, None, {0: SoundReport(copied=False, codec="aac")})
        with open_writer(
            path,
            size_wh=(width, height),
            time_base=1 / rate,
            rate_hint=rate,
            crf=crf,
            colour=_COLOUR,
            metadata=metadata or {},
            sound=sound,
        ) as write:
            for index, image in enumerate(pictures):
                write(image, index / rate, 1 / rate)


def _write_tone(path: Path, length_s: Fraction, tone_hz: float) -> Path:
    time_s = np.arange(round(length_s * SOUND_RATE)) / SOUND_RATE
    samples = np.rint(32767 * LOUDNESS * np.sin(2 * np.pi * tone_hz * time_s)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SOUND_RATE, len(samples), "NONE", "not compressed"))
        file.writeframes(samples.tobytes())
    return path
