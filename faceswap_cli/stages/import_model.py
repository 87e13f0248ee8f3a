"""A model that DeepFaceLab has trained -> our checkpoint."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.files import only_one, write_atomic
from faceswap_cli.interop.dfl_model import DflModel, read_dfl_model
from faceswap_cli.models import Model
from faceswap_cli.training.checkpoint import TrainState, checkpoints, save_checkpoint
from faceswap_cli.workspace import StageReport, Workspace

FIRST = 1
"""Iteration of what is imported: schedules begin afresh, and 0 would be what has learnt nothing."""
_log = logging.getLogger(__name__)


def run_import_model(
    workspace: Workspace,
    folder: Path,
    *,
    name: str | None = None,
    options: str | None = None,
    face_type: str | None = None,
) -> StageReport:
    """Make the first checkpoint of a workspace of a SAEHD or Quick96 model.

    Schedules start afresh, whatever DeepFaceLab's iteration was; optimisers and judges are not
    taken over. See `read_dfl_model` for the arguments.

    Raises:
        WorkspaceError: The workspace has a model already, or the folder no usable one.
        ConfigError: More has to be told.
    """
    with only_one(workspace.stages, "train"):
        if found := checkpoints(workspace.model):
            raise WorkspaceError(
                f"the workspace has a model already: {found[-1].name}",
                seen_in=workspace.model,
                fix=f"move {workspace.model} away, or import into another workspace",
            )
        read = read_dfl_model(folder, name=name, options=options, face_type=face_type)
        config = _config(read, folder)
        state = TrainState.new(config, Device("cpu", "fp32"))
        _fill(state.model, read.weights, folder)
        if state.average:
            state.begin_average()
        state.iteration = FIRST
        save_checkpoint(workspace.model, state, config)
        settings = _keep_settings(workspace, read.shape)
    if read.iteration is not None:
        _log.info("DeepFaceLab trained it for %d iterations", read.iteration)
    if read.ignored:
        _log.info("not taken over: %s", ", ".join(read.ignored))
    facts = {
        "name": read.name,
        "shape": read.shape,
        "dfl_iterations": read.iteration,
        "not_taken_over": read.ignored,
        "model": str(workspace.model),
        "settings": settings,
    }
    return StageReport("import-model", done=1, facts=facts)


def _config(read: DflModel, folder: Path) -> TrainConfig:
    try:
        return TrainConfig.model_validate(read.shape)
    except ValueError as error:
        raise WorkspaceError(
            f"a model of this size cannot be trained here: {error}",
            seen_in=folder,
            fix="import another one",
        ) from error


def _fill(model: Model, weights: dict[str, NDArray[np.float32]], folder: Path) -> None:
    """Give the model its weights: all of them, and no others."""
    own = dict(model.named_parameters())
    shapes = {name: tuple(values.shape) for name, values in weights.items()}
    wrong = sorted(
        name
        for name in own.keys() | shapes.keys()
        if name not in own or shapes.get(name) != tuple(own[name].shape)
    )
    if wrong:
        raise WorkspaceError(
            f"{len(wrong)} arrays are not of the size of such a model's: {', '.join(wrong[:5])}",
            seen_in=folder,
            fix="import a SAEHD or Quick96 model of DeepFaceLab 2, its files unchanged",
        )
    with torch.no_grad():
        for name, p in own.items():
            p.copy_(torch.from_numpy(weights[name]))


def _keep_settings(workspace: Workspace, shape: dict[str, Any]) -> str:
    """Write what `train` has to be told into config.toml, unless there is one; say where it is."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in shape.items()]
    if not workspace.config.exists():
        text = "# Of the imported model; other settings of a training may be added.\n[train]\n"
        write_atomic(workspace.config, (text + "\n".join(lines) + "\n").encode())
        return str(workspace.config)
    return f"set these under [train] in {workspace.config}: {', '.join(lines)}"
