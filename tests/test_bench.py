"""The benchmark times a step of its own: it must be the step of the training."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch

from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device
from faceswap_cli.training.checkpoint import TrainState
from faceswap_cli.training.data import Sampler
from faceswap_cli.training.step import Stepper

SCRIPTS = Path(__file__).parent.parent / "scripts"
CPU = Device("cpu", "fp32")
TOY = TrainConfig(
    options="ud",
    resolution=32,
    ae_dims=8,
    e_dims=4,
    d_dims=4,
    d_mask_dims=2,
    batch_size=2,
    ema_half_life=1.0,  # moves at every step
)
STEPS = 3


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Two of them wait for each other at every small operation where others work, too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def bench_train(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    bench_train = import_module("bench_train")
    monkeypatch.setattr(bench_train, "choose_device", lambda *_: CPU)
    return bench_train


def test_timed_step_learns_what_the_training_learns(bench_train: ModuleType) -> None:
    faces = bench_train.made_up_faces(TOY.resolution, CPU.place)
    trial = bench_train.Trial(bench_train.Variant("fp32"), TOY, faces, STEPS)
    state = TrainState.new(TOY, CPU)
    stepper, sampler = (
        Stepper(state, TOY, CPU),
        Sampler({"src": faces, "dst": faces}, TOY, CPU.place),
    )
    for iteration in range(STEPS):
        trial.run()
        stepper(*sampler(iteration))
    for timed, trained in (
        (trial.state.average, state.average),
        (dict(trial.state.model.named_parameters()), dict(state.model.named_parameters())),
    ):
        assert trained and all(torch.equal(timed[name], trained[name]) for name in trained)
    assert trial.state.iteration == STEPS


def test_contiguous_variant_is_contiguous_throughout(bench_train: ModuleType) -> None:
    faces = bench_train.made_up_faces(TOY.resolution, CPU.place)
    trial = bench_train.Trial(bench_train.Variant.parse("fp32+contiguous"), TOY, faces, STEPS)
    seen = []
    for module in trial.state.model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda _, given, drawn: seen.extend([*given, drawn]))
    trial.run()
    assert seen and all(tensor.is_contiguous() for tensor in seen)
    assert all(weight.is_contiguous() for weight in trial.state.model.parameters())


def test_unknown_variant_is_refused(bench_train: ModuleType) -> None:
    with pytest.raises(ValueError, match="fp16"):
        bench_train.choose_variants("fp32,fp16", compiled=False)
