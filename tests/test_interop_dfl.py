import json
import logging
import pickle
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from numpy.typing import NDArray
from torch import Tensor

from faceswap_cli.cli import cli
from faceswap_cli.config_train import FIXED
from faceswap_cli.device import Device
from faceswap_cli.errors import ConfigError, WorkspaceError
from faceswap_cli.interop.dfl_model import CHILDREN
from faceswap_cli.interop.dfl_weights import layers, to_theirs
from faceswap_cli.models import MODELS, Autoencoder
from faceswap_cli.stages.import_model import run_import_model
from faceswap_cli.training.checkpoint import TrainState, load_newest, open_trained
from faceswap_cli.workspace import StageReport, Workspace

CPU = Device("cpu", "fp32")
DIMS = {"ae_dims": 8, "e_dims": 4, "d_dims": 6, "d_mask_dims": 4}
SIDE = 64
KINDS = [
    (model, options) for model in ("df", "liae") for options in ("", "u", "ud", "udt", "c", "udtc")
]
Folder = dict[str, dict[str, NDArray[Any]]]


def toy(model: str, options: str) -> Autoencoder:
    """A model whose biases are not zero: all that is to be carried over can be told apart."""
    torch.manual_seed(0)
    made = MODELS[model](resolution=SIDE, options=options, **DIMS)
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return made


def children(model: Autoencoder, options: str) -> Folder:
    weights = {name: p.detach().numpy() for name, p in model.named_parameters()}
    kind = "liae" if "inter_AB" in dict(model.named_children()) else "df"
    return {child: to_theirs(child, weights, options) for child in CHILDREN[kind]}


def write_folder(
    folder: Path, networks: Folder, *, stem: str = "anna_SAEHD", about: dict[str, Any] | None = None
) -> None:
    """Write what DeepFaceLab would."""
    folder.mkdir(exist_ok=True)
    for child, arrays in networks.items():
        (folder / f"{stem}_{child}.npy").write_bytes(pickle.dumps(arrays, 4))
    if about is not None:
        (folder / f"{stem}_data.dat").write_bytes(pickle.dumps(about, 4))


def about_of(model: str, options: str) -> dict[str, Any]:
    archi = f"{model}-{options}" if options else model
    return {
        "iter": 1234,
        "options": {"archi": archi, "face_type": "wf", "resolution": SIDE, "batch_size": 4},
        "loss_history": [[0.5, 0.25]] * 3,
        "sample_for_preview": [np.zeros((1, 3, 4, 4), np.float32)],
    }


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "ws"
    for side in ("src", "dst"):
        (root / f"data_{side}").mkdir(parents=True)
    return Workspace.open(root)


def imported(workspace: Workspace) -> Autoencoder:
    return open_trained(workspace.model, CPU).model


@pytest.mark.parametrize(("model", "options"), KINDS)
def test_weights_come_back_to_the_bit(
    tmp_path: Path, workspace: Workspace, model: str, options: str
) -> None:
    ours = toy(model, options)
    write_folder(tmp_path / "dfl", children(ours, options), about=about_of(model, options))
    report = run_import_model(workspace, tmp_path / "dfl")
    found = dict(imported(workspace).named_parameters())
    own = dict(ours.named_parameters())
    assert found.keys() == own.keys()
    assert all(torch.equal(found[name], own[name]) for name in own)
    expected = {"model": model, "options": options, "face_type": "whole_face", "resolution": SIDE}
    assert report.facts["shape"] == expected | DIMS
    assert report.facts["dfl_iterations"] == 1234


@pytest.mark.parametrize(("model", "options"), KINDS)
def test_every_weight_has_one_place(model: str, options: str) -> None:
    ours = toy(model, options)
    names = {f"{c}.{layer.ours}" for c, _ in ours.named_children() for layer in layers(c, options)}
    assert names == {name.rsplit(".", 1)[0] for name, _ in ours.named_parameters()}


def test_training_goes_on_from_what_was_imported(tmp_path: Path, workspace: Workspace) -> None:
    write_folder(tmp_path / "dfl", children(toy("df", "ud"), "ud"), about=about_of("df", "ud"))
    run_import_model(workspace, tmp_path / "dfl")
    from faceswap_cli.settings import load_config

    config = load_config(workspace.config).train
    state = TrainState.new(config, CPU)
    assert not load_newest(workspace.model, state, config)  # nothing is left out
    assert state.iteration == 1
    assert torch.equal(
        state.average["encoder.down.0.0.bias"], state.model.get_parameter("encoder.down.0.0.bias")
    )


