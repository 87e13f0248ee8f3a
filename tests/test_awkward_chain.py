"""Every awkward clip through merge and video, by frame files and straight into the encoder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from faceswap_cli.config import InputConfig, MergeConfig, VideoConfig
from faceswap_cli.faces.faceset import write_aligned
from faceswap_cli.geometry import warp
from faceswap_cli.media.patching import can_patch
from faceswap_cli.media.reader import probe_video, read_frames, read_parts, read_times
from faceswap_cli.media.samples import find_layout, view_samples
from faceswap_cli.stages.merge import run_merge
from faceswap_cli.stages.video import run_video
from faceswap_cli.workspace import Workspace
from tests.awkward import CLIPS
from tests.made_faces import made_record
from tests.made_models import Inverted, put_trained

SWAPPED = 0
"""The only frame with a face."""
SECTION = MergeConfig(batch_faces=1, device="cpu", feather=4)
LOSSLESS = {"preset": "ultrafast", "crf": 0, "segment": 10, "credentials": False}
MADE_OF_RGB = ["rotated 90", "odd size", "HLG", "PQ", "prores alpha", "png alpha"]
"""Clips whose own pictures lossless h264 does not take."""


@pytest.fixture(autouse=True)
def trained(monkeypatch: pytest.MonkeyPatch) -> None:
    put_trained(monkeypatch, Inverted())


def make_workspace(root: Path, clip: Path) -> Workspace:
    root.mkdir(exist_ok=True)
    path = root / f"data_dst{clip.suffix}"
    clip.replace(path)
    workspace = Workspace.open(root)
    info = probe_video(path)
    first = next(iter(read_frames(path)))
    width, height = info.size_wh
    record = made_record(
        SWAPPED,
        time_s=first.time_s,
        frame_size_wh=info.size_wh,
        source_name=path.name,
        centre_xy=(width / 2, height / 2),
        size_px=16.0,
    )
    crop = warp(first.image, record.crop, size_wh=(64, 64))
    write_aligned(workspace.aligned("dst") / "face.png", crop, record, jpeg_quality=95)
    return workspace


def spans(path: Path) -> list[tuple[Any, Any]]:
    times = read_times(path)
    return [(timed.time_s - times[0].time_s, timed.duration_s) for timed in times]


def kinds_of_tracks(path: Path) -> list[str]:
    with av.open(str(path)) as container:
        kinds = [stream.type for stream in container.streams]
        return sorted(kind for kind in kinds if kind in ("video", "audio", "subtitle"))


@pytest.mark.parametrize("stream", [False, True], ids=["files", "stream"])
@pytest.mark.parametrize("name", CLIPS)
def test_times_tracks_and_untouched_frames_are_those_of_the_footage(
    tmp_path: Path, name: str, stream: bool
) -> None:
    made = tmp_path / "made"
    made.mkdir()
    workspace = make_workspace(tmp_path / "w", CLIPS[name](made))
    footage = workspace.source("dst")
    container = "mkv" if footage.suffix == ".mkv" else "mp4"
    video = VideoConfig.model_validate({**LOSSLESS, "container": container})
    section = SECTION.model_copy(update={"stream": stream})
    merged = run_merge(workspace, section, InputConfig(), video=video)
    report = run_video(workspace, video, InputConfig())
    assert (merged.failed, report.failed, report.done) == ({}, {}, 1)
    result = workspace.result(container)
    wanted, found = spans(footage), spans(result)
    tick_s = 0.001 if container == "mkv" else 0.0
    np.testing.assert_allclose(np.array(found, float), np.array(wanted, float), atol=tick_s)
    if container == "mp4":
        assert found == wanted
    assert kinds_of_tracks(result) == kinds_of_tracks(footage)
    assert probe_video(result).field_order == probe_video(footage).field_order
    for index, error in enumerate(errors(result, footage)):
        if index == SWAPPED:
            assert error.max() > 15  # the face is there
        else:
            assert error.max() <= most_error(footage), index
            assert error.mean() < 0.7, index
    if is_passed_on(footage):
        for index, (luma, was) in enumerate(zip(lumas(result), lumas(footage), strict=True)):
            assert np.array_equal(luma, was) == (index != SWAPPED), index


def most_error(footage: Path) -> int:
    """Return by how much an untouched colour may be off in lossless h264, of 255.

    A picture that is turned, or has an odd side or alpha, is made of RGB: single samples are
    off. One of 10 bits is another one in 8.
    """
    if is_passed_on(footage):
        return 1
    return 3 if probe_video(footage).depth == 8 else 4


def is_passed_on(footage: Path) -> bool:
    info = probe_video(footage)
    return can_patch(info) and info.depth == 8


def errors(result: Path, footage: Path) -> Iterator[Any]:
    for now, before in zip(read_frames(result), read_frames(footage), strict=True):
        height, width, _ = before.image.shape
        yield np.abs(now.image[:height, :width].astype(int) - before.image)


def lumas(path: Path) -> Iterator[Any]:
    for part in read_parts(path, lambda _: None, native=True):
        layout = find_layout(part.native.format.name)
        assert layout is not None
        yield view_samples(part.native, layout)[0].copy()


@pytest.mark.parametrize("stream", [False, True], ids=["files", "stream"])
@pytest.mark.parametrize("name", MADE_OF_RGB)
def test_untouched_colours_are_within_one_of_255_in_ffv1(
    tmp_path: Path, name: str, stream: bool
) -> None:
    made = tmp_path / "made"
    made.mkdir()
    workspace = make_workspace(tmp_path / "w", CLIPS[name](made))
    video = VideoConfig.model_validate({**LOSSLESS, "codec": "ffv1", "container": "mkv"})
    section = SECTION.model_copy(update={"stream": stream})
    run_merge(workspace, section, InputConfig(), video=video)
    run_video(workspace, video, InputConfig())
    for index, error in enumerate(errors(workspace.result("mkv"), workspace.source("dst"))):
        assert (error.max() > 15) if index == SWAPPED else (error.max() <= 1), index
