"""Networks that enlarge pictures: made ones, which do what published ones do."""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from faceswap_cli.detect import onnx_session
from faceswap_cli.detect.onnx_session import open_session
from faceswap_cli.errors import ConfigError
from faceswap_cli.merging.enhance import SPANS, open_enhancer
from tests.made_faces import smooth_picture

UNIT, SIGNED, LEVELS = SPANS
REAL, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def network(
    *,
    factor: float = 2.0,
    sides: Sequence[int | str] = ("H", "W"),
    middle: float = 0.5,
    output_scale: float = 1.0,
    nodes: Sequence[Any] = (),
    kind: int = REAL,
    channels: int = 3,
    batch: int | str = 1,
) -> bytes:
    """Return a network that enlarges pixels and, as learnt ones do, draws them to its mid-grey."""
    helper = onnx.helper
    dtype = np.float16 if kind == HALF else np.float32
    chain = [
        helper.make_node("Resize", ["image", "", "scales"], ["large"], mode="nearest"),
        helper.make_node("Sub", ["large", "middle"], ["about"]),
        helper.make_node("Mul", ["about", "less"], ["drawn"]),
        helper.make_node("Add", ["drawn", "middle"], ["sum"]),
        helper.make_node("Mul", ["sum", "output_scale"], ["out"]),
    ]
    constants = {
        "scales": np.array([1, 1, factor, factor], np.float32),
        "middle": np.array(middle, dtype),
        "less": np.array(0.9, dtype),
        "output_scale": np.array(output_scale, dtype),
    }
    graph = helper.make_graph(
        list(nodes) or chain,
        "g",
        [helper.make_tensor_value_info("image", kind, (batch, channels, *sides))],
        [helper.make_tensor_value_info("out", kind, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def faces(num: int = 2, side_px: int = 32) -> Tensor:
    pictures = [smooth_picture(seed, (side_px, side_px)) for seed in range(num)]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255.0


def enlarged(image: Tensor, factor: int = 2) -> Tensor:
    large = image.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    return 0.5 + 0.9 * (large - 0.5)


@pytest.mark.parametrize(
    ("span", "middle"), [(UNIT, 0.5), (SIGNED, 0.0), (LEVELS, 127.5)], ids=["0..1", "-1..1", "255"]
)
def test_the_range_of_a_network_is_found_by_what_it_gives_back(span: object, middle: float) -> None:
    enhance = open_enhancer(network(middle=middle), "x.onnx")
    assert enhance.spans == (span, span)
    image = faces()
    torch.testing.assert_close(enhance(image), enlarged(image), atol=1e-4, rtol=0)


def test_a_network_may_give_another_range_than_it_takes() -> None:
    enhance = open_enhancer(network(output_scale=255.0), "x.onnx")
    assert enhance.spans == (UNIT, LEVELS)
    image = faces()
    torch.testing.assert_close(enhance(image), enlarged(image), atol=1e-4, rtol=0)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_it_enlarges_by_what_the_network_does(factor: int) -> None:
    enhance = open_enhancer(network(factor=factor), "x.onnx")
    assert enhance(faces(1, 20)).shape == (1, 3, 20 * factor, 20 * factor)


def test_a_network_of_fixed_size_is_given_that_size() -> None:
    enhance = open_enhancer(network(factor=1.0, sides=(64, 64)), "gfpgan.onnx")
    image = faces(1, 16)
    out = enhance(image)
    assert out.shape == (1, 3, 64, 64)
    # Smooth within: as enlarging alone, but for the contrast. Cubic at both ends: 0.02.
    small = torch.nn.functional.interpolate(out, (16, 16), mode="area")
    assert (small - enlarged(image, 1)).abs().max() < 0.02


def test_what_comes_out_is_never_smaller_than_what_went_in() -> None:
    enhance = open_enhancer(network(factor=1.0, sides=(32, 32)), "x.onnx")
    assert enhance(faces(1, 48)).shape == (1, 3, 48, 48)


def test_what_is_kept_is_never_larger_than_what_it_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    enhance = open_enhancer(network(factor=4.0), "x.onnx")
    monkeypatch.setattr("faceswap_cli.merging.enhance.MAX_SIDE_PX", 48)
    assert enhance(faces(1, 20)).shape == (1, 3, 48, 48)  # not 80: a dozen frames of it wait
    assert enhance(faces(1, 64)).shape == (1, 3, 64, 64)


def test_a_face_does_not_depend_on_its_batch_and_never_leaves_0_to_1() -> None:
    enhance = open_enhancer(network(batch="N"), "x.onnx")
    image = faces(3)
    image[0] = 0.0
    together, alone = enhance(image), [enhance(one[None]) for one in image]
    torch.testing.assert_close(together, torch.cat(alone), atol=0, rtol=0)
    assert together.min() >= 0.0
    assert together.max() <= 1.0


def test_half_precision_networks_run() -> None:
    image = faces(1)
    out = open_enhancer(network(kind=HALF), "x.onnx")(image)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, enlarged(image), atol=2e-3, rtol=0)


def node(kind: str, inputs: Sequence[str] = ("image",), **attributes: Any) -> Any:
    return onnx.helper.make_node(kind, list(inputs), ["out"], **attributes)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (network(channels=1), "it has input image 1x1xHxW"),
        (network(batch=4), "input image 4x3xHxW"),
        (network(sides=(64, 32)), "input image 1x3x64x32"),
        (network(sides=(8192, 8192)), "input image 1x3x8192x8192"),
        (network(nodes=[node("Neg")]), "another picture than what it is shown"),
        (network(nodes=[node("Mul", ("image", "zero"))]), "another picture than what it is shown"),
        (network(nodes=[node("ReduceMean", axes=[2, 3])]), "of a picture of 1x3x64x64 it makes"),
        (network(factor=16.0), "it makes 1x3x1024x1024"),
        (network(nodes=[node("Div", ("image", "zero"))]), "no finite numbers"),
    ],
)
def test_another_kind_of_network_is_an_error_that_says_what_it_does(data: bytes, said: str) -> None:
    if b"zero" in data:
        model = onnx.load_model_from_string(data)
        model.graph.initializer.append(
            onnx.numpy_helper.from_array(np.zeros(1, np.float32), "zero")
        )
        data = model.SerializeToString()
    with pytest.raises(ConfigError) as caught:
        open_enhancer(data, "odd.onnx")
    assert f"no network that enlarges pictures: {said}"[:30] in str(caught.value)
    assert said in str(caught.value)
    assert "seen in: --enhance odd.onnx" in str(caught.value)
    assert "fix: name a" in str(caught.value)


