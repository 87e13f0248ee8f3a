import importlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
import onnx
import pytest
import skimage.data

from faceswap_cli.detect import Landmarks, build_detector, build_landmarker
from faceswap_cli.detect.appearance import (
    CELLS,
    Appearance,
    build_appearance,
    cut_aligned,
    spline_weights,
    unit,
)
from faceswap_cli.detect.onnx_session import MAX_FILE_BYTES
from faceswap_cli.detect.recognizer import TEMPLATE, Recognizer
from faceswap_cli.errors import ConfigError
from faceswap_cli.faces.templates import MEAN_FACE, crop_from_frame
from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.imaging import read_image
from faceswap_cli.puppet import Pose, Puppet, build_puppet
from faceswap_cli.types import RgbImage
from tests.made_faces import face_at, smooth_picture

POSES = [Pose(), Pose(yaw_deg=12), Pose(yaw_deg=-12, brightness=0.6), Pose(pitch_deg=8)]
POSES += [Pose(roll_deg=25, zoom=0.6)]
SIDE_PX = 160


@cache
def engines() -> Any:
    return build_detector(device="cpu", min_score=0.5), build_landmarker("mesh", device="cpu")


def located(frames: Sequence[RgbImage]) -> list[list[Landmarks]]:
    detector, landmarker = engines()
    found: list[list[Landmarks]] = landmarker.locate(
        frames, [faces[:1] for faces in detector.detect(frames)]
    )
    return found


@cache
def portraits() -> list[RgbImage]:
    """The two real faces that come with the libraries."""
    hopper = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    halves = [
        cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        for picture in (skimage.data.astronaut()[:300, 80:380], read_image(hopper)[:400])
    ]
    return [np.asarray(half, np.uint8) for half in halves]


@cache
def looks() -> list[list[Appearance]]:
    """Return what both look like, in POSES."""
    frames = []
    for portrait, [face] in zip(portraits(), located(portraits()), strict=True):
        assert face.mesh is not None
        puppet: Puppet = build_puppet(portrait, face.mesh)
        middle = face.points68.mean(axis=0)
        frames += [
            puppet.draw(pose, middle=(middle[0], middle[1]), size_wh=(SIDE_PX, SIDE_PX))
            for pose in POSES
        ]
    described = build_appearance("", device="cpu").describe(frames, located(frames))
    flat = [one for [one] in described]
    return [flat[: len(POSES)], flat[len(POSES) :]]


def test_an_appearance_is_of_length_1() -> None:
    for one in [look for person in looks() for look in person]:
        assert one.shape == (CELLS**2,)
        assert one.dtype == np.float32
        assert float(one @ one) == pytest.approx(1.0, abs=1e-5)


def test_a_face_is_more_like_itself_in_any_pose_than_like_another() -> None:
    one, other = (np.stack(person) for person in looks())
    same = min((one @ one.T).min(), (other @ other.T).min())
    assert (one @ other.T).max() < 0.25  # measured: 0.10; with what all faces have in common, 0.36
    assert same > 0.7  # measured: 0.81; not turned to the front, 0.53


def test_mean_appearances_keep_to_the_engines_own_limit() -> None:
    alike = build_appearance("", device="cpu").alike
    halves = [unit(np.mean(p[i::2], axis=0)) for p in looks() for i in (0, 1)]
    likeness = np.stack(halves) @ np.stack(halves).T
    assert likeness[0, 1] > alike < likeness[2, 3]
    assert likeness[:2, 2:].max() < alike


def test_light_from_the_side_and_a_tint_change_little() -> None:
    portrait = portraits()[0]
    slope = np.linspace(0.5, 1.2, portrait.shape[1])[None, :, None]
    lit = np.asarray(np.clip(portrait * slope * [1.1, 0.95, 0.8], 0, 255), np.uint8)
    faces = located([portrait]) * 2
    [[plain], [changed]] = build_appearance("", device="cpu").describe([portrait, lit], faces)
    assert float(plain @ changed) > 0.85


def test_every_face_of_every_frame_is_described_in_order() -> None:
    engine = build_appearance("", device="cpu")
    frame = smooth_picture(5, (200, 150))
    marks = [Landmarks(face_at((x, 70), 50), None, 1.0) for x in (50, 100, 140)]
    together = engine.describe([frame, frame, frame], [marks[:2], [], marks[2:]])
    assert [len(faces) for faces in together] == [2, 0, 1]
    alone = [engine.describe([frame], [[mark]])[0][0] for mark in marks]
    for one, same in zip([*together[0], *together[2]], alone, strict=True):
        np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("points", [np.full((68, 2), np.nan), np.full((68, 2), 9.0)])
def test_landmarks_that_make_no_face_are_unknown(points: Any) -> None:
    frame = smooth_picture(5, (200, 150))
    for engine in (build_appearance("", device="cpu"),):
        assert engine.describe([frame], [[Landmarks(points, None, 1.0)]])[0][0].shape == (0,)


