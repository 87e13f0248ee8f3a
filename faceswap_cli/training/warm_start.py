"""The weights of another model as the beginning of a new one."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from faceswap_cli.config import STRUCTURE, TrainConfig
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.models import Model
from faceswap_cli.training.pretraining import BOTTLENECKS
from faceswap_cli.training.stored import checkpoints, read_stored

AVERAGE, PLAIN = "average/", "model/"
_LISTED = 5
"""Tensors named in an error."""


def warm_start(model: Model, source: Path, config: TrainConfig) -> str:
    """Give a new model the weights of another, child network by child network.

    The averaged weights where there are any. Of a pretrained model the bottlenecks are not
    taken, unless the pretraining is to go on; nor are judges that do not fit. All else fits by
    name and shape, or nothing is taken.

    Args:
        model: Changed in place; what is not taken stays as it is.
        source: A checkpoint, or a folder of them, of which the newest is taken.
        config: Of the new model.

    Returns:
        What was taken and what is new, for the log.

    Raises:
        WorkspaceError: There is no such checkpoint, it is damaged, or it does not fit.
    """
    path = _checkpoint(source)
    about, stored = read_stored(path)
    was, saved = dict(about.get("train", {})), _weights(stored)
    relearnt = BOTTLENECKS if was.get("pretrain") and not config.pretrain else frozenset[str]()
    taken: dict[str, dict[str, Tensor]] = {}
    new, wrong = list[str](), list[str]()
    for child, network in model.named_children():
        own: dict[str, Tensor] = {f"{child}.{n}": p for n, p in network.named_parameters()}
        unfit = [name for name in own if name not in saved or own[name].shape != saved[name].shape]
        if child in relearnt or (unfit and child in model.critics):
            new.append(child)
            continue
        wrong += unfit
        taken[child] = own
    if wrong:
        raise _does_not_fit(path, wrong, was, config)
    with torch.no_grad():
        for own in taken.values():
            for name, p in own.items():
                p.copy_(saved[name])
    differ = _difference(was, config)
    return (
        f"begins with {path} (iteration {about.get('iteration', 0)}): {' '.join(taken)}"
        + (f"; new: {' '.join(new)}" if new else "")
        + (f"; {differ}" if differ else "")
    )


def _checkpoint(source: Path) -> Path:
    """Return the file to read, or raise WorkspaceError that says what to give instead."""
    if source.is_file():
        return source
    found = checkpoints(source) if source.is_dir() else []
    if found:
        return found[-1]
    inside = [name for name in ("model", "pretrained") if checkpoints(source / name)]
    raise WorkspaceError(
        "no checkpoint to begin with" if source.is_dir() else "no such file or folder",
        seen_in=source,
        fix=f"--init-from {source / inside[0]}"
        if inside
        else "--init-from a folder with iter_*.safetensors, or one such file",
    )


def _weights(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights by name: averaged, or else as they were."""
    return {
        key.removeprefix(prefix): tensor
        for prefix in (PLAIN, AVERAGE)  # of two with the same name the later one is kept
        for key, tensor in stored.items()
        if key.startswith(prefix)
    }


def _difference(was: dict[str, Any], config: TrainConfig) -> str:
    """Return which settings of the structure differ; one that is not known had no other value."""
    now = config.model_dump()
    return ", ".join(
        f"{key} was {was[key]!r}, is {now[key]!r}"
        for key in STRUCTURE
        if key in was and was[key] != now[key]
    )


def _does_not_fit(
    path: Path, wrong: list[str], was: dict[str, Any], config: TrainConfig
) -> WorkspaceError:
    listed = ", ".join(wrong[:_LISTED]) + (" ..." if len(wrong) > _LISTED else "")
    differ = _difference(was, config)
    return WorkspaceError(
        f"{len(wrong)} tensors of the new model are not there, or of another shape: {listed}"
        + (f"; {differ}" if differ else ""),
        seen_in=path,
        fix="give the new model the settings of the old one, or leave --init-from out",
    )
