"""Several processes that train together: real ones, over gloo, on toy widths."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from faceswap_cli.config import TrainConfig
from faceswap_cli.errors import ConfigError, DeviceError
from faceswap_cli.ranks import ALONE, in_ranks
from faceswap_cli.stages.train import run_train
from faceswap_cli.training import loop
from faceswap_cli.training.checkpoint import checkpoints, read_about
from tests.facesets import write_faceset
from tests.test_train import tensors, toy

ROOT = Path(__file__).parent.parent
ENV = os.environ | {"OMP_NUM_THREADS": "1"}


def losses(root: Path) -> list[dict[str, float]]:
    lines = (root / "model" / "log.jsonl").read_text().splitlines()
    return [
        {name: value for name, value in json.loads(line).items() if "/" in name or name == "rate"}
        for line in lines
    ]


def command(root: Path, config: TrainConfig) -> list[str]:
    flags = []
    for key, value in config.model_dump().items():
        flag = key.replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            flags += [f"--{flag}", str(value)]
    return ["-m", "faceswap_cli", "train", str(root), *flags]


# A low rate: rounding differs between the two, and Adam blows it up tenfold every few iterations.
SLOW = {"learning_rate": 5e-5, "batch_size": 4, "save_every": 1, "iterations": 8}


def test_two_processes_lose_what_one_loses(tmp_path: Path) -> None:
    more = {"model": "liae", "shard_optimizer": True}  # not divided: see test_critics
    one, two = write_faceset(tmp_path / "one"), write_faceset(tmp_path / "two")
    run_train(one, toy(**SLOW, **more))
    run_train(two, toy(**SLOW, **more, devices=2))
    assert len(losses(one.root)) == 8
    for alone, together in zip(losses(one.root), losses(two.root), strict=True):
        assert alone == pytest.approx(together, abs=1e-4)
    # One writes: each file is there once, and whole.
    assert len(list((two.model / "tensorboard").iterdir())) == 1
    assert not list(two.root.rglob(".*.partial"))
    # The checkpoint of two is that of one; a training alone goes on from it.
    saved = [tensors(workspace.root) for workspace in (one, two)]
    assert saved[0].keys() == saved[1].keys()
    for name in saved[0]:
        torch.testing.assert_close(saved[0][name], saved[1][name], atol=2e-3, rtol=1e-2)
    report = run_train(two, toy(**SLOW | {"iterations": 10}, **more, devices=1))
    assert (report.kept, report.done) == (8, 2)


def test_a_batch_that_cannot_be_divided_is_refused() -> None:
    with pytest.raises(ConfigError, match="--batch-size 3 cannot be divided among 2"):
        _Pair().share(3, what="--batch-size")


class _Pair(type(ALONE)):  # type: ignore[misc]
    count, index = 2, 1


def test_the_share_of_a_process() -> None:
    assert _Pair().share(8, what="--batch-size") == slice(4, 8)
    assert ALONE.share(8, what="--batch-size") == slice(0, 8)


def test_more_gpus_than_there_are_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError, match="4 devices were asked for, 1 are there"):
        in_ranks(print, accelerator="cuda", devices=4)


def test_torchrun_starts_it_too_and_only_one_speaks(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *launcher, *command(workspace.root, toy(batch_size=4)), "--json"],
        capture_output=True,
        cwd=ROOT,
        env=ENV,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    assert (report["done"], report["devices"]) == (6, 2)
    assert done.stderr.decode().count("[train]") == 1


def start(root: Path, config: TrainConfig) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *command(root, config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=ENV,
        text=True,
    )


def wait_until_it_trains(root: Path, process: "subprocess.Popen[str]") -> None:
    log = root / "model" / "log.jsonl"
    while not (log.exists() and log.stat().st_size):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)


def workers(pid: int) -> list[int]:
    """Return the children that train: multiprocessing has one more that only watches."""
    children = [
        int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ]
    return [c for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]


ENDLESS = {"iterations": 100_000, "save_every": 100_000, "preview_every": 100_000, "devices": 2}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_process_that_dies_ends_the_run_with_its_error(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path)
    with start(workspace.root, toy(**ENDLESS)) as process:
        wait_until_it_trains(workspace.root, process)
        os.kill(workers(process.pid)[1], signal.SIGKILL)
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == DeviceError.exit_code, stderr
    assert re.search(r"process \d of the training ended", stderr)
    assert "goes on from the last checkpoint" in stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_signal_saves_once_and_the_next_run_goes_on(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path)
    with start(workspace.root, toy(**ENDLESS)) as process:
        wait_until_it_trains(workspace.root, process)
        for pid in (process.pid, *workers(process.pid)):  # as Ctrl-C in a terminal
            os.kill(pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    (saved,) = checkpoints(workspace.model)
    kept = read_about(saved)["iteration"]
    assert kept % loop.READ_EVERY == 0
    assert run_train(workspace, toy(iterations=kept + 1)).done == 1
