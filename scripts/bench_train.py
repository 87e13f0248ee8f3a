"""How long a step of the training takes, part by part, the same model run in several ways.

The variants of a model are built side by side and take one step each in turn, for many rounds:
what disturbs a machine disturbs all of them, and the matrix products that take their turn, too, and
tell what the device can do. All figures are medians over the rounds.
"""

import dataclasses
import gc
import statistics
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from faceswap_cli.config import STRUCTURE, TrainConfig
from faceswap_cli.device import (
    Device,
    choose_device,
    computes_bf16,
    is_out_of_memory,
    keep_freed_memory,
)
from faceswap_cli.models import Faces
from faceswap_cli.models.blocks import Inter
from faceswap_cli.ranks import ALONE
from faceswap_cli.settings import find_preset, load_config
from faceswap_cli.training.checkpoint import TrainState
from faceswap_cli.training.compiling import compile_errors
from faceswap_cli.training.cost import estimate_cost
from faceswap_cli.training.cutting import Layout
from faceswap_cli.training.data import HeldFaces, Portion, Sampler
from faceswap_cli.training.optimizers import build_optimizer
from faceswap_cli.training.schedule import learning_rate, weighted_loss
from faceswap_cli.training.step import Stepper

FACES = 32
"""Made at random, for both sides."""
WARM_UP = 2
"""Rounds that do not count: memory is taken, kernels are chosen or compiled."""
PARTS = ("data", "forward", "backward", "optimiser")
SHAPES = {
    "df128": {"model": "df", "options": "", "resolution": 128, "ae_dims": 128, "e_dims": 48}
    | {"d_dims": 48, "d_mask_dims": 16, "batch_size": 4},
    "df64": {"model": "df", "options": "", "resolution": 64, "ae_dims": 64, "e_dims": 32}
    | {"d_dims": 32, "d_mask_dims": 10, "batch_size": 8},
    "liae256": {"model": "liae", "options": "ud", "resolution": 256, "batch_size": 2},
    "dfud320": {"model": "df", "options": "ud", "resolution": 320, "batch_size": 8},
}
GPU_BATCHES = {"liae256": 16}
DEEPFACELAB_S = {"df128": 2.75, "df64": 0.65, "liae256": 4.6}
"""A step of DeepFaceLab's own graph at the batch of SHAPES, measured on another machine: a CPU
that computes bf16. Not comparable with this one but in its order of magnitude."""
MODEL_NAMES = (*SHAPES, "quick")
FLAGS = ("contiguous", "recompute", "compile")


@dataclass(frozen=True)
class Variant:
    """One way to run a model; without flags: channels last, activations kept, not compiled."""

    precision: str
    contiguous: bool = False
    recompute: bool = False
    compile: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the variant of a text like `bf16` or `fp32+contiguous+recompute`.

        Raises:
            ValueError: There is none.
        """
        precision, *words = text.split("+")
        layouts = [word for word in words if word in ("channels-last", "contiguous")]
        known = precision in ("fp32", "bf16") and set(words) <= {"channels-last", *FLAGS}
        if not known or len(layouts) > 1:
            raise ValueError(
                f"no variant {text!r}: fp32 or bf16, then any of +{', +'.join(FLAGS)}"
                " or +channels-last, which is the default"
            )
        return cls(precision, **{flag: flag in words for flag in FLAGS})

    def __str__(self) -> str:
        layout = "contiguous" if self.contiguous else "channels-last"
        return "+".join([self.precision, layout, *(f for f in FLAGS[1:] if getattr(self, f))])


def choose_models(text: str) -> list[str]:
    """Return the names in a list divided by commas, or raise ValueError."""
    names = text.split(",")
    if unknown := [name for name in names if name not in MODEL_NAMES]:
        raise ValueError(f"no model {', '.join(unknown)}: any of {', '.join(MODEL_NAMES)}")
    return names


def choose_variants(text: str | None, *, compiled: bool) -> list[Variant]:
    """Return the variants to compare.

    Args:
        text: Divided by commas; None: what makes sense on this device.
        compiled: Add each of them compiled.

    Raises:
        ValueError: One of them does not exist.
    """
    if text is None:
        native = computes_bf16(choose_device("auto").name)
        precisions = ("bf16", "fp32") if native else ("fp32",)
        chosen = [Variant(p, contiguous=c) for p in precisions for c in (False, True)]
    else:
        chosen = [Variant.parse(item) for item in text.split(",")]
    if compiled:
        chosen += [dataclasses.replace(variant, compile=True) for variant in chosen]
    return list(dict.fromkeys(chosen))


def settings_of(name: str) -> TrainConfig:
    """Return the settings of one of MODEL_NAMES on this device."""
    if name == "quick":
        return load_config(find_preset("quick")).train
    settings = dict(SHAPES[name])
    if name in GPU_BATCHES and choose_device("auto").name == "cuda":
        settings["batch_size"] = GPU_BATCHES[name]
    return TrainConfig.model_validate(settings)


class Stopwatch:
    """Times the parts of some work. On a GPU it leaves marks among the orders, and waits for none.

    Times are only to be asked for when the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._marks: list[tuple[str, float | torch.cuda.Event]] = []
        self.end("")

    def end(self, part: str) -> None:
        """Mark the end of a part, that is the beginning of the next."""
        moment: float | torch.cuda.Event = time.perf_counter()
        if self._on_gpu:
            moment = torch.cuda.Event(enable_timing=True)
            moment.record()
        self._marks.append((part, moment))

    def seconds(self, part: str) -> float:
        """Return the time of a part, in all its turns."""
        pairs = pairwise(self._marks)
        return sum(_between(began, ended) for (_, began), (name, ended) in pairs if name == part)


