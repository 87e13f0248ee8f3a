from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device
from faceswap_cli.models import Faces
from faceswap_cli.training.building import build_model
from faceswap_cli.training.cost import Cost, describe, estimate_cost
from faceswap_cli.training.losses import redraw_terms
from faceswap_cli.training.schedule import weighted_loss

FP32, BF16 = Device("cpu", "fp32"), Device("cpu", "bf16")
TOY = {"ae_dims": 16, "e_dims": 8, "d_dims": 8, "d_mask_dims": 4}
WIDE = {"ae_dims": 256, "e_dims": 64, "d_dims": 64, "d_mask_dims": 22}


def toy(**changes: Any) -> TrainConfig:
    return TrainConfig(**({"model": "liae", "options": "ud", "resolution": 32} | TOY | changes))


@pytest.fixture(scope="module")
def toy_cost() -> Cost:
    return estimate_cost(toy(), FP32, batch_size=4)


def faces(batch: int, side: int) -> Faces:
    def noise(channels: int) -> Tensor:
        drawn = torch.rand(batch, channels, side, side, generator=torch.Generator().manual_seed(1))
        return drawn.to(memory_format=torch.channels_last)

    lms = torch.zeros(batch, 68, 2)
    return Faces(img=noise(3), lms=lms, mask=noise(1), parts=noise(1), warped=noise(3))


def really_used(config: TrainConfig, device: Device, batch: int) -> tuple[int, int, int]:
    """Parameters, operations and bytes kept of a step that is computed."""
    model = build_model(config, device)
    if config.recompute:
        model.recompute_activations()
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    src, dst = faces(batch, config.resolution), faces(batch, config.resolution)
    counter = FlopCounterMode(display=False)
    with counter, saved_tensors_hooks(keep, lambda tensor: tensor):
        with device.autocast():
            _, terms = next(model.losses(src, dst))
            loss = weighted_loss(terms, config)
        bytes_kept = sum(kept.values())
        loss.backward()
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops(), bytes_kept


@pytest.mark.parametrize(
    ("config", "device", "batch"),
    [
        (toy(model="df", options="", resolution=64), FP32, 2),
        (toy(resolution=128), FP32, 4),
        (toy(model="df", options="udtc", resolution=96), FP32, 3),
        (toy(resolution=64, recompute=True), FP32, 3),
        (toy(), BF16, 2),
        (toy(model="df", options="t", recompute=True), BF16, 2),
    ],
    ids=["df", "liae-ud", "df-udtc", "recompute", "bf16", "bf16-recompute"],
)
def test_the_estimate_is_what_a_real_step_uses(
    config: TrainConfig, device: Device, batch: int
) -> None:
    parameters, flops, bytes_kept = really_used(config, device, batch)
    cost = estimate_cost(config, device, batch_size=batch)
    assert sum(cost.parameters.values()) == parameters
    assert cost.flops == flops
    assert cost.activations_bytes == pytest.approx(bytes_kept, rel=0.02)


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        # The totals that test_models.py holds the real models to.
        (TrainConfig(model="df", options="", resolution=128, **WIDE), 57_538_432),
        (TrainConfig(model="liae", options="ud", resolution=256, **WIDE), 145_340_267),
    ],
    ids=["df-128", "liae-ud-256"],
)
def test_parameters_of_known_models(config: TrainConfig, parameters: int) -> None:
    cost = estimate_cost(config, FP32, batch_size=1)
    assert sum(cost.parameters.values()) == parameters
    assert cost.weights_bytes == cost.gradients_bytes == cost.average_bytes == 4 * parameters
    assert cost.optimizer_bytes == 8 * parameters


def test_the_cpu_stands_in_for_a_gpu(toy_cost: Cost) -> None:
    assert estimate_cost(toy(), Device("cuda", "fp32"), batch_size=4) == toy_cost


def test_a_model_that_no_machine_holds_needs_no_memory() -> None:
    widest = {"ae_dims": 1024, "e_dims": 256, "d_dims": 256, "d_mask_dims": 256}
    config = TrainConfig(model="liae", options="t", resolution=640, **widest)
    assert estimate_cost(config, FP32, batch_size=4096).total_bytes > 50 * 2**40


