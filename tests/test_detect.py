"""Two public-domain faces, which come with packages we install, and one made frame around them."""

import importlib
import math
import types
from pathlib import Path

import cv2
import matplotlib.cbook
import numpy as np
import pytest
import skimage.data
import torch
from numpy.typing import NDArray

from faceswap_cli.detect import Detection, Detector, Landmarker, Landmarks, build_detector
from faceswap_cli.detect import build_landmarker as build
from faceswap_cli.detect.blazeface import BlazeFace, merge_candidates
from faceswap_cli.detect.facemesh import CROP_PX, FaceMesh, region_of_mesh
from faceswap_cli.detect.layers import SameConv, load_weights
from faceswap_cli.detect.mesh68 import MIRROR, WEIGHTS
from faceswap_cli.detect.region import Region, cut
from faceswap_cli.errors import ConfigError, WorkspaceError
from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.imaging import read_image
from faceswap_cli.types import Points, RgbImage

RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 36, 45  # dlib's numbers


@pytest.fixture(scope="module")
def astronaut() -> RgbImage:
    return np.asarray(skimage.data.astronaut(), np.uint8)


@pytest.fixture(scope="module")
def hopper() -> RgbImage:
    path = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    return read_image(Path(path))


@pytest.fixture(scope="module")
def detector() -> Detector:
    return build_detector(device="cpu", min_score=0.5)


@pytest.fixture(scope="module")
def landmarker() -> Landmarker:
    return build("mesh", device="cpu")


def turning(
    picture: RgbImage, scale: float, angle_deg: float, size_wh: tuple[int, int]
) -> Similarity:
    """Return `frame_from_picture`: about its centre, clockwise as seen, into the middle."""
    cos, sin = (scale * f(math.radians(angle_deg)) for f in (math.cos, math.sin))
    linear = np.array([[cos, -sin], [sin, cos]])
    middle, centre = (np.array(wh) / 2 - 0.5 for wh in (size_wh, picture.shape[1::-1]))
    return Similarity(np.column_stack([linear, middle - linear @ centre]))


def locate(detector: Detector, landmarker: Landmarker, frame: RgbImage) -> list[Landmarks]:
    return landmarker.locate([frame], detector.detect([frame]))[0]


def eye_distance(points: Points) -> float:
    return float(np.linalg.norm(points[LEFT_EYE_OUTER] - points[RIGHT_EYE_OUTER]))


def assert_close(found: Points, expected: Points, *, tolerance: float) -> None:
    """Compare points: the mean distance, as a fraction of the distance of the eyes."""
    error = np.linalg.norm(found - expected, axis=-1).mean() / eye_distance(expected)
    assert error < tolerance


