"""How fast the stages are on this machine: prints a table. Not part of the tests.

    python scripts/bench.py help
    python scripts/bench.py train
    python scripts/bench.py extract --video CLIP.mp4
    python scripts/bench.py merge WORKSPACE          # a trained workspace, merged into a copy

Figures are medians or totals of this run; run it on a quiet machine.
"""

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

Row = tuple[str, float, str]


def bench_help() -> Iterator[Row]:
    """Time `--help` as a whole process."""
    times = []
    for _ in range(7):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", "from faceswap_cli.cli import cli; cli(['--help'])"],
            check=True,
            capture_output=True,
        )
        times.append(time.perf_counter() - began)
    yield "--help, median of 7", statistics.median(times), "s"


def bench_extract(video: Path) -> Iterator[Row]:
    """Time decoding alone, then the whole stage."""
    from faceswap_cli.config import ExtractConfig, InputConfig
    from faceswap_cli.media.reader import read_frames
    from faceswap_cli.stages.extract import run_extract
    from faceswap_cli.workspace import Workspace

    began = time.perf_counter()
    count = sum(1 for _ in read_frames(video))
    yield "decode to RGB", count / (time.perf_counter() - began), "frames/s"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / f"data_dst{video.suffix}").symlink_to(video.resolve())
        began = time.perf_counter()
        (report,) = run_extract(Workspace(root), ExtractConfig(side="dst"), InputConfig())
        seconds = time.perf_counter() - began
        yield "extract, end to end", report.done / seconds, "frames/s"
        share = report.facts["frames with a face"] / report.facts["frames"]
        yield "frames with a face", 100.0 * share, "%"


def bench_train(iterations: int) -> Iterator[Row]:
    """Time an iteration of DF 128 at batch 4, its batches included, and the batches alone."""
    import torch

    from faceswap_cli.config import TrainConfig
    from faceswap_cli.device import choose_device
    from faceswap_cli.training.checkpoint import TrainState
    from faceswap_cli.training.data import FaceStore, build_sampler, canvas_side
    from faceswap_cli.training.loop import train_step

    for precision in ("auto", "fp32"):
        config = TrainConfig(
            model="df", options="", ae_dims=128, e_dims=48, d_dims=48, d_mask_dims=16, batch_size=4
        )
        device = choose_device("auto", precision)
        side = canvas_side(config.resolution)
        images = torch.randint(0, 256, (64, 3, side, side), dtype=torch.uint8)
        store = FaceStore(
            images.to(device.place),
            torch.full((64, 2, side, side), 255, dtype=torch.uint8, device=device.place),
            torch.zeros(64, 68, 2, device=device.place),
            (),
        )
        sampler = build_sampler({"src": store, "dst": store}, config, device.place)
        state = TrainState.new(config, device)
        steps, batches = [], []
        for iteration in range(iterations + 2):
            began = time.perf_counter()
            sampler(iteration)
            batches.append(time.perf_counter() - began)
            began = time.perf_counter()
            terms = train_step(state, sampler, config, device)
            float(next(iter(terms.values())))  # waits for the device
            steps.append(time.perf_counter() - began)
        yield f"DF 128 iteration, {device}", statistics.median(steps[2:]), "s"
        yield "  of it the batches", statistics.median(batches[2:]), "s"


def bench_merge(workspace: Path, video: Path | None) -> Iterator[Row]:
    """Time the merge stage of a trained workspace, in a copy that shares model and faces."""
    from faceswap_cli.config import Config
    from faceswap_cli.settings import load_config
    from faceswap_cli.stages.merge import run_merge
    from faceswap_cli.workspace import Workspace

    origin = Workspace.open(workspace)
    config: Config = load_config(origin.config)
    with tempfile.TemporaryDirectory(dir=workspace.parent) as folder:
        copy = Workspace(Path(folder))
        source = video or origin.source("dst")
        (copy.root / f"data_dst{source.suffix}").symlink_to(source.resolve())
        copy.model.symlink_to(origin.model.resolve())
        shutil.copytree(origin.aligned("dst"), copy.aligned("dst"))
        began = time.perf_counter()
        report = run_merge(copy, config.merge, config.input)
        yield "merge, end to end", report.done / (time.perf_counter() - began), "frames/s"
        yield "  frames with a new face", report.facts["swapped"], ""
        for part, seconds in report.facts["seconds"].items():
            yield f"  {part}, summed over threads", 1000.0 * seconds / report.done, "ms/frame"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield "peak memory of the process", peak / 1024.0, "MiB"


def measure(given: argparse.Namespace) -> Iterator[Row]:
    """Return the rows of the benchmark that was asked for."""
    if given.what == "help":
        return bench_help()
    if given.what == "extract":
        return bench_extract(given.video)
    if given.what == "train":
        return bench_train(given.iterations)
    return bench_merge(given.workspace, given.video)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["help", "extract", "train", "merge"])
    parser.add_argument("workspace", type=Path, nargs="?", help="for merge")
    parser.add_argument("--video", type=Path, help="for extract; for merge: other footage of dst")
    parser.add_argument("--iterations", type=int, default=10, help="for train")
    given = parser.parse_args()
    if given.what == "extract" and given.video is None:
        parser.error("extract needs --video")
    if given.what == "merge" and given.workspace is None:
        parser.error("merge needs a trained workspace")
    for name, value, unit in measure(given):
        print(f"{name:48} {value:10.3f} {unit}", flush=True)


if __name__ == "__main__":
    main()