def test_without_averaging_there_is_no_average(toy_cost: Cost) -> None:
    cost = estimate_cost(toy(ema_half_life=0), FP32, batch_size=4)
    assert cost.average_bytes == 0
    assert cost.total_bytes == toy_cost.total_bytes - toy_cost.weights_bytes


def test_parts_of_a_batch_keep_less_and_compute_the_same(toy_cost: Cost) -> None:
    cost = estimate_cost(toy(micro_batch=2), FP32, batch_size=4)
    assert cost.flops == toy_cost.flops
    assert cost.activations_bytes == estimate_cost(toy(), FP32, batch_size=2).activations_bytes
    assert cost.activations_bytes < toy_cost.activations_bytes


def test_a_part_larger_than_the_batch_is_the_batch(toy_cost: Cost) -> None:
    assert estimate_cost(toy(micro_batch=64), FP32, batch_size=4) == toy_cost


def test_bf16_and_recomputing_keep_less(toy_cost: Cost) -> None:
    # Wide pictures of few channels: else the bf16 copies of the weights outweigh the rest.
    fp32, bf16 = (estimate_cost(toy(resolution=128), d, batch_size=4) for d in (FP32, BF16))
    assert bf16.activations_bytes < fp32.activations_bytes
    assert bf16.flops == fp32.flops
    recomputed = estimate_cost(toy(recompute=True), FP32, batch_size=4)
    assert recomputed.activations_bytes < toy_cost.activations_bytes
    assert recomputed.flops > toy_cost.flops


def test_an_estimate_and_real_losses_leave_each_other_alone(toy_cost: Cost) -> None:
    def real() -> Tensor:
        true = faces(2, 32)
        assert true.warped is not None
        drawn = true.warped.detach().requires_grad_()
        loss = torch.stack(list(redraw_terms(drawn, true.mask, true).values())).sum()
        loss.backward()
        assert drawn.grad is not None
        return drawn.grad

    before = real()
    for _ in range(2):
        assert estimate_cost(toy(), FP32, batch_size=4) == toy_cost
        torch.testing.assert_close(real(), before, rtol=0, atol=0)


def test_a_failed_estimate_leaves_real_losses_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("after the losses")

    monkeypatch.setattr("faceswap_cli.training.cost.weighted_loss", fail)
    with pytest.raises(RuntimeError, match="after the losses"):
        estimate_cost(toy(), FP32, batch_size=4)
    true = faces(2, 32)
    terms = redraw_terms(true.img, true.mask, true)
    assert all(bool(torch.isfinite(value).all()) for value in terms.values())


@pytest.mark.parametrize("state", [torch.get_rng_state, torch.is_grad_enabled])
def test_an_estimate_changes_nothing_else(state: Callable[[], Any]) -> None:
    before = state()
    estimate_cost(toy(), BF16, batch_size=2)
    assert torch.equal(torch.as_tensor(before), torch.as_tensor(state()))


def test_a_cost_is_told_in_three_lines() -> None:
    gib = 2**30
    cost = Cost(
        parameters={"encoder": 4_300_000, "inter": 141_000_000},
        flops=12.34e12,
        weights_bytes=gib // 2,
        gradients_bytes=gib // 2,
        optimizer_bytes=gib,
        average_bytes=gib // 2,
        activations_bytes=7 * gib,
    )
    assert describe(cost) == [
        "parameters: 145.3 M (encoder 4.3, inter 141.0)",
        "arithmetic: 12.3 TFLOP an iteration",
        "memory: about 9.5 GiB"
        " (weights 0.5, gradients 0.5, optimiser 1.0, average 0.5, activations 7.0)",
    ]


def test_a_small_cost_is_told_in_small_units() -> None:
    cost = Cost(
        parameters={"encoder": 4_300, "decoder": 2_000},
        flops=0.25e9,
        weights_bytes=2**20,
        gradients_bytes=2**20,
        optimizer_bytes=2**21,
        average_bytes=0,
        activations_bytes=2**22,
    )
    assert describe(cost) == [
        "parameters: 6.3 k (encoder 4.3, decoder 2.0)",
        "arithmetic: 0.2 GFLOP an iteration",
        "memory: about 8.0 MiB (weights 1.0, gradients 1.0, optimiser 2.0, activations 4.0)",
    ]
