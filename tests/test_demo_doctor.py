import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from faceswap_cli.cli import cli
from faceswap_cli.errors import MediaError, WorkspaceError
from faceswap_cli.media import codecs
from faceswap_cli.media.clip import write_clip
from faceswap_cli.media.reader import probe_video, read_frames
from faceswap_cli.puppet import Pose, Puppet, build_puppet
from faceswap_cli.stages import demo, doctor
from faceswap_cli.stages.demo import ACTS, draw_strip, make_clips, pose_at
from faceswap_cli.workspace import Workspace
from tests.clips import decode_sound, grey_images

CENTRE = (79.5, 79.5)


@pytest.fixture(scope="module")
def puppet() -> Puppet:
    """A half-sphere for a face, 80 px wide, on a picture with a smooth pattern."""
    rng = np.random.default_rng(0)
    angle, radius = rng.uniform(0, 2 * np.pi, 468), 40 * np.sqrt(rng.uniform(0, 1, 468))
    xy = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1) + CENTRE
    depth = -np.sqrt(np.maximum(0, 40**2 - radius**2))
    rows, columns = np.mgrid[0:160, 0:160]
    wave = 127 + 60 * np.sin(columns / 9) + 60 * np.sin(rows / 7)
    portrait = np.repeat(wave[..., None], 3, axis=2).astype(np.uint8)
    return build_puppet(portrait, np.column_stack([xy, depth]))


def draw(puppet: Puppet, pose: Pose) -> np.ndarray:
    return puppet.draw(pose, middle=CENTRE, size_wh=(160, 160))


def test_puppet_at_rest_is_its_portrait(puppet: Puppet) -> None:
    np.testing.assert_array_equal(draw(puppet, Pose()), puppet.portrait)


def test_depth_is_that_of_a_head_and_ends_beside_it(puppet: Puppet) -> None:
    depth = puppet.depth_px
    assert depth[80, 80] == depth[70:90, 70:90].max()
    assert depth[80, 80] > 1.5 * depth[80, 45] > 0
    assert depth[:4].max() < 0.15 * depth[80, 80]
    assert depth[:4, :4].max() < 0.1


@pytest.mark.parametrize("yaw_deg", [-14.0, 14.0])
def test_turned_head_neither_folds_nor_tears(puppet: Puppet, yaw_deg: float) -> None:
    # Seen x = x + depth * sin(yaw): it must grow with x everywhere.
    moved = puppet.depth_px * np.sin(np.radians(yaw_deg))
    assert np.diff(moved, axis=1).min() > -0.8
    assert np.diff(moved, axis=0).min() > -0.8


def test_turn_moves_the_middle_of_the_face_and_not_the_corners(puppet: Puppet) -> None:
    still, turned = draw(puppet, Pose()), draw(puppet, Pose(yaw_deg=10))
    shift = round(float(puppet.depth_px[80, 80]) * np.sin(np.radians(10)))
    middle = still[72:88, 72:88].astype(int)
    assert np.abs(turned[72:88, 72 + shift : 88 + shift] - middle).mean() < 4
    assert np.abs(turned[72:88, 72:88] - middle).mean() > 15
    np.testing.assert_array_equal(turned[:8, :8], still[:8, :8])


def test_shift_zoom_roll_and_light_are_of_the_whole_picture(puppet: Puppet) -> None:
    still = draw(puppet, Pose())
    np.testing.assert_array_equal(draw(puppet, Pose(shift_px=(3, 0)))[:, 3:], still[:, :-3])
    rolled = draw(puppet, Pose(roll_deg=90)).astype(int)  # clockwise
    assert np.abs(rolled - np.rot90(still, -1)).max() <= 1
    assert draw(puppet, Pose(brightness=0.5)).mean() == pytest.approx(still.mean() / 2, abs=0.6)


def test_poses_are_mild_and_smooth() -> None:
    for act in ACTS.values():
        poses = [pose_at(index / 25, act) for index in range(act.length_s * 25)]
        yaws = np.array([pose.yaw_deg for pose in poses])
        assert 12 <= yaws.max() <= 15
        assert -15 <= yaws.min() <= -12
        assert np.abs(np.diff(yaws)).max() < 1.5


