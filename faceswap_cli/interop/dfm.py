"""A swap model as one ONNX file: `.dfm`, as DeepFaceLive and facefusion read it, or plain.

A .dfm is ONNX of opset 12. It takes and gives BGR pictures, 0..1, (N, R, R, 3); its names and
the order of what it gives are fixed.
"""

# Shape suffixes: B batch, H = W = R side of the model, C channels of the decoder's map.

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from faceswap_cli.errors import ConfigError, FaceswapError
from faceswap_cli.models import Autoencoder
from faceswap_cli.models.blocks import Heads

if TYPE_CHECKING:
    import onnx

OPSET: Final = 12
BATCH: Final = "N"
MAX_WEIGHT_BYTES: Final = 2**31 - 2**20
"""A protobuf, which such a file is, holds no more than 2 GiB."""
TOLERANCE: Final = 1e-3
"""Of a picture of 0..1: a quarter of a grey level."""
COMPARED: Final = 3
"""Faces; another number than the one it was made with."""
_UNFLATTEN: Final = "aten::unflatten"
_EXPORTER: Any = torch.onnx  # the older one is there, and no longer in its types


@dataclass(frozen=True)
class Port:
    """An input or an output."""

    name: str
    shape: tuple[int | str, ...]
    """Numbers, and N for the batch."""

    def __str__(self) -> str:
        return f"{self.name} [{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Exported:
    """A model in another format."""

    data: bytes
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    difference: float | None
    """Largest, from what the model itself draws; None: onnxruntime, which tells, is missing."""


