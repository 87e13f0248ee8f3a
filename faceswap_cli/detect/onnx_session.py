"""Networks of the user's own, as ONNX files, run by onnxruntime: an extra of the installation."""

import importlib
from typing import Any, Final

from faceswap_cli.errors import ConfigError

MAX_FILE_BYTES: Final = 2**30
_CUDA: Final = "CUDAExecutionProvider"


def open_session(data: bytes, *, device: str, kind: str, seen_in: str) -> Any:
    """Load a network.

    Args:
        data: The content of an ONNX file.
        device: A torch device; CUDA where onnxruntime has it too, else the CPU.
        kind: What network it should be, for messages: "a face recognition network".
        seen_in: The option and the file, for messages.

    Raises:
        ConfigError: It is too large or no ONNX, or onnxruntime is missing.
    """
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(
            f"{len(data):,} bytes; {kind} has {MAX_FILE_BYTES:,} at most", seen_in=seen_in
        )
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise ConfigError(
            f"{kind} needs onnxruntime, which is not installed",
            seen_in=seen_in,
            fix='pip install "faceswap-cli[export]"',
        ) from error
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # its warnings are about the graph, which is not ours
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = ["CPUExecutionProvider"]
    if device.startswith("cuda") and _CUDA in runtime.get_available_providers():
        providers.insert(0, _CUDA)
    try:
        return runtime.InferenceSession(data, options, providers=providers)
    except session_failures() as error:
        raise ConfigError(
            f"no network that onnxruntime can run: {str(error)[:200]}",
            seen_in=seen_in,
            fix=f"name an ONNX file of {kind}, or leave the option away",
        ) from error


def session_failures() -> tuple[type[Exception], ...]:
    """Return what onnxruntime raises: a class for each way to fail, and no base of its own."""
    own = vars(importlib.import_module("onnxruntime").capi.onnxruntime_pybind11_state).values()
    kinds = [kind for kind in own if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*kinds, RuntimeError, ValueError)


def describe_ports(session: Any) -> str:
    """Return what a network takes and gives, in words."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    return ", ".join(
        f"{kind} {port.name} {'x'.join(map(str, port.shape))} {port.type}"
        for kind, ports in (("input", inputs), ("output", outputs))
        for port in ports[:4]
    )
