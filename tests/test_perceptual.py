"""The wiring of the perceptual term, with made weights: the real ones are a download."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from faceswap_cli.errors import ConfigError
from faceswap_cli.training.building import new_model
from faceswap_cli.training.objective import objective
from faceswap_cli.training.perceptual import MEAN, SPREAD, Perceptual
from tests.test_objective import faces, toy, turns

RELU_ENDS = (3, 8, 15, 22)
"""relu1_2, relu2_2, relu3_3 and relu4_3 among torchvision's layers of VGG-16."""


@pytest.fixture(scope="module")
def vgg() -> nn.Sequential:
    torch.manual_seed(0)
    layers: nn.Sequential = make_layers(cfgs["D"], batch_norm=False).eval()
    return layers


@pytest.fixture(scope="module")
def state(vgg: nn.Sequential) -> dict[str, Tensor]:
    return {f"features.{name}": tensor for name, tensor in vgg.state_dict().items()}


@pytest.fixture(scope="module")
def file(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save(state, path)
    return path


def test_features_are_torchvisions(vgg: nn.Sequential, state: dict[str, Tensor]) -> None:
    picture = faces(0).img
    mean, spread = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, SPREAD))
    x, expected = (picture - mean) / spread, []
    with torch.no_grad():
        for number, layer in enumerate(vgg):
            x = layer(x)
            if number in RELU_ENDS:
                expected.append(x / x.norm(dim=1, keepdim=True).clamp(min=1e-6))
        found = Perceptual(state).features(picture)
    assert [f.shape[1:] for f in found] == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


def test_it_is_a_distance_by_which_only_what_is_drawn_learns(state: dict[str, Tensor]) -> None:
    perceive, a, b = Perceptual(state), faces(0).img, faces(1).img.requires_grad_()
    torch.testing.assert_close(perceive(a, a), torch.zeros(4))
    torch.testing.assert_close(perceive(a, b), perceive(b, a))
    torch.testing.assert_close(perceive(a, b)[:1], perceive(a[:1], b[:1]))
    drawn = a.clone().requires_grad_()
    perceive(drawn, b).sum().backward()
    assert drawn.grad is not None
    assert float(drawn.grad.abs().max()) > 0
    assert b.grad is None


def test_the_term_is_learnt_and_the_network_is_no_part_of_the_model(file: Path) -> None:
    config = toy(model="df", perceptual=1.0, perceptual_weights=str(file))
    plain, model = new_model(config), new_model(config)
    model.set_objective(objective(config))
    ((who, terms),) = turns(model)
    assert {"src/perceptual", "dst/perceptual"} <= set(terms)
    terms["src/perceptual"].sum().backward()
    assert all(p.grad is not None for p in model.get_submodule("decoder_src.face").parameters())
    assert list(model.state_dict()) == list(plain.state_dict())
    assert [n for n, _ in model.named_parameters()] == [n for n, _ in plain.named_parameters()]
    assert who.split() == model.trained() == plain.trained()


def test_both_kinds_of_files_are_read(state: dict[str, Tensor], file: Path, tmp_path: Path) -> None:
    save_file(state, tmp_path / "vgg16.safetensors")
    a, b = faces(0).img, faces(1).img
    one, other = (Perceptual.open(str(p)) for p in (file, tmp_path / "vgg16.safetensors"))
    assert torch.equal(one(a, b), other(a, b))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file") as told:
        Perceptual.open(str(tmp_path / "none.pth"))
    assert f"perceptual_weights {tmp_path / 'none.pth'}" in str(told.value)
    assert "fix: give --perceptual-weights a file" in str(told.value)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all, and long enough to be read"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match="not the weights of VGG-16"):
        Perceptual.open(str(tmp_path / name))


def test_weights_of_another_network_are_refused(tmp_path: Path, state: dict[str, Tensor]) -> None:
    for wrong in ({"layer1.weight": torch.ones(1)}, state | {"features.0.weight": torch.ones(1)}):
        torch.save(wrong, tmp_path / "a.pth")
        with pytest.raises(ConfigError, match="not the weights of VGG-16"):
            Perceptual.open(str(tmp_path / "a.pth"))


def test_a_file_that_holds_code_is_not_run(tmp_path: Path) -> None:
    torch.save({"features.0.weight": Path}, tmp_path / "a.pth")
    with pytest.raises(ConfigError, match="not the weights of VGG-16"):
        Perceptual.open(str(tmp_path / "a.pth"))


def test_without_a_network_it_says_where_to_get_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY"):  # nobody listens there
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="cannot be fetched") as told:
        Perceptual.open("")
    assert "seen in: https://" in str(told.value)
    assert "fix: give --perceptual-weights a file" in str(told.value)
    assert told.value.exit_code == 2
