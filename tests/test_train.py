import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from faceswap_cli import device
from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device, choose_device
from faceswap_cli.errors import DeviceError, WorkspaceError
from faceswap_cli.models import Faces
from faceswap_cli.stages.train import run_train
from faceswap_cli.training.checkpoint import TrainState, checkpoints, open_trained, read_about
from faceswap_cli.training.schedule import learning_rate
from faceswap_cli.training.step import Stepper
from tests.facesets import write_faceset

CPU = Device("cpu", "fp32")
TOY = TrainConfig(
    model="df",
    options="ud",
    resolution=32,
    ae_dims=8,
    e_dims=4,
    d_dims=4,
    d_mask_dims=2,
    batch_size=2,
    iterations=6,
    warmup=2,
    save_every=3,
    preview_every=3,
    learning_rate=1e-3,
    precision="fp32",
    device="cpu",
)


def toy(**changes: object) -> TrainConfig:
    return TOY.model_copy(update=changes)


def tensors(root: Path) -> dict[str, Tensor]:
    return dict(load_file(checkpoints(root / "model")[-1]))


def assert_same(one: dict[str, Tensor], two: dict[str, Tensor]) -> None:
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


class KilledError(Exception):
    pass


def interrupt_at(monkeypatch: pytest.MonkeyPatch, iteration: int) -> None:
    """Die in the middle of that iteration, as kill -9 does: nothing is saved."""
    real = Stepper.__call__

    def step(self: Stepper, *batch: Faces) -> dict[str, Tensor]:
        if self.state.iteration == iteration:
            raise KilledError
        return real(self, *batch)

    monkeypatch.setattr(Stepper, "__call__", step)


@pytest.mark.parametrize("model", ["df", "liae"])
@pytest.mark.parametrize("at", [2, 4, 5])
def test_killed_run_ends_as_an_unbroken_one_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, at: int
) -> None:
    whole, broken = write_faceset(tmp_path / "whole"), write_faceset(tmp_path / "broken")
    run_train(whole, toy(model=model))
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        interrupt_at(patch, at)
        run_train(broken, toy(model=model))
    report = run_train(broken, toy(model=model))
    assert report.kept == at // 3 * 3
    assert_same(tensors(whole.root), tensors(broken.root))
    names = [sorted(p.name for p in w.model.rglob("*.[jp]*g")) for w in (whole, broken)]
    assert names[0] == names[1]


def test_longer_training_goes_on_from_the_shorter(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path)
    run_train(workspace, toy(iterations=3))
    report = run_train(workspace, toy(iterations=5))
    assert (report.kept, report.done) == (3, 2)
    before = checkpoints(workspace.model)[-1].stat().st_mtime_ns
    again = run_train(workspace, toy(iterations=5))
    assert (again.kept, again.done) == (5, 0)
    assert checkpoints(workspace.model)[-1].stat().st_mtime_ns == before


def test_the_loss_falls(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path)
    run_train(workspace, toy(iterations=75, learning_rate=3e-3, warp=0.0, save_every=100))
    lines = (workspace.model / "log.jsonl").read_text().splitlines()
    first, *_, last = (json.loads(line) for line in lines)
    assert last["src/mse"] < 0.7 * first["src/mse"]
    assert last["src/dssim"] < first["src/dssim"]


def test_log_of_a_killed_run_has_each_iteration_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = write_faceset(tmp_path)
    run_train(workspace, toy(iterations=3))
    log = workspace.model / "log.jsonl"
    with log.open("a") as file:
        file.write('{"iteration": 4, "src/mse": 1}\n{"iterat')
    run_train(workspace, toy(iterations=6))
    assert [json.loads(line)["iteration"] for line in log.read_text().splitlines()] == [3, 6]


