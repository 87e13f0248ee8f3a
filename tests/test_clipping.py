import numpy as np
import pytest
import torch
from torch import Tensor, nn

from faceswap_cli.training.clipping import HISTORY, clip_gradients, new_norms

CPU = torch.device("cpu")


def weights(seed: int = 0, scale: float = 1.0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    made = [nn.Parameter(torch.zeros(shape)) for shape in ((5, 7), (3,), (2, 2, 2))]
    for p in made:
        p.grad = scale * torch.randn(p.shape, generator=generator)
    return [*made, nn.Parameter(torch.zeros(4))]  # the last one took no part


def gradient(made: list[nn.Parameter]) -> Tensor:
    return torch.cat([p.grad.flatten() for p in made if p.grad is not None])


@pytest.mark.parametrize("limit", [0.0, 1e-3, 1.0, 100.0])
def test_a_fixed_length_clips_as_torch_does_to_the_bit(limit: float) -> None:
    ours, torchs = weights(), weights()
    clip_gradients(ours, limit, norms=new_norms(0.0, CPU), quantile=0.0, number=0)
    if limit > 0:
        torch.nn.utils.clip_grad_norm_(torchs, limit)
    assert torch.equal(gradient(ours), gradient(torchs))


def test_what_is_unusually_long_is_cut_to_the_quantile() -> None:
    norms, seen = new_norms(0.5, CPU), list[float]()
    for number, scale in enumerate([1.0, 3.0, 2.0, 0.5, 9.0]):
        made = weights(seed=number, scale=scale)
        seen.append(float(gradient(made).norm()))
        clip_gradients(made, 0.0, norms=norms, quantile=0.5, number=number)
        expected = min(seen[-1], float(np.quantile(seen, 0.5)))
        assert float(gradient(made).norm()) == pytest.approx(expected, rel=1e-4)
    assert norms[:5].tolist() == pytest.approx(seen)
    assert norms[5:].isnan().all()


def test_the_shorter_of_the_two_limits_counts() -> None:
    for limit, expected in ((1e-3, 1e-3), (100.0, 2.0)):
        norms = new_norms(0.5, CPU)
        norms[:9] = 2.0
        made = weights(scale=10.0)
        clip_gradients(made, limit, norms=norms, quantile=0.5, number=9)
        assert float(gradient(made).norm()) == pytest.approx(expected, rel=1e-4)


def test_only_the_last_thousand_count_and_nothing_that_is_not_finite() -> None:
    norms = new_norms(0.9, CPU)
    assert norms.shape == (HISTORY,)
    made = weights()
    clip_gradients(made, 0.0, norms=norms, quantile=0.9, number=HISTORY + 3)
    assert norms.isfinite().nonzero().flatten().tolist() == [3]
    made[0].grad = torch.full_like(made[0], torch.inf)
    clip_gradients(made, 0.0, norms=norms, quantile=0.9, number=4)
    assert norms.isfinite().nonzero().flatten().tolist() == [3]


def test_no_history_where_nobody_asks() -> None:
    assert new_norms(0.0, CPU).shape == (0,)
