from functools import cache
from pathlib import Path

import pytest

from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device
from faceswap_cli.errors import ConfigError
from faceswap_cli.settings import describe_range, load_config
from faceswap_cli.stages.train import run_train
from faceswap_cli.training import batch_size
from faceswap_cli.training.batch_size import with_batch_size
from faceswap_cli.training.cost import Cost, estimate_cost
from tests.facesets import write_faceset
from tests.test_train import toy

CPU, GPU = Device("cpu", "fp32"), Device("cuda", "bf16")
AUTO = toy(batch_size="auto")


@cache
def estimated_once(device: Device, batch_size: int) -> Cost:
    """An estimate takes a second and a half."""
    return estimate_cost(AUTO, device, batch_size=batch_size)


def estimated(config: TrainConfig, device: Device, *, batch_size: int) -> Cost:
    assert config == AUTO
    return estimated_once(device, batch_size)


def batch_on_a_gpu(free: float, monkeypatch: pytest.MonkeyPatch, *, devices: int = 1) -> int:
    monkeypatch.setattr(Device, "free_bytes", lambda self: int(free))
    monkeypatch.setattr(batch_size, "estimate_cost", estimated)
    return with_batch_size(AUTO, GPU, Path("none"), devices=devices).batch


def test_a_number_stays_as_it_is() -> None:
    assert with_batch_size(toy(batch_size=6), CPU, Path("none"), devices=1).batch == 6


def test_auto_is_eight_on_a_cpu_and_a_share_for_each_process() -> None:
    assert with_batch_size(AUTO, CPU, Path("none"), devices=1).batch == 8
    assert with_batch_size(AUTO, CPU, Path("none"), devices=2).batch == 16


def test_auto_fills_a_gpu_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    free = 1.01 * estimated(AUTO, GPU, batch_size=10).total_bytes / 0.8
    assert batch_on_a_gpu(free, monkeypatch) == 10
    assert batch_on_a_gpu(free, monkeypatch, devices=2) == 20
    assert batch_on_a_gpu(1e12, monkeypatch) == 64
    assert batch_on_a_gpu(1.0, monkeypatch) == 2  # too little for any: the step says so


def test_a_training_goes_on_with_the_batch_it_began_with(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path)
    run_train(workspace, toy(batch_size=4, iterations=1))
    report = run_train(workspace, toy(batch_size="auto", iterations=2))
    assert (report.kept, report.facts["batch_size"]) == (1, 4)


def test_auto_must_be_resolved_before_it_is_a_number() -> None:
    with pytest.raises(ValueError, match="still auto"):
        _ = AUTO.batch


def test_a_wrong_batch_size_is_told_once_with_its_range(tmp_path: Path) -> None:
    assert describe_range(TrainConfig.model_fields["batch_size"]) == "1..4096"
    for value in ('"many"', "0", "2.5"):
        path = tmp_path / "a.toml"
        path.write_text(f"[train]\nbatch_size = {value}\n")
        with pytest.raises(ConfigError, match="1 setting cannot be used") as told:
            load_config(path)
        assert "1..4096" in str(told.value)
