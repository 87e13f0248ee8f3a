"""What works on this machine, and what does not."""

import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open

from faceswap_cli.device import choose_device, computes_bf16
from faceswap_cli.errors import FaceswapError
from faceswap_cli.media import codecs

Verdict = Literal["ok", "warn", "FAIL"]
PACKAGES = (
    *("torch", "torchvision", "numpy", "av", "pydantic", "click", "safetensors"),
    *("c2pa-python", "cryptography"),
)
OPENCV_BUILDS = ("opencv-python-headless", "opencv-python", "opencv-contrib-python")
WEIGHTS = ("blazeface_full_range.safetensors", "facemesh_468.safetensors")
MIN_RAM_GIB, MIN_DISK_GIB = 4.0, 5.0
_REINSTALL = "pip install --force-reinstall faceswap-cli"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    seen: str
    fix: str = ""

    def __str__(self) -> str:
        line = f"{self.verdict:<4}  {self.name}: {self.seen}"
        return f"{line}\n      fix: {self.fix}" if self.fix else line


@dataclass
class Findings:
    """All that was looked at."""

    items: list[Finding] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether something is missing that a run without flags needs."""
        return any(item.verdict == "FAIL" for item in self.items)

    def as_json(self) -> dict[str, Any]:
        """Return them as one JSON object."""
        return {"ok": not self.failed, "findings": [asdict(item) for item in self.items]}

    def text(self) -> str:
        """Return them as lines for people."""
        return "\n".join(str(item) for item in self.items)


def examine() -> Findings:
    """Look at versions, devices, memory, codecs and weights; nothing is changed or fetched."""
    checks: list[Callable[[], list[Finding]]] = [
        _versions,
        _ffmpeg,
        _devices,
        _machine,
        _encoders,
        _weights,
        _fan,
    ]
    return Findings([finding for check in checks for finding in check()])


def _versions() -> list[Finding]:
    found = [Finding("python", "ok", f"{platform.python_version()} on {sys.platform}")]
    for names in (*((package,) for package in PACKAGES), OPENCV_BUILDS):
        installed = {name: text for name in names if (text := _version(name))}
        # A build of another name, as on a cluster, may serve as well: so this is no failure.
        finding = Finding(names[0], "warn", "not installed under this name")
        for name, text in installed.items():
            finding = Finding(name, "ok", text)
        found.append(finding)
    return found


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _ffmpeg() -> list[Finding]:
    return [Finding("ffmpeg", "ok", codecs.ffmpeg_version())]


def _devices() -> list[Finding]:
    found = []
    try:
        device = choose_device("auto")
    except FaceswapError as error:
        return [Finding("device", "FAIL", error.what, "faceswap-cli works with --device cpu")]
    found.append(Finding("device", "ok", f"auto is {device}"))
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(index)
            seen = f"{about.name}, {about.total_memory / 2**30:.1f} GiB"
            found.append(Finding(f"cuda:{index}", "ok", seen))
    else:
        reason = f"torch {torch.__version__} is built for CUDA {torch.version.cuda}"
        fix = "training on a CPU is slow; see pytorch.org for a build that fits your driver"
        found.append(Finding("cuda", "warn", f"no device; {reason}", fix))
    bf16 = "computes bf16 itself" if computes_bf16("cpu") else "has no bf16: fp32 is used"
    found.append(Finding("cpu", "ok", f"{_cpu_features()}; {bf16}"))
    return found


def _cpu_features() -> str:
    tests = {
        "AMX": "_is_amx_tile_supported",
        "AVX512-bf16": "_is_avx512_bf16_supported",
        "AVX512": "_is_avx512_supported",
        "AVX2": "_is_avx2_supported",
    }
    there = [name for name, test in tests.items() if getattr(torch.cpu, test, lambda: False)()]
    return ", ".join(there) or torch.backends.cpu.get_cpu_capability()


def _machine() -> list[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return [
        Finding("cpu cores", "ok", f"{cores}, torch uses {torch.get_num_threads()}"),
        _at_least("memory", pages, MIN_RAM_GIB, "train with a smaller --batch-size"),
        _at_least("free disk here", free, MIN_DISK_GIB, "put the workspace on another disk"),
    ]


def _at_least(name: str, gib: float, enough: float, fix: str) -> Finding:
    if gib >= enough:
        return Finding(name, "ok", f"{gib:.1f} GiB")
    return Finding(name, "warn", f"{gib:.1f} GiB, less than {enough:g}", fix)


def _encoders() -> list[Finding]:
    found = []
    for name, use in codecs.ENCODERS.items():
        if codecs.has_encoder(name):
            found.append(Finding(name, "ok", use))
        else:
            verdict: Verdict = "FAIL" if name == "libx264" else "warn"
            fix = "pip install --force-reinstall av: its wheels have it"
            found.append(Finding(name, verdict, f"no encoder for {use}", fix))
    for name, reason in codecs.try_hardware().items():
        if reason:
            fix = "only for --encoder: software does it otherwise"
            found.append(Finding(name, "warn", f"hardware, not usable: {reason}", fix))
        else:
            found.append(Finding(name, "ok", "hardware, opens"))
    return found


def _weights() -> list[Finding]:
    folder = Path(__file__).parent.parent / "detect" / "weights"
    return [_weights_file(folder / name) for name in WEIGHTS]


def _weights_file(path: Path) -> Finding:
    try:
        with safe_open(path, framework="numpy") as tensors:
            count = len(tensors.keys())
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, SafetensorError) as error:
        return Finding(path.name, "FAIL", f"cannot be read: {error}", _REINSTALL)
    return Finding(path.name, "ok", f"{count} tensors, sha256 {digest}")


def _fan() -> list[Finding]:
    from faceswap_cli.detect.fan import is_fan_ready

    if is_fan_ready():
        return [Finding("face-alignment", "ok", "installed, with its weights")]
    installed = _version("face-alignment")
    seen = f"{installed}, without its weights" if installed else "not installed"
    fix = 'only for --landmarker fan: pip install "faceswap-cli[fan]"; it downloads its weights'
    return [Finding("face-alignment", "warn", f"{seen}; the mesh landmarker is used", fix)]
