"""Beginning with the weights of another model; what a pretraining is."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.stages.train import run_train
from faceswap_cli.training.building import build_model
from faceswap_cli.training.checkpoint import TrainState, checkpoints, save_checkpoint
from faceswap_cli.training.pretraining import find_given, find_places, pretraining
from faceswap_cli.training.warm_start import warm_start
from faceswap_cli.workspace import Workspace
from tests.facesets import write_faceset

CPU = Device("cpu", "fp32")
SIZES = {"resolution": 32, "ae_dims": 8, "e_dims": 4, "d_dims": 4, "d_mask_dims": 2}


def config(model: str = "df", **changes: object) -> TrainConfig:
    return TrainConfig.model_validate({"model": model, **SIZES} | changes)


def write_model(folder: Path, made_with: TrainConfig) -> dict[str, Tensor]:
    """Save a model whose average is 1 more than its weights; return what is to be taken."""
    state = TrainState.new(made_with, CPU)
    state.iteration = 7
    for tensor in state.average.values():
        tensor.add_(1.0)
    save_checkpoint(folder, state, made_with)
    return dict(state.average or state.model.named_parameters())


def begun(source: Path, wanted: TrainConfig) -> tuple[dict[str, Tensor], str]:
    model = build_model(wanted, CPU)
    told = warm_start(model, source, wanted)
    return dict(model.named_parameters()), told


def same(own: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> set[str]:
    """Return the child networks that are as saved."""
    children = {name.split(".")[0] for name in own}
    return {
        child
        for child in children
        if all(torch.equal(p, saved[n]) for n, p in own.items() if n.split(".")[0] == child)
    }


@pytest.mark.parametrize("half_life", [0, 200])
def test_the_average_is_taken_or_else_the_weights(tmp_path: Path, half_life: int) -> None:
    saved = write_model(tmp_path, config(seed=1, ema_half_life=half_life))
    for source in (tmp_path, checkpoints(tmp_path)[-1]):
        own, told = begun(source, config(seed=2, optimizer="rmsprop"))
        assert same(own, saved) == {"encoder", "inter", "decoder_src", "decoder_dst"}
        assert "iter_00000007" in told and "encoder inter decoder_src decoder_dst" in told
        assert "new:" not in told


@pytest.mark.parametrize(
    ("model", "bottlenecks"), [("df", {"inter"}), ("liae", {"inter_AB", "inter_B"})]
)
def test_of_a_pretrained_model_the_bottlenecks_are_new(
    tmp_path: Path, model: str, bottlenecks: set[str]
) -> None:
    saved = write_model(tmp_path, config(model, seed=1, pretrain="faces"))
    own, told = begun(tmp_path, config(model, seed=2))
    assert same(own, saved).isdisjoint(bottlenecks)
    assert same(own, saved) | bottlenecks == {name.split(".")[0] for name in own}
    fresh = dict(build_model(config(model, seed=2), CPU).named_parameters())
    assert bottlenecks <= same(own, fresh)
    assert f"new: {' '.join(sorted(bottlenecks))}" in told
    # To go on pretraining, all of it is wanted.
    more, told = begun(tmp_path, config(model, seed=2, pretrain="other faces"))
    assert bottlenecks <= same(more, saved) and "new:" not in told


def test_another_shape_is_refused_and_nothing_is_taken(tmp_path: Path) -> None:
    write_model(tmp_path, config(seed=1))
    wanted = config(d_dims=6)
    model = build_model(wanted, CPU)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with pytest.raises(WorkspaceError, match=r"of another shape: decoder_src\.") as told:
        warm_start(model, tmp_path, wanted)
    assert "d_dims was 4, is 6" in str(told.value) and "fix:" in str(told.value)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_another_model_is_refused_and_named(tmp_path: Path) -> None:
    write_model(tmp_path, config("liae"))
    with pytest.raises(WorkspaceError, match="model was 'liae', is 'df'"):
        begun(tmp_path, config("df"))


def test_what_fits_but_means_something_else_is_told(tmp_path: Path) -> None:
    write_model(tmp_path, config(options="d"))
    _, told = begun(tmp_path, config(options="ud"))
    assert "options was 'd', is 'ud'" in told


def test_a_folder_without_checkpoints_names_the_one_inside(tmp_path: Path) -> None:
    write_model(tmp_path / "model", config())
    with pytest.raises(WorkspaceError, match="no checkpoint to begin with") as told:
        begun(tmp_path, config())
    assert f"--init-from {tmp_path / 'model'}" in str(told.value)
    with pytest.raises(WorkspaceError, match="no such file or folder"):
        begun(tmp_path / "nowhere", config())


def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"\x80\x04pickled")
    with pytest.raises(WorkspaceError):
        begun(path, config())


def test_a_pretraining_shows_plain_faces_and_asks_for_nothing_but_them() -> None:
    wild = config(
        gan=0.1, true_face=0.1, face_style=1, background_style=1, warp=1, colour_from_dst="rct"
    )
    plain = pretraining(wild.model_copy(update={"pretrain": "faces"}))
    assert plain == pretraining(plain)
    assert (plain.src_flip, plain.dst_flip, plain.uniform_yaw) == (True, True, True)
    off = ("gan", "true_face", "identity", "face_style", "background_style", "warp", "lr_dropout")
    assert [getattr(plain, key) for key in off] == [0.0] * len(off)
    assert (plain.colour_from_dst, plain.pretrain, plain.mix_codes) == ("none", "faces", False)


def test_a_pretraining_has_places_of_its_own(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    (tmp_path / "many" / "faces").mkdir(parents=True)
    plain, pre = (find_places(workspace, config(pretrain=p)) for p in ("", "many/faces"))
    assert (plain.model, plain.pictures["dst"]) == (workspace.model, workspace.aligned("dst"))
    assert pre.model == tmp_path / "pretrained"
    assert pre.pictures["src"] == pre.pictures["dst"] == tmp_path / "many" / "faces"
    assert plain.cache != pre.cache


def test_a_path_is_looked_for_here_and_then_in_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, workspace = tmp_path / "here", tmp_path / "workspace"
    for folder in (here, workspace / "pretrained"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(here)
    assert find_given("pretrained", workspace, flag="--init-from") == workspace / "pretrained"
    (here / "pretrained").mkdir()
    assert find_given("pretrained", workspace, flag="--init-from") == here / "pretrained"
    with pytest.raises(WorkspaceError, match="--init-from gone: no such file or folder") as told:
        find_given("gone", workspace, flag="--init-from")
    assert str(here) in str(told.value) and str(workspace) in str(told.value)


def test_pretrain_then_begin_a_swap_with_it(tmp_path: Path) -> None:
    workspace, faces = write_faceset(tmp_path / "swap"), write_faceset(tmp_path / "many")
    short = {"iterations": 2, "batch_size": 2, "precision": "fp32", "device": "cpu"}
    pretrain = str(faces.aligned("src"))
    report = run_train(workspace, config("liae", **short, pretrain=pretrain))
    assert report.done == 2
    assert checkpoints(workspace.pretrained) and not checkpoints(workspace.model)
    run_train(workspace, config("liae", **short, init_from="pretrained", init="glorot", seed=3))
    first = checkpoints(workspace.model)
    assert first
    # Once there is a checkpoint, what it began with plays no part and may be gone.
    again = run_train(workspace, config("liae", **short | {"iterations": 3}, init_from="gone"))
    assert (again.kept, again.done) == (2, 1)