def test_clip_has_its_frames_and_its_tone(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    images = grey_images(25)
    write_clip(path, images, rate=Fraction(25), tone_hz=440.0)
    frames = list(read_frames(path))
    assert [frame.time_s for frame in frames] == [Fraction(index, 25) for index in range(25)]
    for frame, image in zip(frames, images, strict=True):
        assert abs(int(frame.image[24, 32, 0]) - int(image[0, 0, 0])) <= 2
    start_s, samples, rate = decode_sound(path)
    spectrum = np.abs(np.fft.rfft(samples[:rate]))
    assert round(spectrum.argmax() * rate / len(samples[:rate])) == 440
    assert abs(float(start_s)) < 0.03
    assert len(samples) / rate == pytest.approx(1.0, abs=0.05)


def test_clip_without_tone_is_silent_and_without_picture_is_none(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", grey_images(3), rate=Fraction(25), tone_hz=None)
    assert not probe_video(tmp_path / "a.mp4").has_sound
    with pytest.raises(MediaError, match="at least one picture"):
        write_clip(tmp_path / "b.mp4", [], rate=Fraction(25), tone_hz=None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4"]


def test_demo_keeps_its_clips_and_touches_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_portrait", lambda _: None)
    monkeypatch.setattr(demo, "_play", lambda *_: iter(grey_images(5)))
    workspace = Workspace(tmp_path / "demo")
    assert make_clips(workspace).done == 2
    times = [path.stat().st_mtime_ns for path in workspace.root.glob("*.mp4")]
    report = make_clips(workspace)
    assert (report.done, report.kept) == (0, 2)
    assert [path.stat().st_mtime_ns for path in workspace.root.glob("*.mp4")] == times

    mine = Workspace(tmp_path / "mine")
    mine.root.mkdir()
    (mine.root / "data_src.mov").write_bytes(b"precious")
    with pytest.raises(WorkspaceError, match=r"other footage of src: data_src\.mov") as caught:
        make_clips(mine)
    assert "fix: give the demo a folder of its own" in str(caught.value)
    assert (mine.root / "data_src.mov").read_bytes() == b"precious"


def test_strip_shows_five_moments_of_three_videos(tmp_path: Path) -> None:
    for name in ("data_src", "data_dst", "result"):
        write_clip(tmp_path / f"{name}.mp4", grey_images(25), rate=Fraction(25), tone_hz=None)
    report = draw_strip(Workspace(tmp_path), "mp4")
    assert report.facts["result"] == str(tmp_path / "result.mp4")
    assert (tmp_path / "before_after.png").is_file()


def test_doctor_reports_each_thing_with_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_fan", lambda: [])  # imports face-alignment, for half a minute
    result = CliRunner().invoke(cli, ["doctor", "--json"])
    findings = json.loads(result.stdout)
    by_name = {finding["name"]: finding for finding in findings["findings"]}
    assert {"python", "torch", "ffmpeg", "device", "cpu", "memory", "libx264"} <= by_name.keys()
    assert by_name["libx264"]["verdict"] == "ok"
    assert "sha256" in by_name["facemesh_468.safetensors"]["seen"]
    assert result.exit_code == (0 if findings["ok"] else 5)


def test_missing_encoder_fails_with_the_way_to_mend_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_fan", lambda: [])
    monkeypatch.setattr(codecs, "has_encoder", lambda name: name != "libx264")
    result = CliRunner().invoke(cli, ["doctor"])
    assert result.exit_code == 5
    assert "FAIL  libx264: no encoder for h264 video\n      fix: pip install" in result.stdout


def test_missing_second_engine_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faceswap_cli.detect.fan.is_fan_ready", lambda: False)
    monkeypatch.setattr(doctor, "_version", lambda _: "")
    [finding] = doctor._fan()
    assert (finding.verdict, finding.name) == ("warn", "face-alignment")
    assert finding.seen == "not installed; the mesh landmarker is used"
    assert 'pip install "faceswap-cli[fan]"' in finding.fix


def test_damaged_weights_fail(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"short")
    for broken in (path, tmp_path / "missing.safetensors"):
        finding = doctor._weights_file(broken)
        assert (finding.verdict, finding.fix) == ("FAIL", doctor._REINSTALL)
