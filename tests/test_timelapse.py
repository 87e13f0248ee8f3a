"""The film of the previews."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner

from faceswap_cli.cli import cli
from faceswap_cli.errors import MediaError, WorkspaceError
from faceswap_cli.imaging import write_image
from faceswap_cli.media.caption import with_caption
from faceswap_cli.media.provenance import DIGITAL_SOURCE_TYPE
from faceswap_cli.stages.timelapse import run_timelapse
from faceswap_cli.types import RgbImage
from faceswap_cli.workspace import Workspace


def grey(level: int, size_wh: tuple[int, int] = (65, 49)) -> RgbImage:
    return np.full((size_wh[1], size_wh[0], 3), level, np.uint8)


def write(workspace: Workspace, iteration: int, page: RgbImage) -> None:
    write_image(workspace.preview_history / f"{iteration:08d}.jpg", page)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "data_src").mkdir()
    made = Workspace(tmp_path)
    for number in range(5):
        write(made, 500 * (number + 1), grey(40 * number + 20))
    return made


def test_previews_in_order_at_the_rate_and_marked_as_synthetic(workspace: Workspace) -> None:
    report = run_timelapse(workspace, rate=12.5)
    assert (report.done, report.failed, report.facts["seconds"]) == (5, {}, 0.4)
    with av.open(str(workspace.timelapse)) as film:
        assert film.metadata["digital_source_type"] == DIGITAL_SOURCE_TYPE
        frames = list(film.decode(video=0))
    assert (frames[0].width, frames[0].height) == (66, 50)  # even, as 4:2:0 needs
    times = [float(frame.time) for frame in frames]
    assert times == pytest.approx([0.0, 0.08, 0.16, 0.24, 0.32])
    tops = [frame.to_ndarray(format="rgb24")[:20].mean() for frame in frames]
    assert tops == pytest.approx([20, 60, 100, 140, 180], abs=4)
    assert not list(workspace.model.glob(".partial*"))


def test_the_iteration_is_written_in_a_corner() -> None:
    page = grey(128, (408, 272))
    written = with_caption(page, "iteration 1500")
    changed = np.argwhere((written != page).any(axis=2))
    assert changed[:, 0].min() > 0.8 * 272
    assert 0 < changed[:, 1].min() < 20
    assert changed[:, 1].max() < 0.6 * 408
    assert {0, 255} <= set(written.ravel().tolist())
    assert (page == 128).all()


def test_pages_of_a_replaced_model_are_fitted_in(workspace: Workspace) -> None:
    write(workspace, 3000, grey(200, (260, 196)))
    write(workspace, 3500, grey(200, (65, 20)))
    assert run_timelapse(workspace, rate=25).done == 7
    with av.open(str(workspace.timelapse)) as film:
        *_, larger, flat = (frame.to_ndarray(format="rgb24") for frame in film.decode(video=0))
    assert larger[:30].mean() == pytest.approx(200, abs=6)
    assert flat[:8].mean() < 10
    assert flat[20:28, 10:50].mean() > 150


def test_a_damaged_preview_is_left_out_and_named(workspace: Workspace) -> None:
    (workspace.preview_history / "00001000.jpg").write_bytes(b"cut short")
    (workspace.preview_history / "notes.jpg").write_bytes(b"of a person")
    result = CliRunner().invoke(cli, ["timelapse", str(workspace.root), "--json", "--rate", "5"])
    assert result.exit_code == MediaError.exit_code
    told = json.loads(result.stdout)
    assert (told["done"], list(told["failed"])) == (4, ["00001000.jpg"])


def test_no_previews_name_the_command_that_makes_them(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="no previews") as caught:
        run_timelapse(Workspace(tmp_path), rate=25)
    assert "fix: faceswap-cli train" in str(caught.value)


def test_nothing_readable_is_an_error_and_leaves_no_film(workspace: Workspace) -> None:
    for path in workspace.previews():
        path.write_bytes(b"x")
    with pytest.raises(MediaError, match="none of the previews can be read"):
        run_timelapse(workspace, rate=25)
    assert not workspace.timelapse.exists()