def test_a_damaged_picture_is_skipped_counted_and_named(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path)
    (workspace.aligned("src") / "000001_00.png").write_bytes(b"not a picture")
    (workspace.aligned("src") / "foreign.png").write_bytes(
        (Path(__file__).parent / "one_pixel.png").read_bytes()
    )
    cut = workspace.aligned("src") / "000002_00.png"
    cut.write_bytes(cut.read_bytes()[:-900])
    report = run_train(workspace, toy(iterations=1))
    assert set(report.facts["src skipped"]) == {"000001_00.png", "foreign.png", "000002_00.png"}
    assert "not made by this program" in report.facts["src skipped"]["foreign.png"]


def test_no_faces_names_the_command_that_makes_them(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"no aligned faces of src") as caught:
        run_train(write_faceset(tmp_path, count=0), TOY)
    assert "faceswap-cli extract" in str(caught.value)


def test_one_face_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="1 usable faces of src, training needs 2"):
        run_train(write_faceset(tmp_path, count=1), TOY)


def test_another_architecture_is_refused_and_named(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path)
    run_train(workspace, toy(iterations=1))
    with pytest.raises(WorkspaceError, match="d_dims was 4, is 6") as caught:
        run_train(workspace, toy(d_dims=6))
    assert f"fix: --d-dims 4; or move {workspace.model} away" in str(caught.value)
    before = "model was 'df', is 'amp', options was 'ud', is 'udt'"
    with pytest.raises(WorkspaceError, match=before) as caught:
        run_train(workspace, toy(model="amp", options="udt"))
    assert "fix: --model df --options ud; or move" in str(caught.value)
    with pytest.raises(WorkspaceError, match=r"ema_half_life was 200, is 0"):
        run_train(workspace, toy(ema_half_life=0))


def test_a_truncated_checkpoint_is_refused_and_left_alone(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path)
    run_train(workspace, toy(iterations=1))
    path = checkpoints(workspace.model)[-1]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WorkspaceError, match="cut short"):
        run_train(workspace, TOY)
    with pytest.raises(WorkspaceError, match="cut short"):
        open_trained(workspace.model, CPU)
    assert path.exists()


def test_a_checkpoint_with_other_tensors_lists_them(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    workspace = write_faceset(tmp_path)
    run_train(workspace, toy(iterations=1))
    path = checkpoints(workspace.model)[-1]
    about = json.dumps(read_about(path) | {"format": 1})  # before there were checksums
    kept = {k: v for k, v in load_file(path).items() if k != "model/inter.narrow.bias"}
    save_file(kept, path, metadata={"faceswap-cli": about})
    with pytest.raises(WorkspaceError, match=r"1 tensors do not fit .*model/inter\.narrow\.bias"):
        run_train(workspace, TOY)


def test_a_checkpoint_with_a_setting_of_another_version_still_draws(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    workspace = write_faceset(tmp_path)
    run_train(workspace, toy(iterations=1))
    path = checkpoints(workspace.model)[-1]
    about = read_about(path) | {"format": 1}  # before there were checksums
    about["train"]["of_the_future"] = 1
    save_file(load_file(path), path, metadata={"faceswap-cli": json.dumps(about)})
    assert open_trained(workspace.model, CPU).resolution == 32
    del about["train"]["model"]
    save_file(load_file(path), path, metadata={"faceswap-cli": json.dumps(about)})
    with pytest.raises(WorkspaceError, match="describes no model this version knows"):
        open_trained(workspace.model, CPU)


def test_newest_and_best_checkpoints_are_kept(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path)
    run_train(workspace, toy(iterations=6, save_every=1, keep_checkpoints=2))
    kept = checkpoints(workspace.model)
    assert [read_about(path)["iteration"] for path in kept][-2:] == [5, 6]
    assert len(kept) <= 3
    assert not list(workspace.model.glob(".*.partial"))


def test_the_average_is_what_merge_gets(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path)
    run_train(workspace, TOY)
    trained, saved = open_trained(workspace.model, CPU), tensors(tmp_path)
    for name, parameter in trained.model.named_parameters():
        assert torch.equal(parameter, saved[f"average/{name}"])
    assert not torch.equal(saved["average/inter.narrow.weight"], saved["model/inter.narrow.weight"])
    assert (trained.iteration, trained.resolution, trained.face_type) == (6, 32, "full")


def test_rate_warms_up_and_comes_down() -> None:
    config = toy(iterations=100, warmup=10, learning_rate=1e-3, final_rate=0.1)
    rates = [learning_rate(config, i) for i in range(100)]
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates) == pytest.approx(1e-3)
    assert rates[-1] == pytest.approx(1e-4, rel=0.02)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_hours_end_the_run_with_a_checkpoint(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path)
    report = run_train(workspace, toy(iterations=10_000, hours=1e-6))
    assert 0 < report.done < 10_000
    assert checkpoints(workspace.model)


def test_cuda_without_cuda_is_an_error_and_not_a_silent_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="finds no CUDA device"):
        choose_device("cuda")


