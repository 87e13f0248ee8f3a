import io
import os
import pickle
import pickletools
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from faceswap_cli.errors import MediaError, WorkspaceError
from faceswap_cli.faces.metadata import with_comment
from faceswap_cli.faces.templates import FACE_TYPES, crop_from_frame
from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.imaging import encode_image
from faceswap_cli.interop import polygons as drawing
from faceswap_cli.interop.dfl_faces import DflFace, has_dfl_data, read_dfl_face, with_dfl_face
from faceswap_cli.interop.dfl_pak import PakReader, write_pak
from faceswap_cli.interop.dfl_records import agree, face_of, lies_in, mask_of, record_of
from faceswap_cli.interop.encoded import jpeg_parts
from faceswap_cli.interop.frame_finder import Place, unplaced
from faceswap_cli.interop.hostile import HostileError
from faceswap_cli.interop.pickle_writer import Member, write_pickle
from faceswap_cli.interop.polygons import Polygon, decode_mask, encode_mask, inside
from tests.dfl_facesets import (
    FRAME_WH,
    SIDE,
    crop_of,
    dfl_dict,
    dfl_jpeg,
    dfl_matrix,
    dfl_pak,
    frame_and_landmarks,
    old_pickle,
)
from tests.facesets import record as our_record

PLACE = Place("data_dst.mp4", "000000", 0, Fraction(0), FRAME_WH)
SQUARE = np.array([[20.0, 20], [60, 20], [60, 60], [20, 60]])


def read(**changes: Any) -> DflFace:
    return read_dfl_face(dfl_jpeg(dfl_dict(**changes)), "00001_0.jpg")


def reason(data: bytes) -> str:
    with pytest.raises(MediaError) as error:
        read_dfl_face(data, "00001_0.jpg")
    assert "seen in: 00001_0.jpg" in str(error.value)
    return error.value.what


def test_what_deepfacelab_wrote_is_read() -> None:
    known, face = dfl_dict(), read()
    assert face.size_px == SIDE
    assert (face.face_type, face.source_filename) == ("whole_face", "00001.png")
    for key in ("landmarks", "source_landmarks", "image_to_face_mat", "source_rect"):
        np.testing.assert_array_equal(getattr(face, key), known[key])
    assert face.polygons == ()
    assert face.mask is None


def test_arrays_do_as_well_as_lists() -> None:
    known = dfl_dict()
    for dtype in (np.float32, np.float64):
        landmarks = np.array(known["landmarks"], dtype)
        assert (read(landmarks=landmarks).landmarks == landmarks).all()


def test_the_pixels_of_a_crop_lie_where_its_record_says() -> None:
    # What DeepFaceLab cut with cv2.warpAffine is cut again with our own warp and the record.
    frame, _ = frame_and_landmarks()
    record = record_of(read(), PLACE)
    again = warp(frame, record.crop, size_wh=(SIDE, SIDE), border=0.0)
    error = np.abs(again.astype(int) - crop_of()).mean()
    assert error < 0.5
    for shift in (-0.5, 0.5):  # were it counted from the corner, everything would be off by this
        moved = Similarity(record.crop.matrix + np.array([[0, 0, shift], [0, 0, shift]]))
        wrong = warp(frame, moved, size_wh=(SIDE, SIDE), border=0.0)
        assert np.abs(wrong.astype(int) - crop_of()).mean() > 4 * error + 1


@pytest.mark.parametrize("face_type", FACE_TYPES)
def test_its_template_lies_half_a_pixel_further_right_and_down_than_ours(face_type: str) -> None:
    _, landmarks = frame_and_landmarks()
    if FACE_TYPES[face_type].follows_yaw:
        landmarks = landmarks.copy()
        landmarks[[0, 1, 2, 14, 15, 16], 0] += np.repeat(
            landmarks[[27, 28, 29], 0].mean() - landmarks[[0, 1, 2, 14, 15, 16], 0].mean(), 6
        )
    ours = crop_from_frame(landmarks, face_type, 256).matrix
    difference = dfl_matrix(landmarks, 256, face_type) - ours
    np.testing.assert_allclose(difference[:, 2], 0.5, atol=2e-2)
    np.testing.assert_allclose(difference[:, :2], 0.0, atol=1e-4)


