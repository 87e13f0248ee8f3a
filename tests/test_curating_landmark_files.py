"""Landmarks from anywhere: read what is right, name everything that is wrong."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceswap_cli.curating import landmark_files
from faceswap_cli.curating.landmark_files import (
    ManualFace,
    landmarks_json,
    read_landmarks_file,
)
from faceswap_cli.errors import FaceswapError, WorkspaceError
from tests.facesets import face68

POINTS = face68().round(3).tolist()


def written(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def refused(path: Path, value: Any) -> str:
    with pytest.raises(WorkspaceError) as caught:
        read_landmarks_file(written(path, value))
    assert caught.value.exit_code == 3
    return str(caught.value)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    faces = [
        ManualFace((1.5, 2.0, 70.25, 80.0), face68(), "000007_00.jpg", 3, 1),
        ManualFace(None, face68(x=5.0)),
    ]
    path = tmp_path / "a.json"
    path.write_bytes(landmarks_json({"000007.png": faces, "über.png": []}, with_names=True))
    one, other = read_landmarks_file(path)["000007.png"]
    np.testing.assert_allclose(one.points68, face68(), atol=1e-3)
    assert (one.box, one.name, one.track, one.person) == (
        (1.5, 2, 70.25, 80),
        "000007_00.jpg",
        3,
        1,
    )
    assert (other.name, other.track, other.person) == (None, None, None)
    assert other.bounds == pytest.approx(faces[1].bounds, abs=0.01)  # a box is always written


def test_the_layout_of_faceswap_has_its_two_keys_and_whole_pixels_of_the_box() -> None:
    face = ManualFace((1.5, 2.2, 70.0, 80.0), face68(), "000007_00.jpg", 3, 1)
    told = json.loads(landmarks_json({"a_000001.mp4": [face]}, with_names=False))
    entry = told["a_000001.mp4"][0]
    assert entry.keys() == {"detected", "landmarks_2d"}
    assert entry["detected"] == [2, 2, 70, 80]
    assert np.shape(entry["landmarks_2d"]) == (68, 2)


def test_a_box_may_be_missing_and_a_mark_at_the_start_does_not_matter(tmp_path: Path) -> None:
    text = "\ufeff" + json.dumps({"a.png": [{"landmarks_2d": POINTS}]})
    (face,) = read_landmarks_file(written(tmp_path / "a.json", text))["a.png"]
    assert face.box is None
    assert face.bounds[0] == min(x for x, _ in POINTS)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "no list landmarks_2d"),
        ([], "not an object with landmarks_2d"),
        ({"landmarks_2d": POINTS[:51]}, "51 points (without the jaw line), 68 are needed"),
        ({"landmarks_2d": POINTS[:4]}, "4 points (the corners of a face"),
        ({"landmarks_2d": POINTS + POINTS[:30]}, "98 points (the layout of WFLW)"),
        ({"landmarks_2d": [*POINTS[:67], [1.0]]}, "point 67 is list of float, not [x, y]"),
        ({"landmarks_2d": [["1", 2], *POINTS[1:]]}, "point 0"),
        ({"landmarks_2d": [[True, 2], *POINTS[1:]]}, "point 0"),
        ({"landmarks_2d": [[float("nan"), 2], *POINTS[1:]]}, "point 0"),
        ({"landmarks_2d": [[float("inf"), 2], *POINTS[1:]]}, "point 0"),
        ({"landmarks_2d": [[10**30, 2], *POINTS[1:]]}, "point 0"),
        ({"landmarks_2d": [[1e6, 2], *POINTS[1:]]}, "point 0"),
        ({"landmarks_2d": [[5.0, 5.0]] * 68}, "all points lie within"),
        ({"landmarks_2d": POINTS, "detected": [1, 2, 3]}, "detected is list of int"),
        ({"landmarks_2d": POINTS, "detected": [9, 2, 3, 4]}, "right of left"),
        ({"landmarks_2d": POINTS, "name": "../x.jpg"}, "not the name of a picture"),
        ({"landmarks_2d": POINTS, "name": ".hidden"}, "not the name of a picture"),
        ({"landmarks_2d": POINTS, "track": -1}, "track is -1"),
        ({"landmarks_2d": POINTS, "track": True}, "track is True"),
        ({"landmarks_2d": POINTS, "person": 10**50}, "person is a huge number"),
    ],
)
def test_each_fault_is_named_with_frame_face_and_value(
    tmp_path: Path, entry: Any, message: str
) -> None:
    said = refused(tmp_path / "a.json", {"f.png": [{"landmarks_2d": POINTS}, entry]})
    assert "'f.png', face 1: " in said
    assert message in said


def test_all_faults_are_told_at_once_and_many_are_counted(tmp_path: Path) -> None:
    said = refused(tmp_path / "a.json", {f"{i}.png": [{}] for i in range(50)})
    assert said.count("no list landmarks_2d") == 20
    assert "... and 30 more" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[]", "not an object of frames"),
        ("{}", "there is no face in it"),
        ('{"a.png": []}', "there is no face in it"),
        ('{"a.png": {}}', "not a list"),
        ('{"": []}', "not the name of a frame"),
        ('{"a\\u0000b": []}', "not the name of a frame"),
        ("[" * 100_000, "nested too deep"),
        ('{"a": ' + "9" * 10_000 + "}", "not JSON"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path: Path, text: str, message: str) -> None:
    assert message in refused(tmp_path / "a.json", text)


def test_size_and_number_of_lists_are_checked_before_parsing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps({"a.png": [{"landmarks_2d": POINTS}]})
    monkeypatch.setattr(json, "loads", lambda *_: pytest.fail("parsed"))
    monkeypatch.setattr(landmark_files, "MAX_CONTAINERS", 60)
    assert "more than 60 lists" in refused(tmp_path / "a.json", text)
    monkeypatch.setattr(landmark_files, "MAX_BYTES", 100)
    assert "at most 0 are read" in refused(tmp_path / "a.json", text)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="cannot be read"):
        read_landmarks_file(tmp_path / "none.json")


def test_mutated_files_raise_our_error_or_are_read(tmp_path: Path) -> None:
    rng = random.Random(5)
    face = {"landmarks_2d": POINTS, "detected": [1, 2, 3, 4], "name": "a.jpg", "track": 0}
    good = json.dumps({"a.png": [face], "b.png": [face, face]}).encode()
    path, read = tmp_path / "a.json", 0
    tokens = [
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"null",
        b"[[",
        b"{",
        b'"',
        b"\\u0000",
        b"\xff",
        b"]" * 9,
    ]
    for _ in range(500):
        data = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            kind = rng.randrange(4)
            if kind == 0:
                data[at] = rng.randrange(256)
            elif kind == 1:
                del data[at : at + rng.randint(1, 40)]
            elif kind == 2:
                data[at:at] = rng.choice(tokens)
            else:
                data[at:] = data[at : at + rng.randint(0, 400)]
        path.write_bytes(data)
        try:
            read_landmarks_file(path)
            read += 1
        except FaceswapError as error:
            assert len(str(error)) < 5000
    assert 0 < read < 500
