"""The optimisers against plain numpy, the dropout of updates, and who learns at all."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device
from faceswap_cli.errors import ConfigError
from faceswap_cli.ranks import ALONE, Ranks, in_ranks
from faceswap_cli.training.building import build_model
from faceswap_cli.training.cost import estimate_cost
from faceswap_cli.training.optimizers import (
    build_optimizer,
    build_optimizers,
    dropout_generator,
    gather_slots,
    own_slots,
    slot_names,
    slots,
    step_with_dropout,
)

CPU = Device("cpu", "fp32")
RATE = 1e-2
KINDS = ["adamw", "adabelief", "rmsprop"]
Weights = NDArray[np.float64]


def config(optimizer: str, **changes: object) -> TrainConfig:
    sizes = {"resolution": 32, "ae_dims": 8, "e_dims": 4, "d_dims": 4, "d_mask_dims": 2}
    return TrainConfig.model_validate(
        sizes | {"optimizer": optimizer, "learning_rate": RATE} | changes
    )


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(5, 6)).to(memory_format=torch.channels_last)


def gradient_of(p: Tensor, number: int) -> Tensor:
    generator = torch.Generator().manual_seed(1000 * number + p.numel())
    values = torch.randn(p.shape, generator=generator) * 10.0 ** (number % 3 - 1)
    return torch.empty_like(p).copy_(values)  # laid out as p, as autograd does: fused steps need it


def take(net: nn.Module, optimizer: torch.optim.Optimizer, number: int, share: float = 0.0) -> None:
    for p in net.parameters():
        p.grad = gradient_of(p, number)
    random = dropout_generator(3, number, 0, "encoder", torch.device("cpu")) if share else None
    step_with_dropout(optimizer, net, share, random)


def rmsprop(w: Weights, gradients: list[Weights]) -> Weights:
    a = np.zeros_like(w)
    for g in gradients:
        a = 0.9 * a + 0.1 * g**2
        w = w - RATE * g / (np.sqrt(a) + 1e-6)
    return w


def adabelief(w: Weights, gradients: list[Weights]) -> Weights:
    m, v = np.zeros_like(w), np.zeros_like(w)
    for g in gradients:
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * (g - m) ** 2
        w = w - RATE * m / (np.sqrt(v) + 1e-6)
    return w


def adamw(w: Weights, gradients: list[Weights]) -> Weights:
    m, v, decay = np.zeros_like(w), np.zeros_like(w), 0.1
    for t, g in enumerate(gradients, start=1):
        w = w * (1.0 - RATE * decay)
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
        w = w - RATE * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.99**t)) + 1e-8)
    return w


@pytest.mark.parametrize("plain", [adamw, adabelief, rmsprop])
def test_each_optimizer_moves_weights_as_its_formula_says(plain: object) -> None:
    kind = plain.__name__  # type: ignore[attr-defined]
    net = network()
    before = [p.detach().double().numpy().copy() for p in net.parameters()]
    optimizer = build_optimizer(net, config(kind, weight_decay=0.1), ALONE)
    for number in range(7):
        take(net, optimizer, number)
    for p, was in zip(net.parameters(), before, strict=True):
        gradients = [gradient_of(p, number).double().numpy() for number in range(7)]
        expected = plain(was, gradients)  # type: ignore[operator]
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=2e-4, atol=2e-6)


def test_the_first_step_of_adabelief_is_three_and_a_half_rates_long() -> None:
    # 0.1 g / sqrt(0.001 (0.9 g)^2): without its correction the first step is no small one.
    weight = nn.Parameter(torch.zeros(1))
    net = nn.ParameterList([weight])
    optimizer = build_optimizer(net, config("adabelief"), ALONE)
    weight.grad = torch.tensor([2.0])
    optimizer.step()
    assert float(weight.detach()) == pytest.approx(-RATE * 0.1 / (0.9 * 0.001**0.5), rel=1e-3)


def test_a_closure_is_refused_and_weights_without_a_gradient_stay() -> None:
    net = network()
    optimizer = build_optimizer(net, config("rmsprop"), ALONE)
    before = [p.detach().clone() for p in net.parameters()]
    optimizer.step()
    assert all(torch.equal(p, was) for p, was in zip(net.parameters(), before, strict=True))
    with pytest.raises(ValueError, match="takes no closure"):
        optimizer.step(lambda: 0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_slots_are_named_filled_and_found_again(kind: str) -> None:
    nets = [network(), network()]
    optimizers = [build_optimizer(net, config(kind), ALONE) for net in nets]
    assert slots(optimizers[0]) == slot_names(config(kind))
    take(nets[0], optimizers[0], 0)
    saved = gather_slots(nets[0], optimizers[0])
    assert saved.keys() == {
        f"{name}/{slot}" for name, _ in nets[0].named_parameters() for slot in slots(optimizers[0])
    }
    for name, slot in own_slots(nets[1], optimizers[1]).items():
        slot.copy_(saved[name])
    nets[1].load_state_dict(nets[0].state_dict())
    for net, optimizer in zip(nets, optimizers, strict=True):
        take(net, optimizer, 1)
    pairs = zip(nets[0].parameters(), nets[1].parameters(), strict=True)
    assert all(torch.equal(one, two) for one, two in pairs)


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_leaves_out_that_share_and_changes_nothing_else(kind: str) -> None:
    whole, some = (nn.Linear(100, 100) for _ in range(2))
    some.load_state_dict(whole.state_dict())
    before = whole.weight.detach().clone()
    for net, share in ((whole, 0.0), (some, 0.7)):
        take(net, build_optimizer(net, config(kind), ALONE), 0, share)
    left_out = some.weight == before
    assert float(left_out.float().mean()) == pytest.approx(0.7, abs=0.02)
    assert torch.equal(some.weight[~left_out], whole.weight[~left_out])
    assert not (whole.weight == before).any()


def test_what_is_left_out_depends_on_seed_iteration_turn_and_network_alone() -> None:
    def mask(seed: int = 0, iteration: int = 0, turn: int = 0, child: str = "encoder") -> Tensor:
        random = dropout_generator(seed, iteration, turn, child, torch.device("cpu"))
        return torch.empty(64, dtype=torch.bool).bernoulli_(0.5, generator=random)

    torch.rand(5)  # nobody else's random numbers play a part
    assert torch.equal(mask(), mask())
    for other in (mask(seed=1), mask(iteration=1), mask(turn=1), mask(child="inter")):
        assert not torch.equal(mask(), other)


Outcome = tuple[list[Weights], dict[str, Weights], float]


def with_each(ranks: Ranks) -> list[Outcome]:
    """Train with each divided optimiser; return weights, slots, how far the processes differ."""
    return [with_one(ranks, kind) for kind in KINDS]


def with_one(ranks: Ranks, kind: str) -> Outcome:
    net = network()
    optimizer = build_optimizer(net, config(kind, shard_optimizer=True), ranks)
    for number in range(3):
        take(net, optimizer, number, 0.5)
    flat = torch.cat([p.detach().flatten() for p in net.parameters()])
    apart = float((ranks.mean(flat.clone()) - flat).abs().max())
    kept = {name: slot.numpy().copy() for name, slot in gather_slots(net, optimizer).items()}
    return [p.detach().numpy().copy() for p in net.parameters()], kept, apart


def test_divided_among_processes_they_do_the_same() -> None:
    divided = in_ranks(with_each, accelerator="cpu", devices=2)
    for one, two in zip(with_each(ALONE), divided, strict=True):
        assert two[2] == 0.0
        for alone, together in zip(one[0], two[0], strict=True):
            np.testing.assert_array_equal(alone, together)
        assert one[1].keys() == two[1].keys()
        for name in one[1]:
            np.testing.assert_array_equal(one[1][name], two[1][name])


def test_frozen_networks_have_no_optimizer_and_no_gradient() -> None:
    frozen = config("adamw", model="liae", freeze="inter_B  encoder")
    model = build_model(frozen, CPU)
    optimizers = build_optimizers(model, frozen, ALONE)
    assert set(optimizers) == {"inter_AB", "decoder"}
    learning = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert learning == {"inter_AB", "decoder"}


@pytest.mark.parametrize(
    ("freeze", "said"),
    [
        ("encoder decoder_src", "no network decoder_src"),
        ("encoder inter_AB inter_B decoder", "none is left to learn"),
    ],
)
def test_freezing_what_is_not_there_or_all_is_refused(freeze: str, said: str) -> None:
    frozen = config("adamw", model="liae", freeze=freeze)
    with pytest.raises(ConfigError, match=said) as told:
        build_optimizers(build_model(frozen, CPU), frozen, ALONE)
    assert "--freeze with some of: encoder inter_AB inter_B decoder" in str(told.value)


def test_memory_of_an_optimizer_is_that_of_its_slots() -> None:
    def taken(**changes: object) -> int:
        return estimate_cost(config(**changes), CPU, batch_size=2).optimizer_bytes  # type: ignore[arg-type]

    adam = taken(optimizer="adamw")
    assert taken(optimizer="adabelief") == adam == 2 * taken(optimizer="rmsprop")
    assert 0 < taken(optimizer="adamw", freeze="encoder") < adam