def test_the_record_says_all_that_deepfacelab_knows() -> None:
    known, record = dfl_dict(), record_of(read(), PLACE, track=3)
    assert (record.face_type, record.size_px, record.track) == ("whole_face", SIDE, 3)
    np.testing.assert_array_equal(record.landmarks, known["source_landmarks"])
    np.testing.assert_array_equal(record.landmarks_crop, known["landmarks"])
    np.testing.assert_array_equal(record.crop_from_frame, known["image_to_face_mat"])
    assert record.box == (60, 40, 100, 80)
    assert (record.source_name, record.frame_name) == ("data_dst.mp4", "000000")
    assert record.engines == ("DeepFaceLab",)
    assert lies_in(record)
    assert agree(record, read())
    assert not agree(record, read(face_type="full_face"))
    assert not agree(record, read(landmarks=(np.array(known["landmarks"]) + 1).tolist()))


def test_what_is_missing_follows_from_the_rest() -> None:
    known = dfl_dict()
    without_matrix = record_of(read(image_to_face_mat=None), PLACE)
    np.testing.assert_allclose(
        without_matrix.crop_from_frame, known["image_to_face_mat"], atol=1e-3
    )
    without_frame = record_of(read(source_landmarks=None, source_rect=None), PLACE)
    np.testing.assert_allclose(without_frame.landmarks, known["source_landmarks"], atol=1e-3)
    marks = np.array(known["source_landmarks"])
    expected = [*marks.min(axis=0), *marks.max(axis=0)]
    np.testing.assert_allclose(without_frame.box, expected, atol=0.01)
    assert read(face_type=None).face_type == "full_face"
    with pytest.raises(MediaError, match="neither a matrix nor landmarks in the frame"):
        record_of(read(image_to_face_mat=None, source_landmarks=None), PLACE)


def test_a_face_whose_footage_is_not_here_says_so_and_holds_its_landmarks() -> None:
    record = record_of(read(), unplaced("00012.png"))
    assert (record.source_name, record.frame_name, record.frame_index) == ("00012.png", "00012", 11)
    assert lies_in(record)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"face_type": "full_face_no_align"}, "full_face_no_align: its face is not upright"),
        ({"face_type": "head_no_align"}, "not upright"),
        ({"face_type": "mark_only"}, "it is a whole frame, not a face"),
        ({"face_type": "elbow"}, "elbow: not known"),
        ({"image_to_face_mat": [[1, 0.5, 0], [0.5, 1, 0]]}, "it skews or mirrors"),
        ({"image_to_face_mat": [[1, 0, 0], [0, -1, 0]]}, "it skews or mirrors"),
        ({"image_to_face_mat": np.zeros((2, 3))}, "it skews or mirrors"),
        ({"image_to_face_mat": [[1.5, 0, -60], [0, 1.5, -30]]}, "contradict each other by 14.9"),
        ({"image_to_face_mat": None, "source_landmarks": np.ones((68, 2))}, "landmarks are at"),
        ({"face_type": "half_face"}, "a face of 0.469 times the size that a half crop shows"),
    ],
)
def test_what_cannot_be_used_as_a_face_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(MediaError) as error:
        record_of(read(**changes), PLACE)
    assert why in error.value.what


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"landmarks": None}, "it has no landmarks"),
        ({"landmarks": [[0, 0]] * 67}, "its landmarks: 67 things, not 68x2 numbers"),
        ({"landmarks": np.zeros((68, 3))}, "its landmarks: an array 68x3 of float64"),
        ({"landmarks": np.full((68, 2), np.nan)}, "its landmarks: a number in it is not finite"),
        ({"landmarks": np.full((68, 2), 1e9)}, "its landmarks: 1e+09 is no pixel"),
        ({"source_landmarks": "none"}, "its source_landmarks: str, not 68x2 numbers"),
        ({"source_rect": [1, 2, 3]}, "its source_rect"),
        ({"source_filename": "a\nb"}, "its source_filename: a\\nb is no name"),
        ({"source_filename": "a" * 300}, "is no name"),
        ({"face_type": 7}, "its face_type: int is no name"),
        ({"image_to_face_mat": np.eye(3)}, "its image_to_face_mat"),
        ({"xseg_mask": "x"}, "its xseg_mask: str, not bytes"),
        ({"seg_ie_polys": {"polys": 1}}, "its seg_ie_polys: no list"),
        ({"seg_ie_polys": [(2, SQUARE)]}, "neither face nor not"),
        ({"seg_ie_polys": [(1, np.zeros((5001, 2), np.uint8))]}, "more than 5000 points"),
        ({"seg_ie_polys": [(1, np.zeros((2, 3)))]}, "its seg_ie_polys: an array 2x3"),
        ({"seg_ie_polys": [(1, [])] * 101}, "more polygons than a person draws"),
    ],
)
def test_every_value_is_checked(changes: dict[str, Any], why: str) -> None:
    assert why in reason(dfl_jpeg(dfl_dict(**changes)))


