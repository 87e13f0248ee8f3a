from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import font_manager, get_data_path

from faceswap_cli.errors import ConfigError
from faceswap_cli.media import label
from faceswap_cli.media.label import EM, LEADING, Corner, check_label, draw_label

GREY = np.full((270, 480, 3), 120, np.uint8)


def changed(image: np.ndarray, before: np.ndarray = GREY) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of what was drawn over."""
    rows, columns = np.nonzero((image != before).any(axis=2))
    return columns.min(), rows.min(), columns.max(), rows.max()


def test_the_frame_itself_stays() -> None:
    frame = GREY.copy()
    drawn = draw_label(frame, "AI")
    assert np.array_equal(frame, GREY)
    assert drawn.dtype == frame.dtype
    assert drawn.shape == frame.shape


@pytest.mark.parametrize(
    ("corner", "is_left", "is_low"),
    [
        ("lower-left", True, True),
        ("lower-right", False, True),
        ("upper-left", True, False),
        ("upper-right", False, False),
    ],
)
def test_the_label_keeps_to_its_corner(corner: Corner, is_left: bool, is_low: bool) -> None:
    left, top, right, bottom = changed(draw_label(GREY, "AI", corner=corner))
    assert (right < 240, left > 240) == (is_left, not is_left)
    assert (top > 135, bottom < 135) == (is_low, not is_low)
    assert min(left, top, 479 - right, 269 - bottom) == pytest.approx(5, abs=2)


def test_letters_are_white_on_a_darkened_plate() -> None:
    for level in (0, 120, 255):
        frame = np.full_like(GREY, level)
        drawn = draw_label(frame, "AI")
        assert drawn.max() == 255
        left, top, right, _ = changed(draw_label(GREY, "AI"))
        assert drawn[top, left, 0] == pytest.approx(0.45 * level, abs=1)
        assert np.array_equal(drawn[:, right + 1 :], frame[:, right + 1 :])


def test_the_label_grows_with_the_picture() -> None:
    widths = []
    for height in (540, 1080):
        frame = np.full((height, 2 * height, 3), 120, np.uint8)
        left, _, right, _ = changed(draw_label(frame, "AI-generated"), frame)
        widths.append(right - left)
    assert widths[1] / widths[0] == pytest.approx(2, rel=0.05)


def test_sixteen_bits_are_the_same_picture() -> None:
    deep = draw_label(GREY.astype(np.uint16) * 257, "AI")
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - draw_label(GREY, "AI")).max() <= 0.51


def test_white_is_paper_white_in_hdr() -> None:
    frame = np.zeros((270, 480, 3), np.uint16)
    for transfer, share in ((1, 1.0), (16, 0.58), (18, 0.75)):
        assert draw_label(frame, "AI", transfer=transfer).max() == round(65535 * share)


@pytest.mark.parametrize("text", ["verändert", "Лицо заменено", "τεχνητό"])
def test_letters_of_other_scripts_are_drawn(text: str) -> None:
    check_label(text)
    drawn = draw_label(GREY, text)
    assert not np.array_equal(drawn, draw_label(GREY, "?" * len(text)))
    assert drawn.max() == 255


RARE = "\U0001d5a0"
"""A letter that DejaVu Sans has, but not its bold."""


def test_letters_that_no_font_has_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [])
    with pytest.raises(ConfigError, match=rf"letters '{RARE}' of the label"):
        check_label(f"AI {RARE}")


def test_a_font_of_the_system_helps_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = tmp_path / "a.ttf", tmp_path / "b.ttf"
    bad.write_bytes(b"no font")
    good.write_bytes(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf").read_bytes())
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(good), str(bad)])
    assert not np.array_equal(draw_label(GREY, RARE * 2), draw_label(GREY, "??"))


def test_a_font_of_small_pictures_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """As fonts of emoji are: they have the letters, but in sizes of their own."""
    folder = Path(get_data_path(), "fonts", "ttf")
    fixed, good = folder / "A.ttf", folder / "DejaVuSans.ttf"
    opened = label._open

    def open_font(path: Path) -> Any:
        font = opened(good if path == fixed else path)
        return _Fixed(font) if path == fixed else font

    monkeypatch.setattr(label, "_open", open_font)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(fixed), str(good)])
    assert label._find_font(RARE * 3) == good


class _Fixed:
    """A font that cannot be set to a size."""

    def __init__(self, font: Any) -> None:
        self._font = font

    def get_char_index(self, code: int) -> int:
        return int(self._font.get_char_index(code))

    def set_size(self, points: float, dpi: float) -> None:
        raise RuntimeError("Could not set the fontsize (invalid pixel size; error code 0x17)")


def test_a_label_is_one_line_of_text() -> None:
    with pytest.raises(ConfigError, match="control character"):
        check_label("AI\nmade")


def test_long_labels_are_broken_between_words() -> None:
    frame = np.full((640, 200, 3), 120, np.uint8)
    left, _, right, _ = changed(draw_label(frame, " ".join(["ab"] * 20)), frame)
    assert left >= 8
    assert right <= 191  # as far from the other edge
    heights = []
    for words in ("replaced", " ".join(["replaced"] * 4)):
        _, top, _, bottom = changed(draw_label(frame, words), frame)
        heights.append(bottom - top)
    assert heights[1] - heights[0] == pytest.approx(3 * LEADING * EM * 640, abs=2)


def test_lines_stand_on_lines() -> None:
    drawn = draw_label(np.zeros((640, 150, 3), np.uint8), "ooooooooo ggggggggg")
    is_bright = np.asarray((drawn > 200).any(axis=(1, 2)))
    tops = np.flatnonzero(is_bright[1:] & ~is_bright[:-1])  # o and g are equally high
    assert np.diff(tops) == pytest.approx([LEADING * EM * 640], abs=1.5)


def test_spaces_are_no_label_and_tiny_pictures_no_trouble() -> None:
    assert np.array_equal(draw_label(GREY, "  "), GREY)
    assert draw_label(GREY[:6, :8], "AI-generated").shape == (6, 8, 3)