class _Drawing(nn.Module):
    """Calls a model as a file of some format would be called."""

    names: tuple[tuple[str, ...], tuple[str, ...]]
    """Of inputs, the last one for models that morph alone, and outputs."""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.model = model

    def parts(self, dst_B3RR: Tensor, morph: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the face as src, and the masks of src and dst, not yet combined.

        Args:
            dst_B3RR: RGB, 0..1.
            morph: One tensor, (1,), 0..1, if the model takes it.
        """
        model = self.model
        code = model.encoder(dst_B3RR)
        as_src, as_dst = model.swap_map(code), model.maps(code, code)[1]
        for share in morph:
            C = int(as_src.shape[1])  # a number, also while it is traced
            from_src_C = torch.arange(C, dtype=torch.float32) < torch.floor(C * share)
            as_src = torch.where(from_src_C[:, None, None], as_src, as_dst)
        src_decoder, dst_decoder = model.side_decoders
        face, mask = src_decoder(as_src)
        return face, mask, dst_decoder.outline(as_dst)


class _Dfm(_Drawing):
    names = (
        ("in_face:0", "morph_value:0"),
        ("out_face_mask:0", "out_celeb_face:0", "out_celeb_face_mask:0"),
    )

    def __init__(self, model: Autoencoder) -> None:
        super().__init__(model)
        self.register_buffer("reversed", torch.tensor([2, 1, 0]))

    def forward(self, bgr_BRR3: Tensor, *morph: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mask of dst, the face as src in BGR, and its mask; channels last."""
        rgb_B3RR = bgr_BRR3.index_select(3, self.get_buffer("reversed")).permute(0, 3, 1, 2)
        face, src_mask, dst_mask = self.parts(rgb_B3RR, morph)
        bgr = face.permute(0, 2, 3, 1).index_select(3, self.get_buffer("reversed"))
        return dst_mask.permute(0, 2, 3, 1), bgr, src_mask.permute(0, 2, 3, 1)


class _Plain(_Drawing):
    names = (("face", "morph"), ("swapped", "mask"))

    def forward(self, rgb_B3RR: Tensor, *morph: Tensor) -> tuple[Tensor, Tensor]:
        """Return what Autoencoder.swap does."""
        face, src_mask, dst_mask = self.parts(rgb_B3RR, morph)
        return face, torch.minimum(src_mask, dst_mask)


FORMATS: Final[dict[str, type[_Drawing]]] = {"dfm": _Dfm, "onnx": _Plain}


def export_model(model: Autoencoder, form: str, *, about: dict[str, str]) -> Exported:
    """Return a model as an ONNX file, compared with what the model itself draws.

    Args:
        model: On the CPU, of float32, ready to draw.
        form: dfm: BGR, channels last, DeepFaceLab's names. onnx: RGB, channels first, `face` to
            `swapped` and `mask`.
        about: Text to keep inside the file, by key.

    Raises:
        ConfigError: The package onnx is missing, or the model is too large for such a file.
        FaceswapError: The file draws other pictures than the model.
    """
    onnx = _import_onnx()
    _check_size(model)
    drawing = FORMATS[form](model).eval()
    example = _example(drawing, model, form)
    names_in, names_out = drawing.names[0][: len(example)], drawing.names[1]
    with torch.no_grad(), _one_head_after_the_other(model):
        raw = _trace(drawing, example, names_in, names_out)
        drawn = drawing(*example)
    file = onnx.load_model_from_string(raw)
    inputs = _ports(names_in, example)
    outputs = _ports(names_out, drawn)
    _say_shapes(file.graph.output, outputs)
    for key, value in about.items():
        file.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(file)
    data = file.SerializeToString()
    return Exported(data, inputs, outputs, _compare(data, drawing, inputs))


def _import_onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise ConfigError(
            "the package onnx is missing, which writes such files",
            seen_in="faceswap-cli export",
            fix='pip install "faceswap-cli[export]"',
        ) from error
    return onnx


def _check_size(model: Autoencoder) -> None:
    size = sum(p.nbytes for p in model.parameters())
    if size > MAX_WEIGHT_BYTES:
        raise ConfigError(
            f"the weights take {size / 2**30:.2f} GiB, a file of this format holds 2",
            seen_in="faceswap-cli export",
            fix="train a model with option t or a smaller ae_dims: its bottlenecks are smaller",
        )


def _example(drawing: _Drawing, model: Autoencoder, form: str) -> tuple[Tensor, ...]:
    side = model.size
    shape = (2, side, side, 3) if form == "dfm" else (2, 3, side, side)
    picture = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    return (picture, torch.tensor([0.5])) if model.takes_morph else (picture,)


def _trace(
    drawing: nn.Module,
    example: tuple[Tensor, ...],
    names_in: Sequence[str],
    names_out: Sequence[str],
) -> bytes:
    """Return the file as torch writes it.

    By torch's older exporter: the newer one writes opset 18 and more, and readers of .dfm know
    no more than 12.
    """
    from io import BytesIO

    written = BytesIO()
    batched = (names_in[0], *names_out)
    with warnings.catch_warnings(), _unflatten_known():
        # Of the exporter being old, and of shapes that become constants, as they should.
        warnings.simplefilter("ignore")
        _EXPORTER.export(
            drawing,
            example,
            written,
            dynamo=False,
            opset_version=OPSET,
            input_names=list(names_in),
            output_names=list(names_out),
            dynamic_axes={name: {0: BATCH} for name in batched},
        )
    return written.getvalue()


@contextmanager
def _unflatten_known() -> Iterator[None]:
    """Teach the exporter an operation that it knows from opset 13 on only."""
    from torch.onnx.symbolic_helper import parse_args

    @parse_args("v", "i", "is")
    def unflatten(graph: Any, x: Any, axis: int, sizes: list[int]) -> Any:
        """Write (B, N) -> (B, *sizes); models unflatten no other axis."""
        assert axis == 1
        return graph.op("Reshape", x, graph.op("Constant", value_t=torch.tensor([-1, *sizes])))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _EXPORTER.register_custom_op_symbolic(_UNFLATTEN, unflatten, OPSET)
        try:
            yield
        finally:
            _EXPORTER.unregister_custom_op_symbolic(_UNFLATTEN, OPSET)


@contextmanager
def _one_head_after_the_other(model: nn.Module) -> Iterator[None]:
    """Have heads drawn one by one: joined, their kernels would be put together at every call."""
    heads = [module for module in model.modules() if isinstance(module, Heads)]
    before = [module.apart for module in heads]
    for module in heads:
        module.apart = True
    try:
        yield
    finally:
        for module, apart in zip(heads, before, strict=True):
            module.apart = apart


def _ports(names: Sequence[str], tensors: Sequence[Tensor]) -> tuple[Port, ...]:
    return tuple(
        Port(name, tuple(tensor.shape) if tensor.ndim == 1 else (BATCH, *tensor.shape[1:]))
        for name, tensor in zip(names, tensors, strict=True)
    )


def _say_shapes(values: "Sequence[onnx.ValueInfoProto]", ports: Sequence[Port]) -> None:
    """Write the shapes of the outputs, which the exporter does not see through."""
    for value, port in zip(values, ports, strict=True):
        for dim, size in zip(value.type.tensor_type.shape.dim, port.shape, strict=True):
            if isinstance(size, int):
                dim.dim_value = size
            else:
                dim.dim_param = size


def _compare(data: bytes, drawing: _Drawing, inputs: Sequence[Port]) -> float | None:
    """Return the largest difference between the file and the model, or None if none can tell."""
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    given: dict[str, NDArray[np.float32]] = {}
    for port in inputs:
        shape = [size if isinstance(size, int) else COMPARED for size in port.shape]
        given[port.name] = random.random(shape, dtype=np.float32)
    with torch.inference_mode():
        drawn = drawing(*(torch.from_numpy(value) for value in given.values()))
    pairs = zip(session.run(None, given), drawn, strict=True)
    largest = max(float(np.abs(theirs - ours.numpy()).max()) for theirs, ours in pairs)
    if not largest <= TOLERANCE:
        raise FaceswapError(
            f"the file would draw other pictures than the model: up to {largest:.3g} of 1",
            seen_in=f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}",
            fix="export it with another version of torch, and report this one",
        )
    return largest
