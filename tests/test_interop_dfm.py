import builtins
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from torch import Tensor

from faceswap_cli.cli import cli
from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device
from faceswap_cli.errors import ConfigError, FaceswapError, WorkspaceError
from faceswap_cli.interop import dfm
from faceswap_cli.interop.dfm import Exported, export_model
from faceswap_cli.models import AMP, MODELS, Autoencoder
from faceswap_cli.models.blocks import Heads
from faceswap_cli.models.original import Original
from faceswap_cli.stages import export
from faceswap_cli.stages.export import run_export
from faceswap_cli.training.checkpoint import TrainState, save_checkpoint
from faceswap_cli.workspace import Workspace

DIMS = {"ae_dims": 8, "e_dims": 4, "d_dims": 4, "d_mask_dims": 2}
R = 64
# Of DeepFaceLab's files; DeepFaceLive takes the outputs by their order.
DFM_OUTPUTS = [
    ("out_face_mask:0", ["N", R, R, 1]),
    ("out_celeb_face:0", ["N", R, R, 3]),
    ("out_celeb_face_mask:0", ["N", R, R, 1]),
]
Arrays = list[NDArray[np.float32]]


def toy(name: str, options: str = "") -> Autoencoder:
    """A model that draws no two colours alike."""
    torch.manual_seed(0)
    made: Autoencoder
    if name == "amp":
        made = AMP(resolution=R, inter_dims=16, morph=0.5, **DIMS)
    elif name == "original":
        made = Original(resolution=R, ae_dims=8, e_dims=4, d_dims=4)
    else:
        made = MODELS[name](resolution=R, options=options, **DIMS)
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return made.eval().requires_grad_(False)


def pictures(count: int) -> Tensor:
    return torch.rand(count, 3, R, R, generator=torch.Generator().manual_seed(count))


def session(made: Exported) -> Any:
    return onnxruntime.InferenceSession(made.data, providers=["CPUExecutionProvider"])


def ports(found: list[Any]) -> list[tuple[str, list[int | str]]]:
    return [(port.name, port.shape) for port in found]


