import ast
import pickle
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceswap_cli.errors import MediaError, WorkspaceError
from faceswap_cli.faces.templates import crop_from_frame
from faceswap_cli.interop import faceswap_alignments
from faceswap_cli.interop.faceswap_alignments import read_alignments
from faceswap_cli.interop.faceswap_faces import StoredFace, crop_mask, read_face_png, record_of
from faceswap_cli.interop.frame_finder import Place
from faceswap_cli.interop.hostile import HostileError
from faceswap_cli.interop.literal import MAX_CHARACTERS, parse_literal
from tests.dfl_facesets import (
    FRAME_WH,
    dfl_matrix,
    faceswap_face,
    faceswap_png,
    frame_and_landmarks,
    fsa,
)

PLACE = Place("data_dst.mp4", "000000", 0, Fraction(0), FRAME_WH)
MASK = {"stored_size": 8, "affine_matrix": [[1, 0, 0], [0, 1, 0]], "mask": b""}
LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text() | st.binary()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4)
    | st.tuples(inner, inner)
    | st.tuples(inner)
    | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(LITERALS)
def test_what_python_writes_is_read_as_python_would(value: Any) -> None:
    assert parse_literal(repr(value)) == value == ast.literal_eval(repr(value))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("__import__('os').system('true')", 'no plain data: "__import__'),
        ("[1, 2", "a list that is damaged, or has no end"),
        ("{'a' 1}", "a dict that is damaged"),
        ("{[1]: 2}", "nested deeper"),
        ("[1 2]", "a list that is damaged"),
        ("[1, 2,", "no plain data: ''"),
        ("1 + 1j", "something behind its end"),
        ("1 1", "something behind its end"),
        ("'" + "a" * 99, "no plain data"),
        ("'\\q'", "an escape that is not known"),
        ("'\\U00110000'", "a letter that is none"),
        ("b'Δ'", "bytes that are none"),
        ("nan", "no plain data"),
        ("9" * 5000, "something behind its end"),
        ("- 1", "no plain data"),
        ("[" * 100_000, "nested deeper than 16"),
        ("(" * 18 + ")" * 18, "nested deeper than 16"),
        ("{1:" * 100_000, "nested deeper than 16"),
        ("-" * 100_000, "no plain data"),
        ("'" * (MAX_CHARACTERS + 1), "at most"),
    ],
    ids=range(20),
)
def test_what_is_no_plain_data_is_refused(text: str, why: str) -> None:
    with pytest.raises(HostileError) as error:
        parse_literal(text)
    assert why in str(error.value)


def test_a_face_png_tells_its_frame_and_landmarks() -> None:
    face = read_face_png(faceswap_png(), "a.png")
    assert (face.frame, face.index) == ("data_dst_000001.mp4", 0)
    assert face.box == (60, 40, 100, 81)
    np.testing.assert_allclose(face.landmarks, frame_and_landmarks()[1], atol=1e-4)
    assert [mask.name for mask in face.masks] == ["bisenet-fp_face"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"landmarks_xy": [[0, 0]] * 51}, "51 landmarks, 68 are needed"),
        ({"landmarks_xy": None}, "0 landmarks"),
        ({"landmarks_xy": [[0, 1e9]] * 68}, "is no pixel of a picture"),
        ({"landmarks_xy": [[0, "1"]] * 68}, "str, not a finite number"),
        ({"x": None}, "NoneType, not a finite number"),
        ({"mask": [1]}, "masks that are no dict"),
        ({"mask": {"a": 1}}, "a mask that is no dict"),
        ({"mask": {"a": {"stored_size": 10**6}}}, "a mask of size int"),
        ({"mask": {"a": {"stored_size": 8, "affine_matrix": []}}}, "a mask without a matrix"),
        ({"mask": {"a": MASK | {"affine_matrix": [[1, 0, 0], [1, 1, 0]]}}}, "skews"),
        ({"mask": {"a": MASK | {"mask": "text"}}}, "str, not bytes"),
    ],
)
def test_every_value_of_a_face_is_checked(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(MediaError) as error:
        read_face_png(faceswap_png(faceswap_face(**changes)), "a.png")
    assert why in error.value.what
    assert "seen in: a.png" in str(error.value)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not a PNG"),
        (faceswap_png()[:60], "a PNG cut short, or damaged"),
        (faceswap_png(text="{}"), "no source in it"),
        (faceswap_png(text="{'source': {}}"), "no alignments in it"),
        (faceswap_png(text="{'source': {}, 'alignments': {}}"), "NoneType is no name"),
        (faceswap_png(text="{'source': {'face_index': -1}, 'alignments': {}}"), "number int"),
        (faceswap_png(text="[" * 100_000), "nested deeper"),
        (faceswap_png(text=" " * 600_000), "a header of 600000 bytes"),
        (faceswap_png().replace(b"faceswap\0", b"facesXap\0"), "no data of faceswap inside"),
    ],
    ids=range(9),
)
def test_pngs_of_others_and_damaged_ones_are_explained(data: bytes, why: str) -> None:
    with pytest.raises(MediaError) as error:
        read_face_png(data, "a.png")
    assert why in error.value.what


