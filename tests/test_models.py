from inspect import signature
from typing import get_args

import pytest
import torch

from faceswap_cli.config import FaceTypeName, TrainConfig
from faceswap_cli.config_train import FIXED
from faceswap_cli.models import MODELS, Autoencoder, Faces
from faceswap_cli.training.building import new_model
from faceswap_cli.training.schedule import weighted_loss

# resolution, options -> parameters at ae 256, e 64, d 64, mask 22: counted from DeepFaceLab's
# layout (published totals, thousands where only those are known).
COUNTS = [
    ("df", 128, "", 57_538_432),
    ("df", 128, "ud", 54_470_998),
    ("liae", 128, "", 94_963_328),
    ("liae", 128, "ud", 82_376_555),
    ("df", 256, "", 95_336_320),
    ("df", 256, "ud", 82_794_838),
    ("liae", 256, "", 195_823_232),
    ("liae", 256, "ud", 145_340_267),
]
# The same in millions, of models whose settings are not all free, too; published are 38.3,
# 101.3, 111.2 for those that DeepFaceLab has, 82.06 for faceswap's.
MILLIONS = [
    ("liae", {"resolution": 128, "options": "udt"}, 77.54),
    ("liae", {"resolution": 256, "options": "udt"}, 102.75),
    ("liae", {"resolution": 512, "options": "ud"}, 397.20),
    ("quick96", {}, 38.29),
    ("amp", {"resolution": 224}, 101.35),
    ("amp", {"resolution": 256}, 111.21),
    ("original", {}, 82.06),
]
TOY = {"ae_dims": 8, "e_dims": 4, "d_dims": 4, "d_mask_dims": 2}
OF_AMP = {"inter_dims": 12, "morph": 0.5}
OF_ANY_OPTIONS = ("df", "liae")


def toy(name: str, options: str, resolution: int = 64) -> Autoencoder:
    """Return a small model, of the settings that its constructor names."""
    torch.manual_seed(0)
    settings = TOY | OF_AMP | {"resolution": resolution, "options": options}
    wanted = signature(MODELS[name]).parameters
    return MODELS[name](**{key: value for key, value in settings.items() if key in wanted})


def toy_faces(batch: int = 2, side: int = 64) -> Faces:
    rows = torch.linspace(0, 1, side).view(1, 1, side, 1).expand(batch, 3, side, side)
    return Faces(
        img=rows.clone(), lms=torch.zeros(batch, 68, 2), mask=torch.ones(batch, 1, side, side)
    )


def without_memory(name: str, **settings: object) -> Autoencoder:
    """Return the model of these settings and the defaults; its weights have a shape alone."""
    with torch.device("meta"):
        return new_model(TrainConfig.model_validate({"model": name, **settings}))


def parameters(name: str, **settings: object) -> int:
    return sum(p.numel() for p in without_memory(name, **settings).parameters())


@pytest.mark.parametrize(("name", "resolution", "options", "count"), COUNTS)
def test_parameter_counts_are_deepfacelabs(
    name: str, resolution: int, options: str, count: int
) -> None:
    assert parameters(name, resolution=resolution, options=options) == count


@pytest.mark.parametrize(("name", "settings", "millions"), MILLIONS)
def test_parameter_counts_of_the_others(
    name: str, settings: dict[str, object], millions: float
) -> None:
    assert round(parameters(name, **settings) / 1e6, 2) == millions


@pytest.mark.parametrize("face_type", get_args(FaceTypeName))
@pytest.mark.parametrize("resolution", [64, 640])
@pytest.mark.parametrize("name", ["df", "liae", "amp"])
def test_every_face_type_is_drawn_at_every_size(
    name: str, resolution: int, face_type: FaceTypeName
) -> None:
    model = without_memory(name, resolution=resolution, face_type=face_type)
    face, mask = model.swap(torch.empty(1, 3, resolution, resolution, device="meta"))
    assert model.size == resolution
    assert face.shape == (1, 3, resolution, resolution)
    assert mask.shape == (1, 1, resolution, resolution)


@pytest.mark.parametrize(("name", "key"), [(n, key) for n, keys in FIXED.items() for key in keys])
def test_a_model_of_one_size_says_so(name: str, key: str) -> None:
    other = {"options": "t", "face_type": "head"}.get(key, 32)
    with pytest.raises(ValueError, match=f"{key}=.*: model {name} always has"):
        TrainConfig.model_validate({"model": name, key: other})


@pytest.mark.parametrize("name", OF_ANY_OPTIONS)
@pytest.mark.parametrize("options", ["", "u", "d", "ud", "t", "udt", "c", "udtc"])
def test_draws_a_face_and_a_mask_of_its_size(name: str, options: str) -> None:
    model, faces = toy(name, options), toy_faces()
    with torch.inference_mode():
        face, outlines = model.bind(None, faces)(faces, faces)
        _, mask = model.swap(faces.img)
    assert face.shape == (2, 3, 64, 64)
    assert outlines is not None
    assert outlines.shape == (2, 2, 64, 64)  # of the new face and of the old one
    torch.testing.assert_close(mask, torch.minimum(outlines[:, :1], outlines[:, 1:]))
    assert 0.0 <= float(face.min()) <= float(face.max()) <= 1.0


@pytest.mark.parametrize("name", MODELS)
def test_every_weight_learns(name: str) -> None:
    model = toy(name, "ud")
    for names, terms in model.losses(toy_faces(), toy_faces()):
        assert set(names.split()) == set(model.trained())
        assert all(value.shape == (2,) for value in terms.values())
        weighted_loss(terms, TrainConfig()).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_dst_face_teaches_the_src_decoder_nothing() -> None:
    model = toy("df", "")
    for _, terms in model.losses(toy_faces(), toy_faces()):
        terms["dst/mse"].sum().backward()
    assert all(p.grad is None for p in model.get_submodule("decoder_src").parameters())
    assert any(p.grad is not None for p in model.get_submodule("encoder").parameters())


@pytest.mark.parametrize("name", MODELS)
def test_one_face_is_drawn_as_in_a_batch(name: str) -> None:
    model = toy(name, "ud").eval()
    batch = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together, alone = model.swap(batch)[0][1:2], model.swap(batch[1:2])[0]
    torch.testing.assert_close(together, alone)


def test_the_normalised_code_forgets_contrast() -> None:
    encoder = toy("df", "u").encoder
    code = encoder(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(code.square().mean(dim=1), torch.ones(2), atol=1e-3, rtol=0)


def test_adopting_a_checkpoint_names_what_does_not_fit() -> None:
    with pytest.raises(RuntimeError, match=r"decoder_dst\.face"):
        toy("df", "").adopt(dict(toy("liae", "").state_dict()))


def test_liae_teaches_the_expression_through_the_code_that_a_swap_asks() -> None:
    # Each dst face is drawn with the B of another one: B can only tell who it is.
    model = toy("liae", "ud")
    codes = torch.rand(3, 8 * 4 * 16, generator=torch.Generator().manual_seed(0))
    taught, plain = (maps(codes, codes)[1] for maps in (model.training_maps, model.maps))
    other_B, dst_AB = taught.chunk(2, dim=1)
    B, AB = plain.chunk(2, dim=1)
    torch.testing.assert_close(dst_AB, AB)
    torch.testing.assert_close(other_B[1], B[0])
    assert not torch.allclose(B[0], B[1])
    torch.testing.assert_close(model.swap_map(codes).chunk(2, dim=1)[1], AB)
