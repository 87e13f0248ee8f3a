"""One step of a training, whole or in parts."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device
from faceswap_cli.errors import DeviceError
from faceswap_cli.models import Faces, Model, Painter, Terms
from faceswap_cli.ranks import ALONE
from faceswap_cli.training.checkpoint import TrainState
from faceswap_cli.training.clipping import new_norms
from faceswap_cli.training.compiling import compile_model, keep_compiled_code
from faceswap_cli.training.optimizers import build_optimizers
from faceswap_cli.training.step import Stepper

CPU = Device("cpu", "fp32")
TOY = TrainConfig(
    options="ud",
    resolution=32,
    ae_dims=8,
    e_dims=4,
    d_dims=4,
    d_mask_dims=2,
    batch_size=8,
    learning_rate=1e-3,
    warmup=0,
)


def toy(**changes: object) -> TrainConfig:
    return TrainConfig.model_validate(TOY.model_dump() | changes)


def faces(seed: int, count: int = 8) -> Faces:
    generator = torch.Generator().manual_seed(seed)

    def noise(channels: int) -> Tensor:
        return torch.rand(count, channels, 32, 32, generator=generator)

    lms = torch.zeros(count, 68, 2)
    return Faces(img=noise(3), lms=lms, mask=noise(1), parts=noise(1), warped=noise(3))


def stepper(config: TrainConfig) -> Stepper:
    return Stepper(TrainState.new(config, CPU), config, CPU)


def take(config: TrainConfig, steps: int = 2) -> tuple[Stepper, dict[str, Tensor]]:
    made = stepper(config)
    log: dict[str, Tensor] = {}
    for number in range(steps):
        log = made(faces(number), faces(10 + number))
    return made, log


def weights(made: Stepper) -> Tensor:
    return torch.cat([p.detach().flatten() for p in made.state.model.parameters()])


def moved(made: Stepper, config: TrainConfig) -> Tensor:
    return weights(made) - weights(stepper(config))


@pytest.mark.parametrize("model", ["df", "liae"])
@pytest.mark.parametrize("at_once", [2, 4, 6])
def test_a_batch_in_parts_is_the_batch(model: str, at_once: int) -> None:
    whole, log = take(toy(model=model))
    parts, parts_log = take(toy(model=model, micro_batch=at_once))
    assert log.keys() == parts_log.keys()
    for name in log:
        torch.testing.assert_close(log[name], parts_log[name], atol=1e-5, rtol=1e-4)
    # Where a gradient is nothing but rounding, Adam makes a whole step of it.
    far = (weights(whole) - weights(parts)).abs() > 3e-4
    assert float(far.float().mean()) < 1e-3


@pytest.mark.parametrize("options", ["", "ud", "t"])
def test_recomputing_changes_nothing_but_memory(options: str) -> None:
    config = toy(model="df", options=options)
    kept, log = take(config)
    again, again_log = take(config.model_copy(update={"recompute": True}))
    assert torch.equal(weights(kept), weights(again))
    assert all(torch.equal(log[name], again_log[name]) for name in log)
    assert again.state.model.encoder.down.recompute


ON_A_GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
ON_A_CPU = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")


def out_of_memory_above(
    made: Stepper,
    limit: int,
    monkeypatch: pytest.MonkeyPatch,
    error: RuntimeError = ON_A_GPU,
) -> list[int]:
    """Have the losses fail as torch does; return the list of how many faces were tried."""
    real, tried = type(made.state.model).losses, list[int]()

    def losses(self: object, src: Faces, dst: Faces) -> Iterator[tuple[str, Terms]]:
        tried.append(len(src))
        if len(src) > limit:
            raise error
        yield from real(self, src, dst)  # type: ignore[arg-type]

    monkeypatch.setattr(type(made.state.model), "losses", losses)
    return tried


@pytest.mark.parametrize("error", [ON_A_GPU, ON_A_CPU])
def test_out_of_memory_goes_on_with_parts_and_says_so(
    error: RuntimeError, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected, _ = take(toy(micro_batch=2))
    made = stepper(toy())
    tried = out_of_memory_above(made, 3, monkeypatch, error)
    for number in range(2):
        made(faces(number), faces(10 + number))
    assert tried == [8, 4] + [2, 2, 2, 2] * 2
    assert made.faces_at_once == 2
    assert made.state.iteration == 2
    assert torch.equal(weights(expected), weights(made))
    assert [r.message for r in caplog.records if "out of memory" in r.message] == [
        "out of memory: goes on with 4 faces of each side at once instead of 8",
        "out of memory: goes on with 2 faces of each side at once instead of 4",
    ]


def test_out_of_memory_with_one_face_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    made = stepper(toy())
    tried = out_of_memory_above(made, 0, monkeypatch)
    with pytest.raises(DeviceError, match="1 faces of each side at once") as told:
        made(faces(0), faces(1))
    assert tried == [8, 4, 2, 1]
    assert "--recompute" in str(told.value)


def test_another_failure_is_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    made = stepper(toy())
    tried = out_of_memory_above(made, 3, monkeypatch, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        made(faces(0), faces(1))
    assert tried == [8]


def test_what_cannot_be_compiled_runs_as_it_is_written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from torch._dynamo.exc import BackendCompilerFailed  # takes seconds

    class NoCompilerError(RuntimeError):
        pass

    def refuse(*_: object, **__: object) -> Tensor:
        raise BackendCompilerFailed(refuse, NoCompilerError("no C++ compiler was found"), None)

    plain, _ = take(toy())
    made = stepper(toy())
    for child in made.state.model.children():
        child._compiled_call_impl = refuse
    made._compiled = True
    with caplog.at_level(logging.WARNING):
        for number in range(2):
            made(faces(number), faces(10 + number))
    assert torch.equal(weights(plain), weights(made))
    assert "torch.compile does not work here" in caplog.text


def test_compile_is_left_to_gpus_unless_it_is_wished(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **how: asked.append(how))
    for wish, device, expected in (
        ("auto", CPU, False),
        ("off", CPU, False),
        ("on", CPU, True),
        ("auto", Device("cuda", "bf16"), True),
        ("graphs", Device("cuda", "bf16"), True),
        ("off", Device("cuda", "bf16"), False),
    ):
        model = TrainState.new(toy(), CPU).model
        assert compile_model(model, wish, device) is expected
    assert {"dynamic": False, "mode": "reduce-overhead"} in asked


def test_gradients_are_clipped_as_a_whole_and_not_by_part() -> None:
    config = toy(clip_norm=1e-4, learning_rate=1e-2)
    whole, parts = (take(config.model_copy(update={"micro_batch": m}), 1)[0] for m in (0, 2))
    torch.testing.assert_close(moved(whole, config), moved(parts, config), atol=1e-4, rtol=0.05)


def test_compiled_code_is_kept_in_the_workspace_unless_the_user_chose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir  # takes seconds

    for before, kept in (
        (None, tmp_path),
        (default_cache_dir(), tmp_path),  # torch's own choice, not the user's
        ("/elsewhere", Path("/elsewhere")),
    ):
        monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
        if before is not None:
            monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", before)
        keep_compiled_code(tmp_path)
        assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(kept)


class Duel(Model):
    """One that draws, one that judges; the judge learns from its own turn alone."""

    turns = 2
    critics = ("judge",)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.painter, self.judge = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 1, 1)

    def losses(self, src: Faces, dst: Faces) -> Iterator[tuple[str, Terms]]:
        drawn = self.painter(src.img)
        yield "painter", {"mse": 100.0 * self.judge(drawn).square().flatten(1).mean(dim=1)}
        yield "judge", {"mse": self.judge(dst.img).square().flatten(1).mean(dim=1)}

    def bind(self, ref: Faces | None, first: Faces) -> Painter:
        raise NotImplementedError


def duel(config: TrainConfig) -> Stepper:
    model = Duel()
    state = TrainState(model, {}, build_optimizers(model, config, ALONE))  # type: ignore[arg-type]
    state.norms = new_norms(config.clip_quantile, CPU.place)
    return Stepper(state, config, CPU)


def test_a_judge_learns_nothing_from_the_turn_of_who_draws() -> None:
    # RMSprop's first step tells the gradient: a is 0.1 g^2, so that g is to be read from it.
    made = duel(toy(optimizer="rmsprop", clip_norm=0.0))
    judge = made.state.model.get_submodule("judge")
    assert isinstance(judge, nn.Conv2d)
    loss = judge(faces(1).img).square().flatten(1).mean(dim=1).mean() * made._config.mse
    (alone,) = torch.autograd.grad(loss, [judge.weight])
    made(faces(0), faces(1))
    kept = made.state.optimizers["judge"].state[judge.weight]["square"]
    torch.testing.assert_close(kept, 0.1 * alone.square())
    assert all(p.grad is None for p in made.state.model.parameters())


def test_who_steps_is_clipped_alone_and_only_who_draws_makes_the_history() -> None:
    made = duel(toy(optimizer="rmsprop", clip_norm=1e-2, clip_quantile=0.5))
    for number in range(3):
        made(faces(number), faces(10 + number))
        norms = made.state.norms
        assert int(norms.isfinite().sum()) == number + 1
    for name, optimizer in made.state.optimizers.items():
        # Three steps with clipped gradients: the sum of a is at most 0.1 (1 + .9 + .81) |g|^2.
        squares = [slots["square"].sum() for slots in optimizer.state.values()]
        total = float(torch.stack(squares).sum())
        assert total == pytest.approx(0.1 * 2.71 * 1e-4, rel=0.01), name


RESUMED = {"lr_dropout": 0.7, "clip_quantile": 0.5, "optimizer": "adabelief"}


def test_what_is_left_out_and_what_is_usual_go_on_after_a_restart() -> None:
    config = toy(**RESUMED)
    whole, _ = take(config, 4)
    before, _ = take(config, 2)
    after = stepper(config)
    after.state.model.load_state_dict(before.state.model.state_dict())
    for name, optimizer in before.state.optimizers.items():
        after.state.optimizers[name].load_state_dict(optimizer.state_dict())
    after.state.iteration, after.state.norms = 2, before.state.norms
    torch.rand(3)
    for number in (2, 3):
        after(faces(number), faces(10 + number))
    assert torch.equal(weights(whole), weights(after))


def test_dropout_leaves_most_weights_where_they_were() -> None:
    some, whole = (toy(lr_dropout=share) for share in (0.7, 0.0))
    there, everywhere = (moved(take(config, 1)[0], config) for config in (some, whole))
    stays = (there == 0.0)[everywhere != 0.0]
    assert float(stays.float().mean()) == pytest.approx(0.7, abs=0.02)


def test_a_frozen_network_stays_and_the_others_learn() -> None:
    config = toy(model="liae", freeze="encoder inter_B")
    made, first = take(config)[0], stepper(config)
    for name, child in made.state.model.named_children():
        twin = first.state.model.get_submodule(name)
        pairs = zip(child.parameters(), twin.parameters(), strict=True)
        stays = all(torch.equal(one, two) for one, two in pairs)
        assert stays == (name in config.freeze.split())


def test_a_training_that_went_back_takes_smaller_steps() -> None:
    config, lengths = toy(optimizer="rmsprop"), []
    for scale in (1.0, 0.5):
        made = stepper(config)
        made.state.rate_scale = scale
        made(faces(0), faces(1))
        lengths.append(float(moved(made, config).norm()))
    assert lengths[1] == pytest.approx(0.5 * lengths[0], rel=1e-3)
