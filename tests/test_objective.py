"""Which terms a training has, and who learns by each."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from faceswap_cli.config import TrainConfig
from faceswap_cli.models import MODELS, Autoencoder, Faces, Terms
from faceswap_cli.models.critics import frozen
from faceswap_cli.models.objective import TERMS, Objective
from faceswap_cli.training.building import new_model
from faceswap_cli.training.losses import dssim, mse, redraw_terms
from faceswap_cli.training.objective import objective
from faceswap_cli.training.schedule import FIXED_WEIGHTS, weighted_loss
from faceswap_cli.training.style import cut_out, unlikeness

SIDE = 32
DRAWN = {f"{side}/{term}" for side in ("src", "dst") for term in ("dssim", "mse", "mask")}
DRAWN |= {"src/eyes_mouth", "dst/eyes_mouth"}
OF_THE_GAN = {"src/gan", "src/gan_around", "src/gan_noise", "gan_critic"}


def toy(**changes: Any) -> TrainConfig:
    small = {"resolution": SIDE, "ae_dims": 8, "e_dims": 4, "d_dims": 4, "d_mask_dims": 2}
    return TrainConfig.model_validate(small | {"gan_dims": 4} | changes)


def model_of(config: TrainConfig) -> Autoencoder:
    torch.manual_seed(config.seed)
    model = new_model(config)
    model.set_objective(objective(config))
    return model


def faces(seed: int, count: int = 4) -> Faces:
    generator = torch.Generator().manual_seed(seed)

    def noise(channels: int) -> Tensor:
        return torch.rand(count, channels, SIDE, SIDE, generator=generator)

    lms = torch.zeros(count, 68, 2)
    return Faces(img=noise(3), lms=lms, mask=noise(1), parts=noise(1), warped=noise(3))


def turns(model: Autoencoder) -> list[tuple[str, Terms]]:
    return list(model.losses(faces(0), faces(1)))


def names(**changes: Any) -> set[str]:
    return {name for _, terms in turns(model_of(toy(**changes))) for name in terms}


@pytest.mark.parametrize("kind", ["df", "liae"])
def test_the_default_terms_are_those_without_an_objective_to_the_bit(kind: str) -> None:
    config = toy(model=kind)
    torch.manual_seed(config.seed)
    plain, told = new_model(config), model_of(config)
    src, dst = faces(0), faces(1)
    expected: Terms = {}
    assert src.warped is not None
    assert dst.warped is not None
    codes = plain.encoder(torch.cat([src.warped, dst.warped])).chunk(2)
    drawn = plain._decode(*plain.training_maps(*codes))
    for name, side, (face, mask) in zip(("src", "dst"), (src, dst), drawn, strict=True):
        terms = redraw_terms(face, mask, side)
        expected |= {f"{name}/{term}": value for term, value in terms.items()}
    for model in (plain, told):
        ((who, found),) = turns(model)
        assert who.split() == model.trained()
        assert list(found) == list(expected)
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        assert torch.equal(weighted_loss(found, config), weighted_loss(expected, config))


def test_critics_come_after_what_draws() -> None:
    plain, judged = model_of(toy(model="df")), model_of(toy(model="df", gan=0.1, true_face=0.01))
    assert judged.critics == ("gan", "code_critic")
    assert judged.trained() == [*plain.trained(), "gan", "code_critic"]
    assert judged.turns == 3
    assert plain.turns == 1
    own = dict(judged.named_parameters())
    assert all(torch.equal(p, own[name]) for name, p in plain.named_parameters())
    whose = [who for who, _ in turns(judged)]
    assert whose == [" ".join(plain.trained()), "gan", "code_critic"]


def test_an_objective_can_be_changed() -> None:
    model = model_of(toy(gan=0.1))
    model.set_objective(objective(toy(gan=0.1, gan_dims=8)))
    assert model.get_parameter("gan.enter.weight").shape == (8, 3, 1, 1)
    model.set_objective(Objective())
    assert (model.critics, model.turns) == ((), 1)
    assert "gan" not in model.trained()


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({"ms_ssim": 1}, {"src/ms_ssim", "dst/ms_ssim"}),
        ({"face_style": 0.1}, {"swap/face_style"}),
        ({"background_style": 0.1}, {"swap/background_style"}),
        ({"identity": 0.1}, {"swap/identity"}),
        ({"gan": 0.1}, OF_THE_GAN),
        ({"true_face": 0.1, "model": "df"}, {"src/true_face", "code_critic"}),
    ],
)
def test_a_term_is_there_when_it_has_a_weight(changes: dict[str, Any], more: set[str]) -> None:
    assert names(**changes) == DRAWN | more


@pytest.mark.parametrize("term", ["dssim", "mse", "mask", "eyes_mouth"])
def test_a_term_without_a_weight_is_not_computed(term: str) -> None:
    assert names(**{term: 0}) == {name for name in DRAWN if not name.endswith(term)}


def test_every_term_has_a_weight() -> None:
    config = toy(model="df", **dict.fromkeys(set(TERMS) - {"perceptual"}, 0.5))
    loss = {who: weighted_loss(terms, config) for who, terms in turns(model_of(config))}
    assert all(torch.isfinite(value) for value in loss.values())
    assert not set(FIXED_WEIGHTS) & set(TrainConfig.model_fields)
    assert set(TERMS) <= set(TrainConfig.model_fields)
    terms = {"src/gan": torch.ones(2), "gan_critic": torch.ones(2), "src/dssim": torch.ones(2)}
    assert float(weighted_loss(terms, toy(gan=0.25, dssim=4.0))) == 5.25


LEARNERS = [
    ("src/ms_ssim", "df", {"encoder", "inter", "decoder_src"}),
    ("dst/ms_ssim", "liae", {"encoder", "inter_AB", "inter_B", "decoder"}),
    ("swap/face_style", "df", {"decoder_src"}),
    ("swap/face_style", "liae", {"decoder"}),
    ("swap/identity", "df", {"decoder_src"}),
    ("swap/background_style", "df", {"encoder", "inter", "decoder_src"}),
    ("src/true_face", "df", {"encoder", "inter"}),
    ("src/gan", "df", {"encoder", "inter", "decoder_src"}),
    ("src/gan_noise", "liae", {"encoder", "inter_AB", "decoder"}),
    ("src/gan_around", "df", {"encoder", "inter", "decoder_src"}),
    ("gan_critic", "df", {"gan"}),
    ("code_critic", "df", {"code_critic"}),
]


@pytest.mark.parametrize(("term", "kind", "expected"), LEARNERS)
def test_by_a_term_learns_who_should_and_nobody_else(
    term: str, kind: str, expected: set[str]
) -> None:
    on = dict.fromkeys(("ms_ssim", "identity", "face_style", "background_style", "gan"), 0.5)
    model = model_of(toy(model=kind, **on, true_face=0.5 if kind == "df" else 0.0))
    found = {name: (who, value) for who, terms in turns(model) for name, value in terms.items()}
    who, value = found[term]
    value.sum().backward()
    learnt = {
        name
        for name, child in model.named_children()
        if any(p.grad is not None and float(p.grad.abs().max()) > 0 for p in child.parameters())
    }
    assert learnt == expected
    assert learnt <= set(who.split())
    assert all(p.requires_grad for p in model.parameters())


def test_a_swap_teaches_no_mask() -> None:
    config = toy(model="df", background_style=1.0, face_style=1.0, identity=1.0, gan=1.0)
    model = model_of(config)
    (_, terms), *_ = turns(model)
    apart = {name: v for name, v in terms.items() if name.startswith("swap") or "gan" in name}
    weighted_loss(apart, config).backward()
    outline = model.get_submodule("decoder_src.mask")
    assert all(p.grad is None or float(p.grad.abs().max()) == 0.0 for p in outline.parameters())


def test_without_mixing_liae_draws_dst_with_its_own_code() -> None:
    codes = torch.rand(4, 8 * 4 * 4, generator=torch.Generator().manual_seed(0))
    mixed, own = (model_of(toy(model="liae", mix_codes=m)) for m in (True, False))
    assert torch.equal(own.training_maps(codes, codes)[1], own.maps(codes, codes)[1])
    assert not torch.equal(mixed.training_maps(codes, codes)[1], mixed.maps(codes, codes)[1])


def test_blurring_out_changes_what_is_learnt_around_the_face_alone() -> None:
    src, mask = faces(0), torch.zeros(4, 1, SIDE, SIDE)
    mask[..., 8:24, 8:24] = 1.0
    src = replace(src, mask=mask)
    model = model_of(toy(blur_out_mask=True))
    true = model.redrawn(src, faces(1))[0].true.img
    torch.testing.assert_close(true * mask, src.img * mask)
    assert float((true - src.img).abs().max()) > 1e-3  # sigma is a quarter of a pixel here
    assert model_of(toy()).redrawn(src, faces(1))[0].true is src


def cut_faces(seed: int, low: float, high: float) -> Tensor:
    return cut_out(low + (high - low) * faces(seed, 8).img, torch.ones(8, 1, SIDE, SIDE))


def test_identity_falls_as_a_swap_comes_to_look_like_src() -> None:
    # src is bright, dst is dark; the encoder is as it was made.
    model, src, dst = model_of(toy(model="df")), cut_faces(0, 0.6, 1.0), cut_faces(1, 0.0, 0.3)
    with torch.no_grad():
        known = [model.features(x) for x in (src, dst)]
        swaps = (dst, 0.5 * (src + dst), cut_faces(2, 0.6, 1.0))
        far = [float(unlikeness(model.features(x), *known)[0]) for x in swaps]
    assert far[0] > 2 * far[1] > 10 * far[2]
    assert far[0] == pytest.approx(1.0, abs=0.1)


def test_a_swap_can_follow_the_gradient_of_identity() -> None:
    model, src, dst = model_of(toy(model="df")), cut_faces(0, 0.6, 1.0), cut_faces(1, 0.0, 0.3)
    with torch.no_grad():
        known = [model.features(x) for x in (src, dst)]
    swap = dst.clone().requires_grad_()
    optimizer, far = torch.optim.Adam([swap], lr=0.02), list[float]()
    for _ in range(30):
        with frozen(model.encoder):
            loss = unlikeness(model.features(swap), *known).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        far.append(loss.item())
    assert far[-1] < 0.1 * far[0]


@pytest.mark.parametrize("kind", ["liae", "amp", "original"])
def test_true_face_is_refused_where_no_code_can_be_judged(kind: str) -> None:
    with pytest.raises(ValidationError, match=r"true_face=0\.01: model .* df or quick96"):
        TrainConfig.model_validate({"model": kind, "true_face": 0.01})


def test_surroundings_of_a_face_without_a_mask_are_refused() -> None:
    with pytest.raises(ValidationError, match="original draws no mask"):
        TrainConfig.model_validate({"model": "original", "background_style": 2.0})


def test_a_training_that_learns_no_picture_is_refused() -> None:
    with pytest.raises(ValidationError, match="nothing teaches what a face looks like"):
        TrainConfig.model_validate({"dssim": 0.0, "mse": 0.0})


@pytest.mark.parametrize("kind", MODELS)
def test_the_settings_know_what_a_model_has(kind: str) -> None:
    def allowed(**changes: float) -> bool:
        try:
            TrainConfig.model_validate({"model": kind} | changes)
        except ValidationError:
            return False
        return True

    settings = TrainConfig.model_validate({"model": kind})
    with torch.device("meta"):
        model = new_model(settings)
    assert allowed(true_face=0.1) is (model.judged_code is not None)
    assert allowed(background_style=0.1) is model.draws_mask


def test_an_objective_of_unknown_terms_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="unknown"):
        Objective(terms=frozenset({"beauty"}))
    with pytest.raises(ValueError, match="perceptual"):
        Objective(terms=frozenset({"perceptual"}))


def test_a_patch_is_an_eighth_unless_it_is_set() -> None:
    assert objective(toy(resolution=64)).gan_patch == 8
    assert objective(toy(gan_patch=24)).gan_patch == 24
    assert set(objective(toy(ms_ssim=1)).comparisons) == {"dssim", "ms_ssim", "mse"}
    assert Objective().comparisons == {"dssim": dssim, "mse": mse}


def test_losses_are_float32_under_autocast() -> None:
    on = dict.fromkeys(("ms_ssim", "identity", "face_style", "background_style", "gan"), 0.5)
    config = toy(model="df", **on, true_face=0.5)
    model = model_of(config)
    with torch.autocast("cpu", torch.bfloat16):
        for _, terms in model.losses(faces(0), faces(1)):
            assert {name: v.dtype for name, v in terms.items()} == dict.fromkeys(
                terms, torch.float32
            )
            assert all(bool(torch.isfinite(v).all()) for v in terms.values())
            weighted_loss(terms, config).backward()