class TestDetector:
    def test_face_is_where_it_is(self, detector: Detector, astronaut: RgbImage) -> None:
        [[face]] = detector.detect([astronaut])
        # Read off the picture by eye: chin at y 175, ears at x 177 and 277, pupils.
        np.testing.assert_allclose(face.box, [174, 70, 279, 175], atol=6)
        np.testing.assert_allclose(face.keypoints[:2], [[205, 102], [247, 104]], atol=3)
        np.testing.assert_allclose(face.keypoints[2], [224, 127], atol=4)
        assert abs(face.roll_deg - 3) < 4
        assert face.score > 0.8

    @pytest.mark.parametrize("angle_deg", [-45, -20, 0, 20, 45])
    def test_turned_faces_are_found_with_their_roll(
        self, detector: Detector, hopper: RgbImage, angle_deg: float
    ) -> None:
        size_wh = (800, 800)
        frame = warp(hopper, turning(hopper, 1.0, angle_deg, size_wh), size_wh=size_wh)
        [[face]] = detector.detect([frame])
        assert abs(face.roll_deg - angle_deg) < 12

    # 0.35 to 3.5: faces of 35 to 370 px in a frame 1080 px high; the first look sees the larger.
    @pytest.mark.parametrize("scale", [0.35, 0.6, 1.0, 2.0, 3.5])
    def test_faces_of_all_sizes_are_found(
        self, detector: Detector, astronaut: RgbImage, scale: float
    ) -> None:
        face_part = astronaut[40:220, 130:320]
        frame = np.full((1080, 1920, 3), 90, np.uint8)
        size_wh = round(190 * scale), round(180 * scale)
        frame[300 : 300 + size_wh[1], 700 : 700 + size_wh[0]] = cv2.resize(
            face_part, dsize=size_wh, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        )
        best = detector.detect([frame])[0][0]
        centre = (best.box[:2] + best.box[2:]) / 2
        np.testing.assert_allclose(
            centre,
            np.array([700, 300]) + scale * np.array([97, 82]),
            atol=15 * scale,  # a seventh of the face
        )

    def test_face_of_three_per_cent_of_the_height_is_found(
        self, detector: Detector, landmarker: Landmarker, hopper: RgbImage
    ) -> None:
        scale = 0.03 * 1080 / 205  # 205 px from the brim of the cap to the chin
        small = warp(hopper, turning(hopper, scale, 0, (80, 95)), size_wh=(80, 95))
        frame = np.full((1080, 1920, 3), 90, np.uint8)
        frame[610:705, 1400:1480] = small
        scores = [face.score for face in locate(detector, landmarker, frame)]
        assert scores and max(scores) > 0.9

    def test_wide_search_can_be_forbidden(self, hopper: RgbImage) -> None:
        frame = np.full((1080, 1920, 3), 90, np.uint8)
        frame[610:705, 1400:1480] = cv2.resize(hopper, dsize=(80, 95), interpolation=cv2.INTER_AREA)
        never = build_detector(device="cpu", min_score=0.5, wide_search="never")
        assert never.detect([frame]) == [[]]

    def test_two_faces_of_different_size_are_found_best_first(
        self, astronaut: RgbImage, hopper: RgbImage
    ) -> None:
        frame = np.full((720, 1280, 3), 90, np.uint8)
        frame[100:612, 60:572] = astronaut
        frame[60:660, 700:1212] = hopper
        always = build_detector(device="cpu", min_score=0.5, wide_search="always")
        faces = always.detect([frame])[0]
        assert len(faces) == 2  # each look's copy of a face is merged with the others
        assert faces[0].score >= faces[1].score

    def test_nothing_is_found_in_noise_and_in_blank_frames(self, detector: Detector) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (360, 640, 3), dtype=np.uint8)
        blank = np.full((360, 640, 3), 127, np.uint8)
        assert detector.detect([noise, blank, np.zeros_like(blank)]) == [[], [], []]

    @pytest.mark.parametrize("size_wh", [(1, 1), (3, 1000), (2000, 2), (33, 31)])
    def test_odd_frames_do_not_crash(
        self, detector: Detector, landmarker: Landmarker, size_wh: tuple[int, int]
    ) -> None:
        frame = np.full((size_wh[1], size_wh[0], 3), 200, np.uint8)
        assert locate(detector, landmarker, frame) == []

    def test_wrong_shape_is_refused(self, detector: Detector) -> None:
        with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
            detector.detect([np.zeros((10, 10), np.uint8)])

    def test_batch_gives_what_single_frames_give(
        self, detector: Detector, astronaut: RgbImage, hopper: RgbImage
    ) -> None:
        frames = [astronaut, hopper, astronaut[:300], np.zeros((50, 60, 3), np.uint8), hopper]
        together = detector.detect(frames)
        for frame, faces in zip(frames, together, strict=True):
            [alone] = detector.detect([frame])
            assert len(alone) == len(faces)
            for a, b in zip(alone, faces, strict=True):
                np.testing.assert_allclose(a.box, b.box, atol=0.05)
                assert abs(a.score - b.score) < 1e-3

    def test_no_frames_give_no_faces(self, detector: Detector, landmarker: Landmarker) -> None:
        assert detector.detect([]) == []
        assert landmarker.locate([], []) == []

    def test_overlapping_candidates_are_averaged_by_score(self) -> None:
        box = np.zeros((3, 8, 2))
        box[:, 1] = 10.0
        box[1] += 1.0
        box[2] += 50.0
        faces = merge_candidates(np.array([0.6, 0.9, 0.7]), box)
        assert [score for score, _ in faces] == [0.9, 0.7]
        np.testing.assert_allclose(faces[0][1][0], 0.9 / 1.5)


