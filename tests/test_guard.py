"""What ruins a training, and how it goes back."""

import errno
import json
import logging
import math
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from faceswap_cli.config import TrainConfig
from faceswap_cli.errors import DivergedError, WorkspaceError
from faceswap_cli.models import Faces
from faceswap_cli.ranks import Ranks, in_ranks
from faceswap_cli.stages import train as stage
from faceswap_cli.stages.train import run_train
from faceswap_cli.training import loop, stored
from faceswap_cli.training.checkpoint import checkpoints, load_newest, read_about
from faceswap_cli.training.guard import Guard, TroubleError
from faceswap_cli.training.step import Stepper
from faceswap_cli.workspace import StageReport, Workspace
from tests.facesets import write_faceset
from tests.test_train import KilledError, assert_same, tensors, toy

LONG = {"iterations": 9}


def poison(monkeypatch: pytest.MonkeyPatch, *, at: int, rollbacks: int = 1, kill: int = -1) -> None:
    """Make a weight NaN at the end of an iteration, until it has gone back so often."""
    real = Stepper.__call__

    def step(self: Stepper, *batch: Faces) -> dict[str, Tensor]:
        if self.state.iteration == kill and self.state.rollbacks == rollbacks:
            raise KilledError
        terms = real(self, *batch)
        if self.state.iteration == at and self.state.rollbacks < rollbacks:
            with torch.no_grad():
                first = next(self.state.model.parameters())
                first[(0,) * first.ndim] = torch.nan
        return terms

    monkeypatch.setattr(Stepper, "__call__", step)


def iterations(workspace: Workspace) -> list[int]:
    return [int(read_about(path)["iteration"]) for path in checkpoints(workspace.model)]


def log_of(workspace: Workspace) -> list[dict[str, Any]]:
    lines = (workspace.model / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(("at", "why"), [(4, "dst/dssim, .* at iteration 6"), (6, "weights not")])
def test_goes_back_and_ends_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, why: str
) -> None:
    workspace = write_faceset(tmp_path)
    poison(monkeypatch, at=at)
    report = run_train(workspace, toy(**LONG))
    assert report.done == 9
    assert (report.facts["rollbacks"], report.facts["rate_scale"]) == (1, 0.5)
    (told,) = report.facts["went wrong"]
    assert re.search(why, told)
    assert all(tensor.isfinite().all() for tensor in tensors(tmp_path).values())
    about = read_about(checkpoints(workspace.model)[-1])
    assert (about["rollbacks"], about["rate_scale"]) == (1, 0.5)
    notes = [line for line in log_of(workspace) if "note" in line]
    assert [line["iteration"] for line in notes] == [3]
    assert told in notes[0]["note"]
    assert [line["iteration"] for line in log_of(workspace) if "rate" in line] == [3, 6, 9]
    rates = [line["rate"] for line in log_of(workspace) if "rate" in line]
    assert rates[1] < 0.6 * rates[0]


def test_goes_back_to_the_start_where_there_is_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, at=1)
    report = run_train(write_faceset(tmp_path), toy(iterations=4))
    assert (report.done, report.facts["rollbacks"]) == (4, 1)


def test_gone_wrong_too_often_it_gives_up_with_what_was_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = write_faceset(tmp_path)
    poison(monkeypatch, at=4, rollbacks=1000)
    with pytest.raises(DivergedError, match=r"after going back 2 times: .*not finite") as caught:
        run_train(workspace, toy(**LONG, rollbacks=2))
    assert "lower --learning-rate, or more --rollbacks" in str(caught.value)
    assert caught.value.exit_code == 6
    assert iterations(workspace) == [3]
    assert all(tensor.isfinite().all() for tensor in tensors(tmp_path).values())
    with pytest.raises(DivergedError, match="training diverged: "):
        run_train(write_faceset(tmp_path / "never"), toy(**LONG, rollbacks=0))


@pytest.mark.parametrize("kill", [3, 4, 7])
def test_killed_after_going_back_it_ends_as_an_unbroken_run_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill: int
) -> None:
    whole, broken = write_faceset(tmp_path / "whole"), write_faceset(tmp_path / "broken")
    with monkeypatch.context() as patch:
        poison(patch, at=4)
        run_train(whole, toy(**LONG))
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        poison(patch, at=4, kill=kill)
        run_train(broken, toy(**LONG))
    report = run_train(broken, toy(**LONG))
    assert report.facts["rollbacks"] == 1
    assert_same(tensors(whole.root), tensors(broken.root))