def _between(began: float | torch.cuda.Event, ended: float | torch.cuda.Event) -> float:
    if isinstance(began, torch.cuda.Event) and isinstance(ended, torch.cuda.Event):
        return float(began.elapsed_time(ended)) / 1000.0
    assert isinstance(began, float) and isinstance(ended, float)
    return ended - began


class Product:
    """A square matrix product: about the fastest arithmetic that a device can do."""

    def __init__(self, device: Device) -> None:
        self.side, self._device = self._choose_side(device), device
        dtype = torch.bfloat16 if device.precision == "bf16" else torch.float32
        self._a, self._b, self._out = (
            torch.randn(self.side, self.side, device=device.place).to(dtype) for _ in range(3)
        )
        self._watches: list[Stopwatch] = []

    @staticmethod
    def _choose_side(device: Device) -> int:
        """Return the side of a matrix that keeps the device busy for a while, and not for long."""
        if device.name == "cuda":
            return 8192
        if device.precision == "bf16" and not computes_bf16(device.name):
            return 512  # imitated
        return 2048 if torch.get_num_threads() <= 8 else 4096

    def run(self) -> None:
        """Multiply once."""
        with _as_convolutions(self._device):
            watch = Stopwatch(self._device.place)
            torch.mm(self._a, self._b, out=self._out)
            watch.end("product")
        self._watches.append(watch)

    def tflop_per_s(self) -> float:
        """Return the rate."""
        times = [watch.seconds("product") for watch in self._watches[WARM_UP:]]
        return 2.0 * self.side**3 / statistics.median(times) / 1e12


@contextmanager
def _as_convolutions(device: Device) -> Iterator[None]:
    """Let products round to TF32 where convolutions do: fp32 convolutions on a GPU, by default."""
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    if device.name == "cuda":
        matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    try:
        yield
    finally:
        if device.name == "cuda":
            matmul.allow_tf32 = before


def made_up_faces(resolution: int, place: torch.device) -> HeldFaces:
    """Return noise, packed as faces."""
    random, layout = np.random.default_rng(0), Layout.of(resolution)
    side, half = layout.side, layout.side // 2
    rows = [
        layout.pack(
            random.integers(0, 256, (side, side, 3), dtype=np.uint8),
            np.full((2, half, half), 255, np.uint8),
            np.zeros((68, 2), np.float32),
        )
        for _ in range(FACES)
    ]
    packed = torch.frombuffer(bytearray(b"".join(rows)), dtype=torch.uint8)
    return HeldFaces(packed.view(FACES, -1).to(place), (0.0,) * FACES, layout)