class TestLandmarks:
    # Read off enlarged pictures by eye; dlib's numbers: corners of the eyes and of the
    # mouth, the lowest point of the nose, the chin.
    ASTRONAUT = types.MappingProxyType(
        {36: (192.5, 102), 39: (213, 103.5), 42: (236, 105.5), 45: (256.5, 105.5)}
        | {48: (199.5, 140), 54: (247, 142), 33: (222, 134), 8: (220.5, 176)}
    )
    HOPPER = types.MappingProxyType(
        {36: (199, 193), 39: (239, 192.5), 42: (288, 190.5), 45: (327, 187)}
        | {48: (227.5, 279), 54: (306.5, 273.5), 33: (268, 249.5), 8: (270, 331)}
    )

    def test_points_lie_on_the_features(
        self,
        detector: Detector,
        landmarker: Landmarker,
        astronaut: RgbImage,
        hopper: RgbImage,
    ) -> None:
        for picture, expected in ((astronaut, self.ASTRONAUT), (hopper, self.HOPPER)):
            [face] = locate(detector, landmarker, picture)
            assert face.score > 0.99
            numbers = list(expected)
            error = face.points68[numbers] - np.array(list(expected.values()))
            worst = np.linalg.norm(error, axis=-1).max() / eye_distance(face.points68)
            assert worst < 0.07, dict(zip(numbers, error.round(1).tolist(), strict=True))

    def test_points_stand_in_dlibs_order(
        self, detector: Detector, landmarker: Landmarker, astronaut: RgbImage
    ) -> None:
        [face] = locate(detector, landmarker, astronaut)
        x, y = face.points68.T
        for rising in (range(17), range(17, 22), range(22, 27), range(31, 36)):
            assert (np.diff(x[list(rising)]) > 0).all()
        assert (np.diff(y[27:31]) > 0).all()
        # The rings go clockwise as seen, y down: a positive area.
        for ring in (range(36, 42), range(42, 48), range(48, 60), range(60, 68)):
            points = list(ring)
            area = np.sum(x[points] * np.roll(y[points], -1) - y[points] * np.roll(x[points], -1))
            assert area > 0
            assert points[0] == points[int(np.argmin(x[points]))]
        inner, outer = face.points68[60:68], face.points68[48:60].astype(np.float32)
        assert all(cv2.pointPolygonTest(outer, p.tolist(), False) >= 0 for p in inner)
        assert y[8] == y[:17].max()

    @pytest.mark.parametrize("angle_deg", [-60, -25, 0, 25, 60])
    @pytest.mark.parametrize("scale", [0.6, 1.7])
    def test_points_follow_the_picture(
        self,
        detector: Detector,
        landmarker: Landmarker,
        hopper: RgbImage,
        scale: float,
        angle_deg: float,
    ) -> None:
        [upright] = locate(detector, landmarker, hopper)
        size_wh = (1000, 900)
        frame_from_picture = turning(hopper, scale, angle_deg, size_wh)
        frame = warp(hopper, frame_from_picture, size_wh=size_wh)
        [turned] = locate(detector, landmarker, frame)
        expected = frame_from_picture.apply(upright.points68)
        assert_close(turned.points68, expected, tolerance=0.03)

    def test_points_do_not_depend_much_on_the_box(
        self, landmarker: Landmarker, detector: Detector, hopper: RgbImage
    ) -> None:
        [[face]] = detector.detect([hopper])
        [[exact]] = landmarker.locate([hopper], [[face]])
        off = Detection(
            face.box + np.array([15, -10, 25, 5]), face.score, face.roll_deg + 9, face.keypoints
        )
        [[found]] = landmarker.locate([hopper], [[off]])
        assert_close(found.points68, exact.points68, tolerance=0.03)

    def test_score_tells_a_face_from_other_things(
        self, landmarker: Landmarker, astronaut: RgbImage
    ) -> None:
        def at(left: float, top: float, side: float) -> Detection:
            box = np.array([left, top, left + side, top + side])
            return Detection(box, 0.9, 0.0, np.zeros((6, 2)))

        face, flag, chest, beyond = landmarker.locate(
            [astronaut], [[at(174, 70, 105), at(20, 200, 110), at(200, 330, 150), at(900, 900, 50)]]
        )[0]
        assert face.score > 0.99
        assert max(flag.score, chest.score, beyond.score) < 0.1

    def test_batch_gives_what_single_frames_give(
        self,
        detector: Detector,
        landmarker: Landmarker,
        astronaut: RgbImage,
        hopper: RgbImage,
    ) -> None:
        frames = [astronaut, np.zeros((60, 60, 3), np.uint8), hopper]
        together = landmarker.locate(frames, detector.detect(frames))
        assert [len(faces) for faces in together] == [1, 0, 1]
        for index in (0, 2):
            [alone] = locate(detector, landmarker, frames[index])
            np.testing.assert_allclose(together[index][0].points68, alone.points68, atol=0.1)

    def test_face_half_outside_the_frame_does_not_crash(
        self, detector: Detector, landmarker: Landmarker, hopper: RgbImage
    ) -> None:
        for part in (hopper[:, :265], hopper[:, 265:], hopper[:230], hopper[240:]):
            for face in locate(detector, landmarker, np.ascontiguousarray(part)):
                assert np.isfinite(face.points68).all()

    def test_mesh_and_points_are_in_the_same_pixels(
        self, detector: Detector, landmarker: Landmarker, astronaut: RgbImage
    ) -> None:
        [face] = locate(detector, landmarker, astronaut)
        assert face.mesh is not None and face.mesh.shape == (468, 3)
        np.testing.assert_allclose(face.points68[8], face.mesh[152, :2])
        assert face.mesh[1, 2] < face.mesh[234, 2]  # the tip of the nose is nearer than an ear
        assert np.ptp(face.mesh[:, 2]) < np.ptp(face.mesh[:, 1])

    def test_blends_are_whole_and_every_mirror_pair_is_used(self) -> None:
        np.testing.assert_allclose(WEIGHTS.sum(axis=1), 1.0)
        used = set(np.nonzero(WEIGHTS.sum(axis=0))[0].tolist())
        assert used >= {*MIRROR, *MIRROR.values()}
        assert len(set(MIRROR.values())) == len(MIRROR)