def test_settings_that_are_there_are_kept(tmp_path: Path, workspace: Workspace) -> None:
    workspace.config.write_text("[merge]\nerode = 3\n")
    write_folder(tmp_path / "dfl", children(toy("df", "ud"), "ud"), about=about_of("df", "ud"))
    report = run_import_model(workspace, tmp_path / "dfl")
    assert workspace.config.read_text() == "[merge]\nerode = 3\n"
    assert 'options = "ud", face_type = "whole_face"' in report.facts["settings"]
    assert json.dumps(report.as_json())


# The same networks as TensorFlow would compute them: NHWC, kernels HWIO, BGR. Written from the
# layout alone, and of none of the code it is to check.


class Theirs:
    """DeepFaceLab's forward pass over its own arrays, float64."""

    def __init__(self, networks: Folder, options: str) -> None:
        self.networks, self.options = networks, options

    def conv(self, child: str, name: str, x: Tensor, *, stride: int = 1) -> Tensor:
        arrays = self.networks[child]
        kernel = torch.from_numpy(arrays[f"{name}/weight:0"]).double()
        bias = torch.from_numpy(arrays[f"{name}/bias:0"]).double()
        side = kernel.shape[0]
        x = F.pad(x, (0, 0, *(side // 2,) * 4))
        patches = x.unfold(1, side, stride).unfold(2, side, stride)  # B H W I h w
        return torch.einsum("bxyihw,hwio->bxyo", patches, kernel) + bias

    def dense(self, child: str, name: str, x: Tensor) -> Tensor:
        arrays = self.networks[child]
        weight, bias = (torch.from_numpy(arrays[f"{name}/{k}:0"]).double() for k in WEIGHT_BIAS)
        return x @ weight + bias

    def act(self, x: Tensor, slope: float = 0.1) -> Tensor:
        return x * x.cos() if "c" in self.options else torch.where(x > 0, x, slope * x)

    def residual(self, child: str, name: str, x: Tensor) -> Tensor:
        inside = self.act(self.conv(child, f"{name}/conv1", x), 0.2)
        return self.act(x + self.conv(child, f"{name}/conv2", inside), 0.2)

    def up(self, child: str, name: str, x: Tensor) -> Tensor:
        return depth_to_space(self.act(self.conv(child, f"{name}/conv1", x)))

    def encode(self, x: Tensor) -> Tensor:
        def down(name: str, x: Tensor) -> Tensor:
            return self.act(self.conv("encoder", f"{name}/conv1", x, stride=2))

        if "t" in self.options:
            x = self.residual("encoder", "res1", down("down1", x))
            for i in (2, 3, 4, 5):
                x = down(f"down{i}", x)
            x = self.residual("encoder", "res5", x)
        else:
            for i in range(4):
                x = down(f"down1/downs_{i}", x)
        code = x.permute(0, 3, 1, 2).reshape(len(x), -1)
        if "u" in self.options:
            code = code / (code.square().mean(dim=1, keepdim=True) + 1e-6).sqrt()
        return code

    def inter(self, child: str, code: Tensor) -> Tensor:
        side = SIDE // (32 if "d" in self.options else 16)
        drawn = self.dense(child, "dense2", self.dense(child, "dense1", code))
        x = drawn.reshape(len(code), -1, side, side).permute(0, 2, 3, 1)
        return x if "t" in self.options else self.up(child, "upscale1", x)

    def decode(self, child: str, start: Tensor) -> tuple[Tensor, Tensor]:
        doublings = 4 if "t" in self.options else 3
        x = mask = start
        for i in range(doublings):
            x = self.residual(child, f"res{i}", self.up(child, f"upscale{i}", x))
        names = ["out_conv", "out_conv1", "out_conv2", "out_conv3"]
        heads = [self.conv(child, name, x) for name in names[: 4 if "d" in self.options else 1]]
        face = depth_to_space(torch.cat(heads, dim=-1)) if len(heads) > 1 else heads[0]
        for i in range(doublings + ("d" in self.options)):
            mask = self.up(child, f"upscalem{i}", mask)
        return face.sigmoid(), self.conv(child, "out_convm", mask).sigmoid()

    def swap(self, dst: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encode(dst)
        if "inter_AB" in self.networks:
            both, own = self.inter("inter_AB", code), self.inter("inter_B", code)
            face, mask = self.decode("decoder", torch.cat([both, both], dim=-1))
            other = self.decode("decoder", torch.cat([own, both], dim=-1))[1]
        else:
            start = self.inter("inter", code)
            face, mask = self.decode("decoder_src", start)
            other = self.decode("decoder_dst", start)[1]
        return face, torch.minimum(mask, other)


WEIGHT_BIAS = ("weight", "bias")


def depth_to_space(x_BHWC: Tensor) -> Tensor:
    """TensorFlow's, of blocks of 2: channel (dy * 2 + dx) * C + c goes to pixel (dy, dx)."""
    B, H, W, C4 = x_BHWC.shape
    apart = x_BHWC.reshape(B, H, W, 2, 2, C4 // 4)
    return apart.permute(0, 1, 3, 2, 4, 5).reshape(B, 2 * H, 2 * W, C4 // 4)


@pytest.mark.parametrize(("model", "options"), KINDS)
def test_it_draws_what_deepfacelab_would(
    tmp_path: Path, workspace: Workspace, model: str, options: str
) -> None:
    random = np.random.default_rng(0)
    shapes = children(toy(model, options), options)
    networks: Folder = {
        child: {
            name: random.normal(0, 1 / np.sqrt(max(array[..., 0].size, 10)), array.shape).astype(
                "f4"
            )
            for name, array in arrays.items()
        }
        for child, arrays in shapes.items()
    }
    write_folder(tmp_path / "dfl", networks, about=about_of(model, options))
    run_import_model(workspace, tmp_path / "dfl")
    rgb_BCHW = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        face, mask = imported(workspace).swap(rgb_BCHW)
        bgr_BHWC = rgb_BCHW.flip(1).permute(0, 2, 3, 1).double()
        their_face, their_mask = Theirs(networks, options).swap(bgr_BHWC)
    assert their_face.std() > 0.01
    torch.testing.assert_close(
        face.double(), their_face.permute(0, 3, 1, 2).flip(1), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(mask.double(), their_mask.permute(0, 3, 1, 2), atol=1e-4, rtol=0)


def run(
    tmp_path: Path,
    workspace: Workspace,
    networks: Folder | None = None,
    about: dict[str, Any] | None = None,
    **how: Any,
) -> StageReport:
    write_folder(tmp_path / "dfl", networks or children(toy("df", "ud"), "ud"), about=about)
    return run_import_model(workspace, tmp_path / "dfl", **how)


def test_names_of_ports_to_torch_are_known(tmp_path: Path, workspace: Workspace) -> None:
    ours = toy("df", "")
    networks = children(ours, "")
    networks["encoder"] = {
        name.replace("downs_", "downs/").removesuffix(":0"): array
        for name, array in networks["encoder"].items()
    }
    run(tmp_path, workspace, networks, about_of("df", ""))
    found = imported(workspace).get_parameter("encoder.down.3.0.weight")
    assert torch.equal(found, ours.get_parameter("encoder.down.3.0.weight"))


def test_old_biases_of_four_dimensions_are_known(tmp_path: Path, workspace: Workspace) -> None:
    ours = toy("df", "ud")
    networks = children(ours, "ud")
    bias = networks["decoder_src"]["upscale0/conv1/bias:0"]
    networks["decoder_src"]["upscale0/conv1/bias:0"] = bias.reshape(1, 1, 1, -1)
    run(tmp_path, workspace, networks, about_of("df", "ud"))
    found = imported(workspace).get_parameter("decoder_src.face.0.0.bias")
    assert torch.equal(found, ours.get_parameter("decoder_src.face.0.0.bias"))


def test_quick96_needs_no_options(tmp_path: Path, workspace: Workspace) -> None:
    ours = toy("df", "ud")
    write_folder(tmp_path / "dfl", children(ours, "ud"), stem="anna_Quick96")
    report = run_import_model(workspace, tmp_path / "dfl")
    # Of other widths than Quick96 has: the same network, under its other name.
    assert {"model": "df", "options": "ud"}.items() <= report.facts["shape"].items()
    assert report.facts["shape"]["face_type"] == "full"
    assert torch.equal(next(imported(workspace).parameters()), next(ours.parameters()))


def test_quick96_is_known_by_its_widths(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FIXED, "quick96", {"resolution": SIDE, "options": "ud"} | DIMS)
    write_folder(tmp_path / "dfl", children(toy("df", "ud"), "ud"), stem="anna_Quick96")
    assert run_import_model(workspace, tmp_path / "dfl").facts["shape"]["model"] == "quick96"
    assert tomllib.loads(workspace.config.read_text())["train"]["model"] == "quick96"


def test_without_data_dat_the_options_have_to_be_told(
    tmp_path: Path, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError, match=r"fix: --options .* such as --options ud, or"):
        run(tmp_path, workspace)
    assert "anna_SAEHD_data.dat is left out: cannot be read: No such file" in caplog.text
    with pytest.raises(ConfigError, match="fix: --face-type with one of half, mid_full, full"):
        run(tmp_path, workspace, options="du")
    report = run(tmp_path, workspace, options="du", face_type="head")
    assert report.facts["shape"]["options"] == "ud"
    assert report.facts["shape"]["face_type"] == "head"
    assert report.facts["dfl_iterations"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("u", "options 'u', but its weights have d\nseen in: --options\nfix: --options with d"),
        ("udt", "options 'udt', but its weights have d"),
        ("uxd", "options 'uxd': only the letters u, d, t, c are known"),
    ],
)
def test_options_that_contradict_the_weights_are_refused(
    tmp_path: Path, workspace: Workspace, options: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        run(tmp_path, workspace, about=about_of("df", "ud"), options=options)
    assert message in str(caught.value)


def test_options_that_hold_code_are_left_out_and_not_run(
    tmp_path: Path, workspace: Workspace
) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "proof",)

    run(tmp_path, workspace, about={"options": Payload()}, options="ud", face_type="full")
    assert not (tmp_path / "proof").exists()


def test_a_second_model_is_refused(tmp_path: Path, workspace: Workspace) -> None:
    run(tmp_path, workspace, about=about_of("df", "ud"))
    with pytest.raises(WorkspaceError, match=r"a model already: iter_00000001\.saf") as e:
        run(tmp_path, workspace, about=about_of("df", "ud"))
    assert f"fix: move {workspace.model} away" in str(e.value)


def test_one_of_several_models_is_chosen_by_name(tmp_path: Path, workspace: Workspace) -> None:
    folder = tmp_path / "dfl"
    with pytest.raises(WorkspaceError, match=r"no model of DeepFaceLab: no \*_SAEHD_encoder.npy"):
        run_import_model(workspace, folder)
    networks = children(toy("df", "ud"), "ud")
    write_folder(folder, networks, stem="a_SAEHD", about=about_of("df", "ud"))
    write_folder(folder, networks, stem="my_b_SAEHD", about=about_of("df", "ud"))
    with pytest.raises(WorkspaceError, match="fix: choose one: --name with one of a_SAEHD, my_b_S"):
        run_import_model(workspace, folder)
    with pytest.raises(WorkspaceError, match="no model b\n"):
        run_import_model(workspace, folder, name="b")
    assert run_import_model(workspace, folder, name="my_b").facts["name"] == "my_b_SAEHD"


def test_optimisers_are_not_taken_over(
    tmp_path: Path, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="faceswap_cli")
    networks = children(toy("df", "ud"), "ud")
    report = run(tmp_path, workspace, networks | {"src_dst_opt": {}}, about_of("df", "ud"))
    assert report.facts["not_taken_over"] == ["anna_SAEHD_src_dst_opt.npy"]
    assert "not taken over: anna_SAEHD_src_dst_opt.npy" in caplog.text
    assert "DeepFaceLab trained it for 1234 iterations" in caplog.text


def test_what_does_not_fit_is_named(tmp_path: Path, workspace: Workspace) -> None:
    about = about_of("df", "ud")
    missing = children(toy("df", "ud"), "ud")
    del missing["encoder"]["down1/downs_2/conv1/bias:0"]
    missing["encoder"]["dense_norm/scale:0"] = np.ones(3, np.float32)
    with pytest.raises(WorkspaceError, match=r"missing: down1/downs_2/conv1/bias:0 not known: de"):
        run(tmp_path, workspace, missing, about)
    other = children(toy("df", "ud"), "ud")
    other["decoder_dst"]["res1/conv1/weight:0"] = np.ones((3, 3, 2, 2), np.float32)
    with pytest.raises(
        WorkspaceError, match=r"size of such a model's: decoder_dst\.face\.3\.conv1"
    ):
        run(tmp_path, workspace, other, about)
    odd = children(toy("df", "ud"), "ud")
    odd["inter"]["dense1/weight:0"] = np.ones((7, 8), np.float32)
    with pytest.raises(WorkspaceError, match="dense1 takes 7 numbers"):
        run(tmp_path, workspace, odd, about)
    gone_wrong = children(toy("df", "ud"), "ud")
    gone_wrong["inter"]["dense2/bias:0"][0] = np.nan
    with pytest.raises(WorkspaceError, match="not finite: its training had gone wrong"):
        run(tmp_path, workspace, gone_wrong, about)
    assert not workspace.config.exists()


def test_the_command_imports_and_says_what(tmp_path: Path, workspace: Workspace) -> None:
    write_folder(tmp_path / "dfl", children(toy("liae", "udt"), "udt"), about=about_of("liae", ""))
    arguments = ["import-model", str(workspace.root), str(tmp_path / "dfl"), "--json"]
    refused = CliRunner().invoke(cli, arguments)
    assert refused.exit_code == 2
    assert "options '', but its weights have dt" in refused.stderr
    result = CliRunner().invoke(cli, [*arguments, "--options", "udt"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["shape"]["options"] == "udt"
    refused = CliRunner().invoke(cli, [*arguments, "--options", "udt"])
    assert refused.exit_code == 3
    assert "Error: the workspace has a model already" in refused.stderr
