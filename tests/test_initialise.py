import pytest
import torch
from torch import Tensor

from faceswap_cli.training.initialise import OUTPUT_SPREAD, fit_to_faces
from tests.test_models import toy


def pictures(seed: int, shift: float) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(8, 3, 8, 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (64, 64), mode="bicubic")
    return (0.5 * smooth + shift).clamp(0, 1)


SRC, DST = pictures(0, 0.0), pictures(1, 0.4)


@pytest.mark.parametrize("name", ["df", "liae"])
def test_every_layer_starts_centred_and_of_even_spread(name: str) -> None:
    model = toy(name, "ud")
    fit_to_faces(model, SRC, DST)
    code = torch.cat([model.encoder(SRC), model.encoder(DST)])
    inter = model.get_submodule("inter" if name == "df" else "inter_AB")
    narrow = inter.get_submodule("narrow")(code)
    torch.testing.assert_close(narrow.mean(0), torch.zeros(8), atol=1e-3, rtol=0)
    torch.testing.assert_close(narrow.std(0), torch.ones(8), atol=1e-3, rtol=0)
    with torch.no_grad():
        drawn, _ = model.redraw(SRC, DST)
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.05)
    assert 0.1 * OUTPUT_SPREAD < float(drawn.std()) < OUTPUT_SPREAD


@pytest.mark.parametrize(("name", "inter"), [("df", "inter"), ("liae", "inter_AB")])
def test_the_shared_bottleneck_starts_blind_to_the_side(name: str, inter: str) -> None:
    model = toy(name, "")
    fit_to_faces(model, SRC, DST)
    narrow = model.get_submodule(inter).get_submodule("narrow")
    with torch.no_grad():
        apart = narrow(model.encoder(SRC)).mean(0) - narrow(model.encoder(DST)).mean(0)
    assert float(apart.abs().max()) < 1e-2


def test_faces_that_are_all_alike_give_finite_weights() -> None:
    model = toy("df", "ud")
    flat = torch.full((2, 3, 64, 64), 0.5)
    fit_to_faces(model, flat, flat)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert all(float(p.detach().abs().max()) < 1e4 for p in model.parameters())


def test_what_differs_between_faces_reaches_the_picture() -> None:
    # With Glorot's weights all faces come out alike to one part in ten thousand.
    spread = {}
    for fitted in (False, True):
        model = toy("liae", "ud")
        if fitted:
            fit_to_faces(model, SRC, DST)
        with torch.no_grad():
            spread[fitted] = float(model.redraw(SRC, DST)[0].std(dim=0).mean())
    assert spread[True] > 10 * spread[False]


def test_networks_that_only_judge_stay_as_they_are() -> None:
    model = toy("df", "ud")
    judge = torch.nn.Conv2d(3, 1, kernel_size=1)
    model.add_module("judge", judge)
    model.critics = ("judge",)
    before = judge.weight.detach().clone()
    called = []
    model.get_submodule("encoder").register_forward_hook(lambda *_: called.append(judge(SRC)))
    fit_to_faces(model, SRC, DST)
    assert called and torch.equal(judge.weight, before)