class TestRegion:
    @pytest.mark.parametrize("side_px", [60.0, 192.0, 500.0, 1500.0])
    def test_cut_shows_what_its_transform_says(self, side_px: float) -> None:
        """A blob must appear where the transform maps its centre, at every reduction."""
        y, x = np.mgrid[:900, :1000]
        spot = np.array([523.0, 412.0])
        sigma = side_px / 20
        bell = np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * sigma**2))
        frame = np.repeat((255 * bell).astype(np.uint8)[:, :, None], 3, axis=2)
        region = Region(spot + side_px * np.array([0.07, -0.11]), side_px, 17.0)
        crop = cut(frame, region, 192)[:, :, 0].astype(float)
        ys, xs = np.mgrid[:192, :192]
        seen = np.array([(crop * xs).sum(), (crop * ys).sum()]) / crop.sum()
        expected = region.crop_from_frame(192).apply(spot[None])[0]
        np.testing.assert_allclose(seen, expected, atol=0.1)

    @pytest.mark.parametrize("shape", [(5, 700, 3), (700, 5, 3), (1, 1, 3), (301, 299, 3)])
    def test_slivers_and_far_regions_can_be_cut(self, shape: tuple[int, int, int]) -> None:
        frame = np.full(shape, 77, np.uint8)
        for centre in ([0.0, 0.0], [-5000.0, 300.0], [290.0, 9000.0]):
            crop = cut(frame, Region(np.array(centre), 2000.0, 30.0), 64)
            assert crop.shape == (64, 64, 3)
            assert (crop == 77).all()

    def test_stripes_too_fine_for_the_crop_become_grey(self) -> None:
        frame = np.zeros((800, 800, 3), np.uint8)
        frame[:, ::2] = 255
        crop = cut(frame, Region(np.array([400.0, 400.0]), 700.0, 0.0), 192)
        assert np.ptp(crop.astype(int)) < 90  # 255 without a low-pass

    def test_region_of_a_mesh_is_level_and_holds_it(
        self, detector: Detector, landmarker: Landmarker, hopper: RgbImage
    ) -> None:
        [face] = locate(detector, landmarker, hopper)
        assert face.mesh is not None
        inside = region_of_mesh(face.mesh).crop_from_frame(CROP_PX).apply(face.mesh[:, :2])
        assert inside.min() > 0.1 * CROP_PX and inside.max() < 0.9 * CROP_PX
        assert abs(inside[263, 1] - inside[33, 1]) < 1e-6