def test_what_has_done_harm_does_not_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[tuple[int, int], Tensor] = {}
    real = Stepper.__call__

    def step(self: Stepper, src: Faces, dst: Faces) -> dict[str, Tensor]:
        seen[self.state.rollbacks, self.state.iteration] = src.img.clone()
        terms = real(self, src, dst)
        harm = self.state.iteration == 2 and self.state.rollbacks == 0
        return terms | ({"src/mse": torch.tensor(math.nan)} if harm else {})

    monkeypatch.setattr(Stepper, "__call__", step)
    run_train(write_faceset(tmp_path), toy(iterations=3))
    assert not torch.equal(seen[0, 1], seen[1, 1])


def train_with_one_ill(
    ranks: Ranks, workspace: Workspace, section: TrainConfig
) -> tuple[StageReport, bool]:
    """One of the processes sees what is not finite, once."""
    real = Stepper.__call__

    def step(self: Stepper, *batch: Faces) -> dict[str, Tensor]:
        terms = real(self, *batch)
        ill = ranks.index == 1 and self.state.iteration == 5 and self.state.rollbacks == 0
        return terms | ({"src/mse": torch.tensor(math.nan)} if ill else {})

    setattr(Stepper, "__call__", step)  # noqa: B010 - in a process of its own
    return stage._run(ranks, workspace, section, True)


def test_processes_go_back_together(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path)
    section = toy(batch_size=4, devices=2)
    report, finished = in_ranks(
        train_with_one_ill, workspace, section, accelerator="cpu", devices=2
    )
    assert finished
    assert report.facts["went wrong"] == ["src/mse not finite at iteration 6"]
    assert (report.done, report.facts["rollbacks"]) == (6, 1)
    assert iterations(workspace) == [3, 6]


def test_a_process_that_gives_up_passes_on_why(tmp_path: Path) -> None:
    section = toy(batch_size=4, devices=2, rollbacks=0)
    with pytest.raises(DivergedError, match="ended with exit code 6"):
        in_ranks(train_with_one_ill, write_faceset(tmp_path), section, accelerator="cpu", devices=2)


def guarded(costs: list[float], **more: float) -> Guard:
    guard = Guard()
    for number, cost in enumerate(costs):
        guard.look(
            25 * number, {"src/dssim": cost, "src/gan_critic": 50.0 * number}, more, last=False
        )
    return guard


def test_a_loss_that_stays_far_above_its_best_is_trouble() -> None:
    guard = guarded([0.4] * 3 + [0.1] * 60 + [0.6] * 3)
    assert guard.suspects
    with pytest.raises(TroubleError, match=r"redrawing costs 6\.\d times what it did at .* 99"):
        guard.look(99, {"src/dssim": 0.6}, {}, last=False)


def test_a_spike_is_no_trouble_but_nothing_to_save() -> None:
    guard = guarded([0.1] * 9 + [0.9] * 3)
    assert guard.suspects
    guard.look(99, {"src/dssim": 0.1}, {}, last=False)
    assert not guard.suspects
    with pytest.raises(TroubleError):
        guard.look(100, {"src/dssim": 0.9}, {}, last=True)


def test_terms_of_judges_may_do_what_they_like() -> None:
    assert not guarded([0.1] * 50).suspects


def test_no_gradients_are_trouble_while_there_is_something_to_learn() -> None:
    with pytest.raises(TroubleError, match="no gradients in decoder at iteration 0"):
        guarded([0.1], encoder=1e-5, decoder=0.0)
    guarded([1e-4], decoder=0.0)


def test_faces_that_turn_grey_are_trouble_and_those_that_never_were_not_are_none() -> None:
    guard = Guard()
    for share in (0.001, 0.05, 0.9, 0.3):
        guard.contrast(1, share)
    with pytest.raises(TroubleError, match=r"grey at iteration 2: 2\.0% .* it has been 90%"):
        guard.contrast(2, 0.02)
    with pytest.raises(TroubleError, match="not finite"):
        guard.contrast(3, math.nan)
    guard.start_over()
    guard.contrast(4, 0.02)