def test_the_record_is_of_a_crop_of_our_own() -> None:
    face = read_face_png(faceswap_png(), "a.png")
    record, crop = record_of(face, PLACE, face_type="head", size_px=128)
    expected = crop_from_frame(face.landmarks, "head", 128).matrix
    np.testing.assert_array_equal(crop.matrix, expected)
    np.testing.assert_array_equal(record.crop_from_frame, expected)
    assert (record.face_type, record.size_px, record.engines) == ("head", 128, ("faceswap",))
    elsewhere = Place("data_dst.mp4", "000000", 0, Fraction(0), (50, 50))
    with pytest.raises(MediaError, match=r"lies at \(\d+, \d+\), outside of the frame 50x50"):
        record_of(face, elsewhere, face_type="head", size_px=128)


def test_a_mask_lies_on_the_same_part_of_the_face_as_before() -> None:
    face = read_face_png(faceswap_png(), "a.png")
    record, crop = record_of(face, PLACE, face_type="whole_face", size_px=96)
    mask = crop_mask(face, crop, 96)
    assert mask is not None
    # The upper half of faceswap's crop, its rows 0 to 15, as the mask was made.
    mask_from_frame = dfl_matrix(face.landmarks, 32, "full")
    x, y = np.meshgrid(np.arange(96.0), np.arange(96.0))
    frame = crop.inverse().apply(np.stack([x.ravel(), y.ravel()], axis=1))
    column, row = (frame @ mask_from_frame[:, :2].T + mask_from_frame[:, 2]).T
    is_inside = ((column > 1) & (column < 30) & (row > 1) & (row < 14)).reshape(96, 96)
    is_outside = ((column < -2) | (column > 33) | (row < -2) | (row > 17)).reshape(96, 96)
    assert (mask[is_inside] > 250).all()
    assert (mask[is_outside] < 5).all()
    assert record.size_px == 96


def with_mask(**changes: Any) -> StoredFace:
    known = faceswap_face()
    known["mask"]["bisenet-fp_face"] |= changes
    return read_face_png(faceswap_png(known), "a.png")


def test_masks_that_are_drawn_from_landmarks_are_left_to_us() -> None:
    known = faceswap_face()
    known["mask"] = {"components": known["mask"]["bisenet-fp_face"]}
    face = read_face_png(faceswap_png(known), "a.png")
    assert crop_mask(face, crop_from_frame(face.landmarks, "full", 64), 64) is None


