"""Parts of frames are what whole frames show there, to the bit."""

from pathlib import Path

import numpy as np
import pytest

from faceswap_cli.media.reader import Frame, read_frames, read_parts
from faceswap_cli.media.source import open_source
from tests.clips import set_display_matrix, write_clip
from tests.made_faces import smooth_picture

SIZE_WH = (210, 162)
BOXES = [(100, 60, 130, 90), (0, 0, 5, 5), (200, 150, 210, 162), (0, 0, 210, 162), (33, 1, 34, 161)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parts") / "clip.mp4"
    write_clip(path, [smooth_picture(i, SIZE_WH, detail_px=3.0) for i in range(3)])
    return path


@pytest.mark.parametrize("box", BOXES)
def test_a_part_is_that_of_the_whole_frame(clip: Path, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    parts = list(read_parts(clip, lambda index: box))
    for whole, part in zip(read_frames(clip), parts, strict=True):
        x, y = part.corner_xy
        assert x <= left
        assert y <= top
        shown = part.image[top - y : bottom - y, left - x : right - x]
        assert shown.shape == (bottom - top, right - left, 3)
        assert np.array_equal(shown, whole.image[top:bottom, left:right])
        assert (part.size_wh, part.time_s) == (SIZE_WH, whole.time_s)
    assert parts[0].image.size < whole.image.size or box == BOXES[3]


def test_frames_without_a_box_are_left_out(clip: Path) -> None:
    parts = read_parts(clip, lambda index: BOXES[0] if index == 1 else None)
    assert [part.index for part in parts] == [1]


def test_a_box_that_moves_is_followed(clip: Path) -> None:
    boxes = [BOXES[0], BOXES[1], BOXES[2]]
    corners = [part.corner_xy for part in read_parts(clip, lambda index: boxes[index])]
    assert len(set(corners)) == 3


@pytest.mark.parametrize("matrix", [(0, 1, -1, 0), (-1, 0, 0, -1), (-1, 0, 0, 1)])
def test_turned_and_mirrored_videos_give_upright_parts(
    tmp_path: Path, matrix: tuple[int, int, int, int]
) -> None:
    stored = smooth_picture(5, SIZE_WH)
    path = set_display_matrix(write_clip(tmp_path / "turned.mp4", [stored]), matrix)
    (whole,) = read_frames(path)
    (part,) = read_parts(path, lambda index: (40, 50, 80, 90))
    x, y = part.corner_xy
    height, width = part.image.shape[:2]
    assert (width, height) != part.size_wh == whole.size_wh
    assert np.array_equal(part.image, whole.image[y : y + height, x : x + width])


def test_pictures_come_whole(tmp_path: Path) -> None:
    from faceswap_cli.imaging import write_image

    for i in range(2):
        write_image(tmp_path / f"{i}.png", smooth_picture(i, (40, 30)))
    (frame,) = open_source(tmp_path).parts(lambda index: (3, 3, 9, 9) if index == 1 else None)
    assert isinstance(frame, Frame)
    assert (frame.index, frame.corner_xy, frame.size_wh) == (1, (0, 0), (40, 30))


def test_rough_frames_are_nearly_the_exact_ones(clip: Path) -> None:
    for exact, rough in zip(read_frames(clip), read_frames(clip, rough=True), strict=True):
        difference = np.abs(exact.image.astype(int) - rough.image)
        assert 0.0 < difference.mean() < 10.0  # of strong, small blobs of colour