def test_a_face_beyond_the_border_and_a_blank_one_are_no_trouble() -> None:
    engine = build_appearance("", device="cpu")
    frame = smooth_picture(5, (200, 150))
    [[outside]] = engine.describe([frame], [[Landmarks(face_at((-300, 900), 50), None, 1.0)]])
    [[blank]] = engine.describe(
        [np.full((150, 200, 3), 90, np.uint8)], [[Landmarks(face_at((90, 70), 50), None, 1.0)]]
    )
    for one in (outside, blank):
        assert one.shape in ((0,), (CELLS**2,))
        assert np.isfinite(one).all()


@pytest.mark.parametrize("face_px", [40.0, 300.0])
def test_a_crop_cut_fast_is_the_crop(face_px: float) -> None:
    frame = smooth_picture(8, (400, 300), detail_px=40.0)
    crop = crop_from_frame(face_at((210, 140), face_px), "full", 64)
    cut, slow = cut_aligned(frame, crop, 64), warp(frame, crop, size_wh=(64, 64))
    assert np.abs(cut.astype(int) - slow).mean() < 2.0


def test_a_spline_of_an_affine_map_is_that_map() -> None:
    wanted = np.random.default_rng(0).random((20, 2))
    weights = spline_weights(MEAN_FACE, wanted, stiffness=0.2)
    linear, shift = np.array([[1.2, 0.3], [-0.2, 0.9]]), np.array([5.0, -2.0])
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-8)
    np.testing.assert_allclose(
        weights @ (MEAN_FACE @ linear + shift), wanted @ linear + shift, atol=1e-8
    )


def test_a_spline_without_stiffness_passes_through_its_points() -> None:
    values = np.random.default_rng(0).random((len(MEAN_FACE), 2))
    weights = spline_weights(MEAN_FACE, MEAN_FACE, stiffness=0.0)
    np.testing.assert_allclose(weights @ values, values, atol=1e-6)