class Trial:
    """A model that is run one way, a step at a time."""

    def __init__(
        self, variant: Variant, config: TrainConfig, faces: HeldFaces, rounds: int
    ) -> None:
        self.variant, self.failed = variant, ""
        self.device = choose_device("auto", variant.precision)
        self.config = config.model_copy(
            update={
                "compile": "on" if variant.compile else "off",
                "recompute": variant.recompute,
                "micro_batch": 0,
            }
        )
        self.cost = estimate_cost(self.config, self.device, batch_size=self.config.batch)
        before = self._allocated()
        self.state = self._build()
        self._own_bytes = self._allocated() - before
        self._rise_bytes = 0
        self._sampler = Sampler({"src": faces, "dst": faces}, self.config, self.device.place)
        self._portions = self._load(WARM_UP + rounds)
        self._watches: list[Stopwatch] = []

    def _build(self) -> TrainState:
        state = TrainState.new(self.config, self.device)
        if self.variant.contiguous:
            state.model.to(memory_format=torch.contiguous_format)
            for module in state.model.modules():
                if isinstance(module, Inter):  # it hands its map on with channels last
                    module.up.register_forward_pre_hook(_contiguous_input)
            # Slots and average lie in memory as their weights do.
            state.optimizers = {
                name: build_optimizer(state.model.get_submodule(name), self.config, ALONE)
                for name in state.model.trained()
            }
            if state.average:
                state.begin_average()
            gc.collect()
        Stepper(state, self.config, self.device)  # has the model compile, and recompute
        return state

    def _load(self, count: int) -> Generator[Portion, None, None]:
        """Load in a thread for a GPU, as the training does; on a CPU the time shall be seen."""
        if self.device.name == "cuda":
            return self._sampler.ahead(0, count)
        return (self._sampler.load(iteration) for iteration in range(count))

    def _allocated(self) -> int:
        return torch.cuda.memory_allocated() if self.device.name == "cuda" else 0

    def run(self) -> None:
        """Take one step, if none has failed before."""
        if self.failed:
            return
        before = self._allocated()
        if self.device.name == "cuda":
            torch.cuda.reset_peak_memory_stats()
        try:
            self._watches.append(self._step())
        except compile_errors(compiled=True) as error:
            self._fail(error)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self._fail(error)
        if self.device.name == "cuda" and len(self._watches) > WARM_UP:
            self._rise_bytes = max(self._rise_bytes, torch.cuda.max_memory_allocated() - before)

    def _fail(self, error: Exception) -> None:
        self.failed = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        self.close()
        del self.state

    def _step(self) -> Stopwatch:
        # Must do what run_loop and Stepper (training/loop.py, training/step.py) do, in their order;
        # tests/test_bench.py compares the weights.
        watch, state, config = Stopwatch(self.device.place), self.state, self.config
        src, dst = (self._laid_out(f) for f in self._sampler.assemble(next(self._portions)))
        watch.end("data")
        turns = state.model.losses(src, dst)
        rate = learning_rate(config, state.iteration)
        log: dict[str, Tensor] = {}
        for _ in range(state.model.turns):
            with self.device.autocast():
                names, terms = next(turns)
                loss = weighted_loss(terms, config)
            watch.end("forward")
            loss.backward()
            watch.end("backward")
            log |= {name: value.detach().mean() for name, value in terms.items()}
            if config.clip_norm > 0:
                nn.utils.clip_grad_norm_(state.model.parameters(), config.clip_norm)
            for name in names.split():
                optimizer = state.optimizers[name]
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            watch.end("optimiser")
        state.iteration += 1
        state.move_average(config.ema_half_life)
        watch.end("optimiser")
        return watch

    def _laid_out(self, faces: Faces) -> Faces:
        # The sampler makes them with channels last: contiguous, its data part is a copy too long.
        if not self.variant.contiguous:
            return faces
        warped = faces.warped.contiguous() if faces.warped is not None else None
        return dataclasses.replace(faces, img=faces.img.contiguous(), warped=warped)

    def close(self) -> None:
        """End the thread that loads."""
        self._portions.close()

    def times(self, part: str) -> list[float]:
        """Return the seconds of a part in each round that counts; of the whole step for ''."""
        parts = (part,) if part else PARTS
        return [sum(watch.seconds(p) for p in parts) for watch in self._watches[WARM_UP:]]

    def peak_bytes(self) -> int:
        """Return the memory it took at most, without that of the faces; on a CPU an estimate."""
        return self._own_bytes + self._rise_bytes if self._own_bytes else self.cost.total_bytes