class TestNets:
    def test_padding_is_tensorflows(self) -> None:
        conv = SameConv(1, 1, stride=2)
        picture = torch.zeros(1, 1, 4, 4)
        picture[0, 0, 3, 3] = 1.0
        with torch.no_grad():
            conv.weight.copy_(torch.arange(9.0).reshape(1, 1, 3, 3))
            conv.bias.zero_()  # type: ignore[union-attr]
            result = conv(picture)[0, 0]
        # The last window begins at row 2, so that row 3 is its second: weight 4 of 0..8.
        assert result.tolist() == [[0, 0], [0, 4]]

    def test_shapes_are_checked(self) -> None:
        with pytest.raises(ValueError, match="192"):
            FaceMesh()(torch.zeros(1, 3, 100, 100))
        with pytest.raises(ValueError, match="32 i"):
            BlazeFace()(torch.zeros(1, 3, 100, 100))

    def test_names_change_with_the_weights(
        self, detector: Detector, landmarker: Landmarker
    ) -> None:
        assert detector.name.startswith("blazeface_full_range@")
        assert landmarker.name.startswith("facemesh_468@")

    def test_missing_weights_are_explained(self) -> None:
        with pytest.raises(WorkspaceError, match=r"no_such.safetensors are missing[^$]*fix:"):
            load_weights(FaceMesh(), "no_such.safetensors")


class FakeFan:
    """Stands in for face_alignment.FaceAlignment: its points are the corners of the box."""

    def __init__(self, kind: int, **options: object) -> None:
        assert options["face_detector"] == "folder"  # any other downloads weights of its own

    def get_landmarks_from_image(
        self, image: RgbImage, detected_faces: list[list[float]]
    ) -> list[NDArray[np.float32]]:
        [(left, top, right, bottom)] = detected_faces
        assert min(left, top) > 0 and max(right, bottom) < image.shape[0]
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        return [np.array(corners * 17, np.float32)]


class UnreachableFan:
    def __init__(self, kind: int, **options: object) -> None:
        raise OSError("Name or service not known")


@pytest.fixture
def fake_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> types.SimpleNamespace:
    """A face_alignment package with weights that are not there."""
    package = types.SimpleNamespace(
        FaceAlignment=UnreachableFan,
        LandmarksType=types.SimpleNamespace(TWO_D=1),
        api=types.SimpleNamespace(models_urls={"2DFAN-4": "https://example.org/2DFAN4-1.pth.tar"}),
    )
    real = importlib.import_module

    def import_module(name: str) -> object:
        return package if name == "face_alignment" else real(name)

    monkeypatch.setattr("faceswap_cli.detect.fan.importlib.import_module", import_module)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    return package


class TestFan:
    def test_missing_package_is_explained(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(name: str) -> None:
            raise ImportError(f"No module named {name!r}")

        monkeypatch.setattr("faceswap_cli.detect.fan.importlib.import_module", fail)
        with pytest.raises(ConfigError) as caught:
            build("fan", device="cpu")
        assert "face-alignment" in str(caught.value)
        assert 'fix: pip install "faceswap-cli[fan]"' in str(caught.value)
        assert "--landmarker mesh" in str(caught.value)

    def test_missing_weights_are_explained(
        self, fake_package: types.SimpleNamespace, tmp_path: Path
    ) -> None:
        with pytest.raises(ConfigError) as caught:
            build("fan", device="cpu")
        message = str(caught.value)
        assert "2DFAN4-1.pth.tar are missing" in message
        assert f"seen in: {tmp_path / 'checkpoints'}" in message
        assert "fix: download https://example.org/2DFAN4-1.pth.tar" in message
        assert "--landmarker mesh" in message

    def test_auto_takes_the_mesh_without_cuda(self, fake_package: types.SimpleNamespace) -> None:
        assert build("auto", device="cpu").name.startswith("facemesh_468@")

    def test_points_come_back_in_frame_pixels(
        self,
        fake_package: types.SimpleNamespace,
        detector: Detector,
        hopper: RgbImage,
    ) -> None:
        fake_package.FaceAlignment = FakeFan
        fan = build("fan", device="cpu")
        assert fan.name.startswith("2DFAN4-1 + facemesh_468@")
        [face] = locate(detector, fan, hopper)
        assert face.mesh is not None
        corners, mesh = face.points68[:4], face.mesh[:, :2]
        # The mesh touches each side of its (level, hence slightly turned) box.
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            along = (end - start) / np.linalg.norm(end - start)
            offset = (mesh - start) @ np.array([-along[1], along[0]])
            assert abs(offset.min()) < 1e-2
