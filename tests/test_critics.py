"""The networks that judge, what they are told, and that they learn it."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceswap_cli.config import TrainConfig
from faceswap_cli.models.critics import (
    CodeCritic,
    PatchCritic,
    frozen,
    receptive_field,
    strides_for_patch,
)
from faceswap_cli.ranks import ALONE, Ranks, in_ranks
from faceswap_cli.training.adversarial import fooling, judging, total_variation
from faceswap_cli.training.checkpoint import TrainState
from faceswap_cli.training.objective import objective
from faceswap_cli.training.step import Stepper
from tests.test_step import CPU, faces, toy


def noise(seed: int, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


# patch -> strides where they are published, receptive field, millions of parameters at width
# 16: of DeepFaceLab's critic, counted from its layout.
STACKS = [
    (16, (2, 2, 2), 15, 0.23),
    (28, (2, 1, 2, 1, 2), 27, 3.80),
    (32, (2, 2, 2, 2), 31, 0.95),
    (40, None, 39, 3.80),
    (64, None, 63, 3.80),
    (80, None, 79, 9.70),
]


@pytest.mark.parametrize(("patch", "strides", "field", "millions"), STACKS)
def test_the_picture_critic_is_deepfacelabs(
    patch: int, strides: tuple[int, ...] | None, field: int, millions: float
) -> None:
    found = strides_for_patch(patch)
    assert strides in (None, found)
    assert receptive_field(found) == field
    with torch.device("meta"):
        critic = PatchCritic(patch, 16)
    assert round(sum(p.numel() for p in critic.parameters()) / 1e6, 2) == millions


def test_a_logit_sees_its_patch_and_no_more() -> None:
    critic = PatchCritic(16, 4)
    picture = noise(0, 1, 3, 64, 64).requires_grad_()
    centre, _ = critic(picture)
    centre[0, 0, 4, 4].backward()
    assert picture.grad is not None
    seen = picture.grad[0].abs().sum(dim=0)
    rows, columns = (seen.sum(dim=dim).nonzero() for dim in (1, 0))
    assert [int(x.max() - x.min()) + 1 for x in (rows, columns)] == [15, 15]


@pytest.mark.parametrize("side", [32, 48, 50])
@pytest.mark.parametrize("patch", [4, 16, 28])
def test_one_map_of_patches_and_one_of_pixels(side: int, patch: int) -> None:
    centre, pixels = PatchCritic(patch, 4)(noise(0, 2, 3, side, side))
    assert centre.shape[:2] == (2, 1)
    assert centre.shape[-1] < side
    assert pixels.shape == (2, 1, side, side)


@pytest.mark.parametrize(("side", "layers"), [(4, 1), (8, 2), (16, 3)])
def test_the_code_critic_grows_with_the_code(side: int, layers: int) -> None:
    critic = CodeCritic(8, side)
    convs = [m for m in critic.modules() if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convs] == [256 << level for level in range(layers)] + [1]
    assert [c.kernel_size[0] for c in convs] == [*[4, 3, 3][:layers], 1]
    (logits,) = critic(noise(0, 2, 8, side, side))
    assert logits.shape == (2, 1, side >> layers, side >> layers)


def test_gradients_pass_a_frozen_network_and_leave_nothing() -> None:
    network, given = nn.Linear(3, 1), noise(0, 2, 3).requires_grad_()
    network.bias.requires_grad_(False)
    with frozen(network):
        out = network(given).sum()
    out.backward()
    assert given.grad is not None
    assert network.weight.grad is None
    assert [p.requires_grad for p in network.parameters()] == [True, False]


def test_fooling_and_judging_are_cross_entropies_with_logits() -> None:
    maps = [10 * noise(seed, 4, 1, side, side) - 5 for seed, side in ((0, 3), (1, 8))]

    def entropy(logits: Tensor, answer: float) -> Tensor:
        wanted = torch.full_like(logits, answer)
        apart = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        return apart.flatten(1).mean(dim=1)

    torch.testing.assert_close(fooling(maps), sum(entropy(m, 1.0) for m in maps))
    expected = sum(0.5 * (entropy(m[:2], 0.0) + entropy(m[2:], 1.0)) for m in maps)
    torch.testing.assert_close(judging(maps), expected)


def test_certainty_costs_what_it_should_even_in_bf16() -> None:
    sure = [torch.full((2, 1, 4, 4), -200.0, dtype=torch.bfloat16)]
    assert fooling(sure).dtype == torch.float32
    torch.testing.assert_close(fooling(sure), torch.full((2,), 200.0))


def test_total_variation_goes_along_rows_and_columns_and_not_across_colours() -> None:
    colours = torch.tensor([0.1, 0.5, 0.9]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert float(total_variation(colours)) == 0.0
    picture = noise(0, 1, 3, 4, 5)
    x = picture[0].double().numpy()
    expected = (x[:, 1:] - x[:, :-1]) ** 2
    across = (x[:, :, 1:] - x[:, :, :-1]) ** 2
    assert float(total_variation(picture)) == pytest.approx(expected.sum() + across.sum())


CRITICS = {"model": "df", "gan": 0.1, "true_face": 0.01, "gan_dims": 4, "gan_patch": 8}


def stepper(config: TrainConfig, ranks: Ranks = ALONE) -> Stepper:
    state = TrainState.new(config, CPU, ranks)
    if not state.model.critics:
        state.model.set_objective(objective(config))
    return Stepper(state, config, CPU, ranks)


def test_critics_learn_while_the_others_draw() -> None:
    made, src, dst = stepper(toy(**CRITICS, learning_rate=2e-3)), faces(0, 4), faces(1, 4)
    before = {name: p.detach().clone() for name, p in made.state.model.named_parameters()}
    logs = [made(src, dst) for _ in range(30)]
    # Who draws learns as well, and may catch up again.
    assert min(float(log["gan_critic"]) for log in logs) < 0.95 * float(logs[0]["gan_critic"])
    assert float(logs[-1]["src/dssim"]) < float(logs[0]["src/dssim"])
    after = dict(made.state.model.named_parameters())
    assert not any(torch.equal(before[name], after[name]) for name in before)


def test_a_critic_of_codes_learns_to_tell_two_people_apart() -> None:
    torch.manual_seed(0)
    critic = CodeCritic(8, 8)
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-4)
    losses = []
    for number in range(30):
        false, true = noise(number, 4, 8, 8, 8), noise(100 + number, 4, 8, 8, 8)
        loss = judging(critic(torch.cat([false + 1.0, true]))).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.75 * losses[0]


def test_with_critics_a_batch_in_parts_is_the_batch() -> None:
    whole, parts = stepper(toy(**CRITICS)), stepper(toy(**CRITICS, micro_batch=2))
    for number in range(2):
        logs = [made(faces(number), faces(10 + number)) for made in (whole, parts)]
    assert logs[0].keys() == logs[1].keys()
    for name in logs[0]:
        torch.testing.assert_close(logs[0][name], logs[1][name], atol=1e-4, rtol=1e-3)


def take_a_share(ranks: Ranks) -> list[dict[str, float]]:
    """Take steps with this process's share of each batch; what all lose, on average."""
    made = stepper(toy(**CRITICS, identity=1.0, learning_rate=1e-4), ranks)
    share = ranks.share(8, what="--batch-size")
    logs = []
    for number in range(2):
        log = made(faces(number).part(share), faces(10 + number).part(share))
        # What depends on the whole batch is not the mean of that of its parts.
        logs.append({k: float(ranks.mean(v)) for k, v in log.items() if k != "swap/identity"})
    return logs


def test_two_processes_with_critics_lose_what_one_loses() -> None:
    together = in_ranks(take_a_share, accelerator="cpu", devices=2)
    for alone, both in zip(take_a_share(ALONE), together, strict=True):
        assert alone == pytest.approx(both, abs=2e-3)
