import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceswap_cli.errors import MediaError, WorkspaceError
from faceswap_cli.faces.faceset import open_faceset, read_record, write_aligned
from faceswap_cli.faces.metadata import read_comment, with_comment
from faceswap_cli.faces.record import SCHEMA, FaceRecord
from faceswap_cli.imaging import decode_image, encode_image
from tests.facesets import blob, record

PICTURE = blob(64, (200, 120, 80), 0.3)
ENCODED = {suffix: encode_image(PICTURE, suffix) for suffix in (".jpg", ".png")}
SUFFIXES = list(ENCODED)


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(text=st.text(alphabet=st.characters(codec="utf-8"), max_size=400))
def test_comment_comes_back(suffix: str, text: str) -> None:
    assert read_comment(with_comment(ENCODED[suffix], text)) == text


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_comment_larger_than_a_segment_comes_back(suffix: str) -> None:
    text = "".join(chr(0x100 + i % 5000) for i in range(100_000))  # cuts characters in two
    data = with_comment(ENCODED[suffix], text)
    assert read_comment(data) == text
    np.testing.assert_array_equal(decode_image(data, ""), decode_image(ENCODED[suffix], ""))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_new_comment_replaces_the_old_and_no_pixel(suffix: str) -> None:
    once = with_comment(ENCODED[suffix], "a long first comment " * 5000)
    twice = with_comment(once, "second")
    assert read_comment(twice) == "second"
    assert twice == with_comment(ENCODED[suffix], "second")
    np.testing.assert_array_equal(decode_image(twice, ""), decode_image(ENCODED[suffix], ""))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_picture_without_comment_has_none(suffix: str) -> None:
    assert read_comment(ENCODED[suffix]) is None


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_opencv_reads_a_commented_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(with_comment(ENCODED[suffix], "{}"))
    picture = cv2.imread(str(path))
    assert picture is not None
    assert picture.shape == (64, 64, 3)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=200)
@given(data=st.data())
def test_hostile_bytes_are_an_error_and_never_a_crash(suffix: str, data: st.DataObject) -> None:
    good = with_comment(ENCODED[suffix], "comment " * 20)
    cut = bytearray(good[: data.draw(st.integers(0, min(len(good), 900)))])
    for at in data.draw(st.lists(st.integers(0, 899), max_size=4)):
        if at < len(cut):
            cut[at] = data.draw(st.integers(0, 255))
    for act in (read_comment, lambda some: with_comment(some, "new")):
        try:
            act(bytes(cut))
        except MediaError as error:
            assert "JPEG" in error.what or "PNG" in error.what


@given(st.binary(max_size=200))
def test_what_is_no_picture_is_an_error(data: bytes) -> None:
    for head in (b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n"):
        try:
            read_comment(head + data)
        except MediaError:
            continue


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_record_comes_back_as_it_was(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"000007_00{suffix}"
    mesh = tuple((float(i), i / 3, -i / 7) for i in range(468))
    written = record(7).model_copy(update={"mesh_frame": mesh, "frame_time_s": Fraction(1001, 7)})
    write_aligned(path, PICTURE, written, jpeg_quality=95)
    assert read_record(path) == written
    [face] = open_faceset(tmp_path).faces
    assert face.record == written
    assert face.image().shape == (64, 64, 3)


def test_time_is_exact() -> None:
    text = record(1).model_copy(update={"frame_time_s": Fraction(1001, 30000)}).model_dump_json()
    assert FaceRecord.model_validate_json(text).frame_time_s == Fraction(1001, 30000)


def test_renamed_and_deleted_pictures_are_no_problem(tmp_path: Path) -> None:
    for index in range(3):
        write_aligned(tmp_path / f"{index}.jpg", PICTURE, record(index), jpeg_quality=95)
    (tmp_path / "1.jpg").rename(tmp_path / "anna, best one.JPG")
    (tmp_path / "0.jpg").unlink()
    faces = open_faceset(tmp_path).faces
    assert sorted(face.record.frame_index for face in faces) == [1, 2]


def test_picture_that_cannot_be_used_is_left_out_with_the_reason(tmp_path: Path) -> None:
    good = with_comment(ENCODED[".jpg"], record(0).model_dump_json())
    (tmp_path / "good.jpg").write_bytes(good)
    (tmp_path / "foreign.jpg").write_bytes(ENCODED[".jpg"])
    (tmp_path / "cut.jpg").write_bytes(good[:300])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "damaged.jpg").write_bytes(
        with_comment(
            ENCODED[".jpg"], record(0).model_dump_json().replace('"size_px":64', '"size_px":1')
        )
    )
    nowhere = json.loads(record(0).model_dump_json())
    nowhere["landmarks_frame"][7] = [float("nan"), 1.0]
    (tmp_path / "nowhere.jpg").write_bytes(with_comment(ENCODED[".jpg"], json.dumps(nowhere)))
    (tmp_path / ".hidden.jpg").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("mine")
    faceset = open_faceset(tmp_path)
    assert [face.path.name for face in faceset.faces] == ["good.jpg"]
    assert faceset.skipped == {
        "foreign.jpg": "no face record inside: not made by this program",
        "cut.jpg": "a JPEG cut short, or damaged",
        "empty.png": "neither a JPEG nor a PNG",
        "damaged.jpg": "its face record is damaged at 'size_px'",
        "nowhere.jpg": "its face record is damaged at 'landmarks_frame.7.0'",
    }


@pytest.mark.parametrize("broken", ["", '"landmarks_crop":[],'])
def test_newer_schema_says_to_update(tmp_path: Path, broken: str) -> None:
    text = record(0).model_dump_json().replace('"schema_version":1', '"schema_version":9')
    text = "{" + broken + text[1:] if broken else text
    path = tmp_path / "a.jpg"
    path.write_bytes(with_comment(ENCODED[".jpg"], text))
    with pytest.raises(WorkspaceError) as caught:
        read_record(path)
    assert f"its face record has schema 9, this program reads up to {SCHEMA}" in str(caught.value)
    assert "fix: update faceswap-cli" in str(caught.value)
    assert "schema 9" in open_faceset(tmp_path).skipped["a.jpg"]


def test_resized_picture_is_an_error_with_both_sizes(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_aligned(path, blob(32, (1, 2, 3), 0.0), record(0), jpeg_quality=95)
    [face] = open_faceset(tmp_path).faces
    with pytest.raises(MediaError, match="32x32 pixels, its record says 64"):
        face.image()


def test_missing_folder_is_an_empty_faceset(tmp_path: Path) -> None:
    faceset = open_faceset(tmp_path / "none")
    assert (faceset.faces, faceset.skipped) == ([], {})


def test_jpeg_of_another_encoder_keeps_its_exif() -> None:
    exif = b"\xff\xe1\x00\x0cExif\x00\x00abcd"
    data = ENCODED[".jpg"][:2] + exif + ENCODED[".jpg"][2:]
    commented = with_comment(data, "text")
    assert exif in commented
    assert commented.index(b"text") > commented.index(exif)
    assert read_comment(commented) == "text"


def test_fill_bytes_between_segments_are_allowed() -> None:
    data = with_comment(ENCODED[".jpg"], "text")
    filled = data[:2] + b"\xff\xff" + data[2:]  # ITU-T T.81, B.1.1.2: any number of 0xFF
    assert read_comment(filled) == "text"