def network(
    path: Path, taken: Sequence[Any] = (1, 3, 32, 32), given: Sequence[Any] = (1, 3), ports: int = 1
) -> Path:
    """Write a network that gives the mean of each channel."""
    helper, real = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("ReduceMean", ["image"], [f"mean{i}"], axes=[2, 3], keepdims=0)
        for i in range(ports)
    ]
    outputs = [helper.make_tensor_value_info(f"mean{i}", real, given) for i in range(ports)]
    image = helper.make_tensor_value_info("image", real, taken)
    graph = helper.make_graph(nodes, "g", [image], outputs)
    opset = [helper.make_opsetid("", 13)]
    onnx.save_model(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.mark.parametrize("batch", [1, 4, "N"])
def test_a_network_sees_the_face_aligned_as_rgb_from_minus_1_to_1(
    tmp_path: Path, batch: int | str
) -> None:
    path = network(tmp_path / "net.onnx", (batch, 3, 32, 32), (batch, 3))
    engine = build_appearance(str(path), device="cpu")
    colours = [(255, 0, 0), (0, 255, 0), (255, 255, 0)]
    frames = [np.full((90, 120, 3), colour, np.uint8) for colour in colours]
    faces = [[Landmarks(face_at((60, 45), 40), None, 1.0)] * n for n in (1, 4, 0)]
    described = engine.describe(frames, faces)
    assert [len(found) for found in described] == [1, 4, 0]
    np.testing.assert_allclose(described[0][0], np.array([1, -1, -1]) / np.sqrt(3), atol=1e-3)
    for one in described[1]:
        np.testing.assert_allclose(one, np.array([-1, 1, -1]) / np.sqrt(3), atol=1e-3)


def test_eyes_nose_and_mouth_come_to_the_template(tmp_path: Path) -> None:
    """A white spot on each of the five points lands where the template says."""
    five = np.array([[200.0, 150], [240, 152], [221, 178], [204, 200], [238, 201]])
    points = np.zeros((68, 2))
    points[36:42], points[42:48], points[30], points[48], points[54] = five
    engine = Recognizer.open(network(tmp_path / "n.onnx", (1, 3, 112, 112)), device="cpu")
    frame = np.zeros((360, 480, 3), np.uint8)
    for x, y in five.round().astype(int):
        frame[y - 3 : y + 4, x - 3 : x + 4] = 255
    crop = engine._crop(frame, points)
    assert crop is not None
    for x, y in TEMPLATE.round().astype(int):
        assert crop[y, x, 0] > 128


@pytest.mark.parametrize("sides", [(48, "w"), ("h", 48), ("h", "w")])
def test_a_side_that_is_fixed_holds_for_both(tmp_path: Path, sides: tuple[Any, Any]) -> None:
    engine = build_appearance(str(network(tmp_path / "n.onnx", (1, 3, *sides))), device="cpu")
    frame = np.full((90, 120, 3), (255, 0, 0), np.uint8)
    [[one]] = engine.describe([frame], [[Landmarks(face_at((60, 45), 40), None, 1.0)]])
    np.testing.assert_allclose(one, np.array([1, -1, -1]) / np.sqrt(3), atol=1e-3)


@pytest.mark.parametrize(
    ("taken", "shape", "said"),
    [
        ((1, 3, 112, 112), (7, 9), "Reshape node"),
        ((2, 3, 32, 32), (1, 6), "of 2 pictures it makes 1x6"),
    ],
)
def test_a_network_that_fails_at_work_is_an_error(
    tmp_path: Path, taken: Sequence[int], shape: tuple[int, int], said: str
) -> None:
    """Its ports say nothing of what it does inside."""
    helper, real = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "shape"], ["out"]),
    ]
    image = helper.make_tensor_value_info("image", real, taken)
    given = helper.make_tensor_value_info("out", real, ("n", "d"))
    wanted = helper.make_tensor("shape", onnx.TensorProto.INT64, (2,), shape)
    graph = helper.make_graph(nodes, "g", [image], [given], [wanted])
    opset = [helper.make_opsetid("", 13)]
    path = tmp_path / "net.onnx"
    onnx.save_model(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    engine = build_appearance(str(path), device="cpu")
    face = Landmarks(face_at((60, 45), 40), None, 1.0)
    with pytest.raises(ConfigError, match=rf"cannot describe faces: .*{said}(?s:.*)--recognizer"):
        engine.describe([np.zeros((90, 120, 3), np.uint8)], [[face]])


def test_the_name_tells_which_weights(tmp_path: Path) -> None:
    one = build_appearance(str(network(tmp_path / "a.onnx")), device="cpu")
    other = build_appearance(str(network(tmp_path / "b.onnx", (1, 3, 48, 48))), device="cpu")
    assert one.name.startswith("a@")
    assert one.name.split("@")[1] != other.name.split("@")[1]
    assert build_appearance("", device="cpu").name == "contrast-map@1"


@pytest.mark.parametrize(
    ("taken", "given", "ports", "said"),
    [
        ((1, 1, 32, 32), (1, 1), 1, "input image 1x1x32x32"),
        ((1, 3, 32, 40), (1, 3), 1, "input image 1x3x32x40"),
        ((1, 3, 32, 32), (1, 3), 2, "output mean1 1x3"),
        ((1, 3, 8192, 8192), (1, 3), 1, "input image 1x3x8192x8192"),
        ((0, 3, 32, 32), (0, 3), 1, "input image 0x3x32x32"),
        ((100_000, 3, 32, 32), (100_000, 3), 1, "input image 100000x3x32x32"),
    ],
)
def test_another_kind_of_network_is_an_error_that_says_what_it_has(
    tmp_path: Path, taken: Sequence[int], given: Sequence[int], ports: int, said: str
) -> None:
    path = network(tmp_path / "net.onnx", taken, given, ports)
    with pytest.raises(ConfigError) as caught:
        build_appearance(str(path), device="cpu")
    assert "no face recognition network" in str(caught.value)
    assert said in str(caught.value)
    assert f"seen in: --recognizer {path}" in str(caught.value)
    assert "fix: name a network with one input of 1x3xSxS" in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"no onnx", bytes(range(256)) * 40])
def test_a_file_that_is_no_network_is_an_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"no network that onnxruntime can run(?s:.*)fix: name"):
        build_appearance(str(path), device="cpu")


def test_a_missing_or_enormous_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        build_appearance(str(tmp_path / "none.onnx"), device="cpu")
    large = tmp_path / "large.onnx"
    with large.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ConfigError, match=r"1,073,741,825 bytes; a recognition network"):
        build_appearance(str(large), device="cpu")


def test_without_onnxruntime_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> Any:
        raise ImportError(name)

    path = network(tmp_path / "net.onnx")
    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(ConfigError, match=r'pip install "faceswap-cli\[export\]"'):
        build_appearance(str(path), device="cpu")


def test_a_network_that_is_not_a_number_knows_nobody() -> None:
    assert unit(np.array([np.nan, 1.0])).shape == (0,)
    assert unit(np.zeros(4)).shape == (0,)
    np.testing.assert_allclose(unit(np.array([3.0, 4.0])), [0.6, 0.8], rtol=1e-6)


def test_turning_and_scaling_a_picture_changes_nothing() -> None:
    frame = smooth_picture(9, (400, 300), detail_px=10.0)
    points = face_at((200, 150), 90)
    angle, scale = 0.5, 0.8
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = Similarity(np.column_stack([linear, [130.0, -40.0]]))
    turned = np.asarray(warp(frame, turn, size_wh=(400, 400)), np.uint8)
    faces = [[Landmarks(p, None, 1.0)] for p in (points, turn.apply(points))]
    [[one], [other]] = build_appearance("", device="cpu").describe([frame, turned], faces)
    assert float(one @ other) > 0.97
