"""How fast the stages are on this machine: prints a table. Not part of the tests.

    python scripts/bench.py help
    python scripts/bench.py train --models df64,quick --iterations 20 --json FILE
    python scripts/bench.py train --variants fp32,fp32+contiguous,fp32+recompute
    python scripts/bench.py extract --video CLIP.mp4
    python scripts/bench.py merge WORKSPACE          # a trained workspace, merged into a copy
    python scripts/bench.py composite                # one face into one frame, on one core

Figures are medians or totals of this run; run it on a quiet machine.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    if given.what == "composite":
        from bench_composite import bench_composite

        return bench_composite(given.rounds)
    return bench_merge(given.workspace, given.video)


COLUMNS = (
    ("data", "ms", "data_s", 1e3, 1),
    ("forward", "ms", "forward_s", 1e3, 1),
    ("backward", "ms", "backward_s", 1e3, 1),
    ("optimiser", "ms", "optimiser_s", 1e3, 1),
    ("whole", "ms", "whole_s", 1e3, 1),
    ("best", "ms", "best_s", 1e3, 1),
    ("ratio", "", "ratio", 1.0, 3),
    ("data", "%", "data_percent", 1.0, 1),
    ("images", "/s", "images_per_s", 1.0, 1),
    ("work", "GFLOP", "gflop", 1.0, 1),
    ("speed", "TFLOP/s", "tflop_per_s", 1.0, 3),
    ("product", "TFLOP/s", "product_tflop_per_s", 1.0, 3),
    ("used", "%", "utilisation_percent", 1.0, 1),
    ("memory", "GiB", "memory_gib", 1.0, 2),
)
"""Of the table of a model: heading, unit, key of a result, its factor, decimals."""
LEGEND = """\
best       the fastest round: where others work, too, the least disturbed
ratio      to the first variant, the median of the rounds' own
data       loading and assembling a batch; on a GPU waiting for it and assembling
forward    with the losses
optimiser  clipping, step; the average in those steps that move it
images     of both sides
work       as estimated, with what recompute does again
product    a square matrix product at that precision, measured between the steps
used       speed / product
memory     at most allocated, without the faces; on a CPU an estimate"""


def print_train(given: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Print the tables of the training, which has a module of its own; write them as JSON."""
    import bench_train

    try:
        names = bench_train.choose_models(given.models)
        variants = bench_train.choose_variants(given.variants, compiled=given.compile)
    except ValueError as error:
        parser.error(str(error))
    about = bench_train.about_here()
    print(f"{about['device']}, torch {about['torch']}; medians of {given.iterations} rounds")
    if about["tf32"]:
        print("fp32: convolutions and the product round to TF32, other products do not")
    if given.variants is None and not about["bf16"]:
        print("bf16 left out: imitated here, dozens of times slower (--variants bf16 shows it)")
    if os.getloadavg()[0] > 0.5:
        print(
            f"load average {os.getloadavg()[0]:.1f}: others work here; small operations wait long"
        )
    print(LEGEND)
    found: dict[str, Any] = {}
    for name in names:
        found[name] = bench_train.compare(name, variants, given.iterations)
        print_model(name, found[name])
        if given.json is not None:
            about |= {"rounds": given.iterations, "models": found}
            given.json.write_text(json.dumps(about, indent=1) + "\n", "utf-8")


def print_model(name: str, compared: dict[str, Any]) -> None:
    """Print the table of a model."""
    settings = ", ".join(f"{key} {value!r}" for key, value in compared["settings"].items())
    print(f"\n{name}: {compared['parameters'] / 1e6:.1f} M parameters; {settings}")
    rows, theirs_s = compared["variants"], compared["deepfacelab_another_cpu_s"]
    width = max(len(row["variant"]) for row in rows)
    for headings in list(zip(*COLUMNS, strict=True))[:2]:
        print(" " * width + "".join(f"{heading:>10}" for heading in headings))
    for row in rows:
        if "failed" in row:
            print(f"{row['variant']:{width}}  {row['failed']}")
            continue
        cells = (f"{factor * row[key]:10.{digits}f}" for _, _, key, factor, digits in COLUMNS)
        print(f"{row['variant']:{width}}" + "".join(cells), flush=True)
    if theirs_s is not None:
        ours = [row for row in rows if "failed" not in row]
        print(
            f"DeepFaceLab, another CPU: {1e3 * theirs_s:.0f} ms, its own graph, measured on ANOTHER"
            " MACHINE, a CPU that computes bf16;\n  our whole step here / that one there: "
            + ", ".join(f"{row['variant']} {row['whole_s'] / theirs_s:.2f}" for row in ours)
        )


def build_parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["help", "extract", "train", "merge", "composite"])
    parser.add_argument("workspace", type=Path, nargs="?", help="for merge")
    parser.add_argument("--video", type=Path, help="for extract; for merge: other footage of dst")
    parser.add_argument("--rounds", type=int, default=30, help="of composite; default %(default)s")
    train = parser.add_argument_group("train")
    train.add_argument(
        "--models",
        default="df128,df64,liae256,quick",
        help="any of df128, df64, liae256, dfud320, quick; default %(default)s",
    )
    train.add_argument(
        "--iterations",
        type=int,
        default=10,
        help="that count; default %(default)s; of composite too",
    )
    train.add_argument(
        "--variants",
        help="fp32 or bf16, each with any of +contiguous, +recompute, +compile;"
        " default: what this device computes, channels last and contiguous",
    )
    train.add_argument("--compile", action="store_true", help="compare each variant compiled, too")
    train.add_argument("--json", type=Path, metavar="FILE", help="write all figures here, too")
    return parser


def main() -> None:
    """Run what the command line names."""
    parser = build_parser()
    given = parser.parse_args()
    if given.what == "extract" and given.video is None:
        parser.error("extract needs --video")
    if given.what == "merge" and given.workspace is None:
        parser.error("merge needs a trained workspace")
    if given.iterations < 1:
        parser.error("--iterations must be 1 or more")
    if given.what == "train":
        print_train(given, parser)
        return
    for name, value, unit in measure(given):
        print(f"{name:48} {value:10.3f} {unit}", flush=True)


if __name__ == "__main__":
    main()