def test_dead_networks_are_found_by_their_gradients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A decoder whose last layer is all zero passes nothing on to what comes before."""
    real = Stepper.__call__

    def step(self: Stepper, *batch: Faces) -> dict[str, Tensor]:
        if self.state.iteration >= 3 and self.state.rollbacks == 0:
            with torch.no_grad():
                for decoder in {*self.state.model.side_decoders}:
                    for head in (decoder.heads, decoder.mask):
                        [p.zero_() for p in head.parameters()]
        return real(self, *batch)

    monkeypatch.setattr(Stepper, "__call__", step)
    monkeypatch.setattr(loop, "READ_EVERY", 3)
    report = run_train(write_faceset(tmp_path), toy(**LONG))
    assert report.facts["rollbacks"] == 1
    (told,) = report.facts["went wrong"]
    assert told == "no gradients in decoder_dst, decoder_src, encoder, inter at iteration 6"


def full_disk(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
    """Have these savings fail, counted from 0, which is that of the first weights."""
    count = iter(range(1000))

    def save(*arguments: Any, **more: Any) -> None:
        if next(count) in numbers:
            raise OSError(errno.ENOSPC, "No space left on device")
        save_file(*arguments, **more)

    monkeypatch.setattr(stored, "save_file", save)


def test_a_disk_that_is_full_for_a_while_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = write_faceset(tmp_path)
    full_disk(monkeypatch, 1, 2)
    with caplog.at_level(logging.WARNING, "faceswap_cli"):
        report = run_train(workspace, toy(iterations=9))
    assert report.done == 9
    assert iterations(workspace) == [9]
    assert caplog.text.count("training goes on, and is saved later: cannot write iter_0000000") == 2
    assert "the disk is full" in caplog.text


def test_a_disk_that_is_full_at_the_end_is_an_error_and_the_old_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = write_faceset(tmp_path)
    full_disk(monkeypatch, 2)
    with pytest.raises(WorkspaceError, match="cannot write iter_00000006"):
        run_train(workspace, toy(iterations=6))
    assert iterations(workspace) == [3]
    assert run_train(workspace, toy(iterations=6)).kept == 3


def test_a_disk_that_is_full_at_the_start_is_told_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk(monkeypatch, 0)
    with pytest.raises(WorkspaceError, match="cannot write iter_00000000"):
        run_train(write_faceset(tmp_path), toy())


def test_a_log_that_cannot_be_written_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = write_faceset(tmp_path)
    (workspace.model / "log.jsonl").mkdir(parents=True)
    (workspace.model / "preview_history").write_text("in the way")
    assert run_train(workspace, toy()).done == 6
    assert caplog.text.count("training goes on, but its log cannot be written") == 1


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no such signal here")
def test_a_signal_has_it_save_and_draw_and_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, real = write_faceset(tmp_path), Stepper.__call__

    def step(self: Stepper, *batch: Faces) -> dict[str, Tensor]:
        if self.state.iteration == 3:
            os.kill(os.getpid(), signal.SIGUSR1)
        return real(self, *batch)

    monkeypatch.setattr(Stepper, "__call__", step)
    report = run_train(workspace, toy(save_every=100, preview_every=100))
    assert report.done == 6
    assert iterations(workspace) == [4, 6]
    assert [path.stem for path in workspace.previews()] == ["00000004", "00000006"]


def test_another_optimiser_starts_anew_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = write_faceset(tmp_path)
    run_train(workspace, toy(iterations=3))
    run_train(workspace, toy(iterations=6, optimizer="rmsprop"))
    assert "the optimiser was adamw, is rmsprop: it starts anew" in caplog.text
    assert "optimizer/encoder.down.0.0.weight/square" in tensors(tmp_path)


def test_judges_come_and_go(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    workspace = write_faceset(tmp_path)
    run_train(workspace, toy(iterations=3))
    run_train(workspace, toy(iterations=6, gan=0.1))
    assert "gan is new, it starts from its first weights" in caplog.text
    saved = tensors(tmp_path)
    assert any(name.startswith("critic/gan.") for name in saved)
    assert any(name.startswith("optimizer/gan.") for name in saved)
    assert not any(name.startswith(("average/gan", "model/gan")) for name in saved)
    caplog.clear()
    run_train(workspace, toy(iterations=8, gan=0.1))
    assert "gan" not in caplog.text
    run_train(workspace, toy(iterations=9))
    assert "gan is not wanted any more, it is left out" in caplog.text
    assert not any("gan" in name for name in tensors(tmp_path))


def test_nothing_to_load_is_none(tmp_path: Path) -> None:
    assert load_newest(tmp_path, None, toy()) is None  # type: ignore[arg-type]