def _contiguous_input(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(x.contiguous() for x in inputs)


def measure(trials: Sequence[Trial], products: Sequence[Product], rounds: int) -> None:
    """Let all take turns; on a GPU they are ordered without a wait, as in a long training."""
    for number in range(WARM_UP + rounds):
        for product in products:
            product.run()
        for trial in trials:
            trial.run()
        if torch.cuda.is_available() and number == WARM_UP - 1:
            torch.cuda.synchronize()
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def result(trial: Trial, first: Trial, product: Product) -> dict[str, Any]:
    """Return the row of a variant; `first` is what it is compared with."""
    if trial.failed:
        return {"variant": str(trial.variant), "failed": trial.failed}
    product_tflop_per_s = product.tflop_per_s()
    times, base = trial.times(""), first.times("")
    whole = statistics.median(times)
    parts = {f"{part}_s": statistics.median(trial.times(part)) for part in PARTS}
    tflop_per_s = trial.cost.flops / whole / 1e12
    return {
        "variant": str(trial.variant),
        **parts,
        "whole_s": whole,
        "best_s": min(times),
        # Round by round: the noise of a round is in both.
        "ratio": statistics.median(a / b for a, b in zip(times, base, strict=True)),
        "data_percent": 100.0 * parts["data_s"] / whole,
        "images_per_s": 2.0 * trial.config.batch / whole,
        "gflop": trial.cost.flops / 1e9,
        "tflop_per_s": tflop_per_s,
        "product_side": product.side,
        "product_tflop_per_s": product_tflop_per_s,
        "utilisation_percent": 100.0 * tflop_per_s / product_tflop_per_s,
        "memory_gib": trial.peak_bytes() / 2**30,
        "all_whole_s": times,
    }


def compare(name: str, variants: Sequence[Variant], rounds: int) -> dict[str, Any]:
    """Return the settings of a model and the results of its variants, ready for JSON.

    Args:
        name: One of MODEL_NAMES.
        variants: All of them are kept in memory at once.
        rounds: Steps of each variant that count.
    """
    try:
        return _compare(name, variants, rounds)
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if any(variant.compile for variant in variants):
            torch.compiler.reset()


def _compare(name: str, variants: Sequence[Variant], rounds: int) -> dict[str, Any]:
    config = settings_of(name)
    if choose_device("auto").name == "cpu":
        keep_freed_memory()  # as the training does
    faces = made_up_faces(config.resolution, choose_device("auto").place)
    precisions = dict.fromkeys(variant.precision for variant in variants)
    products = {p: Product(choose_device("auto", p)) for p in precisions}
    if any(variant.compile for variant in variants):
        # The variants share the code of the networks, of which so many versions are kept.
        torch._dynamo.config.recompile_limit = 8 * len(variants)
    with ExitStack() as opened:
        trials = [
            opened.enter_context(closing(Trial(variant, config, faces, rounds)))
            for variant in variants
        ]
        measure(trials, list(products.values()), rounds)
    first = next((trial for trial in trials if not trial.failed), trials[0])
    same_batch = config.batch == SHAPES.get(name, {}).get("batch_size")
    return {
        "settings": config.model_dump(include={*STRUCTURE, "batch_size"}),
        "parameters": sum(first.cost.parameters.values()),
        "deepfacelab_another_cpu_s": DEEPFACELAB_S.get(name) if same_batch else None,
        "variants": [result(t, first, products[t.variant.precision]) for t in trials],
    }


def about_here() -> dict[str, Any]:
    """Return what there is to know of this machine."""
    device = choose_device("auto", "fp32")
    return {
        "device": str(device).removesuffix(", fp32"),
        "torch": torch.__version__,
        "bf16": computes_bf16(device.name),
        "tf32": device.name == "cuda" and torch.backends.cudnn.allow_tf32,
        "memory": "measured" if device.name == "cuda" else "estimated",
    }
