"""What is seen of a training: previews, trends, the report."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from faceswap_cli.device import Device
from faceswap_cli.imaging import read_image
from faceswap_cli.models import AMP, Autoencoder
from faceswap_cli.models.autoencoder import DF, LIAE
from faceswap_cli.models.original import Original
from faceswap_cli.stages.train import run_train
from faceswap_cli.training.preview import GAP_PX, Previewer, draw_preview, spread
from faceswap_cli.training.trend import Seen, arrow, mean_and_trend
from tests.facesets import write_faceset
from tests.test_train import TOY, toy

SIZE = {"resolution": 32, "ae_dims": 8, "e_dims": 4, "d_dims": 4}
FACES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
CPU = Device("cpu", "fp32")


@pytest.mark.parametrize(
    "model",
    [
        DF(**SIZE, d_mask_dims=2, options="ud"),
        LIAE(**SIZE, d_mask_dims=2, options="u"),
        AMP(**SIZE, d_mask_dims=2, inter_dims=8, morph=0.5),
        Original(**SIZE),
    ],
    ids=lambda model: type(model).__name__,
)
def test_every_model_has_a_page_of_faces_and_one_of_masks(model: Autoencoder) -> None:
    pages = draw_preview(model, FACES, FACES.flip(0))
    height, width = 3 * (32 + GAP_PX), 32 + GAP_PX
    assert {name: page.shape for name, page in pages.items()} == {
        "preview": (height, 6 * width, 3),
        "preview_masks": (height, 5 * width, 3),
    }
    mask = pages["preview_masks"][:32, width : width + 32]
    assert np.array_equal(mask[..., 0], mask[..., 2])
    assert (mask == 255).all() == (not model.draws_mask)


def test_contrast_tells_grey_from_faces() -> None:
    previewer = Previewer((FACES, FACES), TOY, CPU)
    weights = {name: torch.zeros_like(t) for name, t in previewer._model.state_dict().items()}
    assert previewer.contrast(weights) < 1e-5
    assert spread(FACES) == pytest.approx(12**-0.5, rel=0.05)  # of a uniform distribution


def test_a_preview_at_each_save_and_each_interval_and_none_twice(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path)
    run_train(workspace, toy(iterations=6, save_every=4, preview_every=2))
    assert [path.stem[-1] for path in workspace.previews()] == ["2", "4", "6"]
    assert read_image(workspace.model / "preview_masks.png").shape == (4 * 34, 5 * 34, 3)


def test_the_report_has_every_loss_with_its_trend(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path)
    report = run_train(workspace, toy(iterations=30, save_every=1, preview_every=30))
    losses = report.facts["losses"]
    assert {"src/dssim", "src/mse", "dst/dssim", "dst/mask"} <= losses.keys()
    assert set(losses["src/dssim"]) == {"mean", "change_percent"}
    json.dumps(report.as_json())
    lines = (workspace.model / "log.jsonl").read_text().splitlines()
    last = [json.loads(line)["src/mse"] for line in lines][-3:]
    assert losses["src/mse"]["mean"] == pytest.approx(sum(last) / 3, rel=1e-3)


def history(values: list[float]) -> list[Seen]:
    return [(25 * number, {"a": value}) for number, value in enumerate(values, start=1)]


def test_a_trend_is_the_last_tenth_against_the_one_before() -> None:
    found = mean_and_trend(history([9.0] * 80 + [2.0] * 10 + [1.0] * 10), "a")
    assert found == (1.0, -50.0)
    assert mean_and_trend(history([1.0]), "a") == (1.0, None)
    assert mean_and_trend(history([1.0]), "b") is None
    assert mean_and_trend([], "a") is None
    assert mean_and_trend(history([0.0] * 100), "a") == (0.0, None)


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=60), st.floats(0.5, 2))
def test_a_trend_does_not_depend_on_the_unit(values: list[float], unit: float) -> None:
    one = mean_and_trend(history(values), "a")
    other = mean_and_trend(history([unit * value for value in values]), "a")
    assert one is not None
    assert other is not None
    assert other[0] == pytest.approx(unit * one[0])
    assert other[1] == (None if one[1] is None else pytest.approx(one[1], abs=1e-6))


def test_an_arrow_says_where_it_goes() -> None:
    assert [arrow(x) for x in (None, 0.2, -12.3, 7.0)] == ["", "→", "↓12%", "↑7%"]


def test_pretraining_has_a_folder_of_its_own_and_a_training_begins_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = write_faceset(tmp_path / "swap")
    anybody = write_faceset(tmp_path / "anybody", count=5).aligned("src")
    report = run_train(workspace, toy(iterations=3, pretrain=str(anybody)))
    assert report.facts["src faces"] == report.facts["dst faces"] == 5
    assert report.facts["model"] == str(workspace.pretrained)
    assert not workspace.model.exists()
    assert list(workspace.pretrained.glob("iter_*.safetensors"))
    with caplog.at_level(logging.INFO, "faceswap_cli"):
        report = run_train(workspace, toy(iterations=3, init_from=str(workspace.pretrained)))
    assert report.facts["src faces"] == 6
    assert "begins with" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO, "faceswap_cli"):
        run_train(workspace, toy(iterations=4, init_from=str(workspace.pretrained)))
    assert "begins with" not in caplog.text