def test_out_of_memory_outside_of_a_step_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("faceswap_cli.stages.train.Sampler.assemble", fail)
    with pytest.raises(DeviceError, match="out of memory on CPU") as told:
        run_train(write_faceset(tmp_path), TOY)
    assert "--micro-batch" in str(told.value)


def test_bf16_trains_too(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path)
    run_train(workspace, toy(iterations=2, precision="bf16"))
    assert all(torch.isfinite(t).all() for t in tensors(tmp_path).values())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_trains_on_cuda(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path)
    run_train(workspace, toy(device="cuda", precision="auto"))
    assert all(torch.isfinite(t).all() for t in tensors(tmp_path).values())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("compiled", ["off", "on", "graphs"])
def test_faces_sent_to_a_gpu_train_as_those_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: str
) -> None:
    # Its twin on the CPU: test_data.test_faces_held_in_memory_give_the_same_batches.
    config = toy(device="cuda", compile=compiled, colour_from_dst="mkl", damage=0.5)
    losses = []
    for share in (0.0, 0.4):
        monkeypatch.setattr("faceswap_cli.stages.train.FACES_SHARE", share)
        workspace = write_faceset(tmp_path / str(share))
        run_train(workspace, config)
        losses.append(json.loads((workspace.model / "log.jsonl").read_text().splitlines()[0]))
    assert losses[0]["src/mse"] == pytest.approx(losses[1]["src/mse"], rel=1e-3)


def test_a_slow_average_looks_at_the_weights_now_and_then() -> None:
    config = toy(ema_half_life=200)
    state = TrainState.new(config, CPU)
    parameter = next(iter(state.model.parameters()))
    name = next(iter(state.average))
    state.average[name].fill_(1.0)
    with torch.no_grad():
        parameter.zero_()
    for state.iteration in range(4001, 4201):
        state.move_average(config.ema_half_life)
    # One half-life after the weights have jumped, half of the jump is left.
    torch.testing.assert_close(state.average[name], torch.full_like(parameter, 0.5))


def test_freed_memory_is_kept_where_glibc_is_and_nothing_happens_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device.keep_freed_memory()

    class Another:
        """A C library that has no mallopt."""

    monkeypatch.setattr("ctypes.CDLL", lambda name: Another())
    device.keep_freed_memory()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_state_and_the_next_run_goes_on(tmp_path: Path, number: int) -> None:
    workspace = write_faceset(tmp_path / "broken")
    code = (
        "import sys; from pathlib import Path; import torch; torch.set_num_threads(1);"
        "from faceswap_cli.config import TrainConfig;"
        "from faceswap_cli.stages.train import run_train;"
        "from faceswap_cli.workspace import Workspace;"
        "from faceswap_cli.training import journal;"
        "real = journal.Journal.write;"
        "journal.Journal.write = lambda *a: (print('x', flush=True), real(*a));"
        "run_train(Workspace(Path(sys.argv[1])), TrainConfig.model_validate_json(sys.argv[2]))"
    )
    config = toy(iterations=100_000, save_every=100_000, preview_every=100_000)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(workspace.root), config.model_dump_json()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"x\n"
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in stderr
    found = checkpoints(workspace.model)
    assert len(found) == 1
    assert read_about(found[0])["iteration"] >= 25