def parts_of_swap(model: Autoencoder, rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the face, its mask, and the mask of dst."""
    src_decoder, dst_decoder = model.side_decoders
    code = model.encoder(rgb)
    face, mask = src_decoder(model.swap_map(code))
    return face, mask, dst_decoder.outline(model.maps(code, code)[1])


KINDS = [("df", "ud"), ("df", "c"), ("liae", "udt"), ("liae", ""), ("original", "")]


@pytest.mark.parametrize(("name", "options"), KINDS)
def test_a_dfm_is_what_its_readers_expect(name: str, options: str) -> None:
    model = toy(name, options)
    made = export_model(model, "dfm", about={"face_type": "full"})
    file = onnx.load_model_from_string(made.data)
    assert [(opset.domain, opset.version) for opset in file.opset_import] == [("", 12)]
    assert {prop.key: prop.value for prop in file.metadata_props} == {"face_type": "full"}
    running = session(made)
    assert ports(running.get_inputs()) == [("in_face:0", ["N", R, R, 3])]
    assert ports(running.get_outputs()) == DFM_OUTPUTS
    assert [str(port) for port in made.inputs] == ["in_face:0 [N, 64, 64, 3]"]
    for count in (1, 3):
        rgb = pictures(count)
        bgr_NHWC = rgb.flip(1).permute(0, 2, 3, 1).contiguous().numpy()
        dst_mask, celeb, celeb_mask = running.run(None, {"in_face:0": bgr_NHWC})
        face, mask, outline = parts_of_swap(model, rgb)
        assert not np.allclose(celeb, celeb[..., ::-1], atol=0.01)
        close(celeb[..., ::-1].transpose(0, 3, 1, 2), face)
        close(celeb_mask.transpose(0, 3, 1, 2), mask)
        close(dst_mask.transpose(0, 3, 1, 2), outline)


def close(theirs: NDArray[np.float32], ours: Tensor) -> None:
    assert theirs.shape == ours.shape
    assert np.abs(theirs - ours.numpy()).max() < 1e-3


def test_without_a_learnt_mask_all_is_face() -> None:
    running = session(export_model(toy("original"), "dfm", about={}))
    masks = running.run(None, {"in_face:0": np.zeros((2, R, R, 3), np.float32)})[::2]
    assert all((mask == 1.0).all() and mask.shape == (2, R, R, 1) for mask in masks)


@pytest.mark.parametrize("morph", [0.0, 0.3, 1.0])
def test_amp_morphs_in_the_file(morph: float) -> None:
    model = toy("amp")
    assert isinstance(model, AMP)
    running = session(export_model(model, "dfm", about={}))
    assert ports(running.get_inputs())[1] == ("morph_value:0", [1])
    assert ports(running.get_outputs()) == DFM_OUTPUTS
    rgb = pictures(3)
    given = {
        "in_face:0": rgb.flip(1).permute(0, 2, 3, 1).contiguous().numpy(),
        "morph_value:0": np.array([morph], np.float32),
    }
    dst_mask, celeb, celeb_mask = running.run(None, given)
    face, mask = model.swap(rgb, morph)
    close(celeb[..., ::-1].transpose(0, 3, 1, 2), face)
    close(np.minimum(dst_mask, celeb_mask).transpose(0, 3, 1, 2), mask)


def test_plain_onnx_is_the_swap() -> None:
    model = toy("liae", "ud")
    made = export_model(model, "onnx", about={})
    running = session(made)
    assert ports(running.get_inputs()) == [("face", ["N", 3, R, R])]
    assert ports(running.get_outputs()) == [
        ("swapped", ["N", 3, R, R]),
        ("mask", ["N", 1, R, R]),
    ]
    for count in (1, 3):
        rgb = pictures(count)
        for theirs, ours in zip(
            running.run(None, {"face": rgb.numpy()}), model.swap(rgb), strict=True
        ):
            close(theirs, ours)


def test_the_model_is_as_before() -> None:
    model = toy("df", "ud")
    before = {name: p.clone() for name, p in model.named_parameters()}
    export_model(model, "dfm", about={})
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
    assert not any(module.apart for module in model.modules() if isinstance(module, Heads))


def test_a_file_that_draws_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy("df", "ud")
    trace = dfm._trace

    def wrong(*arguments: Any) -> bytes:
        made = trace(*arguments)
        model.get_parameter("decoder_src.heads.0.bias").add_(1.0)
        return made

    monkeypatch.setattr(dfm, "_trace", wrong)
    with pytest.raises(FaceswapError, match=r"other pictures than the model: up to 0\.\d+ of 1"):
        export_model(model, "dfm", about={})


def test_a_model_too_large_for_the_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dfm, "MAX_WEIGHT_BYTES", 1000)
    with pytest.raises(ConfigError, match="a file of this format holds 2"):
        export_model(toy("df", "ud"), "dfm", about={})


def without(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def no_such(name: str, *rest: Any, **more: Any) -> Any:
        if name == package:
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", no_such)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    without("onnx", monkeypatch)
    with pytest.raises(ConfigError, match=r"onnx is missing(?s:.*)faceswap-cli\[export\]"):
        export_model(toy("df", "ud"), "dfm", about={})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("made") / "anna"
    for side in ("src", "dst"):
        (root / f"data_{side}").mkdir(parents=True)
    workspace = Workspace.open(root)
    config = TrainConfig(model="df", options="ud", resolution=R, face_type="whole_face", **DIMS)
    state = TrainState.new(config, Device("cpu", "fp32"))
    state.iteration = 5
    save_checkpoint(workspace.model, state, config)
    return workspace


def test_the_command_exports_and_says_what(trained: Workspace, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["export", str(trained.root)], catch_exceptions=False)
    assert result.exit_code == 0
    path = trained.model / "anna.dfm"
    assert f"file: {path}" in result.output
    assert "in_face:0 [N, 64, 64, 3]" in result.output
    file = onnx.load_model(path)
    about = {prop.key: prop.value for prop in file.metadata_props}
    assert about["face_type"] == "whole_face"
    assert about["iteration"] == "5"
    output = tmp_path / "new" / "swap.onnx"
    arguments = ["export", str(trained.root), "--format", "onnx", "--output", str(output), "--json"]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    assert [port.name for port in onnx.load_model(output).graph.output] == ["swapped", "mask"]
    assert not list(tmp_path.rglob("*.partial"))


def test_the_report_tells_the_difference(trained: Workspace, tmp_path: Path) -> None:
    facts = run_export(trained, output=tmp_path / "a.dfm").facts
    assert 0.0 <= facts["largest_difference"] < 1e-3
    assert facts["opset"] == 12


def test_the_report_tells_that_nothing_was_compared(
    trained: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without("onnxruntime", monkeypatch)
    facts = run_export(trained, output=tmp_path / "a.dfm").facts
    assert facts["largest_difference"] == export.NOT_COMPARED
    assert (tmp_path / "a.dfm").is_file()


def test_without_a_model_there_is_nothing_to_export(tmp_path: Path) -> None:
    for side in ("src", "dst"):
        (tmp_path / f"data_{side}").mkdir()
    with pytest.raises(WorkspaceError, match=r"no trained model(?s:.*)fix: faceswap-cli train"):
        run_export(Workspace.open(tmp_path))
    assert not (tmp_path / "model").exists()