@pytest.mark.parametrize(
    ("packed", "why"),
    [
        (b"no zlib", "is damaged"),
        (zlib.compress(bytes(1023)), "is not 32 pixels each way"),
        (zlib.compress(bytes(1025)), "is not 32 pixels each way"),
        (zlib.compress(bytes(50_000_000)), "is not 32 pixels each way"),
    ],
    ids=["damaged", "short", "long", "bomb"],
)
def test_masks_that_do_not_fit_are_explained(packed: bytes, why: str) -> None:
    face = with_mask(mask=packed)
    with pytest.raises(MediaError, match=why):
        crop_mask(face, crop_from_frame(face.landmarks, "full", 64), 64)


def test_a_mask_of_absurd_size_takes_no_time() -> None:
    # Its low-pass would be 30,000 pixels wide.
    face = with_mask(affine_matrix=[[9000, 0, 0], [0, 9000, 0]])
    with pytest.raises(MediaError, match="is of another size than the face"):
        crop_mask(face, crop_from_frame(face.landmarks, "full", 64), 64)


# Alignments files


def read_fsa(folder: Path, data: bytes) -> tuple[list[StoredFace], dict[str, str]]:
    path = folder / "alignments.fsa"
    path.write_bytes(data)
    return read_alignments(path)


def test_an_alignments_file_tells_the_faces_of_all_frames(tmp_path: Path) -> None:
    frames = {
        "a.png": {"faces": [faceswap_face(0), faceswap_face(1)], "video_meta": {}},
        "b.png": {"faces": []},
        "c.png": {"faces": [faceswap_face(2, landmarks_xy=np.zeros((68, 2), np.float32))]},
    }
    found, failed = read_fsa(tmp_path, fsa(frames))
    assert [(face.frame, face.index) for face in found] == [
        ("a.png", 0),
        ("a.png", 1),
        ("c.png", 0),
    ]
    assert failed == {}
    np.testing.assert_allclose(found[1].landmarks, frame_and_landmarks(1)[1], atol=1e-4)


def test_a_frame_that_cannot_be_used_does_not_lose_the_others(tmp_path: Path) -> None:
    good = {"faces": [faceswap_face()]}
    bad: dict[Any, Any] = {
        "b.png": {"faces": [faceswap_face(landmarks_xy=[1])]},
        "c.png": 7,
        "d.png": {"faces": 7},
        7: good,
        "e\n.png": good,
    }
    found, failed = read_fsa(tmp_path, fsa({"a.png": good} | bad))
    assert [face.frame for face in found] == ["a.png"]
    assert sorted(failed) == ["'e\\n.png'", "7", "b.png", "c.png", "d.png"]
    assert failed["b.png"] == "1 landmarks, 68 are needed"


class Payload:
    def __reduce__(self) -> tuple[Any, Any]:
        return eval, ("1 / 0",)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is cut short"),
        (b"no zlib", "it does not decompress"),
        (fsa()[:-20], "it is cut short"),
        (fsa(version=1.0), "its version is not 2"),
        (zlib.compress(pickle.dumps([1])), "its version is not 2"),
        (zlib.compress(pickle.dumps({"__meta__": {"version": 2.4}})), "it has no frames"),
        (zlib.compress(pickle.dumps({"__meta__": Payload()})), "refused global"),
        (zlib.compress(b"\x80\x04" + b"]" * 5_000_000), "data that shrinks to a 20th"),
    ],
    ids=range(8),
)
def test_files_that_are_no_alignments_are_explained(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(WorkspaceError) as error:
        read_fsa(tmp_path, data)
    assert f"not an alignments file of faceswap 2: {why}" in error.value.what
    assert f"seen in: {tmp_path / 'alignments.fsa'}" in str(error.value)


def test_a_bomb_stops_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WorkspaceError, match="data that shrinks to a 20th"):
        read_fsa(tmp_path, zlib.compress(bytes(60 * 2**20), 1))
    monkeypatch.setattr(faceswap_alignments, "MAX_BYTES", 2**20)
    with pytest.raises(WorkspaceError, match="more than 1 MiB of data"):
        read_fsa(tmp_path, zlib.compress(np.random.default_rng(0).bytes(3 * 2**20)))
