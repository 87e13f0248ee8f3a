"""Every awkward clip through merge and video, by frame files and straight into the encoder."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from faceswap_cli.config import InputConfig, MergeConfig, VideoConfig
from faceswap_cli.faces.faceset import write_aligned
from faceswap_cli.geometry import warp
from faceswap_cli.media.reader import probe_video, read_frames, read_times
from faceswap_cli.stages.merge import run_merge
from faceswap_cli.stages.video import run_video
from faceswap_cli.workspace import Workspace
from tests.awkward import CLIPS
from tests.made_faces import made_record
from tests.made_models import Inverted, put_trained

SWAPPED = 0
"""The only frame with a face."""
SECTION = MergeConfig(batch_faces=1, device="cpu", feather=4)
FAST = {"preset": "ultrafast", "crf": 10, "segment": 10, "credentials": False}


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
    video = VideoConfig.model_validate({**FAST, "container": container})
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
    pairs = zip(read_frames(result), read_frames(footage), strict=True)
    for index, (now, before) in enumerate(pairs):
        error = np.abs(
            now.image[: before.image.shape[0], : before.image.shape[1]].astype(float) - before.image
        )
        if index == SWAPPED:
            assert error.max() > 15  # the face is there
        else:
            assert 10 * np.log10(255**2 / max(1e-6, float((error**2).mean()))) >= 38, index
