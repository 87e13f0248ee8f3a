"""The learning rate range test."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from faceswap_cli.cli import cli
from faceswap_cli.config import TrainConfig
from faceswap_cli.imaging import read_image
from faceswap_cli.stages.find_rate import find_rate
from faceswap_cli.stages.train import run_train
from faceswap_cli.training.rate_test import HIGHEST, LOWEST, read_curve
from tests.facesets import write_faceset

TOY = TrainConfig.model_validate(
    {
        "model": "df",
        "resolution": 32,
        "ae_dims": 8,
        "e_dims": 4,
        "d_dims": 4,
        "d_mask_dims": 2,
        "batch_size": 2,
        "iterations": 2,
        "precision": "fp32",
        "device": "cpu",
    }
)
RATES = np.geomspace(LOWEST, HIGHEST, 150)


def falls_at(rate: float, *, depth: float = 1.0) -> NDArray[np.float64]:
    """A loss that falls by `depth` of 2 around a rate, with noise."""
    noise = np.random.default_rng(0).normal(0.0, 0.005, len(RATES))
    return 2.0 - depth / (1.0 + (rate / RATES) ** 2) + noise


def test_finds_where_the_loss_falls_fastest() -> None:
    found = read_curve(RATES, falls_at(1e-4), len(RATES))
    assert found.steepest == pytest.approx(1e-4, rel=0.5)
    assert found.blows_up is None
    assert found.suggested == pytest.approx(1e-4, rel=0.5)


def test_stays_ten_times_below_where_the_loss_rises() -> None:
    rising = falls_at(1e-4) + np.clip((RATES / 5e-4) ** 2, 0, 50)
    found = read_curve(RATES, rising, len(RATES))
    assert found.blows_up == pytest.approx(2.5e-4, rel=0.5)
    assert found.suggested == pytest.approx(0.1 * (found.blows_up or 0.0), rel=0.05)


def test_noise_is_no_fall() -> None:
    found = read_curve(RATES, falls_at(1e-4, depth=0.0), len(RATES))
    assert (found.steepest, found.blows_up) == (None, None)
    assert found.suggested == pytest.approx(0.1 * HIGHEST)


@pytest.mark.parametrize("ending", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_a_rise_or_an_end(ending: float) -> None:
    losses = falls_at(1e-5)[:90]
    losses[-1] = ending
    found = read_curve(RATES[:90], losses, len(RATES))
    assert np.isfinite(found.smooth).all()
    assert found.steepest == pytest.approx(1e-5, rel=0.5)


def test_the_model_is_left_alone_and_a_picture_is_all_that_comes(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path)
    new = find_rate(workspace, TOY, iterations=12)
    assert new.from_iteration == 0
    assert [path.name for path in workspace.model.iterdir()] == ["rate_test.png"]
    assert read_image(new.picture).shape == (500, 800, 3)
    assert LOWEST <= new.suggested <= HIGHEST
    run_train(workspace, TOY)
    before = {path: path.read_bytes() for path in workspace.model.glob("*.*") if path.is_file()}
    again = find_rate(workspace, TOY, iterations=12)
    assert again.from_iteration == 2
    changed = {path.name for path, was in before.items() if path.read_bytes() != was}
    assert changed <= {"rate_test.png"}


def test_as_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faceswap_cli.stages.find_rate.find_rate.__kwdefaults__", {"iterations": 8})
    write_faceset(tmp_path)
    flags = [*("--resolution", "32", "--ae-dims", "8", "--e-dims", "4", "--d-dims", "4")]
    flags += [*("--d-mask-dims", "2", "--batch-size", "2", "--precision", "fp32", "--quiet")]
    command = ["train", str(tmp_path), "--find-rate", "--device", "cpu", *flags]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    assert "suggested: --learning-rate" in result.stdout and "8 iterations" in result.stdout
    found = json.loads(CliRunner().invoke(cli, [*command, "--json"]).stdout)
    assert len(found["rates"]) == len(found["losses"]) == 8
    assert found["stage"] == "train --find-rate" and found["suggested"] > 0
