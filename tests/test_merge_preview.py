"""A sheet of a few merged frames: the same frames as a merge makes, and nothing touched."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceswap_cli.config import InputConfig, MergeConfig
from faceswap_cli.errors import ConfigError, MediaError, WorkspaceError
from faceswap_cli.faces.faceset import write_aligned
from faceswap_cli.geometry import warp
from faceswap_cli.imaging import read_image
from faceswap_cli.media.reader import read_frames
from faceswap_cli.rendering.tiles import TILE_PX, face_tile, table
from faceswap_cli.stages.merge import run_merge
from faceswap_cli.stages.merge_preview import run_preview, spread
from faceswap_cli.workspace import Workspace
from tests.clips import write_clip
from tests.made_faces import made_record, smooth_picture
from tests.made_models import Inverted, put_trained

NUM = 20
SECTION = MergeConfig(batch_faces=2, device="cpu", feather=4)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    images = [smooth_picture(i, (96, 72)) for i in range(NUM)]
    write_clip(tmp_path / "data_dst.mp4", images)
    made = Workspace.open(tmp_path)
    for index, frame in enumerate(read_frames(tmp_path / "data_dst.mp4")):
        record = made_record(index, time_s=frame.time_s)
        crop = warp(images[index], record.crop, size_wh=(64, 64))
        path = made.aligned("dst") / f"{index:06d}.png"
        write_aligned(path, crop, record, jpeg_quality=95)
    put_trained(monkeypatch, Inverted())
    return made


def preview(workspace: Workspace, **how: Any) -> Any:
    return run_preview(workspace, SECTION, InputConfig(), **how)


def tile(sheet: Any, row: int, column: int) -> Any:
    step = TILE_PX + 4
    top, left = 4 + row * step, 4 + column * step
    return sheet[top : top + TILE_PX, left : left + TILE_PX]


def test_sheet_shows_what_a_merge_makes(workspace: Workspace) -> None:
    report = preview(workspace, frames=3)
    assert (report.done, report.facts["frames"]) == (3, [0, 10, 19])
    assert not workspace.merged.exists()
    assert not workspace.manifest("merge").exists()
    sheet = read_image(workspace.reports / "merge_preview.png")
    run_merge(workspace, SECTION, InputConfig())
    merged = read_image(workspace.merged / "000010.png")
    expected = face_tile(merged, made_record(10).landmarks, "merged")
    np.testing.assert_array_equal(tile(sheet, 0, 3), expected)


def test_settings_stand_side_by_side_with_their_names(workspace: Workspace) -> None:
    compared = ["mode=overlay", "color=none erode=9", "mask=0*hull"]
    preview(workspace, frames=2, compare=compared)
    sheet = read_image(workspace.reports / "merge_compare.png")
    assert sheet.shape == table([[np.zeros((TILE_PX, TILE_PX, 3), np.uint8)] * 4] * 2).shape
    above = np.s_[: TILE_PX - 60]  # without the names
    dst, overlay, eroded, nothing = (tile(sheet, 1, column)[above] for column in range(4))
    np.testing.assert_array_equal(nothing, dst)
    assert np.abs(overlay.astype(int) - dst).mean() > np.abs(eroded.astype(int) - dst).mean() > 0


def test_a_setting_that_is_none_is_refused_before_any_work(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match=r"erod: there is no such setting"):
        preview(workspace, frames=2, compare=["erod=3"])


def test_a_frame_that_fails_is_told_and_the_others_are_shown(workspace: Workspace) -> None:
    workspace.edited_masks("dst").mkdir()
    (workspace.edited_masks("dst") / "000010.png").write_bytes(b"no mask")
    report = preview(workspace, frames=3)
    assert (report.done, report.facts["frames"], list(report.failed)) == (2, [0, 19], ["000010"])
    with pytest.raises(MediaError, match=r"none of the frames can be merged: .*delete this face"):
        for index in range(NUM):
            (workspace.edited_masks("dst") / f"{index:06d}.png").write_bytes(b"no mask")
        preview(workspace, frames=3)


def test_frames_are_spread_evenly_and_never_twice() -> None:
    assert spread([9, 3, 5, 7], 3) == [3, 7, 9]
    assert spread([4, 5], 9) == [4, 5]
    with pytest.raises(WorkspaceError, match="no frame has a face"):
        spread([], 4)


def test_deep_pictures_are_shown_in_eight_bits() -> None:
    deep = np.full((72, 96, 3), 0x8040, np.uint16)
    shown = face_tile(deep, made_record(0).landmarks, "")
    assert shown.dtype == np.uint8
    assert (shown[10:200, 10:200] == 0x80).all()
