"""Small moving previews: right times, right colours, small."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from faceswap_cli.errors import ConfigError, MediaError, WorkspaceError
from faceswap_cli.media.animation import (
    LONGEST_S,
    LONGEST_SIDE_PX,
    SHORTEST_STEP_S,
    choose_moments,
    write_animation,
)
from tests.clips import grey_images, noise_images, patch_image

SUFFIXES = [".gif", ".webp"]


def at_rate(num: int, rate: Fraction) -> list[tuple[Fraction, Fraction]]:
    return [(7 + index / rate, 1 / rate) for index in range(num)]


def read_gif(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return [
            (frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)
        ]


def read_webp_chunks(path: Path) -> list[tuple[bytes, bytes]]:
    """By the container's specification: this build of ffmpeg may not decode moving WebP."""
    data, at, chunks = path.read_bytes(), 12, []
    assert (data[:4], data[8:12]) == (b"RIFF", b"WEBP")
    while at < len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        chunks.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return chunks


def test_gif_has_the_times_of_its_pictures(tmp_path: Path) -> None:
    times = [
        (Fraction(2), Fraction(1, 5)),
        (Fraction(11, 5), Fraction(1)),
        (Fraction(16, 5), Fraction(1)),
    ]
    write_animation(tmp_path / "a.gif", grey_images(3), times)
    found = read_gif(tmp_path / "a.gif")
    assert [time for time, _ in found] == [0, 0.2, 1.2]
    for (_, image), expected in zip(found, grey_images(3), strict=True):
        assert abs(image.astype(int) - expected).max() <= 4
    assert b"NETSCAPE2.0\x03\x01\x00\x00" in (tmp_path / "a.gif").read_bytes()  # for ever


def test_last_picture_of_a_gif_lasts(tmp_path: Path) -> None:
    times = [(Fraction(0), Fraction(1, 10)), (Fraction(1, 10), Fraction(3, 2))]
    write_animation(tmp_path / "a.gif", grey_images(2), times)
    delays = [
        int.from_bytes(part[2:4], "little")
        for part in (tmp_path / "a.gif").read_bytes().split(b"\x21\xf9")[1:]
    ]
    assert delays == [10, 150]


def test_webp_moves_for_ever_with_its_times(tmp_path: Path) -> None:
    times = [
        (Fraction(0), Fraction(1, 5)),
        (Fraction(1, 5), Fraction(1)),
        (Fraction(6, 5), Fraction(1)),
    ]
    write_animation(tmp_path / "a.webp", noise_images(3, (32, 32)), times)
    chunks = read_webp_chunks(tmp_path / "a.webp")
    assert next(data for name, data in chunks if name == b"ANIM")[4:6] == b"\0\0"
    durations = [int.from_bytes(data[12:15], "little") for name, data in chunks if name == b"ANMF"]
    assert durations[:2] == [200, 1000]
    assert len(durations) == 3


def test_colours_of_a_gif_fit_the_film(tmp_path: Path) -> None:
    image = patch_image((192, 64))
    write_animation(tmp_path / "a.gif", [image] * 2, at_rate(2, Fraction(10)))
    _, found = read_gif(tmp_path / "a.gif")[1]
    assert abs(found[32, 16::32].astype(int) - image[32, 16::32]).max() <= 8


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("size_wh", [(600, 150), (150, 600), (100, 31)])
def test_pictures_become_small(tmp_path: Path, suffix: str, size_wh: tuple[int, int]) -> None:
    path = tmp_path / f"a{suffix}"
    write_animation(path, noise_images(2, size_wh), at_rate(2, Fraction(10)))
    if suffix == ".gif":
        height, width, _ = read_gif(path)[0][1].shape
    else:
        _, canvas = next(chunk for chunk in read_webp_chunks(path) if chunk[0] == b"VP8X")
        width = int.from_bytes(canvas[4:7], "little") + 1
        height = int.from_bytes(canvas[7:10], "little") + 1
    factor = min(1.0, LONGEST_SIDE_PX / max(size_wh))
    assert (width, height) == (size_wh[0] * factor, size_wh[1] * factor)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_picture_is_enough(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_animation(path, grey_images(1), at_rate(1, Fraction(25)))
    assert path.stat().st_size > 40


@pytest.mark.parametrize("rate", [Fraction(5), Fraction(24000, 1001), Fraction(25), Fraction(60)])
def test_moments_are_at_most_twelve_a_second(rate: Fraction) -> None:
    times = at_rate(300, rate)
    chosen = choose_moments(times)
    shown = [times[index][0] for index in chosen]
    assert chosen[0] == 0
    assert all(b - a >= SHORTEST_STEP_S / 2 for a, b in pairwise(shown))
    mean_rate = (len(shown) - 1) / (shown[-1] - shown[0])
    assert min(rate, 1 / SHORTEST_STEP_S) * Fraction(9, 10) < mean_rate
    assert mean_rate <= 1 / SHORTEST_STEP_S + Fraction(1, 2)
    assert shown[-1] - shown[0] < LONGEST_S


def test_a_pause_is_no_reason_to_hurry_after_it() -> None:
    times = [(Fraction(t, 50), Fraction(1, 50)) for t in (0, 100, 101, 102, 103, 104, 105)]
    assert choose_moments(times) == [0, 1, 3]


def test_nothing_has_no_moments() -> None:
    assert choose_moments([]) == []


@pytest.mark.parametrize(
    ("name", "images", "num_times", "kind", "message"),
    [
        ("a.png", grey_images(1), 1, ConfigError, "a.png is no animation"),
        ("a.gif", [], 0, MediaError, "at least one picture"),
        ("a.gif", grey_images(1), 2, MediaError, "1 pictures for 2 times"),
        ("a.gif", grey_images(1) + grey_images(1, (48, 64)), 2, MediaError, "cannot follow"),
    ],
)
def test_bad_input_is_explained_and_leaves_nothing(
    tmp_path: Path, name: str, images: list[Any], num_times: int, kind: Any, message: str
) -> None:
    with pytest.raises(kind, match=message):
        write_animation(tmp_path / name, images, at_rate(num_times, Fraction(10)))
    assert list(tmp_path.iterdir()) == []


def test_old_preview_outlives_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(b"old")
    with pytest.raises(MediaError):
        write_animation(path, grey_images(1), at_rate(2, Fraction(10)))
    assert path.read_bytes() == b"old"


def test_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WorkspaceError, match="a file stands where a folder is needed"):
        write_animation(tmp_path / "file" / "a.gif", grey_images(1), at_rate(1, Fraction(10)))
