"""Numbered pictures for compositors: exact, resumable, and nobody's work is overwritten."""

import json
from pathlib import Path
from typing import Any, get_args

import av
import cv2
import numpy as np
import pytest

from faceswap_cli.config import InputConfig, VideoConfig
from faceswap_cli.errors import ConfigError, MediaError, WorkspaceError
from faceswap_cli.files import Manifest, write_atomic
from faceswap_cli.imaging import (
    encode_image,
    read_deep_grey,
    read_deep_image,
    read_grey,
    read_image,
    read_layer,
    write_image,
)
from faceswap_cli.media.linear_light import linear_from_signal
from faceswap_cli.media.sequences import KINDS, encode_exr, encode_pictures
from faceswap_cli.media.source import VideoSource
from faceswap_cli.stages import sequence
from faceswap_cli.stages.sequence import run_sequence
from faceswap_cli.workspace import StageReport, Workspace
from tests.clips import grey_images, write_clip

NUM = 4
RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 65536, (5, 7, 4)).astype(np.uint16)


def read_exr(path: Path) -> Any:
    """Return (H, W, 3 or 4) of the half floats, red first."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    found = [
        np.frombuffer(plane, np.float16).reshape(plane.height, -1)[:, : plane.width]
        for plane in frame.planes
    ]
    return np.dstack([found[2], found[0], found[1], *found[3:]]).astype(np.float64)


def frame_image(index: int, dtype: Any = np.uint8) -> Any:
    image = np.random.default_rng(index).integers(0, np.iinfo(dtype).max, (48, 64, 3))
    return image.astype(dtype)


def mask_image(index: int) -> Any:
    return np.full((48, 64), 50 * index + 10, np.uint8)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "w"
    root.mkdir()
    write_clip(root / "data_dst.mp4", grey_images(NUM))
    made = Workspace.open(root)
    for index in range(NUM):
        write_image(made.merged / f"{index:06d}.png", frame_image(index))
        write_image(made.merged_masks / f"{index:06d}.png", mask_image(index))
    return made


def run(workspace: Workspace, kind: str = "png", **options: Any) -> StageReport:
    section = VideoConfig.model_validate({"sequence": kind, "alpha": options.pop("alpha", False)})
    return run_sequence(workspace, section, InputConfig(), **options)


def files(workspace: Workspace) -> dict[str, bytes]:
    folder = workspace.root / "sequence"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize(
    ("kind", "suffix", "scale"), [("png", "png", 1), ("png16", "png", 257), ("tiff16", "tiff", 257)]
)
def test_pictures_and_mattes_are_exact(
    workspace: Workspace, kind: str, suffix: str, scale: int
) -> None:
    report = run(workspace, kind)
    assert (report.done, report.kept, report.failed) == (NUM, 0, {})
    folder = workspace.root / "sequence"
    assert len(list(folder.iterdir())) == 2 * NUM
    for index in range(NUM):
        picture = read_deep_image(folder / f"result.{index:06d}.{suffix}")
        matte = read_deep_grey(folder / f"matte.{index:06d}.{suffix}")
        assert picture.dtype == matte.dtype == (np.uint8 if scale == 1 else np.uint16)
        np.testing.assert_array_equal(picture, frame_image(index).astype(int) * scale)
        np.testing.assert_array_equal(matte, mask_image(index).astype(int) * scale)


def test_sixteen_bits_of_a_frame_are_all_kept(workspace: Workspace) -> None:
    image = frame_image(9, np.uint16)
    write_image(workspace.merged / "000001.png", image)
    run(workspace, "tiff16")
    found = read_deep_image(workspace.root / "sequence" / "result.000001.tiff")
    np.testing.assert_array_equal(found, image)
    run(workspace, "png")
    found = read_deep_image(workspace.root / "sequence" / "result.000001.png")
    np.testing.assert_allclose(found, image / 257, atol=0.5)


def test_exr_is_linear_light_with_the_matte_as_its_alpha(workspace: Workspace) -> None:
    run(workspace, "exr")
    assert len(files(workspace)) == NUM
    found = read_exr(workspace.root / "sequence" / "result.000002.exr")
    signal = frame_image(2) / 255.0
    light = np.where(signal < 0.081, signal / 4.5, ((signal + 0.0993) / 1.0993) ** (1 / 0.45))
    np.testing.assert_allclose(found[..., :3], light, atol=6e-4)
    np.testing.assert_allclose(found[..., 3], 110 / 255, atol=3e-4)


def test_alpha_writes_the_new_face_alone(workspace: Workspace) -> None:
    layers = [RNG.integers(0, 256, (48, 64, 4)).astype(np.uint8) for _ in range(NUM)]
    for index, layer in enumerate(layers):
        write_image(workspace.merged_layer / f"{index:06d}.png", layer)
    run(workspace, "png", alpha=True)
    assert list(files(workspace)) == [f"result.{index:06d}.png" for index in range(NUM)]
    np.testing.assert_array_equal(
        read_layer(workspace.root / "sequence" / "result.000001.png"), layers[1]
    )
    run(workspace, "exr", alpha=True)
    found = read_exr(workspace.root / "sequence" / "result.000001.exr")
    expected = linear_from_signal(layers[1][..., :3], 1) * (layers[1][..., 3:] / 255)
    np.testing.assert_allclose(found[..., :3], expected, atol=1e-3)


def test_second_run_keeps_what_is_done(workspace: Workspace) -> None:
    run(workspace)
    before = files(workspace)
    seen = (workspace.root / "sequence" / "result.000000.png").stat().st_mtime_ns
    report = run(workspace)
    assert (report.done, report.kept) == (0, NUM)
    assert files(workspace) == before
    assert (workspace.root / "sequence" / "result.000000.png").stat().st_mtime_ns == seen


def test_only_frames_that_changed_are_made_again(workspace: Workspace) -> None:
    run(workspace)
    write_image(workspace.merged / "000002.png", frame_image(77))
    report = run(workspace)
    assert (report.done, report.kept) == (1, NUM - 1)
    found = read_image(workspace.root / "sequence" / "result.000002.png")
    np.testing.assert_array_equal(found, frame_image(77))


def test_another_kind_takes_the_place_of_our_own_pictures(workspace: Workspace) -> None:
    run(workspace, "png")
    assert run(workspace, "png16").done == NUM
    assert read_deep_image(workspace.root / "sequence" / "result.000000.png").dtype == np.uint16


def test_pictures_of_others_are_left_alone(workspace: Workspace) -> None:
    folder = workspace.root / "sequence"
    folder.mkdir()
    (folder / "result.000001.png").write_bytes(b"mine")
    (folder / "matte.000003.png").mkdir()
    report = run(workspace)
    assert report.done == NUM - 2
    assert set(report.failed) == {"result.000001.png", "matte.000003.png"}
    assert "not made by this stage" in report.failed["result.000001.png"]
    assert (folder / "result.000001.png").read_bytes() == b"mine"


def test_a_picture_somebody_has_painted_over_is_left_alone(workspace: Workspace) -> None:
    run(workspace)
    painted = workspace.root / "sequence" / "result.000001.png"
    painted.write_bytes(encode_image(frame_image(5), ".png"))
    mine = painted.read_bytes()
    for index in range(NUM):
        write_image(workspace.merged / f"{index:06d}.png", frame_image(index + 50))
    report = run(workspace)
    assert list(report.failed) == ["result.000001.png"]
    assert painted.read_bytes() == mine
    assert run(workspace, redo=True).done == NUM
    assert painted.read_bytes() != mine


def test_a_kill_between_two_files_costs_one_frame(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:

    def killed(path: Path, data: bytes) -> None:
        if path.name == "matte.000002.png":
            raise KeyboardInterrupt
        write_atomic(path, data)

    with monkeypatch.context() as patch:
        patch.setattr("faceswap_cli.stages.sequence.write_atomic", killed)
        with pytest.raises(KeyboardInterrupt):
            run(workspace)
    report = run(workspace)
    assert report.failed == {}
    assert report.done + report.kept == NUM
    assert len(files(workspace)) == 2 * NUM


def test_a_damaged_frame_is_reported_and_the_others_are_made(workspace: Workspace) -> None:
    path = workspace.merged / "000001.png"
    path.write_bytes(path.read_bytes()[:200])
    report = run(workspace)
    assert (report.done, list(report.failed)) == (NUM - 1, ["000001"])
    assert "damaged" in report.failed["000001"]
    assert run(workspace).kept == NUM - 1


@pytest.mark.parametrize(
    ("folder", "settings", "alpha", "fix"),
    [
        ("merged", {}, False, r"merge .*/w$"),
        ("merged_masks", {}, False, r"merge .*/w$"),
        ("merged_layer", {}, True, "--layer"),
    ],
)
def test_missing_pictures_are_explained(
    workspace: Workspace, folder: str, settings: Any, alpha: bool, fix: str
) -> None:
    if settings:
        Manifest.open(workspace.manifest("merge"), settings)
    for path in getattr(workspace, folder).glob("*"):
        path.unlink()
    with pytest.raises(WorkspaceError, match=f"4 merged pictures are missing(.|\n)*{fix}"):
        run(workspace, alpha=alpha)
    assert not (workspace.root / "sequence").exists()


@pytest.mark.parametrize(
    ("settings", "alpha", "message"),
    [
        ({"stream": True}, False, r"streamed its frames[\s\S]*--no-stream"),
        ({"layer": False}, True, r"without layers[\s\S]*--layer"),
        ({"footage": "another"}, False, r"is not what merge has seen"),
    ],
)
def test_pictures_of_an_earlier_merge_are_not_taken(
    workspace: Workspace, settings: Any, alpha: bool, message: str
) -> None:
    for index in range(NUM):
        write_image(workspace.merged_layer / f"{index:06d}.png", np.zeros((48, 64, 4), np.uint8))
    Manifest.open(workspace.manifest("merge"), settings)
    with pytest.raises(WorkspaceError, match=message):
        run(workspace, alpha=alpha)


def test_unfinished_merge_is_refused(workspace: Workspace) -> None:
    Manifest.open(workspace.manifest("merge"), {"format": "png"}).add("*", {"complete": False})
    with pytest.raises(WorkspaceError, match="merge was not finished"):
        run(workspace)


def test_footage_is_not_decoded_once_its_times_are_known(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(workspace)

    def refuse(_: Any) -> Any:
        raise AssertionError("this was done before")

    monkeypatch.setattr(VideoSource, "times", refuse)
    assert run(workspace).kept == NUM


def test_a_broken_redo_goes_on_without_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(workspace)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(sequence._Sequence, "_begin", killed)
        run(workspace, redo=True)
    report = run(workspace)
    assert (report.done, report.failed) == (NUM, {})


def test_pictures_of_a_longer_run_are_said(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    folder = workspace.root / "sequence"
    write_image(folder / "result.000004.exr.png", frame_image(0))  # another kind's, so to say
    run(workspace, "exr")
    assert "not of this sequence" not in caplog.text
    run(workspace)
    for name in ("result.000004.png", "matte.000005.png"):
        write_image(folder / name, frame_image(0))
    (folder / "result.000004.exr.png").unlink()
    caplog.clear()
    run(workspace)
    assert "2 pictures are not of this sequence, the first is matte.000005.png" in caplog.text
    assert (folder / "matte.000005.png").exists()


def test_another_certificate_signs_all_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Signing:
        def sign_picture(self, data: bytes, suffix: str, *, title: str) -> bytes:
            return data

    monkeypatch.setattr(sequence, "_open_signing", lambda *_: Signing())
    done = [
        run_sequence(workspace, VideoConfig(sequence="png", certificate=name), InputConfig()).done
        for name in ("", "", "anna.pem", "anna.pem")
    ]
    assert done == [NUM, 0, NUM, 0]


def test_frames_of_another_format_are_found(workspace: Workspace) -> None:
    Manifest.open(workspace.manifest("merge"), {"format": "jpg"})
    for path in workspace.merged.glob("*.png"):
        write_image(path.with_suffix(".jpg"), read_image(path))
        path.unlink()
    assert run(workspace).done == NUM


def test_no_kind_is_an_error_of_usage(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match="no kind of sequence"):
        run(workspace, "none")


def test_kinds_are_those_of_the_settings() -> None:
    assert ("none", *KINDS) == get_args(VideoConfig.model_fields["sequence"].annotation)


def test_manifest_tells_length_and_checksum(workspace: Workspace) -> None:
    run(workspace)
    lines = workspace.manifest("sequence").read_text().splitlines()[1:]
    told = {name: entry for name, entry in map(json.loads, lines) if entry}
    assert told["000001.png"]["files"]["result.000001.png"][0] == len(
        files(workspace)["result.000001.png"]
    )


def test_a_mask_of_another_size_is_explained() -> None:
    with pytest.raises(MediaError, match=r"mask of \(2, 2\) does not fit"):
        encode_pictures("png", frame_image(0), np.zeros((2, 2), np.uint8), 1)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pictures_of_any_depth_come_back(tmp_path: Path, suffix: str, dtype: Any) -> None:
    layer = (DEEP >> (0 if dtype == np.uint16 else 8)).astype(dtype)
    path = tmp_path / f"a{suffix}"
    write_image(path, layer)
    np.testing.assert_array_equal(read_layer(path), layer)
    write_image(path, layer[..., :3])
    np.testing.assert_array_equal(read_deep_image(path), layer[..., :3])
    assert read_deep_image(path).dtype == dtype
    opaque = read_layer(path)
    np.testing.assert_array_equal(opaque[..., :3], layer[..., :3])
    assert opaque[..., 3].min() == np.iinfo(dtype).max
    grey = layer[..., 0].copy()
    write_image(path, grey)
    np.testing.assert_array_equal(read_deep_grey(path), grey)
    np.testing.assert_array_equal(read_layer(path)[..., 1], grey)


def test_jpg_takes_eight_bits_of_sixteen(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", np.full((16, 16, 3), 200 * 257, np.uint16))
    assert abs(read_image(tmp_path / "a.jpg").astype(int) - 200).max() <= 1
    write_image(tmp_path / "b.png", np.full((4, 4), 65535, np.uint16))
    assert read_grey(tmp_path / "b.png").max() == 255


def test_floating_point_becomes_sixteen_bits(tmp_path: Path) -> None:
    light = np.array([[0.0, 0.5, 1.0, np.nan, 3.0, -1.0]], np.float32)
    (tmp_path / "a.tiff").write_bytes(cv2.imencode(".tiff", np.dstack([light] * 3))[1].tobytes())
    found = read_deep_image(tmp_path / "a.tiff")[0, :, 0]
    assert found.tolist() == [0, 32768, 65535, 0, 65535, 0]


def test_a_deep_picture_that_is_damaged_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode_image(RNG.integers(0, 65535, (64, 64, 3), np.uint16), ".png")[:900])
    for read in (read_deep_image, read_deep_grey, read_layer):
        with pytest.raises(MediaError, match="damaged"):
            read(path)


@pytest.mark.parametrize("num_channels", [3, 4])
def test_exr_keeps_what_half_floats_can(tmp_path: Path, num_channels: int) -> None:
    light = RNG.uniform(0, 100, (9, 13, num_channels)).astype(np.float32)
    (tmp_path / "a.exr").write_bytes(encode_exr(light))
    found = read_exr(tmp_path / "a.exr")
    np.testing.assert_allclose(found, light, rtol=2**-11)


@pytest.mark.parametrize("transfer", [1, 4, 5, 6, 8, 13, 14, 16, 18, 99])
def test_light_grows_with_the_signal_from_black(transfer: int) -> None:
    light = linear_from_signal(np.arange(65536, dtype=np.uint16), transfer)
    assert light[0] == 0
    assert (np.diff(light) >= 0).all()
    deep, flat = light[::257], linear_from_signal(np.arange(256, dtype=np.uint8), transfer)
    np.testing.assert_allclose(deep, flat, rtol=1e-6)


@pytest.mark.parametrize(
    ("transfer", "signal", "light"),
    [
        (1, 1.0, 1.0),
        (1, 0.5, 0.2597),  # ((0.5 + 0.099) / 1.099) ** (1 / 0.45)
        (13, 0.5, 0.2140),
        (16, 0.5081, 1.0),  # BT.2408: 100 cd/m2 is at 51 %
        (16, 0.5806, 2.03),  # BT.2408: reference white, 203 cd/m2, is at 58 %
        (16, 1.0, 100.0),
        (18, 0.5, 1 / 12),  # BT.2100, table 5
        (18, 1.0, 1.0),
    ],
)
def test_light_is_that_of_the_standards(transfer: int, signal: float, light: float) -> None:
    number = np.array([round(65535 * signal)], np.uint16)
    np.testing.assert_allclose(linear_from_signal(number, transfer)[0], light, rtol=3e-3)