def test_pictures_that_are_no_aligned_faces_are_refused() -> None:
    whole = dfl_jpeg()
    assert "no data of DeepFaceLab inside" in reason(encode_image(crop_of(), ".jpg"))
    assert "not a JPEG" in reason(encode_image(crop_of(), ".png"))
    assert "not a JPEG" in reason(b"")
    assert "96x90 pixels: not an aligned face" in reason(dfl_jpeg(image=crop_of()[:90]))
    assert "cut short" in reason(whole[:-900])
    assert "its data is no dict, but list" in reason(dfl_jpeg(old_pickle([1])))
    start = whole.index(b"\xff\xc0")
    huge = whole[: start + 5] + struct.pack(">HH", 9000, 9000) + whole[start + 9 :]
    assert "9000x9000 pixels" in reason(huge)


class Payload:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, Any]:
        return self.call[0], self.call[1:]


def test_a_picture_that_would_run_something_does_not(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    for call in ((eval, f"open({str(proof)!r}, 'w')"), (os.system, f"touch {proof}")):
        for protocol in range(6):
            known = dfl_dict() | {"landmarks": Payload(*call)}
            payload = pickle.dumps(known, protocol)
            why = reason(dfl_jpeg(payload))
            assert "its data is not plain, and was not run: refused" in why
    assert not proof.exists()
    pickle.loads(payload)  # it is real
    assert proof.exists()


def test_polygons_of_both_forms_are_drawn_as_deepfacelab_draws_them() -> None:
    hole = np.array([[30.0, 30], [50, 30], [50, 50], [30, 50]])
    listed = [{"type": 0, "pts": hole.astype(np.float32)}, {"type": 1, "pts": SQUARE}]
    for polygons in ({"polys": listed}, [(p["type"], p["pts"]) for p in listed]):
        face = read(seg_ie_polys=polygons)
        mask = mask_of(face, record_of(face, PLACE))
        assert mask is not None
        truth = np.zeros((SIDE, SIDE), np.uint8)
        cv2.fillPoly(truth, [SQUARE.astype(np.int32)], (255,))
        cv2.fillPoly(truth, [hole.astype(np.int32)], (0,))
        # cv2 counts the outline itself as inside; we count pixels whose centre is.
        assert np.abs(mask.astype(int) - truth).mean() / 255 < 200 / SIDE**2
        assert (mask[25, 25], mask[40, 40], mask[5, 5]) == (255, 0, 0)


def test_a_person_who_drew_only_what_is_in_front_keeps_the_rest_of_the_face() -> None:
    face = read(seg_ie_polys={"polys": [{"type": 0, "pts": SQUARE}]})
    mask = mask_of(face, record_of(face, PLACE))
    assert mask is not None
    assert not mask[21:59, 21:59].any()
    assert mask.any()


@pytest.mark.parametrize("seed", range(8))
def test_the_inside_of_a_polygon_is_even_odd_wherever_it_lies(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-30, 70, (rng.integers(3, 9), 2)).round(rng.integers(0, 3))
    found = inside(points, (40, 50))
    x, y = np.meshgrid(np.arange(50), np.arange(40))
    odd = np.zeros((40, 50), bool)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        crosses = (y0 <= y) != (y1 <= y)
        with np.errstate(all="ignore"):
            odd ^= crosses & (x >= x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    np.testing.assert_array_equal(found, odd)
    assert not inside(points[:2], (40, 50)).any()


def test_masks_come_back_at_the_size_of_the_picture() -> None:
    mask = np.zeros((256, 256), np.uint8)
    mask[64:192, 64:192] = 255
    face = read(xseg_mask=np.frombuffer(encode_mask(mask), np.uint8), seg_ie_polys=[(1, SQUARE)])
    found = mask_of(face, record_of(face, PLACE))
    assert found is not None
    assert found.shape == (SIDE, SIDE)
    assert (found[26:70, 26:70] == 255).all()  # the mask goes before the polygon
    assert not found[:22].any()
    assert not found[:, 74:].any()


def test_a_mask_that_claims_to_be_enormous_is_not_decoded() -> None:
    png = encode_image(np.zeros((8, 8), np.uint8), ".png")
    huge = png[:16] + struct.pack(">II", 10_000, 10_000) + png[24:]
    for data, why in (
        (huge, "PNG of 10000x10000"),
        (encode_image(np.zeros((8, 9), np.uint8), ".png"), "PNG of 9x8 pixels"),
    ):
        with pytest.raises(HostileError, match=why):
            decode_mask(data, SIDE)
        face = read(xseg_mask=np.frombuffer(data, np.uint8))
        with pytest.raises(MediaError, match="its mask: a PNG"):
            mask_of(face, record_of(face, PLACE))


def test_a_mask_is_stored_lossless_or_small(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256), np.uint8)
    assert encode_mask(noise).startswith(b"\xff\xd8")
    assert len(encode_mask(noise)) <= 50_000
    smooth = np.zeros((256, 256), np.uint8)
    smooth[:128] = 255
    assert encode_mask(smooth).startswith(b"\x89PNG")
    np.testing.assert_array_equal(decode_mask(encode_mask(smooth), 256), smooth)
    with pytest.raises(HostileError, match="not square"):
        encode_mask(smooth[:100])
    monkeypatch.setattr(drawing, "MAX_STORED_BYTES", 10)
    with pytest.raises(HostileError, match="at most 10 can be stored"):
        encode_mask(noise)


# Writing


def written() -> tuple[DflFace, bytes]:
    mask = np.zeros((64, 64), np.uint8)
    mask[:30] = 255
    outlines = (Polygon(is_face=True, points=SQUARE), Polygon(is_face=False, points=SQUARE[:3]))
    face = face_of(our_record(4), mask=encode_mask(mask), polygons=outlines)
    return face, with_dfl_face(encode_image(np.zeros((64, 64, 3), np.uint8), ".jpg"), face)


def test_a_written_face_reads_back_equal() -> None:
    face, data = written()
    found = read_dfl_face(data, "a.jpg")
    for key in ("landmarks", "source_landmarks", "image_to_face_mat"):
        np.testing.assert_array_equal(getattr(found, key), getattr(face, key))
    assert found.mask == face.mask
    assert (found.face_type, found.source_filename) == ("whole_face", "00005.png")
    assert [p.is_face for p in found.polygons] == [True, False]
    for one, other in zip(found.polygons, face.polygons, strict=True):
        np.testing.assert_array_equal(one.points, other.points)
    ours = our_record(4)
    assert record_of(found, Place("", "", 4, Fraction(4, 25), (96, 96))).crop_from_frame == (
        ours.crop_from_frame
    )


def test_pickle_itself_reads_what_we_write_and_finds_only_names_of_numpy_1() -> None:
    face, data = written()
    (payload,) = [part.payload for part in jpeg_parts(data) if part.kind == b"\xef"]
    known = pickle.loads(payload)
    assert set(known) == {
        *("face_type", "landmarks", "source_filename", "source_rect", "source_landmarks"),
        *("image_to_face_mat", "eyebrows_expand_mod", "seg_ie_polys", "xseg_mask"),
    }
    np.testing.assert_array_equal(known["landmarks"], face.landmarks)
    assert known["landmarks"].dtype == np.float64
    assert known["xseg_mask"].dtype == np.uint8
    assert bytes(known["xseg_mask"]) == face.mask
    assert known["source_rect"].tolist() == [28, 24, 68, 64]
    assert known["eyebrows_expand_mod"] == 1.0
    assert known["seg_ie_polys"]["polys"][0]["pts"].dtype == np.float32
    named = [argument for op, argument, _ in pickletools.genops(payload) if op.name == "GLOBAL"]
    assert set(named) == {"numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"}
    assert payload[:2] == b"\x80\x03"
    stored = cv2.imdecode(known["xseg_mask"], cv2.IMREAD_UNCHANGED)
    assert stored is not None
    assert stored.shape == (256, 256)


def test_the_segment_comes_right_after_the_last_app_and_the_pixels_stay() -> None:
    face, data = written()
    plain = encode_image(np.zeros((64, 64, 3), np.uint8), ".jpg")
    described = with_dfl_face(with_comment(plain, '{"a": 1}'), face)
    kinds = [part.kind[0] for part in jpeg_parts(described)]
    assert kinds[:3] == [0xE0, 0xEF, 0xFE]
    twice = with_dfl_face(described, face)
    assert twice == described
    (part,) = [part for part in jpeg_parts(data) if part.kind == b"\xef"]
    assert data[: part.start] + data[part.end :] == plain


def test_more_than_a_segment_holds_is_refused_with_the_reason() -> None:
    face, _ = written()
    large = DflFace(face.size_px, face.face_type, face.landmarks, mask=bytes(70_000))
    with pytest.raises(MediaError, match="a JPEG has room for 65533"):
        with_dfl_face(encode_image(np.zeros((64, 64, 3), np.uint8), ".jpg"), large)


def test_plain_data_is_pickled_as_it_is_and_nothing_else_is() -> None:
    value = {
        "array": np.arange(6, dtype=">i4").reshape(2, 3).T,
        "none": np.empty((0, 2), np.float32),
        "plain": [None, True, False, -1, 2**31 - 1, 1.5, "ä\ud800", b"x" * 300, (), ((1,), {})],
    }
    for protocol in (3, 4):
        found = pickle.loads(write_pickle(value, protocol=protocol))
        assert found["plain"] == value["plain"]
        np.testing.assert_array_equal(found["array"], value["array"])
        assert found["none"].shape == (0, 2)
    for wrong in (object(), 1j, {"a": {1, 2}}, np.array(["text"]), np.array([None])):
        with pytest.raises(TypeError):
            write_pickle(wrong)
    with pytest.raises(struct.error):
        write_pickle(2**31)


# Paks


def pak_of(folder: Path, data: bytes) -> PakReader:
    path = folder / "faceset.pak"
    path.write_bytes(data)
    return PakReader(path)


def test_the_pictures_of_a_pak_come_back_to_the_byte(tmp_path: Path) -> None:
    pictures = {f"{number:05d}_0.jpg": dfl_jpeg(dfl_dict(number)) for number in range(4)}
    pak = pak_of(tmp_path, dfl_pak(pictures))
    assert {face.name: pak.read(face) for face in pak.faces} == pictures


def test_the_end_of_the_last_picture_is_the_end_of_the_file_whatever_is_said(
    tmp_path: Path,
) -> None:
    one = dfl_jpeg()
    for last in (2 * len(one), None, 2**63):
        pak = pak_of(tmp_path, dfl_pak({"a.jpg": one, "b.jpg": one}, last=last))
        assert [pak.read(face) for face in pak.faces] == [one, one]


def test_people_are_told_apart_and_no_name_leads_out(tmp_path: Path) -> None:
    one = dfl_jpeg()
    pak = pak_of(tmp_path, dfl_pak({"anna/a.jpg": one, "bob/a.jpg": one}))
    assert [(face.person, face.name) for face in pak.faces] == [("anna", "a.jpg"), ("bob", "a.jpg")]
    for changes in (
        {"filename": "../a.jpg"},
        {"filename": "/etc/passwd.jpg"},
        {"filename": "a\\b.jpg"},
        {"filename": ".a.jpg"},
        {"filename": "a.png"},
        {"filename": 7},
        {"filename": "mask/a.png"},
        {"person_name": ".."},
        {"person_name": "a/b"},
    ):
        (face,) = pak_of(tmp_path, dfl_pak({"a.jpg": one}, **changes)).faces
        with pytest.raises(MediaError, match="no plain name"):
            pak.read(face)


def test_a_written_pak_is_what_deepfacelab_expects_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "faceset.pak"
    faces = [(f"{number}.jpg", face_of(our_record(number))) for number in range(3)]
    pictures = [bytes([number]) * (number + 5) for number in range(3)]
    write_pak(path, faces, pictures)
    pak = PakReader(path)
    assert [pak.read(face) for face in pak.faces] == pictures
    data = path.read_bytes()
    version, length = struct.unpack_from("<QQ", data)
    table = struct.unpack_from("<4Q", data, 16 + length)
    begin = 16 + length + 32
    assert version == 1
    assert table == (0, 5, 11, len(data))  # the last one from the beginning: as it writes them
    assert data[begin:] == b"".join(pictures)
    listed = _Enums(io.BytesIO(data[16 : 16 + length])).load()
    assert [known["filename"] for known in listed] == ["0.jpg", "1.jpg", "2.jpg"]
    assert set(listed[0]) == {
        *("sample_type", "filename", "face_type", "shape", "landmarks", "seg_ie_polys"),
        *("xseg_mask", "xseg_mask_compressed", "eyebrows_expand_mod", "source_filename"),
        "person_name",
    }
    assert listed[0]["sample_type"] == ("samplelib.Sample", "SampleType", 1)
    assert listed[0]["face_type"] == ("facelib.FaceType", "FaceType", 4)
    assert listed[0]["shape"] == (64, 64, 3)
    assert listed[0]["landmarks"] == [list(xy) for xy in our_record(0).landmarks_crop]


class _Enums(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return lambda value: (module, name, value)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda data: data[:10], "cut short"),
        (lambda data: b"\2" + data[1:], "version 2, 1 is read"),
        (lambda data: data[:8] + b"\xff" * 8 + data[16:], "its index has 18446744073709551615"),
        (lambda data: data[:-40], ""),
        (lambda data: data[:8] + struct.pack("<Q", 300) + data[16:], "not a pickle"),
        (lambda data: data[: 16 + struct.unpack_from("<Q", data, 8)[0] + 9], "have no place"),
        (lambda data: _with_offsets(data, (0, 2**63, 9)), "do not ascend"),
        (lambda data: _with_offsets(data, (9, 0, 9)), "do not ascend"),
        (lambda data: struct.pack("<QQ", 1, 4) + b"\x80\x04}." + bytes(8), "its index is no list"),
    ],
)
def test_damaged_paks_are_explained(tmp_path: Path, change: Any, why: str) -> None:
    data = change(dfl_pak({"a.jpg": dfl_jpeg(), "b.jpg": dfl_jpeg()}))
    if not why:  # only the last picture is cut short, and says so itself
        pak = pak_of(tmp_path, data)
        read_dfl_face(pak.read(pak.faces[0]), "a.jpg")
        assert "cut short" in reason(pak.read(pak.faces[1]))
        return
    with pytest.raises(WorkspaceError) as error:
        pak_of(tmp_path, data)
    assert why in error.value.what
    assert f"seen in: {tmp_path / 'faceset.pak'}" in str(error.value)


def _with_offsets(data: bytes, offsets: tuple[int, ...]) -> bytes:
    at = 16 + struct.unpack_from("<Q", data, 8)[0]
    return data[:at] + struct.pack(f"<{len(offsets)}Q", *offsets) + data[at + 8 * len(offsets) :]


def test_a_pak_that_would_run_something_does_not(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    data = dfl_pak({"a.jpg": dfl_jpeg()}, landmarks=Payload(os.system, f"touch {proof}"))
    with pytest.raises(WorkspaceError, match="refused global"):
        pak_of(tmp_path, data)
    assert not proof.exists()


def test_a_picture_of_our_own_has_no_data_of_deepfacelab() -> None:
    assert not has_dfl_data(encode_image(crop_of(), ".jpg"))
    assert not has_dfl_data(b"no picture")
    assert has_dfl_data(dfl_jpeg())
    assert write_pickle(Member("a", "b", 1)) == b"\x80\x03ca\nb\n(J\x01\0\0\0tR."