def test_a_picture_that_does_not_fit_is_an_error_that_says_its_size() -> None:
    # It takes pictures of 64 pixels alone, and does not say so.
    weights = onnx.numpy_helper.from_array(np.zeros((1, 3, 64, 64), np.float32), "nothing")
    model = onnx.load_model_from_string(network(nodes=[node("Add", ("image", "nothing"))]))
    model.graph.initializer.append(weights)
    enhance = open_enhancer(model.SerializeToString(), "x.onnx")
    with pytest.raises(ConfigError, match="it cannot take a picture of 48x48"):
        enhance(faces(1, 48))


@pytest.mark.parametrize("data", [b"", b"no onnx", bytes(range(256)) * 40])
def test_a_file_that_is_no_network_is_an_error(data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"no network that onnxruntime can run(?s:.*)fix: name"):
        open_enhancer(data, "x.onnx")


def test_an_enormous_file_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    data = network()
    monkeypatch.setattr(onnx_session, "MAX_FILE_BYTES", len(data) - 1)
    with pytest.raises(ConfigError, match=f"{len(data):,} bytes; a network that enlarges"):
        open_session(data, device="cpu", kind="a network that enlarges", seen_in="--enhance x")


def test_without_onnxruntime_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(ConfigError, match=r'pip install "faceswap-cli\[export\]"'):
        open_enhancer(network(), "x.onnx")
