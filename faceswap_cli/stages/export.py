"""The trained model -> a file for other programs."""

import logging
from pathlib import Path

from faceswap_cli.device import Device
from faceswap_cli.files import write_atomic
from faceswap_cli.interop.dfm import OPSET, export_model
from faceswap_cli.training.checkpoint import open_trained
from faceswap_cli.workspace import StageReport, Workspace

NOT_COMPARED = 'not compared: pip install "faceswap-cli[export]" has onnxruntime, which tells'
_log = logging.getLogger(__name__)


def run_export(
    workspace: Workspace, *, form: str = "dfm", output: Path | None = None
) -> StageReport:
    """Write the newest model, with its averaged weights, as a .dfm or a plain ONNX file.

    Args:
        workspace: With a trained model.
        form: dfm or onnx.
        output: The file; None: model/NAME.dfm, NAME being that of the workspace.

    Raises:
        WorkspaceError: There is no model, or the file cannot be written.
        ConfigError: A package is missing, or the model is too large.
        FaceswapError: The file would draw other pictures than the model.
    """
    trained = open_trained(workspace.model, Device("cpu", "fp32"))
    path = output or workspace.model / f"{workspace.root.name}.{form}"
    about = {
        "made_by": "faceswap-cli",
        "face_type": trained.face_type,
        "resolution": str(trained.resolution),
        "iteration": str(trained.iteration),
    }
    made = export_model(trained.model, form, about=about)
    write_atomic(path, made.data)
    if made.difference is None:
        _log.warning("%s", NOT_COMPARED)
    facts = {
        "file": str(path),
        "iteration": trained.iteration,
        "face_type": trained.face_type,
        "opset": OPSET,
        "inputs": [str(port) for port in made.inputs],
        "outputs": [str(port) for port in made.outputs],
        "largest_difference": NOT_COMPARED if made.difference is None else made.difference,
    }
    return StageReport("export", done=1, facts=facts)
